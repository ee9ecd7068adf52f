"""A small red-team run: all tactics play, refused messages get no receipt, seeds fix the bytes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from wavebreak import rules
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.reports.html import write_html
from wavebreak.reports.report import write_json
from wavebreak_lab import red_team
from wavebreak_lab.simulation.attackers import PRESETS

EDGE = Pseudonymizer(b"a key for tests only")
FILES = ("red_team.json", "events.parquet", "decisions.jsonl", "labels.csv", "accounts.parquet")


SMALL = red_team.TournamentConfig(
    tuple(PRESETS), accounts=4, people=250, days=0.3, rounds=0, seed=101
)


def run(out: Path, config: red_team.TournamentConfig) -> red_team.Tournament:
    tournament = red_team.run_tournament(
        config, rules.load_policy(), EDGE, red_team.load_config(), out
    )
    write_json(red_team.tournament_report(tournament), out / "red_team.json")
    return tournament


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, red_team.Tournament]:
    out = tmp_path_factory.mktemp("red-team")
    return out, run(out, SMALL)


def test_every_tactic_takes_part_in_the_tournament(
    small: tuple[Path, red_team.Tournament],
) -> None:
    _, tournament = small
    counts = tournament.rounds[0].counts
    assert [red_team.FAMILIES[name].tactic for name in counts] == [*range(25), -1]
    assert all(c.accounts > 0 for c in counts.values())
    assert sum(c.delivered > 0 for c in counts.values()) >= 20
    assert all(c.cost > 0 for c in counts.values())
    assert len(tournament.evaluation.personas) >= 15
    assert sum(p.banned for p in tournament.evaluation.personas.values()) == 0


def test_replayed_round_yields_the_same_outcomes(
    small: tuple[Path, red_team.Tournament],
) -> None:
    out, tournament = small
    number = next(k for k, r in enumerate(tournament.rounds) if r.name == "adapted")
    live = pq.read_table(out / "rounds" / str(number) / "accounts.parquet")
    again = pq.read_table(out / "accounts.parquet")
    assert again["worst"].to_pylist() == live["worst"].to_pylist()
    assert again["account"].to_pylist() == live["account"].to_pylist()


def test_refused_messages_have_no_receipt(small: tuple[Path, red_team.Tournament]) -> None:
    out, _ = small
    events = pq.read_table(out / "events.parquet")
    rows = pq.read_table(out / "accounts.parquet").to_pylist()
    refused = {r["account"]: r["refused"] for r in rows if r["refused"] > 20}
    abusive = {
        line.split(",")[0]
        for line in (out / "labels.csv").read_text().splitlines()
        if ",abusive,blast," in line
    }
    assert refused.keys() & abusive
    sent = events.filter(pc.equal(events["type"], "message.sent"))
    read = events.filter(pc.equal(events["type"], "message.delivered"))
    for account in refused.keys() & abusive:
        mine = pc.sum(pc.equal(sent["account"], account)).as_py()
        got = pc.sum(pc.equal(read["peer"], account)).as_py()
        assert got <= mine - refused[account]


def test_same_seed_yields_the_same_bytes(tmp_path: Path) -> None:
    few = replace(SMALL, families=("blast", "proxies", "combination"), people=150, rounds=1)
    for name in ("one", "two"):
        tournament = run(tmp_path / name, few)
        write_html(red_team.tournament_report(tournament), tmp_path / name / "red_team.html")
    for name in (*FILES, "red_team.html"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    report = json.loads((tmp_path / "one" / "red_team.json").read_text())
    assert [r["name"] for r in report["rounds"]] == [
        "before adaptation",
        "adaptation 1",
        "adapted",
        "adapted, instant feedback",
    ]
    assert "<svg" in (tmp_path / "one" / "red_team.html").read_text()
