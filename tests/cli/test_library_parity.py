"""Commands and library: the same results for the same input, to the byte."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from typer.testing import CliRunner

import wavebreak as wb
from wavebreak.cli.app import app

KEY = "01ab" * 16
FILES = ("decisions.jsonl", "refused.jsonl", "operators.jsonl", "accounts.parquet")
COUNTED = ("events", "accepted", "decisions", "rules", "versions", "mode")


def run_json(*arguments: object) -> Any:
    """Run a command, and return what it prints as JSON."""
    outcome = CliRunner().invoke(app, [*map(str, arguments), "--json"], catch_exceptions=False)
    assert outcome.exit_code == 0, outcome.output
    return json.loads(outcome.stdout)


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("labels") / "labels.csv"
    path.write_text(
        "account,label,family,operator\n"
        + "".join(f"s-{k},abusive,bulk,op\n" for k in range(3))
        + "".join(f"h-{k},benign,friends,\n" for k in range(30)),
        encoding="utf-8",
    )
    return path


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a table: three senders to strangers who block them, and thirty people who answer."""
    rows = list[tuple[int, str, str, str, str]]()
    for s in range(3):
        for k in range(80):
            rows.append((1_772_440_000 + 900 * s + 5 * k, "message", f"s-{s}", f"p-{s}-{k}", "d-1"))
            if k % 6 == 0:
                rows.append((1_772_440_100 + 900 * s + 5 * k, "block", f"p-{s}-{k}", f"s-{s}", ""))
    for k in range(600):
        rows.append((1_772_440_000 + 11 * k, "message", f"h-{k % 30}", f"h-{(k + 1) % 30}", ""))
        rows.append((1_772_440_005 + 11 * k, "message", f"h-{(k + 1) % 30}", f"h-{k % 30}", ""))
    rows.append((1, "message", "h-1", "", ""))
    path = tmp_path_factory.mktemp("table") / "chats.csv"
    lines = [",".join(map(str, row)) for row in sorted(rows)]
    path.write_text("\n".join(["when,kind,from,to,device", *lines, ""]), encoding="utf-8")
    path.with_name("chats.mapping.toml").write_text(
        'time = "s"\n[columns]\nts = "when"\ntype = "kind"\naccount = "from"\npeer = "to"\n'
        'device = "device"\n[types]\nmessage = "message.sent"\nblock = "user.blocked"\n',
        encoding="utf-8",
    )
    return path


@pytest.fixture(scope="module")
def both(
    table: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, wb.Result, dict[str, Any]]:
    """Run a table by the command and by the library."""
    out = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WAVEBREAK_KEY", KEY)
        counts = run_json("run", table, "--enforce", "-o", out / "command")
        result = wb.decide(wb.read_events(table), enforce=True, out=out / "library", progress=False)
    return out / "command", result, counts


def test_run_and_decide_write_the_same_bytes(both: tuple[Path, wb.Result, dict[str, Any]]) -> None:
    command, result, counts = both
    for name in FILES:
        assert (command / name).read_bytes() == (result.directory / name).read_bytes(), name
    assert {k: counts[k] for k in COUNTED} == {k: result.summary()[k] for k in COUNTED}
    assert result.decisions.num_rows > 3
    assert result.rejected.num_rows == 1


def test_explain_and_the_explanation_of_a_result_agree(
    both: tuple[Path, wb.Result, dict[str, Any]],
) -> None:
    command, result, _ = both
    assert run_json("explain", command, "s-1") == json.loads(
        json.dumps(result.explain("s-1").to_dict())
    )
    assert result.explain("s-1").html == (command / "explain.html").read_text(encoding="utf-8")


def test_evaluate_agrees(both: tuple[Path, wb.Result, dict[str, Any]], labels: Path) -> None:
    command, result, _ = both
    printed = run_json("evaluate", command, "--labels", labels)
    assert printed == json.loads(json.dumps(wb.evaluate(result, labels).to_dict()))
    assert printed == json.loads(json.dumps(result.evaluate(_table_of(labels)).to_dict()))


def test_replay_agrees(
    both: tuple[Path, wb.Result, dict[str, Any]], labels: Path, table: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("WAVEBREAK_KEY", KEY)
    rules = tmp_path / "mine" / "rules"
    rules.mkdir(parents=True)
    (rules / "mine.toml").write_text(
        '[[rule]]\nid = "five_strangers"\nabuse = "bulk"\nabout = "Writes to five strangers."\n'
        'source = "An example of a test."\nstage = "messaging"\non = ["sent"]\n'
        'when = ["strangers_contacted_1h >= 5"]\noutcome = "limit"\nfor = "2h"\n'
        'mode = "enforce"\nfires_on = [{ strangers_contacted_1h = 5 }]\n'
        "stays_quiet_on = [{ strangers_contacted_1h = 4 }]\n",
        encoding="utf-8",
    )
    command, result, _ = both
    policy = wb.load_policy(tmp_path / "mine")
    printed = run_json(
        "replay", command, "--policy", tmp_path / "mine", "--labels", labels, "-o",
        tmp_path / "replayed",
    )  # fmt: skip
    replayed = result.replay(policy, labels=labels, progress=False)
    assert printed == json.loads(json.dumps(replayed.to_dict()))
    compared = wb.compare(
        wb.read_events(table), wb.load_policy(), policy, enforce=True, labels=labels,
        progress=False,
    )  # fmt: skip
    assert compared.table.equals(replayed.table)
    assert compared.table.num_rows == len(printed["changes"]) > 0
    decisions = (tmp_path / "replayed" / "decisions.jsonl").read_bytes()
    assert decisions == (replayed.second.directory / "decisions.jsonl").read_bytes()


def test_assess_agrees(table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAVEBREAK_KEY", KEY)
    page = tmp_path / "page.html"
    printed = run_json("assess", table, "-o", page, "--names", tmp_path / "names.csv")
    assessed = wb.assess(wb.read_events(table), progress=False)
    assert _steady(printed) == _steady(json.loads(json.dumps(assessed.to_dict())))
    names = (tmp_path / "names.csv").read_text(encoding="utf-8")
    assert {f"{pseudonym},{name}" for pseudonym, name in assessed.names.items()} == set(
        names.split()[1:]
    )
    assert "s-1" in assessed.names.values()
    assert "s-1" not in assessed.html


def test_a_stream_goes_on_from_the_snapshot_of_a_run(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAVEBREAK_KEY", KEY)
    snapshot = tmp_path / "state"
    run_json("run", table, "--enforce", "-o", tmp_path / "out", "--snapshot", snapshot)
    engine = wb.Engine.load(snapshot, enforce=True, sample=wb.read_events(table))
    answer = engine.ask(ts=1_772_446_700_000, type="message.sent", account="s-1", peer="new")
    assert answer.refused


def _table_of(labels: Path) -> pa.Table:
    heads, *rows = (line.split(",") for line in labels.read_text(encoding="utf-8").splitlines())
    return pa.table({head: [row[k] for row in rows] for k, head in enumerate(heads)})


def _steady(value: Any) -> Any:
    """Return a report's values without those of the clock."""
    if isinstance(value, dict):
        return {k: _steady(v) for k, v in value.items() if k not in ("seconds", "events_per_s")}
    return value
