"""Features of one's own, from the how-to: one engine, groups of shards, replay, explanation."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from support.events import edge
from support.exchange_board import Board, Seat
from support.factories import events_file
from support.installed_features import RULE, guide_policy, installed_guide
from support.service_harness import abuser
from wavebreak.engine import Engine, run
from wavebreak.engine.exchange import shards_of
from wavebreak.explain import explain
from wavebreak.explain.narrative import reasons_table
from wavebreak.rules import own_features
from wavebreak.run_diff import replay
from wavebreak.schema.events import WIRE_SCHEMA

EVENTS = [
    event
    for n in range(12)
    # Six send few messages each; the others write to more strangers than they have contacts.
    for event in abuser(15 if n % 2 else 60, f"a{n}", 1_767_222_000_000 + n * 1_000)
]
EVENTS.sort(key=lambda event: event["ts"])


@pytest.fixture
def guide(tmp_path: Path) -> Iterator[Path]:
    """The directory with the files of the how-to, whose distribution is installed."""
    with installed_guide(tmp_path):
        yield tmp_path


def test_rule_decides_and_its_decision_names_the_value_and_the_inputs(guide: Path) -> None:
    policy = guide_policy(guide)
    engine = Engine(policy, enforce=True, accounts=256)
    log = edge().apply(pa.RecordBatch.from_pylist(EVENTS, WIRE_SCHEMA))
    decisions = [d for d in engine.take(log) + engine.finish() if d.rules and d.outcome == "limit"]
    mine = [d for d in decisions if d.rules[0] == RULE]
    assert {d.account for d in mine} == {f"a{n}" for n in range(0, 12, 2)}
    for decision in mine:
        values = {reason.feature: reason.value for reason in decision.reasons}
        assert values["unanswered_per_contact"] == values["unanswered_strangers_1d"] == 20
        assert values["mutual_contacts"] == 0
        assert decision.basis == "doubt"


def test_groups_of_shards_find_what_one_engine_does(guide: Path) -> None:
    policy, board = guide_policy(guide), Board(3)
    single = Engine(policy, enforce=True, accounts=256)
    log = edge().apply(pa.RecordBatch.from_pylist(EVENTS, WIRE_SCHEMA))
    segments = list(single.fanout.segments(log))
    engines = [
        Engine(policy, enforce=True, accounts=256, exchange=Seat(board, number))
        for number in range(3)
    ]
    hits: dict[int, list[bytes]] = {number: [] for number in range(4)}

    def work(number: int, engine: Engine, groups: int) -> None:
        for segment in segments:
            part = segment.of_shards(shards_of(number, groups)) if groups > 1 else segment
            for rows in (engine.shards.turn(segment.epoch), engine.shards.advance(part)):
                hits[number] += [] if rows is None else [hit.tobytes() for hit in rows]
        hits[number] += [hit.tobytes() for hit in engine.shards.close(engine.shards.epoch + 1)]

    threads = [
        threading.Thread(target=work, args=(number, engine, 3))
        for number, engine in enumerate(engines)
    ]
    for thread in threads:
        thread.start()
    work(3, single, 1)
    for thread in threads:
        thread.join()
    assert len(hits[3]) >= 6
    assert sorted(hits[0] + hits[1] + hits[2]) == sorted(hits[3])


def test_run_replay_and_explanation_agree(guide: Path) -> None:
    policy = guide_policy(guide)
    log = events_file(guide / "events.jsonl", EVENTS)
    lines = []
    for workers in (1, 3):
        out = guide / f"run-{workers}"
        run(log, out, policy, edge(), enforce=True, workers=workers)
        lines.append((out / "decisions.jsonl").read_bytes())
    assert lines[0] == lines[1]
    assert b'"feature":"unanswered_per_contact","value":20.0' in lines[0]
    replayed = guide / "replayed"
    replay(guide / "run-1", replayed, guide_policy(guide), edge())
    assert (replayed / "decisions.jsonl").read_bytes() == lines[0]
    summary = json.loads((replayed / "summary.json").read_text("utf-8"))
    assert summary["own_features"]["unanswered_per_contact"]["unit"] == "ratio"

    explanation = explain(guide / "run-1", "a0")
    (decision,) = (d for d in explanation.decisions if d["rules"][:1] == [RULE])
    row = reasons_table(explanation, decision).rows[0]
    assert row == (
        "unanswered_per_contact",
        "20",
        "",
        "Strangers of a day who have not answered, for each person it talks with.",
    )


def test_changed_body_is_another_policy_and_may_decide_otherwise(guide: Path) -> None:
    log = events_file(guide / "events.jsonl", EVENTS)
    policy = guide_policy(guide)
    run(log, guide / "first", policy, edge(), enforce=True)
    source = guide / "our_features.py"
    source.write_text(source.read_text("utf-8").replace("contacts, 1)", "contacts, 4)"))
    sys.modules.pop("our_features")
    own_features._declared.clear()
    changed = guide_policy(guide)
    assert changed.version != policy.version
    replay(guide / "first", guide / "second", changed, edge())
    decided = [(guide / n / "decisions.jsonl").read_text("utf-8") for n in ("first", "second")]
    assert '"unanswered_per_contact","value":20.0' in decided[0]
    assert '"unanswered_per_contact","value":20.0' not in decided[1]
