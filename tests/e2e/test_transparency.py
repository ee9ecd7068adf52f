"""Transparency commands: a sealed run and a service's home are reported on, and recounted."""

from __future__ import annotations

import csv
import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from support.command_line import Service, sending, wavebreak
from support.transparency_ledgers import SIGNER, Writer, random_ledger
from wavebreak.cli.app import app
from wavebreak.errors import EvidenceError, FileError, UsageError, WavebreakError
from wavebreak.ledger.checkpoints import encode_verifier_key

KEY = encode_verifier_key(SIGNER.key)
QUARTER = ("--from", "2026-01-01", "--to", "2026-04-01")


def say(*words: str | Path, status: int = 0) -> str:
    """Run a command in this process; an expected error comes out as itself."""
    done = run(*words)
    if isinstance(done.exception, WavebreakError):
        raise done.exception
    assert done.exit_code == status, done.output
    return done.stdout


def run(*words: str | Path) -> Result:
    """Run a command, and give what came of it."""
    return CliRunner().invoke(app, ["transparency", *map(str, words)])


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return random_ledger(tmp_path / "log", 21).place


def copy_for_strangers(log: Path, place: Path) -> Path:
    """The ledger without its openings and key."""
    shutil.copytree(log, place, ignore=shutil.ignore_patterns("private", "key.pub"))
    return place


def test_stranger_recounts_a_report_under_their_key(log: Path, tmp_path: Path) -> None:
    printed = say("report", log, *QUARTER, "--provider", "Example", "-o", tmp_path / "out")
    assert "Example, Messaging: 2026-01-01 to 2026-03-31" in " ".join(printed.split())
    public = copy_for_strangers(log, tmp_path / "public")
    recounted = say("recount", tmp_path / "out", public, "--key", KEY)
    assert "0 different" in recounted
    assert "rests on the operator's openings alone" in " ".join(recounted.split())
    assert "whose key it is" in say("recount", tmp_path / "out", public, status=4)
    operator = say("recount", tmp_path / "out", log, "--key", KEY)
    assert "0 different, 0 not recounted" in operator


def test_changed_number_ends_with_status_one(log: Path, tmp_path: Path) -> None:
    say("report", log, *QUARTER, "-o", tmp_path / "out")
    path = tmp_path / "out" / "report.json"
    report = json.loads(path.read_text("utf-8"))
    total = report["sections"][0]["numbers"][0]
    total["value"] += 1
    path.write_text(json.dumps(report), "utf-8")
    printed = say("recount", path, log, "--key", KEY, status=1)
    assert "1 different" in printed
    result = json.loads(say("recount", path, log, "--key", KEY, "--json", status=1))
    wrong = [each for each in result["numbers"] if each["verdict"] == "different"]
    assert [each["id"] for each in wrong] == ["decisions.total"]
    assert result["holds"] is False


def test_changed_ledger_or_other_key_does_not_verify(log: Path, tmp_path: Path) -> None:
    say("report", log, *QUARTER, "-o", tmp_path / "out")
    other = Writer(tmp_path / "other", 5)
    other.decide("a", "ban")
    place = other.close().place
    with pytest.raises(EvidenceError, match="log_behind"):
        say("recount", tmp_path / "out", place, "--key", KEY)
    key = say_key(tmp_path)
    with pytest.raises(EvidenceError, match="origin_wrong"):
        say("recount", tmp_path / "out", log, "--key", key)
    entries = log / "entries.jsonl"
    entries.write_bytes(entries.read_bytes().replace(b'"ban"', b'"bat"', 1))
    with pytest.raises(EvidenceError):
        say("recount", tmp_path / "out", log, "--key", KEY)


def say_key(tmp_path: Path) -> str:
    """A verifier key of another log."""
    made = CliRunner().invoke(
        app, ["ledger", "keygen", "example.org/other", "-o", str(tmp_path / "other.key")]
    )
    return made.stdout.strip()


