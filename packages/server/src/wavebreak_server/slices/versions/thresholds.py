"""Whom a rule would meet with another number: one condition of it, at several thresholds, at once.

The log is decided anew by the policy that decides, with copies of the rule in shadow beside it that
differ in that number alone. So the engine itself says whom each threshold meets, on the values that
it has at each event; nothing is estimated. The copies decide nothing: an account that the policy
stops does not go on, whatever the threshold.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa

from wavebreak.engine import Engine
from wavebreak.features.catalog import INDEX, get_feature
from wavebreak.rules import AnyOf, Policy, Rule
from wavebreak.rules.conditions import When
from wavebreak.rules.model import MAX_RULES
from wavebreak_server.errors import ApiError
from wavebreak_server.http.app_context import write_audit_entry
from wavebreak_server.pipeline.live_policy import policies_directory
from wavebreak_server.slices.users.acting_user import ActingUser
from wavebreak_server.slices.versions import policy_replay, policy_versions, replay_processes
from wavebreak_server.slices.versions.policy_switch import PolicySwitch
from wavebreak_server.slices.versions.replay_processes import ReplayProcesses
from wavebreak_server.storage import event_log
from wavebreak_server.texts import translate

MOST_STEPS = 21
"""Thresholds that are measured at once; fewer where the policy has many rules."""
REACH = 3
"""From a third of the number to three times of it."""
_TRIAL = "trial_of_a_threshold_"
_NUMBER = re.compile(r"([a-z][a-z0-9_]*)\s*(?:>=|<=|>|<)\s*([\d_]+(?:\.\d+)?)")
_NO_MEASURE = ("code", "0 or 1")


class Step(msgspec.Struct, frozen=True):
    """A threshold: the number, the accounts met, and those that people judged."""

    number: float
    accounts: int
    benign: int
    abusive: int


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """Whom a rule meets at several thresholds of one condition.

    Attributes:
        condition: The condition, as it is written.
        live: Version of the policy that decided.
        number: The number of the condition.
        steps: Each threshold, the smallest first.
        first: Position of the first event.
        end: Position behind the last one.
        accounts: Accounts in these events.
        seconds: How long it took.
    """

    rule: str
    condition: str
    live: str
    number: float
    steps: list[Step]
    first: int
    end: int
    accounts: int
    seconds: float


# Conditions with a number


def number_in(condition: str) -> float | None:
    """Return the number that a condition compares a measure with first; None: it has none.

    >>> number_in("sends_1h >= 15 + answers_of_strangers_1h"), number_in("age_s < 7 * 86_400")
    (15.0, 7.0)
    >>> number_in("channel < 2"), number_in("sends_1h >= stranger_contacts")
    (None, None)
    """
    found = _NUMBER.match(condition)
    if found is None or found[1] not in INDEX or get_feature(found[1]).unit in _NO_MEASURE:
        return None
    return float(found[2].replace("_", "")) or None


def with_number(condition: str, number: float) -> str:
    """Return a condition with another number in place of its first one.

    >>> with_number("age_s < 7 * 86_400", 3)
    'age_s < 3 * 86_400'
    """
    found = _NUMBER.match(condition)
    assert found is not None, condition  # noqa: S101 - see `number_in`
    return f"{condition[: found.start(2)]}{number:.12g}{condition[found.end(2) :]}"


def conditions_with_numbers(rule: Rule) -> list[str]:
    """Return the conditions of a rule whose number can be moved, each once; none for labels."""
    if rule.label is not None or rule.stage == "review":
        return []
    return [c for c in dict.fromkeys(_conditions(rule.when)) if number_in(c) is not None]


def _conditions(when: When | AnyOf) -> Iterator[str]:
    if isinstance(when, str):
        yield " ".join(when.split())
    else:
        for entry in when.any_of if isinstance(when, AnyOf) else when:
            yield from _conditions(entry)


def thresholds_around(number: float, most: int) -> list[float]:
    """Return up to `most` thresholds from a third of a number to three times of it, and itself.

    >>> thresholds_around(2.0, 21), thresholds_around(60.0, 5)
    ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [20.0, 35.0, 60.0, 104.0, 180.0])
    >>> thresholds_around(0.25, 5)
    [0.083, 0.14, 0.25, 0.43, 0.75]
    """
    if number.is_integer() and number * REACH <= most:
        return [float(n) for n in range(1, int(number * REACH) + 1)]
    half = max(1, (most - 1) // 2)
    factors = [REACH ** (k / half) for k in range(-half, half + 1)]
    around = (number * factor for factor in factors)
    found = {float(max(1, round(n))) if number.is_integer() else float(f"{n:.2g}") for n in around}
    return sorted(found | {number})


def _replaced(when: Any, old: str, new: str) -> Any:
    """Return conditions with one of them, wherever it stands, in other words."""
    if isinstance(when, str):
        return new if " ".join(when.split()) == old else when
    if isinstance(when, AnyOf):
        alternatives = tuple(_replaced(each, old, new) for each in when.any_of)
        return msgspec.structs.replace(when, any_of=alternatives)
    return tuple(_replaced(each, old, new) for each in when)


class Trial(NamedTuple):
    """A policy with copies of a rule in shadow, and the number of each copy, in order."""

    policy: Policy
    numbers: list[float]


def trial_of(policy: Policy, rule: Rule, condition: str) -> Trial:
    """Return a policy with copies of one of its rules that differ in a condition's number.

    Raises:
        ApiError: The rule has no such condition (422), or the policy no place for copies (409).
    """
    number = number_in(condition)
    if number is None or condition not in conditions_with_numbers(rule):
        raise ApiError(
            422,
            translate("the rule has no such condition"),
            fix=translate("choose one of its conditions that has a number"),
        )
    places = min(MOST_STEPS, MAX_RULES - len(policy.rules))
    if places < REACH:
        raise ApiError(
            409,
            translate("the policy has too many rules to measure another threshold beside them"),
            fix=translate("keep at most {most} rules", most=MAX_RULES - REACH),
        )
    numbers = thresholds_around(number, places)
    copies = (
        msgspec.structs.replace(
            rule, id=f"{_TRIAL}{k}", aliases=(), mode="shadow",
            when=_replaced(rule.when, condition, with_number(condition, each)),
        )
        for k, each in enumerate(numbers)
    )  # fmt: skip
    return Trial(replace(policy, rules=(*policy.rules, *copies)), numbers)


# Measuring


def accounts_met(
    log: Iterator[pa.RecordBatch],
    engine: Engine,
    progress: Callable[[int], None] = lambda _events: None,
) -> tuple[dict[str, int], dict[str, str]]:
    """Return by account the rules that ever fired for it, as bits, and the newest labels.

    Args:
        log: The events, in order.
        engine: An engine of the policy, without state.
        progress: Called with the number of events so far.
    """
    met, labels, events = dict[int, int](), dict[str, str](), 0

    def note(hit: Any) -> None:
        slot = int(hit["account"])
        met[slot] = met.get(slot, 0) | int(hit["hits"])

    engine.on_hit = note
    for batch in log:
        engine.take(batch)
        labels |= policy_replay.labels_of(batch)
        events += batch.num_rows
        progress(events)
    engine.finish()
    slots = list(met)
    names = engine.fanout.accounts.texts(slots).to_pylist() if slots else []
    return {name: met[slot] for name, slot in zip(names, slots, strict=True)}, labels


def steps_of(
    trial: Trial, rules: int, met: dict[str, int], labels: dict[str, str]
) -> list[Step]:  # fmt: skip
    """Return whom each copy met; they follow `rules` rules of the policy."""
    steps = []
    for k, number in enumerate(trial.numbers, rules):
        accounts = [account for account, bits in met.items() if bits >> k & 1]
        given = [labels.get(account) for account in accounts]
        steps.append(Step(number, len(accounts), given.count("benign"), given.count("abusive")))
    return steps


def run(
    make: Callable[[Policy], Engine],
    policy: Policy,
    rule_id: str,
    condition: str,
    out: Path,
    *,
    most: int = policy_replay.MOST_EVENTS,
) -> Measured:
    """Measure thresholds on the newest events of the bound database's log, and write them.

    Args:
        make: Returns an engine of a policy, without state.
        policy: The policy that decides.
        rule_id: The rule.
        condition: Its condition ("": the first that has a number).
        out: Directory for `replay.json` and, meanwhile, `progress.json`.
        most: How many events at most.

    Raises:
        ApiError: There is no such rule or condition.
    """
    rule = policy.rule(rule_id)
    if rule is None:
        raise ApiError(
            404, translate("there is no such rule"), fix=translate("see the list of rules")
        )
    condition = condition or next(iter(conditions_with_numbers(rule)), "")
    trial = trial_of(policy, rule, condition)
    out.mkdir(mode=0o700, parents=True, exist_ok=True)
    end = event_log.log_end()
    first, began = max(event_log.log_start().position, end - most), time.monotonic()
    engine, progress = make(trial.policy), policy_replay.ProgressFile(out, end - first)
    met, labels = accounts_met(policy_replay.service_log(first, end), engine, progress)
    measured = Measured(
        rule=rule.id, condition=condition, live=policy.version, number=number_in(condition) or 0,
        steps=steps_of(trial, len(policy.rules), met, labels), first=first, end=end,
        accounts=engine.core.accounts, seconds=round(time.monotonic() - began, 1),
    )  # fmt: skip
    policy_replay.write_file(out / policy_replay.RESULT, msgspec.json.encode(measured))
    return measured


# What a page starts and shows


class Measuring(NamedTuple):
    """The newest measuring of a rule: what came of it, or how far it is, or why it failed."""

    measured: Measured | None
    progress: dict[str, int]
    problem: str
    is_running: bool


def _place(home: Path) -> Path:
    return policies_directory(home) / "thresholds"


def _newest(home: Path, rule: str) -> Path | None:
    place = _place(home) / rule
    found = [p for p in place.iterdir() if p.name.isdigit()] if place.is_dir() else []
    return max(found, key=lambda p: int(p.name), default=None)


def start(acting: ActingUser, rule: Rule, condition: str) -> None:
    """Measure thresholds of a rule in a process of its own; what was measured before is removed.

    Raises:
        ApiError: The rule has no such condition (422), or a measuring runs (409).
    """
    policy = policy_versions.live_policy_of(acting)
    trial_of(policy, rule, condition)
    home, service = acting.service.settings.home, acting.service
    live = policy_versions.directory_that_decides(service)
    switch, place = service.switch, _place(home) / rule.id
    out, former = place / str(acting.now_ms), _newest(home, rule.id)
    command = [
        "rules", "thresholds", str(home), rule.id, "--condition", condition,
        *(["--policy", str(live)] if live else []), "-o", str(out),
        *(switch.options() if isinstance(switch, PolicySwitch) else ()),
    ]  # fmt: skip
    processes = acting.context.app.state_of(ReplayProcesses)
    if not processes.start_alone(out, command, within=_place(home)):
        raise ApiError(
            409,
            translate("another threshold is being measured"),
            fix=translate("wait until it has ended"),
        )
    if former is not None:
        shutil.rmtree(former, ignore_errors=True)
    write_audit_entry(
        acting.now_ms, acting.user.actor, "measure_thresholds", rule.id, condition[:500]
    )


def newest(acting: ActingUser, rule: str) -> Measuring | None:
    """Return the newest measuring of a rule; None: there was none."""
    out = _newest(acting.service.settings.home, rule)
    if out is None:
        return None
    end = acting.context.app.state_of(ReplayProcesses).ended(out)
    if end is None:
        return Measuring(None, replay_processes.progress(out), "", is_running=True)
    measured = msgspec.convert(end.result, Measured) if end.result is not None else None
    return Measuring(measured, {}, end.problem, is_running=False)
