"""A backup holds what a service cannot make again; a restore believes what the key proves."""

from __future__ import annotations

import hashlib
import hmac
import json
import sqlite3
import stat
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from django.apps import apps
from django.db import connection

from support import service_harness
from support.service_harness import SECRET, abuser
from wavebreak.errors import FileError, ServiceError
from wavebreak.io import log_rows
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.schema.events import WIRE_SCHEMA
from wavebreak_server.slices.appeals.models import Appeal
from wavebreak_server.slices.backup import service as backup
from wavebreak_server.slices.erasure import service as erasure
from wavebreak_server.slices.queue.models import CaseSkip, Review, ReviewCase
from wavebreak_server.slices.statements.models import NoticeState
from wavebreak_server.slices.users.models import User
from wavebreak_server.slices.versions.models import PolicyVersion
from wavebreak_server.storage import database, event_log
from wavebreak_server.storage.models import ApiKey, LogBatch, Owner

# Their modules cannot be imported before Django is configured, as the service does.
Authenticator, Session = apps.get_model("mfa.Authenticator"), apps.get_model("sessions.Session")
KINDS = service_harness.DATABASES
OTHER = bytes(reversed(SECRET))
Parts = dict[str, bytes]


def fill(home: Path) -> None:
    """Fill the bound database and a directory with something of each kind."""
    events = Pseudonymizer(SECRET).apply(service_harness.wire(abuser(5), WIRE_SCHEMA))
    with connection.cursor() as cursor:
        event_log.append(cursor, 0, events.num_rows, 1, log_rows.encode_row(events))
    dana = User.objects.create_user("dana", password="a long secret 7", role="lead")
    dana.key_map = {"next": "j"}
    dana.last_login = datetime(2026, 5, 1, tzinfo=UTC)
    dana.save()
    Authenticator.objects.create(user=dana, type="totp", data={"secret": "encrypted"})
    Session.objects.create(session_key="k" * 32, session_data="x", expire_date=dana.last_login)
    first = PolicyVersion.objects.create(
        author=dana, state="live", reason="first", created_ms=1, changed_ms=1
    )
    PolicyVersion.objects.create(
        author=dana, parent=first, reason="second", created_ms=2, changed_ms=2
    )
    ReviewCase.objects.create(
        account="ann", decision=1, outcome="ban", opened_ms=1, changed_ms=1, harm=0.5,
        uncertainty=0.5, priority=0.25, why=["because", "of this"], claimed_by=dana,
    )  # fmt: skip
    Appeal.objects.create(
        decision="d1", number=1, account="ann", outcome="ban", via="page", language="en",
        created_ms=1, statement=b"encrypted", decided_by=dana, state=Appeal.DECIDED,
        opened_ms=1,
    )  # fmt: skip
    NoticeState.objects.create(
        decision="d1", account="ann", language="en", shown_ms=1, statement=b"{}"
    )
    (home / "ledger.pub").write_text("key")
    for name in ("policies/v1/rules.toml", "cases/C-1/case.json", "reports/2026-05/report.json"):
        (home / name).parent.mkdir(parents=True)
        (home / name).write_text(name)
    with sqlite3.connect(home / "cases/C-1/openings.sqlite3") as held:
        held.execute("CREATE TABLE opening (id)")
    held.close()


