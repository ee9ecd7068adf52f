"""Traps: what an entry stands for, the sealed file, and which events are marked."""

from __future__ import annotations

import pickle
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest

from support.events import KEY, NOON, Item
from wavebreak.errors import FileError, UsageError
from wavebreak.privacy import traps
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.schema.events import WIRE_SCHEMA

OTHER_KEY = b"another key in truth"
DECLARED = traps.TrapSet(NOON, ("0" * 32, "1" * 32))


@pytest.mark.parametrize(
    ("entry", "names"),
    [
        ("firm-7", ["firm-7"]),
        ("+49123", ["49123"]),
        ("4912x", [f"4912{n}" for n in range(10)]),
        ("+4912-+4913", ["4912", "4913"]),
        ("0998-1001", ["0998", "0999", "1000", "1001"]),
        ("xx", ["xx"]),
        ("max", ["max"]),
        ("10-12", ["10-12"]),
    ],
)
def test_entry_stands_for_an_account_or_a_range(entry: str, names: list[str]) -> None:
    assert traps.expand(entry) == names


@pytest.mark.parametrize("entry", ["4913-4912", "100-1000", "49000000-49100000"])
def test_range_that_is_empty_or_too_large_is_refused(entry: str) -> None:
    with pytest.raises(UsageError, match="one length"):
        traps.expand(entry)


def test_file_is_read_with_its_key_and_private(tmp_path: Path) -> None:
    path = tmp_path / traps.FILE
    assert traps.load(path, KEY) == []
    traps.save(path, KEY, [DECLARED])
    assert traps.load(path, KEY) == [DECLARED]
    assert path.stat().st_mode & 0o777 == 0o600


def test_forged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / traps.FILE
    traps.save(path, KEY, [DECLARED])
    sealed = path.read_bytes()
    forged = [sealed[:-1], sealed[:-1] + b"0", sealed + b"0", b"", sealed[:32]]
    traps.save(path, OTHER_KEY, [DECLARED])
    for content in (path.read_bytes(), *forged):
        path.write_bytes(content)
        with pytest.raises(FileError, match="another key, or was changed"):
            traps.load(path, KEY)


def test_events_to_traps_alone_are_marked_also_in_other_processes() -> None:
    plain = Pseudonymizer(KEY)
    declared = frozenset({plain.trap_pseudonym("+4912345")})
    for edge in (
        Pseudonymizer(KEY, traps=declared),
        pickle.loads(pickle.dumps(Pseudonymizer(KEY, traps=declared))),
    ):
        sends: list[Item] = [
            {"type": "message.sent", "ts": NOON, "account": "4912345", "peer": peer}
            for peer in ("4912345", "+4912345", "49123456", None)
        ]
        sends.append(sends[0] | {"type": "message.delivered"})
        batch = pa.RecordBatch.from_pylist(sends, WIRE_SCHEMA)
        assert edge.apply(batch).column("trap").to_pylist() == [True, True, *[None] * 3]
        assert plain.apply(batch).column("trap").to_pylist() == [None] * 5
        other = Pseudonymizer(OTHER_KEY, traps=declared)
        assert other.apply(batch).column("trap").to_pylist() == [None] * 5


def test_changes_at_once_lose_none(tmp_path: Path) -> None:
    path = tmp_path / traps.FILE

    def add(number: int) -> None:
        with traps.changing(path):
            sets = traps.load(path, KEY)
            time.sleep(0.005)
            traps.save(path, KEY, [*sets, traps.TrapSet(number, (f"{number}",))])

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(add, range(20)))
    assert traps.all_pseudonyms(traps.load(path, KEY)) == {str(number) for number in range(20)}
