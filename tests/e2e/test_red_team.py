"""A small red-team run: refused messages get no receipt, weeks go on, seeds fix the bytes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from wavebreak import engine, rules
from wavebreak.evaluation.home_learning import load_terms
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.reports.html import write_html
from wavebreak.reports.report import write_json
from wavebreak_lab import red_team
from wavebreak_lab.simulation.attackers import PRESETS, REACTION_PRESETS

EDGE, POLICY = Pseudonymizer(b"a key for tests only"), rules.load_policy()
SMALL = red_team.RunOptions(
    tuple(PRESETS | REACTION_PRESETS), accounts=4, people=250, days=0.3, rounds=0, seed=101
)


def run(out: Path, options: red_team.RunOptions) -> red_team.RedTeamResult:
    result = red_team.run_red_team(options, POLICY, EDGE, red_team.load_config(), load_terms(), out)
    write_json(red_team.red_team_report(result), out / "red_team.json")
    return result


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, red_team.RedTeamResult]:
    out = tmp_path_factory.mktemp("red-team")
    return out, run(out, SMALL)


def test_every_tactic_takes_part(small: tuple[Path, red_team.RedTeamResult]) -> None:
    _, result = small
    (week,) = result.weeks
    assert result.before is week
    counts = week.families
    tactics = [red_team.FAMILIES[name].tactic for name in counts]
    assert tactics[:26] == [*range(25), -1]
    assert all(c.accounts > 0 for c in counts.values())
    assert sum(c.delivered > 0 for c in counts.values()) >= 22
    assert counts["brigade"].delivered == 0
    assert all(c.cost > 0 for c in counts.values())
    assert len(week.personas) >= 15
    assert week.people.banned == 0
    assert week.people.refused <= week.people.first_contacts


def test_replay_of_the_written_world_yields_the_same_outcomes(
    small: tuple[Path, red_team.RedTeamResult], tmp_path: Path
) -> None:
    out, _ = small
    live = pq.read_table(out / "weeks" / "1" / "accounts.parquet")
    engine.run(out, tmp_path, POLICY, EDGE, enforce=True)
    again = pq.read_table(tmp_path / "accounts.parquet")
    assert again["account"].to_pylist() == live["account"].to_pylist()
    assert again["worst"].to_pylist() == live["worst"].to_pylist()


def test_refused_messages_have_no_receipt(small: tuple[Path, red_team.RedTeamResult]) -> None:
    out, _ = small
    events = pq.read_table(out / "events.parquet")
    rows = pq.read_table(out / "weeks" / "1" / "accounts.parquet").to_pylist()
    refused = {r["account"]: r["refused"] for r in rows if r["refused"] > 20}
    abusive = {
        line.split(",")[0]
        for line in (out / "labels.csv").read_text().splitlines()
        if ",abusive,blast," in line
    }
    assert refused.keys() & abusive
    sent = events.filter(pc.equal(events["type"], "message.sent"))
    receipts = events.filter(pc.equal(events["type"], "message.delivered"))
    for account in refused.keys() & abusive:
        messages = pc.sum(pc.equal(sent["account"], account)).as_py()
        delivered = pc.sum(pc.equal(receipts["peer"], account)).as_py()
        assert delivered <= messages - refused[account]


def test_same_seed_yields_the_same_bytes(tmp_path: Path) -> None:
    families = ("blast", "own-answers", "brigade")
    few = replace(SMALL, families=families, people=120, rounds=1, weeks=2)
    for name in ("one", "two"):
        result = run(tmp_path / name, few)
        write_html(red_team.red_team_report(result), tmp_path / name / "red_team.html")
    files = ("red_team.json", "red_team.html", "events.parquet", "labels.csv")
    for name in (*files, "weeks/2/accounts.parquet", "rounds/1/accounts.parquet"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    report = json.loads((tmp_path / "one" / "red_team.json").read_text())
    assert [r["name"] for r in report["rounds"]] == ["before adaptation", "adaptation 1"]
    assert [w["name"] for w in report["weeks"]] == ["week 1", "week 2"]
    first, second = report["weeks"]
    assert set(first["families"]) == set(families)
    assert first["families"]["blast"]["delivered"] > 0
    assert second["families"]["brigade"]["delivered"] == 0
    assert second["learned"][0]["state"] == "none"
    assert second["people"]["first_contacts"] > 0
    assert second["people"]["banned"] == 0
    assert "<svg" in (tmp_path / "one" / "red_team.html").read_text()