@pytest.mark.parametrize(("source", "target"), [KINDS, KINDS[::-1]])
def test_restore_brings_the_console_and_files_back(
    tmp_path: Path, source: str, target: str
) -> None:
    first, second, file = tmp_path / "first", tmp_path / "second", tmp_path / "backup"
    first.mkdir()
    second.mkdir()
    with service_harness.migrated(source, first):
        fill(first)
        (first / "policies" / "v1" / "link.toml").symlink_to("/etc/hostname")
        saved = backup.save(first, file, SECRET)
    assert saved.left_out == ["policies/v1/link.toml"]
    with service_harness.migrated(target, second):
        restored = backup.restore(file, second, SECRET, 0)
        assert restored.unproven == ""
        assert restored.rows == saved.rows
        dana = User.objects.get(username="dana")
        assert dana.check_password("a long secret 7")
        assert (dana.role, dana.key_map) == ("lead", {"next": "j"})
        assert dana.last_login == datetime(2026, 5, 1, tzinfo=UTC)
        assert Authenticator.objects.get(user=dana).data == {"secret": "encrypted"}
        assert Session.objects.count() == 0
        assert PolicyVersion.objects.get(reason="second").parent.reason == "first"
        case = ReviewCase.objects.get()
        assert (case.why, case.claimed_by) == (["because", "of this"], dana)
        assert bytes(Appeal.objects.get(decided_by=dana).statement) == b"encrypted"
        assert NoticeState.objects.count() == 1
        assert User.objects.create_user("omer", password="a long secret 8").id > dana.id
        assert LogBatch.objects.get().count == 6
        assert Owner.objects.count() == 1
    for name in ("ledger.pub", "policies/v1/rules.toml", "cases/C-1/case.json",
                 "reports/2026-05/report.json", "cases/C-1/openings.sqlite3"):  # fmt: skip
        assert (second / name).read_bytes() == (first / name).read_bytes()
        assert stat.S_IMODE((second / name).stat().st_mode) == 0o600


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    """The parts of a whole backup."""
    home = tmp_path_factory.mktemp("whole")
    with service_harness.migrated("sqlite", home):
        fill(home)
        ApiKey.objects.create(
            prefix="a" * 8, digest=b"d", name="n", scopes="read", rate=1, burst=1, created_ms=1
        )
        backup.save(home, home / "backup", SECRET)
    with zipfile.ZipFile(home / "backup") as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def sealed(parts: Parts, key: bytes = SECRET) -> Parts:
    """Parts with a manifest that is right for them, and its MAC under a key."""
    about = json.loads(parts["manifest.json"])
    about["parts"] = {
        name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in parts.items()
        if not name.startswith("manifest")
    }
    about["deployment"] = backup.deployment_id(key)
    manifest = json.dumps(about).encode()
    mac = hmac.digest(backup.mac_key(key), manifest, hashlib.sha256).hex().encode()
    return parts | {"manifest.json": manifest, "manifest.mac": mac}


def rows_of(part: bytes) -> list[Any]:
    rows: list[Any] = msgspec.msgpack.decode(part[8:])
    return rows


def part_of(rows: list[Any]) -> bytes:
    content = msgspec.msgpack.encode(rows)
    return len(content).to_bytes(8, "big") + content


def forged(parts: Parts) -> Parts:
    """Parts with an API key that somebody added who does not have the deployment's key."""
    rows = rows_of(parts["tables/api_key"])
    names, key = rows[0], list(rows[1])
    key[names.index("prefix")] = "f" * 8
    rows.append(key)
    found = sealed(parts | {"tables/api_key": part_of(rows)}, OTHER)
    about = json.loads(found["manifest.json"]) | {"deployment": backup.deployment_id(SECRET)}
    return found | {"manifest.json": json.dumps(about).encode()}


