"""An erasure holds: beside another one, in every file, after a crash, in an older database."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from django.db import connection

from support import service_harness
from support.service_harness import Running
from wavebreak.errors import ServiceError
from wavebreak.io import log_rows
from wavebreak.ledger.entries import read_entry
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.schema.events import WIRE_SCHEMA
from wavebreak_server.slices.erasure import service as erasure
from wavebreak_server.storage import database, event_log
from wavebreak_server.storage.ledger_store import LedgerStore
from wavebreak_server.storage.models import AuditEntry, Erasure, LedgerEntry, LogBatch

BECAUSE = "?reason=asked%20for%20by%20its%20holder"
START = 1_767_222_000_000


@pytest.fixture(params=service_harness.DATABASES)
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A directory whose database, of each kind in turn, is bound and has its tables."""
    with service_harness.migrated(request.param, tmp_path):
        yield tmp_path


def bodies(count: int, each: int) -> list[list[dict[str, Any]]]:
    """Bodies of sign-ins, in which three accounts alternate, each event with an address."""
    names = ("ann", "ben", "cat")
    return [
        [
            {
                "id": f"e{body}-{n}",
                "ts": START + 1000 * (body * each + n),
                "type": "session.started",
                "account": names[n % 3],
                "ip": f"198.51.{body % 250}.{n % 250}",
            }
            for n in range(each)
        ]
        for body in range(count)
    ]


def append(body: list[dict[str, Any]]) -> None:
    """Append a body to the log, as a service would."""
    events = Pseudonymizer(service_harness.SECRET).apply(service_harness.wire(body, WIRE_SCHEMA))
    with connection.cursor() as cursor:
        blob = log_rows.encode_row(events)
        event_log.append(cursor, event_log.log_end(), events.num_rows, 1, blob)


def run(home: Path, test: Callable[[Running], Coroutine[Any, Any, None]]) -> None:
    async def whole() -> None:
        async with service_harness.running(home) as made:
            await test(made)

    asyncio.run(whole())


def left(account: str) -> int:
    """How many events of an account still have a pseudonym of its number or address."""
    return sum(
        event["account"] == account and bool(event["address"] or event["number"])
        for event in service_harness.logged()
    )


def stored_rows() -> list[bytes]:
    try:
        return [bytes(blob) for blob in LogBatch.objects.values_list("blob", flat=True)]
    finally:
        connection.close()


def test_erasures_at_once_undo_nothing_of_each_other(home: Path) -> None:
    async def test(made: Running) -> None:
        for body in bodies(40, 30):
            await made.send(body)
        gone = await asyncio.gather(
            *[made.ask("DELETE", f"/v1/accounts/{who}/personal{BECAUSE}") for who in ("ann", "ben")]
        )
        assert [answer.json()["events"] for answer in gone] == [400, 400]
        assert [answer.json()["batches"] for answer in gone] == [40, 40]

    run(home, test)
    assert (left("ann"), left("ben"), left("cat")) == (0, 0, 400)


def pieces(rows: list[bytes]) -> set[bytes]:
    return {row[at : at + 32] for row in rows for at in range(0, len(row) - 32, 32)}


def found(home: Path, wanted: set[bytes]) -> list[str]:
    """Names of the files that hold any of some pieces."""
    pattern = re.compile(b"|".join(map(re.escape, wanted)))
    return [path.name for path in home.rglob("*") if pattern.search(path.read_bytes())]


def test_erased_rows_are_in_no_file_of_the_home(tmp_path: Path) -> None:
    held: list[set[bytes]] = []

    async def test(made: Running) -> None:
        for body in bodies(12, 60):
            await made.send(body)
        before = await asyncio.to_thread(stored_rows)
        assert found(tmp_path, pieces(before))
        await made.ask("DELETE", f"/v1/accounts/ann/personal{BECAUSE}")
        after = b"".join(await asyncio.to_thread(stored_rows))
        held.append({piece for piece in pieces(before) if piece not in after})
        assert len(held[0]) > 100
        assert found(tmp_path, held[0]) == []

    with service_harness.migrated("sqlite", tmp_path):
        run(tmp_path, test)
        # Nor after it has stopped.
        assert found(tmp_path, held[0]) == []
        wal = tmp_path / f"{database.FILE}-wal"
        assert not wal.exists() or wal.stat().st_size == 0


def test_reader_delays_the_removal_and_nothing_else(tmp_path: Path) -> None:
    with service_harness.migrated("sqlite", tmp_path):
        with connection.cursor() as cursor:
            cursor.execute("UPDATE owner SET holder = 'before'")
        reader = connection.copy()
        with reader.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("SELECT holder FROM owner")
            with connection.cursor() as writing:
                writing.execute("UPDATE owner SET holder = 'after'")
            assert not database.truncate_wal(wait_s=0)
        reader.close()
        assert database.truncate_wal(wait_s=0)
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA busy_timeout")
            assert cursor.fetchone() == (database.BUSY_MS,)


