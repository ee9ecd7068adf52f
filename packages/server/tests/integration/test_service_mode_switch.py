"""A service that begins to enforce: outcomes found in shadow are cleared, in every way to stop."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from django.db import connection

from support.banning_policy import load_banning_policy
from support.events import Item, edge
from support.service_harness import abuser, migrated
from wavebreak import rules
from wavebreak.engine import Engine
from wavebreak.engine.versions import engine_versions
from wavebreak.errors import ServiceError
from wavebreak.io import log_rows
from wavebreak.rules import Policy
from wavebreak.schema.events import WIRE_SCHEMA
from wavebreak_server.pipeline.enforcement_cache import EnforcementCache
from wavebreak_server.pipeline.pending_requests import DecidedBatch
from wavebreak_server.pipeline.recovery import list_snapshots, recover
from wavebreak_server.pipeline.states import State, StateTerms, StreamPosition, states_after
from wavebreak_server.settings import Settings
from wavebreak_server.storage import event_log, state_changes
from wavebreak_server.storage.models import AppliedPosition, Decision, EnforcementState, StateChange

TS = 1_767_222_000_000
HOUR = 3_600_000
FIRST = abuser()
AGAIN = [
    event | {"id": f"{event['id']}-again", "peer": f"{event['peer']}-again"}
    for event in abuser(ts=TS + 5 * HOUR)[1:]
]
"""An account that is found in shadow; and what it sends after the switch."""


def store_events(items: list[Item], first: int) -> None:
    """Append events to the log, as the log writer does."""
    batch = edge().apply(pa.RecordBatch.from_pylist(items, WIRE_SCHEMA))
    with connection.cursor() as cursor:
        event_log.append(cursor, first, batch.num_rows, TS, log_rows.encode_row(batch))


def store_decisions(batches: list[DecidedBatch], made_by: str) -> None:
    """Store decisions and the applied position, as the log writer does."""
    for batch in batches:
        for number, id_, account, ts, stage, outcome, until, body in batch.rows:
            Decision.objects.create(
                number=number, id=id_, account=account, ts=ts, stage=stage, outcome=outcome,
                until=until, body=body, reached=batch.reached,
            )  # fmt: skip
            EnforcementState.objects.update_or_create(
                account=account,
                defaults={"outcome": outcome, "until": until, "ts": ts, "decision": number},
            )
        AppliedPosition.objects.filter(id=1).update(
            position=batch.reached, decisions=Decision.objects.count(), made_by=made_by
        )


def started(
    home: Path,
    *,
    enforce: bool,
    policy: Policy | None = None,
    states: EnforcementCache | None = None,
) -> tuple[Engine, Any]:
    """Recover an engine, and store what it decided on the way."""
    chosen = policy or load_banning_policy()
    unstored: list[DecidedBatch] = []
    engine, report = recover(
        lambda: Engine(chosen, enforce=enforce, accounts=1024),
        Settings(home),
        60,
        write=unstored.append,
        progress=lambda _at, _end: None,
        states=EnforcementCache(lambda: TS) if states is None else states,
    )
    store_decisions(unstored, report.made_by)
    return engine, report


def outcome_of(engine: Engine, account: str = "ann") -> int:
    slot = int(engine.fanout.accounts.find(pa.array([account]))[0])
    return int(engine.core.row_of(slot)["enforcement"])


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A service's directory after days in shadow."""
    with migrated("sqlite", tmp_path):
        store_events(FIRST, 0)
        engine, _ = started(tmp_path, enforce=False)
        assert outcome_of(engine) > 0
        assert EnforcementState.objects.count() == 1
        yield tmp_path


def test_outcome_found_in_shadow_is_not_enforced(home: Path) -> None:
    engine, report = started(home, enforce=True)
    assert engine.enforce
    assert outcome_of(engine) == 0
    assert EnforcementState.objects.count() == 0
    assert Decision.objects.count() > 0, "decisions remain as they were made"
    assert any("enforcement begins at position" in message for message in report.messages)