def write(tmp_path: Path, parts: Parts) -> Path:
    file = tmp_path / "file"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return file


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with an empty database, which no refused restore changes."""
    home = tmp_path_factory.mktemp("empty")
    database.connect("", home)
    database.migrate()
    connection.close()
    return home


def refused(home: Path, file: Path, match: str, key: bytes | None = SECRET, **more: Any) -> None:
    """Restore a file, which must fail with nothing restored."""
    database.connect("", home)
    with pytest.raises(FileError, match=match):
        backup.restore(file, home, key, 0, **more)
    assert LogBatch.objects.count() == ApiKey.objects.count() == User.objects.count() == 0
    connection.close()
    held = {path.name for path in home.iterdir()}
    assert held <= {database.FILE, f"{database.FILE}-wal", f"{database.FILE}-shm"}
    assert not (home.parent / "x").exists()


def test_forged_row_is_refused(tmp_path: Path, empty: Path, parts: Parts) -> None:
    refused(empty, write(tmp_path, forged(parts)), "changed after it was written")


def test_backup_of_another_deployment_is_refused(tmp_path: Path, empty: Path, parts: Parts) -> None:
    refused(empty, write(tmp_path, sealed(parts, OTHER)), "written by another deployment")


def test_backup_without_a_known_key_is_refused(tmp_path: Path, empty: Path, parts: Parts) -> None:
    refused(empty, write(tmp_path, parts), "key is not known here.*--accept-unproven", None)


@pytest.mark.parametrize(
    "name", [".bashrc", "x", "../x", "/tmp/x", "policies/../../x", "policies/.hidden", "cases/a//b",
             "state-1-1.snapshot/x", "tables/console_session", "wavebreak.sqlite3", "owner.lock"]
)  # fmt: skip
def test_unknown_part_is_refused_although_proven(
    tmp_path: Path, empty: Path, parts: Parts, name: str
) -> None:
    refused(empty, write(tmp_path, sealed(parts | {name: b"x"})), "no backup has|unknown here")


def test_part_outside_the_manifest_is_refused(tmp_path: Path, empty: Path, parts: Parts) -> None:
    refused(empty, write(tmp_path, parts | {"policies/v1/more.toml": b"x"}), "not those of")


def test_unproven_part_that_unpacks_to_much_is_refused(
    tmp_path: Path, empty: Path, parts: Parts
) -> None:
    bomb = sealed(parts | {"state-0-0.snapshot": bytes(32 << 20)}, OTHER)
    file = write(tmp_path, bomb)
    assert file.stat().st_size < 200_000
    refused(empty, file, "would unpack to 32 MiB", accept_unproven=True)


def test_size_that_is_not_the_declared_one_is_refused(
    tmp_path: Path, empty: Path, parts: Parts
) -> None:
    file = write(tmp_path, parts | {"ledger.pub": bytes(1 << 20)})
    refused(empty, file, "ledger.pub is damaged")


def test_backup_larger_than_the_disk_is_refused(
    tmp_path: Path, empty: Path, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("", (), {"free": 100}))
    refused(empty, write(tmp_path, parts), "and 0 MiB are free")


def nested(rows: list[Any]) -> None:
    rows[1][0] = [[[]]]


def many_columns(rows: list[Any]) -> None:
    rows[1] = list(range(70))


def many_rows(rows: list[Any]) -> None:
    rows += [rows[1]] * 501


def unknown_column(rows: list[Any]) -> None:
    rows[0][0] = "somewhere"


def large_integer(rows: list[Any]) -> None:
    rows[1][rows[0].index("created_ms")] = 2**64 - 1


def no_row(rows: list[Any]) -> None:
    rows.clear()


SHAPES = [nested, many_columns, many_rows, unknown_column, large_integer, no_row]


@pytest.mark.parametrize("change", SHAPES)
def test_rows_of_another_shape_are_refused(
    tmp_path: Path, empty: Path, parts: Parts, change: Callable[[list[Any]], None]
) -> None:
    rows = rows_of(parts["tables/api_key"])
    change(rows)
    refused(
        empty, write(tmp_path, sealed(parts | {"tables/api_key": part_of(rows)})), "as a backup"
    )


def test_boolean_that_is_none_is_refused(tmp_path: Path, empty: Path, parts: Parts) -> None:
    rows = rows_of(parts["tables/console_user"])
    rows[1][rows[0].index("is_active")] = -30
    changed = sealed(parts | {"tables/console_user": part_of(rows)})
    refused(empty, write(tmp_path, changed), "as a backup")


def test_unproven_backup_is_restored_on_request_and_says_so(tmp_path: Path, parts: Parts) -> None:
    home = tmp_path / "target"
    home.mkdir()
    with service_harness.migrated("sqlite", home):
        restored = backup.restore(
            write(tmp_path, forged(parts)), home, SECRET, 0, accept_unproven=True
        )
        assert "API keys, webhooks and people may be somebody else's" in restored.unproven
        assert ApiKey.objects.count() == 2


def test_backup_of_the_former_format_is_restored_on_request(tmp_path: Path, parts: Parts) -> None:
    about = json.loads(parts["manifest.json"])
    former = {
        n: c for n, c in parts.items() if n in ("tables/log_batch", "tables/api_key", "ledger.pub")
    }
    about |= {"version": 1, "sums": {n: about["parts"][n]["sha256"] for n in former}}
    file = write(tmp_path, former | {"manifest.json": json.dumps(about).encode()})
    home = tmp_path / "target"
    home.mkdir()
    with service_harness.migrated("sqlite", home):
        with pytest.raises(FileError, match="without the deployment's key"):
            backup.restore(file, home, SECRET, 0)
        restored = backup.restore(file, home, SECRET, 0, accept_unproven=True)
        assert "nothing proves who wrote" in restored.unproven
        assert LogBatch.objects.count() == 1


def test_second_looks_of_0_2_are_left_out_with_their_reviews(tmp_path: Path, parts: Parts) -> None:
    cases = rows_of(parts["tables/console_review_case"])
    user = rows_of(parts["tables/console_user"])
    columns, case = cases
    first, reviewer = case[columns.index("id")], user[1][user[0].index("id")]
    second_look = [*case[:], True, "", "", None]
    copy_of_golden = [*case[:], True, "benign", "agreed", first]
    second_look[columns.index("id")], copy_of_golden[columns.index("id")] = first + 1, first + 2
    copy_of_golden[columns.index("account")] = "ben"
    review = ["id", "case_id", "reviewer_id", "kind", "verdict", "reason", "at_ms"]
    skip = ["id", "case_id", "reviewer_id", "until_ms"]
    numbers = range(first, first + 3)
    file = write(tmp_path, sealed(parts | {
        "tables/console_review_case": part_of([
            [*columns, "blind", "golden", "golden_reason", "copy_of_id"],
            [*case, False, "", "", None], second_look, copy_of_golden,
        ]),
        "tables/console_review": part_of([
            review, *([n, n, reviewer, "first", "abusive", "seen", 1] for n in numbers)
        ]),
        "tables/console_case_skip": part_of([skip, *([n, n, reviewer, 9] for n in numbers)]),
        "tables/console_second_opinion": part_of([["id", "case_id"], [1, first]]),
        "calibrated/report.json": b"{}",
    }))  # fmt: skip
    home = tmp_path / "target"
    home.mkdir()
    with service_harness.migrated("sqlite", home):
        backup.restore(file, home, SECRET, 0)
        assert ReviewCase.objects.get().account == "ann"
        assert Review.objects.get().case_id == CaseSkip.objects.get().case_id == first
    assert not (home / "calibrated").exists()


def test_backup_replaces_links_and_is_private(tmp_path: Path) -> None:
    home, other = tmp_path / "home", tmp_path / "other"
    home.mkdir()
    other.write_text("mine")
    for name in ("backup", "backup.new"):
        (tmp_path / name).symlink_to(other)
    with service_harness.migrated("sqlite", home):
        backup.save(home, tmp_path / "backup", SECRET)
    assert other.read_text() == "mine"
    assert not (tmp_path / "backup").is_symlink()
    assert stat.S_IMODE((tmp_path / "backup").stat().st_mode) == 0o600
    assert sorted(p.name for p in tmp_path.iterdir()) == ["backup", "backup.new", "home", "other"]


def test_directory_with_other_files_is_not_restored_into(tmp_path: Path, parts: Parts) -> None:
    home = tmp_path / "target"
    home.mkdir()
    (home / "policies").symlink_to(tmp_path)
    with (
        service_harness.migrated("sqlite", home),
        pytest.raises(ServiceError, match="empty directory"),
    ):
        backup.restore(write(tmp_path, parts), home, SECRET, 0)


def pseudonyms() -> list[str]:
    return [e["number"] for e in service_harness.logged() if e["account"] == "ann" and e["number"]]


@pytest.mark.parametrize("kind", KINDS)
def test_erasure_after_the_backup_is_applied_again(tmp_path: Path, kind: str) -> None:
    first, second, file = tmp_path / "first", tmp_path / "second", tmp_path / "backup"
    first.mkdir()
    second.mkdir()
    with service_harness.migrated(kind, first):
        fill(first)
        backup.save(first, file, SECRET)
        assert len(pseudonyms()) == 1
        erasure.erase(erasure.begin(first, "ann", 5), 5)
        assert pseudonyms() == []
    with service_harness.migrated(kind, second):
        listed = first / erasure.LIST_FILE
        restored = backup.restore(file, second, SECRET, 9, erasures=listed)
        assert (restored.listed, restored.erasures) == (1, 1)
        assert pseudonyms() == []
        assert Appeal.objects.get().statement is None
        assert NoticeState.objects.count() == 0
        assert erasure.read_list(second / erasure.LIST_FILE) == erasure.read_list(listed)
