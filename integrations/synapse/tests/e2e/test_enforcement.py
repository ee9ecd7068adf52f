"""A spammer on a real Synapse with a real Wavebreak, and what becomes of everybody else."""

from __future__ import annotations

import os
import resource
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from support.written_files import files_with

from synapse_support.spam_story import STRANGERS, SpamStory, protected

MOST_REACHED = 25
"""A newcomer's allowance of an hour: the rule `first_contact_allowance`."""
GAP_S = 0.35
LIFT_S = 2.0
HEALTH_S = 10.0


def refused(answer: object) -> bool:
    members: dict[str, Any] = getattr(answer, "json", lambda: {})()
    return members.get("errcode") == "M_FORBIDDEN"


def assert_spammer_is_held(story: SpamStory) -> None:
    """Refuse what is new, and let the chat with the friend go on."""
    spammer, spare = story.spammer, story.spare
    assert refused(spammer.create(spare[-1].id))
    assert refused(spammer.create(spare[-2].id, spare[-3].id, name="offers"))
    room = story.friends_room
    assert [spammer.send(room, f"hello {n}").status_code for n in range(10)] == [200] * 10


def assert_others_go_on(story: SpamStory, new_chats_from: int) -> None:
    for number, (one, other, room) in enumerate(story.chats):
        assert one.send(room, "as ever").status_code == 200
        assert other.send(room, "as ever, thanks").status_code == 200
        if number >= new_chats_from:
            assert one.create(story.spare[number].id, is_direct=True).status_code == 200


def test_spammer_reaches_few_and_is_held_over_restarts(tmp_path: Path) -> None:
    with protected(tmp_path, notices={"objection": "Write to abuse@hs.test."}) as story:
        story.settle()
        outcomes = story.spam(GAP_S, "canarySpamText")
        assert sum(each.invited for each in outcomes) <= MOST_REACHED
        assert sum(each.written for each in outcomes) <= MOST_REACHED
        assert_spammer_is_held(story)
        assert_others_go_on(story, 0)

        story.server.stop()
        story.service.stop()
        story.service.start()
        story.server.start()
        assert_spammer_is_held(story)
        assert_others_go_on(story, len(story.chats))

        story.override(story.spammer.id, verdict="benign", by="appeal")
        end = time.monotonic() + LIFT_S
        while time.monotonic() < end and refused(story.spammer.create(story.spare[-1].id)):
            time.sleep(0.1)
        assert story.spammer.create(story.spare[-2].id).status_code == 200

        story.service.stop()
        # Who wrote to whom is in the log; neither what, nor from where.
        home = story.service.home
        assert files_with(home, story.spammer.id)
        assert files_with(home, "canarySpamText", *story.addresses) == []


def test_ban_is_enforced_and_lifted_within_two_seconds(tmp_path: Path) -> None:
    with protected(tmp_path) as story:
        story.settle(friends=1)
        one, other, room = story.chats[0]
        story.override(one.id, verdict="abusive")
        time.sleep(LIFT_S)
        assert one.send(room, "hi").json()["errcode"] in {
            "M_USER_SUSPENDED", "ORG_MATRIX_EXPIRED_ACCOUNT",
        }  # fmt: skip
        assert other.send(room, "hi").status_code == 200
        story.override(one.id, verdict="benign", by="appeal")
        time.sleep(LIFT_S)
        assert one.send(room, "hi").status_code == 200


def test_hung_and_stopped_service_loses_nothing(tmp_path: Path) -> None:
    with protected(tmp_path, timeout_ms=1000) as story:
        story.settle(friends=1)
        one, other, room = story.chats[0]
        time.sleep(2)
        before = story.positions()
        os.kill(story.service.pid, signal.SIGSTOP)
        try:
            sends = [one.send(room, f"while it hangs {n}").status_code for n in range(20)]
            new = one.create(story.spare[0].id, is_direct=True).status_code
            closed = story.server.register("late").status_code
        finally:
            os.kill(story.service.pid, signal.SIGCONT)
        assert (sends, new, closed) == ([200] * 20, 200, 429)
        story.service.settled(before + 21, 60)

        story.service.stop()
        sends = [other.send(room, f"while it is away {n}").status_code for n in range(20)]
        assert sends == [200] * 20
        story.service.start()
        story.service.settled(before + 41, 60)


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("gap_s", [5.0, 40.0])
def test_patient_spammer_reaches_few(tmp_path: Path, gap_s: float) -> None:
    with protected(tmp_path) as story:
        story.settle()
        outcomes = story.spam(gap_s, until_refused=True)
        reached = sum(each.invited for each in outcomes)
        print(f"gap of {gap_s} s: {reached} of {STRANGERS} reached")
        assert not outcomes[-1].invited, f"{reached} of {STRANGERS} reached, none refused"
        assert reached <= MOST_REACHED
        assert_others_go_on(story, 0)


@pytest.mark.parametrize("skew_s", [-120, 120])
def test_wrong_clock_is_reported_and_changes_no_decision(tmp_path: Path, skew_s: int) -> None:
    with protected(tmp_path, skew_s=skew_s) as story:
        root = story.server.admin()
        end = time.monotonic() + HEALTH_S
        problems: list[str] = []
        while not problems and time.monotonic() < end:
            time.sleep(0.2)
            problems = root.http.get("/_synapse/client/wavebreak/health").json()["problems"]
        assert any("clock is 1" in each and "fix: synchronise it" in each for each in problems)
        story.settle()
        outcomes = story.spam(GAP_S, until_refused=True)
        reached = sum(each.invited for each in outcomes)
        print(f"clock {skew_s} s apart: {reached} of {STRANGERS} reached")
        assert not outcomes[-1].invited
        assert reached <= MOST_REACHED
        assert_others_go_on(story, 0)


def test_full_disk_of_the_service_loses_nothing(tmp_path: Path) -> None:
    with protected(tmp_path) as story:
        story.settle(friends=1)
        one, _, room = story.chats[0]
        time.sleep(2)
        before = story.positions()
        none, whole = (4096, resource.RLIM_INFINITY), (resource.RLIM_INFINITY,) * 2
        resource.prlimit(story.service.pid, resource.RLIMIT_FSIZE, none)
        try:
            sends = [one.send(room, f"on a full disk {n}").status_code for n in range(20)]
            new = one.create(story.spare[0].id, is_direct=True).status_code
            time.sleep(2)
            assert story.positions() == before
        finally:
            resource.prlimit(story.service.pid, resource.RLIMIT_FSIZE, whole)
        assert (sends, new) == ([200] * 20, 200)
        story.service.settled(before + 21, 60)