def test_interrupted_erasure_is_completed_by_the_next_start(home: Path) -> None:
    append(bodies(1, 30)[0])
    erasure.begin(home, "ann", 1)
    assert left("ann") == 10
    listed = erasure.read_list(home / erasure.LIST_FILE)
    assert [one.account for one in listed] == ["ann"]
    assert erasure.apply_again(home, listed, 2) == 1
    assert erasure.apply_again(home, listed, 3) == 0
    assert (left("ann"), left("ben")) == (0, 10)
    store = LedgerStore(service_harness.SIGNER, service_harness.now_ms)
    erasure.seal_pending(store, 4)
    erasure.seal_pending(store, 5)
    kinds = [
        read_entry(bytes(row)).kind for row in LedgerEntry.objects.values_list("line", flat=True)
    ]
    assert kinds.count("erasure") == 1
    assert AuditEntry.objects.get(action="erase_personal").key == "start"


def test_pending_erasures_of_a_start_share_one_pass(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for body in bodies(3, 30):
        append(body)
    for account in ("ann", "ben", "ann"):
        erasure.begin(home, account, 1)
    decoded, begun = list[bytes](), list[int]()
    decode = log_rows.decode_row

    def count(blob: bytes) -> pa.RecordBatch:
        decoded.append(blob)
        return decode(blob)

    monkeypatch.setattr(event_log, "decode_row", count)
    assert erasure.apply_again(home, [], 2, begun.append) == 3
    assert (len(decoded), begun) == (3, [3])
    monkeypatch.undo()
    assert (left("ann"), left("ben"), left("cat")) == (0, 0, 30)
    counted = Erasure.objects.unverified().order_by("id").values_list("account", "events", "erased")
    assert list(counted) == [("ann", 30, True), ("ben", 30, True), ("ann", 0, True)]


def test_older_database_put_back_is_erased_again(tmp_path: Path) -> None:
    with service_harness.migrated("sqlite", tmp_path):
        append(bodies(1, 30)[0])
        connection.close()
        kept = tmp_path / "kept"
        shutil.copy(tmp_path / database.FILE, kept)
        assert erasure.erase(erasure.begin(tmp_path, "ann", 5), 5).events == 10
        connection.close()
        shutil.copy(kept, tmp_path / database.FILE)
        assert left("ann") == 10
        listed = erasure.read_list(tmp_path / erasure.LIST_FILE)
        assert erasure.apply_again(tmp_path, listed, 9) == 1
        assert left("ann") == 0


def test_erasure_leaves_what_the_account_sends_later(home: Path) -> None:
    append(bodies(1, 30)[0])
    erasure.erase(erasure.begin(home, "ann", 5), 5)
    append(bodies(2, 30)[1])
    assert left("ann") == 10
    assert erasure.apply_again(home, erasure.read_list(home / erasure.LIST_FILE), 9) == 0
    assert Erasure.objects.get().upto == 30


def test_list_of_erasures_holds_no_pseudonym(home: Path) -> None:
    append(bodies(1, 30)[0])
    with_address = {event["address"] for event in service_harness.logged()}
    erasure.begin(home, "ann", 1)
    content = (home / erasure.LIST_FILE).read_text()
    assert len(with_address) == 30
    assert not any(pseudonym in content for pseudonym in with_address)
    assert (home / erasure.LIST_FILE).stat().st_mode & 0o777 == 0o600


def test_erasures_of_one_account_are_told_apart(tmp_path: Path) -> None:
    with service_harness.migrated("sqlite", tmp_path):
        # At once, and after the clock was set back.
        for now in (5000, 5000, 4000):
            erasure.begin(tmp_path, "ann", now)
        listed = [each.at_ms for each in erasure.read_list(tmp_path / erasure.LIST_FILE)]
        assert listed == [5000, 5001, 5002]


def test_torn_line_of_the_list_is_cut(tmp_path: Path) -> None:
    with service_harness.migrated("sqlite", tmp_path):
        path = tmp_path / erasure.LIST_FILE
        path.write_bytes(b'{"account":"ann","at_ms":1,"upto":0}\n{"account":"be')
        erasure.begin(tmp_path, "cat", 2)
        assert [one.account for one in erasure.read_list(path)] == ["ann", "cat"]


def test_file_that_is_no_list_of_erasures_is_refused(tmp_path: Path) -> None:
    path = tmp_path / erasure.LIST_FILE
    path.write_bytes(b'{"account":7}\n')
    with pytest.raises(ServiceError, match=r"no list of erasures.*restore the file"):
        erasure.read_list(path)


def test_row_changed_meanwhile_is_read_again(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    append(bodies(1, 30)[0])
    encode, once = log_rows.encode_row, ["ben"]

    def encode_late(events: pa.RecordBatch) -> memoryview:
        # Another erasure changes the row between its reading and its writing.
        if once:
            assert event_log.erase_pseudonyms({once.pop(): 30})["ben"].events == 10
        return encode(events)

    monkeypatch.setattr(event_log, "encode_row", encode_late)
    assert event_log.erase_pseudonyms({"ann": 30})["ann"].events == 10
    assert (left("ann"), left("ben"), left("cat")) == (0, 0, 10)
    assert event_log.erase_pseudonyms({"cat": 0})["cat"].events == 0
