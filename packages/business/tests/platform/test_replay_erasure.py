"""Erasure of people from the log that a replay wrote: the file is opened afterwards."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from typer.testing import CliRunner, Result

from wavebreak.cli import app
from wavebreak.errors import FileError, UsageError
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak_business.platform.platform import Platform
from wavebreak_business.platform.replay import Replay, write_replay
from wavebreak_business.settings import load_settings

NOON = 20_600 * 86_400_000


def erase(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["business", "erase", *map(str, arguments)])


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """What a replay wrote of three people with numbers and addresses."""
    people = ("ann", "ben", "גיל")
    lines = [
        json.dumps(
            {"type": "account.registered", "ts": NOON + n, "account": who, "id": f"r-{who}",
             "phone": f"+97254123456{n}", "ip": f"198.51.100.{n + 1}"}
        ).encode()
        for n, who in enumerate(people)
    ]  # fmt: skip
    lines.append(b'{"type":"message.sent","ts":%d,"account":"ann","peer":"ben","id":"m"}' % NOON)
    write_replay(Replay(Platform(load_settings())), lines, tmp_path, Pseudonymizer(b"k" * 32))
    return tmp_path


def pseudonyms(out: Path) -> dict[str, bool]:
    """Open the log: whose events have a pseudonym."""
    table = pa.ipc.open_file(out / "log.arrow").read_all()
    rows = table.select(["account", "number", "address"]).to_pylist()
    return {row["account"]: bool(row["number"] or row["address"]) for row in rows[::-1]}


def test_erased_persons_pseudonyms_are_not_in_the_log_any_more(out: Path) -> None:
    assert pseudonyms(out) == dict.fromkeys(("ann", "ben", "גיל"), True)
    before = (out / "log.arrow").read_bytes()
    number = pa.ipc.open_file(out / "log.arrow").read_all().column("number")[2].as_py()
    told = erase(out, "גיל", "nobody", "--json")
    assert json.loads(told.stdout) == {"events": 1, "accounts": 1}
    assert pseudonyms(out) == {"ann": True, "ben": True, "גיל": False}
    read = pa.ipc.open_file(out / "log.arrow").read_all()
    assert number not in read.column("number").to_pylist()
    assert (read.num_rows, (out / "log.arrow").read_bytes() == before) == (4, False)
    assert sorted(path.name for path in out.glob("log.arrow*")) == ["log.arrow"]


def test_list_of_a_service_names_whom_to_erase(out: Path) -> None:
    listed = out / "erasures.jsonl"
    listed.write_text('{"account":"ann","at_ms":1,"upto":9}\n{"account":"be', "utf-8")
    assert erase(out, "--list", listed).exit_code == 0
    assert pseudonyms(out) == {"ann": False, "ben": True, "גיל": True}


def test_erasure_of_what_is_no_log_is_an_error_with_a_fix(out: Path) -> None:
    assert isinstance(erase(out).exception, UsageError)
    assert isinstance(erase(out / "none", "ann").exception, FileError)
    assert isinstance(erase(out, "--list", out / "none").exception, FileError)
    (out / "list").write_text("x\n", "utf-8")
    assert isinstance(erase(out, "--list", out / "list").exception, FileError)
    (out / "log.arrow").write_bytes(b"no log")
    assert isinstance(erase(out, "ann").exception, FileError)
    assert (out / "log.arrow").read_bytes() == b"no log"
