"""The commands of the platform's rules."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner, Result

from wavebreak.cli import app
from wavebreak.errors import EventError, FileError, PolicyError, UsageError
from wavebreak_business.settings import SHIPPED

DAY = 86_400_000
NOON = 20_600 * DAY


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["business", *map(str, arguments)], env={"COLUMNS": "120"})


def log(path: Path, *events: dict[str, object]) -> Path:
    path.write_text("".join(json.dumps(event) + "\n" for event in events), encoding="utf-8")
    return path


def shop(path: Path) -> Path:
    number = {"number": "n1", "display_name": "Shop"}
    return log(
        path,
        {"type": "portfolio.updated", "ts": NOON, "business": "shop", "numbers": [number]},
        {"type": "template.updated", "ts": NOON, "business": "shop", "template": "sale",
         "category": "marketing", "language": "en", "status": "approved"},
        {"type": "message.sent", "ts": NOON + 1, "account": "n1", "peer": "ann",
         "template": "sale", "id": "m1"},
        {"type": "consent.granted", "ts": NOON + 2, "account": "ann", "business": "shop"},
        {"type": "message.sent", "ts": NOON + 3, "account": "n1", "peer": "ann",
         "template": "sale", "id": "m2"},
        {"type": "typing.started", "ts": NOON + 4, "account": "ann", "peer": "n1"},
    )  # fmt: skip


def test_decide_says_of_each_send_what_becomes_of_it(tmp_path: Path) -> None:
    told = json.loads(run("decide", shop(tmp_path / "log.jsonl"), "--json").stdout)
    outcomes = [(answer["id"], answer["outcome"]) for answer in told["answers"]]
    assert outcomes == [("m1", "no_consent"), ("m2", "accepted")]
    assert told["other_types"] == 1
    shown = run("decide", shop(tmp_path / "log.jsonl")).stdout
    assert "no_consent" in shown


def test_decide_names_a_line_that_is_no_event_and_a_missing_file(tmp_path: Path) -> None:
    bad = log(tmp_path / "bad.jsonl", {"type": "portfolio.updated", "ts": NOON})
    error = run("decide", bad).exception
    assert isinstance(error, EventError)
    assert "line 1" in error.what
    assert isinstance(run("decide", tmp_path / "none").exception, FileError)


def test_limits_are_printed_and_a_wrong_value_is_named_by_line(tmp_path: Path) -> None:
    assert "250 → 2,000" in run("limits").stdout
    assert json.loads(run("limits", "--json").stdout)["pair"]["burst"] == 45
    text = (SHIPPED / "limits.toml").read_text("utf-8").replace("burst = 45", "burst = 0")
    (tmp_path / "limits.toml").write_text(text, encoding="utf-8")
    error = run("limits", "--policy", tmp_path).exception
    assert isinstance(error, PolicyError)
    assert f"line {text[: text.index('burst = 0')].count(chr(10)) + 1}:" in error.what


def test_simulate_shows_each_list_and_refuses_an_unknown_one() -> None:
    told = json.loads(run("simulate", "--people", 700, "--list", "bought", "--json").stdout)
    assert [(each["list"], each["delivered"]) for each in told] == [("bought", 0)]
    assert "forged" in run("simulate", "--people", 600, "--list", "forged").stdout
    assert isinstance(run("simulate", "--list", "x").exception, UsageError)