def test_months_are_written_apart_and_each_recounts(log: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    printed = say("report", log, *QUARTER, "--monthly", "-o", out)
    assert sorted(p.name for p in out.iterdir()) == ["2026-01", "2026-02", "2026-03"]
    assert "2026-02" in printed
    for month in out.iterdir():
        say("recount", month, log, "--key", KEY)


def test_internal_report_withholds_nothing(log: Path, tmp_path: Path) -> None:
    say("report", log, *QUARTER, "-o", tmp_path / "public")
    say("report", log, *QUARTER, "--internal", "-o", tmp_path / "internal")
    assert '"small"' in (tmp_path / "public" / "report.json").read_text("utf-8")
    assert '"small"' not in (tmp_path / "internal" / "report.json").read_text("utf-8")


def test_tables_fit_in_eighty_columns(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    printed = say("report", log, *QUARTER, "-o", tmp_path / "out")
    table = say("recount", tmp_path / "out", log, "--key", KEY, "--all").partition("Recount")[2]
    tables = printed.partition("each number with its definition")[0]
    assert max(len(line.rstrip()) for line in tables.splitlines()) <= 80
    assert max(len(line.rstrip()) for line in table.splitlines()) <= 80


def test_options_that_conflict_name_the_fix(log: Path, tmp_path: Path) -> None:
    out = ("-o", tmp_path / "out")
    with pytest.raises(UsageError, match="--to is not after --from"):
        say("report", log, "--from", "2026-02-01", "--to", "2026-02-01", *out)
    with pytest.raises(UsageError, match="exclude each other"):
        say("report", log, *QUARTER, "--monthly", "--yearly", *out)
    with pytest.raises(UsageError, match="protects nobody"):
        say("report", log, *QUARTER, "--min-count", "2", *out)
    with pytest.raises(UsageError, match="counts none"):
        say("report", log, *QUARTER, "--events", log, "--without-accounts", *out)
    with pytest.raises(FileError, match="has no ledger"):
        say("report", tmp_path, *QUARTER, *out)
    public = copy_for_strangers(log, tmp_path / "public")
    with pytest.raises(FileError, match="has no openings"):
        say("report", public, *QUARTER, "--key", KEY, *out)
    with pytest.raises(FileError, match="has no openings"):
        say("export", public, "--key", KEY, "--accounts", *out)
    say("report", public, *QUARTER, "--key", KEY, "--without-accounts", *out)
    say("recount", tmp_path / "out", public, "--key", KEY)


def test_run_with_events_counts_reports(tmp_path: Path) -> None:
    day = datetime(2026, 1, 10, tzinfo=UTC)
    start = int(day.timestamp()) * 1000
    events = tmp_path / "events.jsonl"
    made = sending("quiet", start, 400, 0) + sending("loud", start + 60_000, 400, 60)
    lines = sorted(made, key=lambda event: int(event["ts"]))
    events.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    wavebreak("run", events, "--enforce", "--ledger", tmp_path / "log", "-o", tmp_path / "run")
    months = ("--from", "2026-01-01", "--to", "2026-02-01")
    out, log = tmp_path / "out", tmp_path / "log"
    say("report", log, *months, "--events", events, "--min-count", "0", "-o", out)
    report = json.loads((out / "report.json").read_text("utf-8"))
    numbers = {n["id"]: n for section in report["sections"] for n in section["numbers"]}
    assert numbers["accounts.total"]["value"] >= 1
    known = numbers["accounts.total.before_any_report"]
    assert known["rests_on"] == "event log"
    assert known["value"] is not None
    key = (log / "key.pub").read_text("utf-8").strip()
    assert "0 not recounted" in say("recount", out, log, "--events", events, "--key", key)
    say("export", log, "-o", tmp_path / "d.csv", "--accounts")
    decided = (tmp_path / "run" / "decisions.jsonl").read_text("utf-8").splitlines()
    with (tmp_path / "d.csv").open(encoding="utf-8", newline="") as file:
        exported = list(csv.DictReader(file))
    assert [row["account"] for row in exported] == [json.loads(d)["account"] for d in decided]


def test_service_home_is_reported_on_and_recounted(tmp_path: Path) -> None:
    home = tmp_path / "home"
    start = int(datetime(2026, 1, 10, tzinfo=UTC).timestamp()) * 1000
    service = Service(home)
    with service.started():
        pass
    made = wavebreak("key", "create", home, "gateway", "--scope", "ingest")
    service.key = made.strip().splitlines()[-1]
    with service.started("--enforce"):
        events = sending("loud", start, 400, 60)
        status, _ = service.ask("POST", "/v1/events", events)
        assert status in (200, 202)
        service.settled(len(events))
    out, months = tmp_path / "out", ("--from", "2026-01-01", "--to", "2026-02-01")
    wavebreak("transparency", "report", home, *months, "-o", out)
    recounted = wavebreak("transparency", "recount", out, home, status=4)
    assert "0 different, 0 not recounted" in recounted
    wavebreak("transparency", "export", home, "--accounts", "-o", tmp_path / "d.csv")
    assert "loud" in (tmp_path / "d.csv").read_text("utf-8")
