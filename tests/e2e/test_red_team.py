"""A small arena: every tactic plays, nothing is answered that was refused, the seed decides all."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from wavebreak import red_team, rules
from wavebreak.privacy.pseudonymizer import Edge
from wavebreak.simulation.attackers import PRESETS

EDGE = Edge(b"a key for tests only")
FILES = ("arena.json", "events.parquet", "decisions.jsonl", "labels.csv", "accounts.parquet")


SMALL = red_team.Setting(tuple(PRESETS), accounts=4, people=250, days=0.3, rounds=0, seed=101)


def played(out: Path, setting: red_team.Setting) -> red_team.Match:
    match = red_team.play(setting, rules.load(), EDGE, red_team.load_terms(), out)
    red_team.save(match, out)
    return match


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, red_team.Match]:
    out = tmp_path_factory.mktemp("arena")
    return out, played(out, SMALL)


def test_every_tactic_and_the_combination_plays_against_the_policy(
    small: tuple[Path, red_team.Match],
) -> None:
    _, match = small
    counts = match.rounds[0].counts
    assert [red_team.FAMILIES[name].tactic for name in counts] == [*range(25), -1]
    assert all(c.accounts > 0 for c in counts.values())
    assert sum(c.delivered > 0 for c in counts.values()) >= 20
    assert all(c.cost > 0 for c in counts.values())
    assert len(match.found.personas) >= 15
    assert sum(p.banned for p in match.found.personas.values()) == 0


def test_the_last_round_replayed_from_its_file_decides_alike(
    small: tuple[Path, red_team.Match],
) -> None:
    out, match = small
    number = next(k for k, r in enumerate(match.rounds) if r.name == "adapted")
    live = pq.read_table(out / "rounds" / str(number) / "accounts.parquet")
    again = pq.read_table(out / "accounts.parquet")
    assert again["worst"].to_pylist() == live["worst"].to_pylist()
    assert again["account"].to_pylist() == live["account"].to_pylist()


def test_no_message_that_was_refused_has_a_receipt(small: tuple[Path, red_team.Match]) -> None:
    out, _ = small
    events = pq.read_table(out / "events.parquet")
    rows = pq.read_table(out / "accounts.parquet").to_pylist()
    refused = {r["account"]: r["refused"] for r in rows if r["refused"] > 20}
    abusive = {line.split(",")[0] for line in (out / "labels.csv").read_text().splitlines()
               if ",abusive,blast," in line}  # fmt: skip
    assert refused.keys() & abusive
    sent = events.filter(pc.equal(events["type"], "message.sent"))
    read = events.filter(pc.equal(events["type"], "message.delivered"))
    for account in refused.keys() & abusive:
        mine = pc.sum(pc.equal(sent["account"], account)).as_py()
        got = pc.sum(pc.equal(read["peer"], account)).as_py()
        assert got <= mine - refused[account]


def test_the_same_seed_gives_the_same_bytes_with_adaptation(tmp_path: Path) -> None:
    few = replace(SMALL, families=("blast", "proxies", "combination"), people=150, rounds=1)
    for name in ("one", "two"):
        match = played(tmp_path / name, few)
        red_team.write_html(match, tmp_path / name / "arena.html")
    for name in (*FILES, "arena.html"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    told = json.loads((tmp_path / "one" / "arena.json").read_text())
    assert [r["name"] for r in told["rounds"]] == [
        "before adaptation", "adaptation 1", "adapted", "adapted, told instant",
    ]  # fmt: skip
    assert "<svg" in (tmp_path / "one" / "arena.html").read_text()
