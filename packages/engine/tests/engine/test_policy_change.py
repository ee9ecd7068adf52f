"""State of an engine under another policy: rules that had fired, by their ids."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from support.events import edge
from support.service_harness import abuser
from wavebreak.engine import Engine, snapshot
from wavebreak.engine.policy_change import carried_state, same_effect
from wavebreak.rules import Policy, load_policy
from wavebreak.schema.events import WIRE_SCHEMA


def changed(policy: Policy, **fields: Any) -> Policy:
    """The policy with its rules in another order, and one of them changed."""
    rules = [
        msgspec.structs.replace(rule, **fields) if rule.id == "first_contact_allowance" else rule
        for rule in reversed(policy.rules)
    ]
    return dataclasses.replace(policy, name="changed", rules=tuple(rules))


def log(count: int = 120) -> pa.RecordBatch:
    return edge().apply(pa.RecordBatch.from_pylist(abuser(count), WIRE_SCHEMA))


def row(engine: Engine, account: str) -> Any:
    return engine.core.row_of(int(engine.fanout.accounts.find(pa.array([account]))[0]))


def fired(engine: Engine, account: str) -> set[str]:
    mask = int(row(engine, account)["fired"])
    return {rule_id for k, rule_id in enumerate(engine.program.ids) if mask >> k & 1}


def moved(old: Engine, policy: Policy, path: Path) -> Engine:
    """An engine of a policy that goes on from another one's state, by way of a file."""
    new = Engine(policy, accounts=1024)
    snapshot.write(carried_state(old, new), path)
    snapshot.restore(new, path)
    return new


def state_of(engine: Engine) -> dict[str, bytes]:
    """A copy of an engine's state."""
    return {name: np.ascontiguousarray(a).tobytes() for name, a in engine.dump().items()}


def test_engine_that_goes_on_from_memory_is_as_one_from_a_file(tmp_path: Path) -> None:
    old, rest = Engine(load_policy(), accounts=1024), abuser(40, "bob", 1_767_222_060_000)
    old.take(log(70))
    before, policy = state_of(old), changed(load_policy(), mode="shadow")
    new = Engine(policy, accounts=1024)
    assert snapshot.load(new, carried_state(old, new)) is old.enforce
    other = moved(old, policy, tmp_path / "state")
    batch = edge().apply(pa.RecordBatch.from_pylist(rest, WIRE_SCHEMA))
    assert new.take(batch) == other.take(batch)
    assert new.rule_hits() == other.rule_hits()
    assert state_of(old) == before


def test_carried_state_keeps_outcomes_and_fired_rules(tmp_path: Path) -> None:
    old = Engine(load_policy(), accounts=1024)
    old.take(log())
    new = moved(old, changed(load_policy()), tmp_path / "state")
    assert fired(old, "ann")
    assert fired(new, "ann") == fired(old, "ann")
    assert row(new, "ann")["enforcement"] == row(old, "ann")["enforcement"] > 0
    assert new.rule_hits() == old.rule_hits()
    assert new.fanout.position == old.fanout.position


def test_carried_state_lets_a_changed_rule_fire_anew(tmp_path: Path) -> None:
    old = Engine(changed(load_policy(), mode="shadow"), accounts=1024)
    old.take(log(70))
    free = row(old, "ann")
    free["enforcement"], free["until"] = 0, 0
    assert "first_contact_allowance" in fired(old, "ann")
    policy = changed(load_policy(), mode="enforce")
    assert "first_contact_allowance" not in fired(moved(old, policy, tmp_path / "free"), "ann")
    free["until"] = free["clock"] + 60
    assert "first_contact_allowance" in fired(moved(old, policy, tmp_path / "grace"), "ann")


def test_carried_state_keeps_the_grace_of_a_label_benign(tmp_path: Path) -> None:
    old = Engine(load_policy(), accounts=1024)
    old.take(log(3))
    registration = np.int64(old.core.policy.registration)
    row(old, "ann")["fired"] = ~registration
    few = changed(load_policy())
    new = moved(old, few, tmp_path / "state")
    assert np.int64(row(new, "ann")["fired"]) | np.int64(new.core.policy.registration) == -1


def test_same_effect_reads_what_decides_only() -> None:
    rule = load_policy().rules[0]
    assert same_effect(rule, msgspec.structs.replace(rule, source="Another source, then."))
    assert not same_effect(rule, msgspec.structs.replace(rule, mode="shadow"))
