"""Operators in the engine: decisions that name them, any number of workers, a resumed run."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from support.factories import DAY, NOON, account_row, decision, run_directory
from support.operator_events import HONEST, RENTED, RING, TEAM, sender_events, team_events
from wavebreak.engine import Engine
from wavebreak.errors import UsageError
from wavebreak.explain import explain, explanation_summary
from wavebreak.linking import Edge, Operator, storage
from wavebreak.reports.report import print_report
from wavebreak.reports.tables import Console
from wavebreak.rules import load_policy
from wavebreak.schema.events import LOG_SCHEMA, TYPES


def _log(team: tuple[str, ...] = TEAM, *, device: bool = True) -> pa.RecordBatch:
    return _batch(team_events(team, blocked=True, device=device))


def _batch(events: list[dict[str, Any]]) -> pa.RecordBatch:
    rows = [event | {"type": TYPES.index(event["type"])} for event in events]
    return pa.RecordBatch.from_pylist(rows, schema=LOG_SCHEMA)


def _run(log: pa.RecordBatch, *, workers: int = 1, step: int = 10_000, resume: bool = False) -> Any:
    engine = Engine(load_policy(), workers=workers, accounts=64)
    made = []
    for start in range(0, log.num_rows, step):
        made += engine.take(log.slice(start, step))
        if resume:
            dumped, engine = engine.dump(), Engine(load_policy(), workers=workers, accounts=64)
            engine.load(dumped)
    return made + engine.finish(), engine.operators()


@pytest.fixture(scope="module")
def decided() -> Any:
    return _run(_log())


def test_a_team_on_one_device_is_one_operator_and_slowed(decided: Any) -> None:
    made, (operator,) = decided
    assert set(operator.accounts) == set(TEAM)
    assert operator.unanswered_evidence >= 100
    assert len(operator.edges) == operator.edges_total == 3
    slowed = [d for d in made if "unwelcome_operator" in d.rules]
    assert {d.account for d in slowed} == set(TEAM)
    for d in slowed:
        values = {r.feature: r.value for r in d.reasons}
        assert (d.outcome, d.basis, values["operator_accounts"]) == ("limit", "doubt", 2)
        assert values["stranger_contacts"] > 0, "what recipients did is named too"
    assert not [d for d in made if d.account.startswith("f")]


def test_people_of_one_trade_who_write_to_the_same_strangers_are_no_operator() -> None:
    decisions, operators = _run(_log(device=False))
    assert operators == []
    assert not [d for d in decisions if "unwelcome_operator" in d.rules]


def test_alone_each_of_them_would_not_be_slowed_by_ties() -> None:
    made, operators = _run(_log(("s1",)))
    assert operators == []
    assert not [d for d in made if "unwelcome_operator" in d.rules]


def test_workers_batches_and_resuming_change_nothing(decided: Any) -> None:
    assert _run(_log(), workers=3, step=7) == decided
    assert _run(_log(), step=20, resume=True) == decided


def test_a_ring_and_a_companions_network_are_operators_and_people_are_none() -> None:
    batch = _batch(sender_events())
    whole = _run(batch)
    assert {frozenset(o.accounts) for o in whole[1]} == {frozenset(RING), frozenset(RENTED)}
    assert not {d.account for d in whole[0] if "unwelcome_operator" in d.rules} & set(HONEST)
    assert _run(batch, workers=3, step=5) == whole
    assert _run(batch, step=9, resume=True) == whole


def test_operators_are_read_back_and_found_by_account(tmp_path: Path, decided: Any) -> None:
    storage.save(decided[1], tmp_path)
    assert storage.load(tmp_path) == decided[1]
    (operator,) = decided[1]
    assert storage.find(decided[1], operator.id) == [operator]
    assert storage.find(decided[1], "s2") == [operator]
    with pytest.raises(UsageError, match="nobody"):
        storage.find(decided[1], "nobody")


def test_an_explanation_shows_the_accounts_that_it_is_tied_to(tmp_path: Path) -> None:
    edge = Edge(("s1", "s2"), 4, ("used one device",), NOON, NOON + DAY)
    operator = Operator("op-1", ("s1", "s2"), (), False, 9, 0, 0, 100.0, 1.0, (edge,), 1)
    reasons = [{"feature": "operator_accounts", "value": 1.0}]
    run = run_directory(
        tmp_path,
        [account_row("s1"), account_row("s2")],
        [decision("s1", NOON, outcome="limit", rules=["unwelcome_operator"], reasons=reasons)],
    )
    storage.save([operator], run)
    explanation = explain(run, "s1")
    text = io.StringIO()
    report = explanation_summary(explanation)
    print_report(report, Console(file=text, width=80))
    shown = " ".join(text.getvalue().split())
    assert "It seems to be of one operator with 1 other account." in shown
    assert "used one device" in shown
    assert json.loads(json.dumps((report.data or {})["ties"]))[0]["accounts"] == ["s1", "s2"]
