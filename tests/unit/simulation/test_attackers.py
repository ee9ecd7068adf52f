"""A sender in the hands of an operator: paced as told, and answering to what it is answered."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from wavebreak.simulation import simulate
from wavebreak.simulation.attackers import PRESETS, TOOL_PRESETS, Answer, Operator, Sender, follow
from wavebreak.simulation.attackers.actions import plan_day
from wavebreak.simulation.attackers.infrastructure import Enrolment
from wavebreak.simulation.geography import DAY, HOUR, MINUTE
from wavebreak.simulation.scene import Scene

STEADY = Sender(gap=(60.0, 60.0), quiet=(1.0, 1.0), register=(0.0, 0.0), per_hour=1000)


def stage(days: float = 3.0) -> Scene:
    world = simulate(people=300, days=days, seed=5)
    assert world.days is not None
    return world.days.scene


def lived(team: Operator, scene: Scene, low: int, high: int) -> Any:
    """Step through a span and follow everything; return the messages' times."""
    found = []
    for at in range(low, high, HOUR):
        done = team.step(scene, at, min(at + HOUR, high))
        team.met(*follow(scene, done, team.reading))
        found.append(done.ts)
    return np.concatenate(found)


def one(sender: Sender, accounts: int = 1, **more: Any) -> tuple[Operator, Scene, int]:
    """An operator after its first two hours."""
    scene = stage()
    team = Operator(scene, "op", "family", sender, accounts, listens=True, **more)
    lived(team, scene, scene.start, scene.start + 2 * HOUR)
    return team, scene, scene.start + 2 * HOUR


@pytest.mark.parametrize(("name", "hour", "day"), [
    ("conservative", 100, 15), ("moderate", 300, 1500), ("aggressive", 800, 200),
    ("high-volume", 1500, 8000),
])  # fmt: skip
def test_a_tools_preset_keeps_its_caps_of_an_hour_and_of_the_first_day(
    name: str, hour: int, day: int
) -> None:
    sender = TOOL_PRESETS[name].sender
    plan = plan_day(np.random.default_rng(1), sender, 0, 0, pace=1, sharing=1, zone=0, pick=0)
    assert 0 < len(plan) <= day
    hours = np.bincount(plan.ts // HOUR)
    assert hours.max() <= hour
    minutes = np.bincount(plan.ts // MINUTE)
    assert minutes.max() <= 2 * sender.per_minute


def test_a_day_curve_leaves_the_night_quiet() -> None:
    sender = PRESETS["day-curve"].sender
    plan = plan_day(np.random.default_rng(1), sender, 0, 0, pace=1, sharing=1, zone=0, pick=0)
    hours = np.bincount(plan.ts // HOUR, minlength=24)
    assert hours[1:5].sum() < 0.5 * hours[13:17].sum()


def test_a_sender_that_listens_pauses_and_goes_on_slower() -> None:
    probing = replace(STEADY, resume=(0.1, 0.1), pause_h=(2.0, 2.0))
    team, scene, now = one(probing)
    account = team.lines[0].account
    team.step(scene, now, now + HOUR, [Answer(account, "restrict", now)])
    quiet = lived(team, scene, now + HOUR, now + 2 * HOUR)
    assert len(quiet) == 0
    assert team.lines[0].pace == pytest.approx(0.1)
    later = lived(team, scene, now + 2 * HOUR, now + DAY)
    assert 0 < len(later) < 0.25 * 22 * 60


def test_software_that_does_not_listen_tries_again_each_hour() -> None:
    team, scene, now = one(STEADY)
    account = team.lines[0].account
    done = team.step(scene, now, now + HOUR, [Answer(account, "refused", now)])
    assert len(done) == 0
    assert len(lived(team, scene, now + HOUR, now + 2 * HOUR)) >= 55


def test_a_warning_makes_it_change_its_address() -> None:
    team, scene, now = one(replace(STEADY, rotate=True, enrolment=Enrolment(residential=True)))
    line = team.lines[0]
    before, paid = line.ip, team.spent["addresses"]
    team.step(scene, now, now + HOUR, [Answer(line.account, "restrict", now)])
    assert line.ip != before
    assert team.spent["addresses"] == paid + 1


def test_a_banned_account_is_replaced_and_its_successor_writes_to_the_same_targets() -> None:
    team, scene, now = one(replace(STEADY, replace=True, again=1.0), accounts=2)
    assert len(team.lines) == 1
    first = team.lines[0]
    team.step(scene, now, now + HOUR, [Answer(first.account, "ban", now)])
    lived(team, scene, now + HOUR, now + 8 * HOUR)
    assert len(team.lines) == 2
    reached = set(np.concatenate(first.reached).tolist())
    again = np.concatenate(team.lines[1].reached).tolist()
    assert len(reached & set(again)) > 0.5 * len(reached)
    assert first.ended == now


def test_silence_is_a_refusal_only_to_who_watches_receipts() -> None:
    for watches, rests in ((True, True), (False, False)):
        team, scene, now = one(replace(STEADY, watches=watches, resume=(0.2, 0.2)))
        account = team.lines[0].account
        done = team.step(scene, now, now + HOUR, [Answer(account, "silence", now)])
        assert (len(done) == 0) == rests


def test_a_challenge_is_tried_by_who_can_and_in_batches_by_who_farms_appeals() -> None:
    team, scene, now = one(replace(STEADY, solve=1.0, solve_s=60.0))
    team.step(scene, now, now + HOUR, [Answer(team.lines[0].account, "challenge", now)])
    assert team.spent["challenges"] == 1
    team, scene, now = one(replace(STEADY, solve=0.5, appeals=3), accounts=3)
    first, second, third = (line.account for line in team.lines)
    team.step(scene, now, now + HOUR, [Answer(first, "challenge", now)])
    team.step(scene, now, now + HOUR, [Answer(second, "challenge", now)])
    assert team.spent["challenges"] == 0
    team.step(scene, now + HOUR, now + 2 * HOUR, [Answer(third, "challenge", now + HOUR)])
    assert team.spent["challenges"] >= 3


def test_an_account_that_hardly_anyone_answers_rests_for_a_day() -> None:
    scene = stage()
    team = Operator(scene, "op", "family", replace(STEADY, shape=0.5, per_day=60), 1)
    first = lived(team, scene, scene.start, scene.start + DAY)
    second = lived(team, scene, scene.start + DAY, scene.start + int(1.9 * DAY))
    assert len(first) >= 50
    assert len(second) <= 5


def test_nobody_answers_what_did_not_go_through() -> None:
    scene = stage()
    team = Operator(scene, "op", "family", STEADY, 1)
    done = team.step(scene, scene.start, scene.start + 8 * HOUR)
    scene.log.flush()
    none = done.of(np.zeros(len(done), bool))
    answered, when = follow(scene, none, team.reading)
    assert len(answered) == len(when) == 0
    assert scene.log.flush() == []


def test_the_same_seed_steps_alike() -> None:
    def times() -> Any:
        scene = stage()
        team = Operator(scene, "op", "family", PRESETS["combination"].sender, 4, listens=True)
        return lived(team, scene, scene.start, scene.end)

    assert np.array_equal(times(), times())
