"""A sender in the hands of an operator: paced as told, and answering to what it is answered."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from wavebreak.durations import DAY_MS, HOUR_MS, MINUTE_MS
from wavebreak_lab.simulation import simulate
from wavebreak_lab.simulation.attackers import (
    PRESETS,
    TOOL_PRESETS,
    Operator,
    OperatorFeedback,
    Sender,
    add_consequences,
)
from wavebreak_lab.simulation.attackers.actions import plan_day
from wavebreak_lab.simulation.attackers.infrastructure import Enrolment
from wavebreak_lab.simulation.context import SimulationContext

STEADY = Sender(gap=(60.0, 60.0), quiet=(1.0, 1.0), register=(0.0, 0.0), per_hour=1000)


def stage(days: float = 3.0) -> SimulationContext:
    world = simulate(people=300, days=days, seed=5)
    assert world.timeline is not None
    return world.timeline.sim


def lived(team: Operator, sim: SimulationContext, low: int, high: int) -> Any:
    """Step through a span and follow everything; return the messages' times."""
    found = []
    for at in range(low, high, HOUR_MS):
        done = team.step(sim, at, min(at + HOUR_MS, high))
        team.record_replies(*add_consequences(sim, done, team.reading))
        found.append(done.ts)
    return np.concatenate(found)


def one(sender: Sender, accounts: int = 1, **more: Any) -> tuple[Operator, SimulationContext, int]:
    """An operator after its first two hours."""
    sim = stage()
    team = Operator(sim, "op", "family", sender, accounts, listens=True, **more)
    lived(team, sim, sim.start, sim.start + 2 * HOUR_MS)
    return team, sim, sim.start + 2 * HOUR_MS


