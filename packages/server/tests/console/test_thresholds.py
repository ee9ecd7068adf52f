"""Thresholds of a rule: whom the engine itself says that each one meets, and the page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest

from support.console_harness import RunningConsole, console_test, switch_of
from support.events import edge
from support.service_harness import abuser
from wavebreak.engine import Engine
from wavebreak.features.catalog import INDEX
from wavebreak.rules import Policy, load_policy
from wavebreak.schema.events import WIRE_SCHEMA
from wavebreak_server.errors import ApiError
from wavebreak_server.http.app_context import run_background_query as stored
from wavebreak_server.slices.versions import thresholds
from wavebreak_server.slices.versions.policy_replay import RESULT
from wavebreak_server.slices.versions.replay_processes import ReplayProcesses
from wavebreak_server.storage.models import AuditEntry

RULE, CONDITION = (
    "first_contact_allowance",
    "strangers_contacted_1h >= 60 + answers_of_strangers_1h",
)
SHIPPED_CONDITION = "strangers_contacted_1h >= 15"
SIZES = {"ann": 27, "bob": 70, "cat": 150}
PAGE = f"/console/policy/rules/{RULE}"


def policy_of_sixty(*, compiled: bool = True) -> Policy:
    """Return the shipped policy with one number in the rule."""
    policy = load_policy(compiled=compiled)
    rules = tuple(
        msgspec.structs.replace(rule, when=(CONDITION, "channel < 1")) if rule.id == RULE else rule
        for rule in policy.rules
    )
    return replace(policy, rules=rules)


def engine_of(policy: Policy) -> Engine:
    return Engine(policy, accounts=1024)


def log() -> Iterator[pa.RecordBatch]:
    """Three accounts of other sizes, old enough for the rule; one is judged benign."""
    events: list[Any] = []
    for name, size in SIZES.items():
        events += abuser(size, account=name, age_ms=30 * 86_400_000)
    events.sort(key=lambda event: event["ts"])
    events.append(
        {"id": "judged", "ts": events[-1]["ts"] + 1, "type": "label.assigned", "account": "bob",
         "label": "benign", "source": "analyst"}
    )  # fmt: skip
    yield edge().apply(pa.RecordBatch.from_pylist(events, WIRE_SCHEMA))


def test_engine_says_whom_each_threshold_meets() -> None:
    policy = policy_of_sixty()
    rule = policy.rule(RULE)
    assert rule is not None
    trial = thresholds.trial_of(policy, rule, CONDITION)
    assert len(trial.numbers) == thresholds.MOST_STEPS
    engine = engine_of(trial.policy)
    met, labels = thresholds.accounts_met(log(), engine)
    steps = thresholds.steps_of(trial, len(policy.rules), met, labels)
    counted = {step.number: step.accounts for step in steps}
    # The measure only grows within the hour: its last value is its largest.
    slots = engine.fanout.accounts.find(pa.array(list(SIZES))).tolist()
    values = [engine.core.values_of(slot)[INDEX["strangers_contacted_1h"]] for slot in slots]
    for number in trial.numbers:
        assert counted[number] == sum(value >= number for value in values), number
    assert len(set(counted.values())) == 4
    # The copy with the rule's own number meets whom the rule meets.
    own = policy.rules.index(rule)
    assert counted[60] == sum(bits >> own & 1 for bits in met.values()) == 2
    assert [step.benign for step in steps if step.number in (60.0, 180.0)] == [1, 0]


def test_copies_in_shadow_change_no_decision() -> None:
    policy = policy_of_sixty()
    rule = policy.rule(RULE)
    assert rule is not None
    trial = thresholds.trial_of(policy, rule, CONDITION)
    made = []
    for each in (policy, trial.policy):
        engine = engine_of(each)
        decisions = [d for batch in log() for d in engine.take(batch)] + engine.finish()
        # Their ids are of the policy's version.
        made.append([(d.account, d.ts, d.outcome, d.until, d.rules) for d in decisions])
    assert made[0] == made[1]
    assert made[0]


def test_condition_within_alternatives_is_moved_wherever_it_stands() -> None:
    policy = policy_of_sixty(compiled=False)
    rule, nested = policy.rule(RULE), policy.rule("strangers_in_groups")
    assert rule is not None
    assert nested is not None
    assert thresholds.conditions_with_numbers(rule) == [CONDITION]
    moved = thresholds.trial_of(policy, nested, "age_s < 7 * 86_400").policy.rules[-1]
    assert moved.expression.count("21 * 86_400") == 1
    assert "< 7 * 86_400" not in moved.expression
    assert moved.mode == "shadow"


def test_labels_and_foreign_conditions_are_refused() -> None:
    policy = policy_of_sixty(compiled=False)
    judged, rule = policy.rule("confirmed_abusive"), policy.rule(RULE)
    assert judged is not None
    assert rule is not None
    assert thresholds.conditions_with_numbers(judged) == []
    for wrong in ("", "lookups_1d >= 200", "channel < 1", "x" * 500):
        with pytest.raises(ApiError):
            thresholds.trial_of(policy, rule, wrong)


def test_full_policy_has_no_place_for_copies() -> None:
    policy = policy_of_sixty(compiled=False)
    rule = policy.rule(RULE)
    assert rule is not None
    copies = [msgspec.structs.replace(rule, id=f"copy_{k}") for k in range(64 - len(policy.rules))]
    with pytest.raises(ApiError, match="too many rules"):
        thresholds.trial_of(replace(policy, rules=(*policy.rules, *copies)), rule, CONDITION)


async def _prepared(console: RunningConsole) -> None:
    console.service.switch = switch_of(console)
    await console.running.send(abuser())


visits = console_test(_prepared)


def measured(live: str) -> bytes:
    """A result as the process writes it."""
    steps = [thresholds.Step(40, 372, 60, 200), thresholds.Step(60, 289, 41, 190)]
    return msgspec.json.encode(
        thresholds.Measured(
            rule=RULE, condition=SHIPPED_CONDITION, live=live, number=60, steps=steps, first=0,
            end=9_000, accounts=900, seconds=1.0,
        )
    )  # fmt: skip


@visits
async def test_page_shows_what_was_measured(console: RunningConsole, tmp_path: Path) -> None:
    owner, auditor = await console.person("policy_owner"), await console.person("auditor")
    assert "With another number" in (await owner.get(PAGE)).text
    # A label has no number.
    label = (await owner.get("/console/policy/rules/confirmed_abusive")).text
    assert "With another number" not in label
    out = tmp_path / "policies/thresholds" / RULE / "1"
    out.mkdir(parents=True)
    live = console.service.responder.policy.version
    (out / RESULT).write_bytes(measured(live))
    page = (await auditor.get(PAGE)).text
    assert 'data-thresholds="60.0"' in page
    assert 'data-number="40.0" data-accounts="372" data-benign="60" data-abusive="200"' in page
    assert "Count again" not in page
    assert "Count again" in (await owner.get(PAGE)).text
    assert "Another policy decides since" not in page
    (out / RESULT).write_bytes(measured("another-policy"))
    part = (await auditor.get(f"{PAGE}/thresholds")).text
    assert "Another policy decides since" in part


@visits
async def test_measuring_is_started_once_by_whom_may(console: RunningConsole) -> None:
    owner, auditor = await console.person("policy_owner"), await console.person("auditor")
    started: list[Any] = []

    def note(_self: Any, out: Path, command: Any) -> None:
        out.mkdir(parents=True)
        started.append(command)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ReplayProcesses, "start", note)
        path = f"{PAGE}/thresholds/measure"
        assert (await auditor.post(path, condition=SHIPPED_CONDITION)).status_code == 403
        assert (await owner.post(path, condition="sends_1h >= 1")).status_code == 422
        assert (await owner.post(path, condition=SHIPPED_CONDITION)).status_code == 302
    assert [words[:2] for words in started] == [["rules", "thresholds"]]
    assert SHIPPED_CONDITION in started[0]
    entry = await stored(partial(AuditEntry.objects.get, action="measure_thresholds"))
    assert (entry.object, entry.reason) == (RULE, SHIPPED_CONDITION)
    # Its process is gone: the page says so, and offers another.
    assert "The replay failed" in (await owner.get(PAGE)).text