def test_cleared_outcome_is_streamed_as_a_lift(home: Path) -> None:
    terms = StateTerms(load_banning_policy().feedback)
    begin = StreamPosition.begin(0)
    found = [state for _, state in states_after(begin, 500, terms)]
    last, number = found[-1], Decision.objects.count()
    assert last.outcome not in ("allow", "observe")
    started(home, enforce=True)
    passed = states_after(begin, 500, terms)
    assert [state for _, state in passed][: len(found)] == found
    [(at, lift)] = passed[len(found) :]
    assert lift == State("ann", "allow", number=number)
    assert at == StreamPosition(number, 1, 0)
    assert states_after(at, 500, terms) == []
    # Who had every decision hears of it too, also one by one, and again after it has.
    for since in (number, number - 1):
        at, heard = StreamPosition.begin(since), list[State]()
        while step := states_after(at, 1, terms):
            at = step[0][0]
            heard.append(step[0][1])
        assert heard == [state for state in (*found, lift) if state.number > since or state == lift]
    # What is decided later comes after it.
    store_events(AGAIN, len(FIRST))
    started(home, enforce=True)
    later = [state.number for _, state in states_after(StreamPosition.begin(number), 500, terms)]
    assert later == list(range(number, Decision.objects.count() + 1))
    assert len(later) > 1


def test_forged_lift_is_no_state(home: Path) -> None:
    terms = StateTerms(load_banning_policy().feedback)
    StateChange.objects.create(number=1, account="ann", after=0, decision=1, lifted=True)
    StateChange.objects.update(after=1)
    with pytest.raises(ServiceError, match="was changed in the database"):
        states_after(StreamPosition.begin(0), 500, terms)


def test_undone_switch_takes_its_lifts_back(home: Path) -> None:
    [before] = EnforcementState.objects.values()
    started(home, enforce=True)
    state_changes.undo(0)
    assert list(EnforcementState.objects.values()) == [before]
    assert state_changes.newest() == 0


def test_outcome_found_in_shadow_is_not_known_when_enforcing(home: Path) -> None:
    shadow, enforcing = (EnforcementCache(lambda: TS) for _ in range(2))
    started(home, enforce=False, states=shadow)
    started(home, enforce=True, states=enforcing)
    assert (len(shadow), len(enforcing)) == (1, 0)
    assert enforcing.loaded


def test_events_after_the_switch_are_decided_with_enforcement(home: Path) -> None:
    shadow = Decision.objects.count()
    store_events(AGAIN, len(FIRST))
    engine, _ = started(home, enforce=True)
    assert outcome_of(engine) > 0
    assert Decision.objects.count() > shadow
    assert engine.fanout.position == len(FIRST) + len(AGAIN)


def test_restart_after_the_switch_reproduces_every_decision(home: Path) -> None:
    store_events(AGAIN, len(FIRST))
    started(home, enforce=True)
    stored = Decision.objects.count()
    engine, report = started(home, enforce=True)
    assert Decision.objects.count() == report.decisions == stored
    assert report.messages == []
    assert outcome_of(engine) > 0


def test_switch_without_a_snapshot_replays_in_shadow_first(home: Path) -> None:
    assert list_snapshots(home) == []
    engine, report = started(home, enforce=True)
    assert outcome_of(engine) == 0
    ((position, decisions, _),) = list_snapshots(home)
    assert (position, decisions) == (len(FIRST), report.decisions)


def test_switch_with_another_policy_clears_outcomes_too(home: Path, tmp_path: Path) -> None:
    local = tmp_path / "local"
    local.mkdir()
    (local / "evidence.toml").write_text("[evidence]\nreply = 0.3\n", "utf-8")
    engine, report = started(home, enforce=True, policy=rules.load_policy(local))
    assert outcome_of(engine) == 0
    assert report.made_by == engine_versions(engine, 60)
    assert any("replaying the whole log" in message for message in report.messages)


def test_interrupted_switch_is_done_again(home: Path) -> None:
    made_by = AppliedPosition.objects.get(id=1).made_by
    started(home, enforce=True)
    AppliedPosition.objects.filter(id=1).update(made_by=made_by)
    engine, _ = started(home, enforce=True)
    assert outcome_of(engine) == 0
    assert AppliedPosition.objects.get(id=1).made_by == engine_versions(engine, 60)


def test_switch_back_to_shadow_keeps_outcomes(home: Path) -> None:
    store_events(AGAIN, len(FIRST))
    started(home, enforce=True)
    engine, _ = started(home, enforce=False)
    assert not engine.enforce
    assert outcome_of(engine) > 0
    assert EnforcementState.objects.count() == 1