@pytest.mark.parametrize(
    ("name", "hour", "day"),
    [
        ("conservative", 100, 15),
        ("moderate", 300, 1500),
        ("aggressive", 800, 200),
        ("high-volume", 1500, 8000),
    ],
)
def test_tool_preset_keeps_hourly_and_first_day_caps(name: str, hour: int, day: int) -> None:
    sender = TOOL_PRESETS[name].sender
    plan = plan_day(np.random.default_rng(1), sender, 0, 0, pace=1, sharing=1, zone=0, pick=0)
    assert 0 < len(plan) <= day
    hours = np.bincount(plan.ts // HOUR_MS)
    assert hours.max() <= hour
    minutes = np.bincount(plan.ts // MINUTE_MS)
    assert minutes.max() <= 2 * sender.per_minute


def test_day_curve_sends_little_at_night() -> None:
    sender = PRESETS["day-curve"].sender
    plan = plan_day(np.random.default_rng(1), sender, 0, 0, pace=1, sharing=1, zone=0, pick=0)
    hours = np.bincount(plan.ts // HOUR_MS, minlength=24)
    assert hours[1:5].sum() < 0.5 * hours[13:17].sum()


def test_sender_slows_down_after_a_refusal() -> None:
    probing = replace(STEADY, resume=(0.1, 0.1), pause_h=(2.0, 2.0))
    team, sim, now = one(probing)
    account = team.lines[0].account
    team.step(sim, now, now + HOUR_MS, [OperatorFeedback(account, "restrict", now)])
    quiet = lived(team, sim, now + HOUR_MS, now + 2 * HOUR_MS)
    assert len(quiet) == 0
    assert team.lines[0].pace == pytest.approx(0.1)
    later = lived(team, sim, now + 2 * HOUR_MS, now + DAY_MS)
    assert 0 < len(later) < 0.25 * 22 * 60


def test_sender_without_feedback_retries_every_hour() -> None:
    team, sim, now = one(STEADY)
    account = team.lines[0].account
    done = team.step(sim, now, now + HOUR_MS, [OperatorFeedback(account, "refused", now)])
    assert len(done) == 0
    assert len(lived(team, sim, now + HOUR_MS, now + 2 * HOUR_MS)) >= 55


def test_sender_changes_address_after_a_warning() -> None:
    team, sim, now = one(replace(STEADY, rotate=True, enrolment=Enrolment(residential=True)))
    line = team.lines[0]
    before, paid = line.ip, team.spent["addresses"]
    team.step(sim, now, now + HOUR_MS, [OperatorFeedback(line.account, "restrict", now)])
    assert line.ip != before
    assert team.spent["addresses"] == paid + 1


def test_banned_account_successor_takes_over_its_targets() -> None:
    team, sim, now = one(replace(STEADY, replace=True, again=1.0), accounts=2)
    assert len(team.lines) == 1
    first = team.lines[0]
    team.step(sim, now, now + HOUR_MS, [OperatorFeedback(first.account, "ban", now)])
    lived(team, sim, now + HOUR_MS, now + 8 * HOUR_MS)
    assert len(team.lines) == 2
    reached = set(np.concatenate(first.reached).tolist())
    again = np.concatenate(team.lines[1].reached).tolist()
    assert len(reached & set(again)) > 0.5 * len(reached)
    assert first.ended == now


def test_missing_receipts_matter_only_to_watching_senders() -> None:
    for watches, rests in ((True, True), (False, False)):
        team, sim, now = one(replace(STEADY, watches=watches, resume=(0.2, 0.2)))
        account = team.lines[0].account
        done = team.step(sim, now, now + HOUR_MS, [OperatorFeedback(account, "silence", now)])
        assert (len(done) == 0) == rests


def test_challenge_attempts_follow_the_sender_settings() -> None:
    team, sim, now = one(replace(STEADY, solve=1.0, solve_s=60.0))
    team.step(sim, now, now + HOUR_MS, [OperatorFeedback(team.lines[0].account, "challenge", now)])
    assert team.spent["challenges"] == 1
    team, sim, now = one(replace(STEADY, solve=0.5, appeals=3), accounts=3)
    first, second, third = (line.account for line in team.lines)
    team.step(sim, now, now + HOUR_MS, [OperatorFeedback(first, "challenge", now)])
    team.step(sim, now, now + HOUR_MS, [OperatorFeedback(second, "challenge", now)])
    assert team.spent["challenges"] == 0
    team.step(
        sim, now + HOUR_MS, now + 2 * HOUR_MS, [OperatorFeedback(third, "challenge", now + HOUR_MS)]
    )
    assert team.spent["challenges"] >= 3


def test_reply_shaping_pauses_after_few_replies() -> None:
    sim = stage()
    team = Operator(sim, "op", "family", replace(STEADY, shape=0.5, per_day=60), 1)
    first = lived(team, sim, sim.start, sim.start + DAY_MS)
    second = lived(team, sim, sim.start + DAY_MS, sim.start + int(1.9 * DAY_MS))
    assert len(first) >= 50
    assert len(second) <= 5


def test_undelivered_acts_get_no_reply() -> None:
    sim = stage()
    team = Operator(sim, "op", "family", STEADY, 1)
    done = team.step(sim, sim.start, sim.start + 8 * HOUR_MS)
    sim.log.flush()
    none = done.select(np.zeros(len(done), bool))
    answered, when = add_consequences(sim, none, team.reading)
    assert len(answered) == len(when) == 0
    assert sim.log.flush() == []


def test_hijacked_account_is_benign_before_compromise() -> None:
    world = simulate(people=300, days=0.5, campaigns=[("hijack", 4)], seed=5)
    hijacked = {account for account, _, family, _ in world.labels if family == "hijack"}
    assert hijacked == set(world.compromised_at)
    assert min(world.compromised_at.values()) > world.about["start_ms"]


def test_operator_steps_are_determined_by_the_seed() -> None:
    def times() -> Any:
        sim = stage()
        team = Operator(sim, "op", "family", PRESETS["combination"].sender, 4, listens=True)
        return lived(team, sim, sim.start, sim.end)

    assert np.array_equal(times(), times())
