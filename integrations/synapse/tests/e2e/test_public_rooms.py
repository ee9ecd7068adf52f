"""Mass mentions by a fresh account in a public room: real Synapse, real Wavebreak."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from synapse_support.homeserver import Account, Homeserver, notices
from synapse_support.spam_story import SpamStory, protected

MEMBERS, MESSAGES, REPORTS = 68, 36, 6
MOST_SENT = 3
MODERATORS, MOST_TOLD = 7, 5
EVERYONE = {"msgtype": "m.text", "body": "Buy cheap coins now", "m.mentions": {"room": True}}


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SpamStory]:
    with protected(tmp_path_factory.mktemp("rooms")) as found:
        addresses = random.Random(2)
        for number in range(MEMBERS):
            address = f"{addresses.randrange(11, 99)}.{addresses.randrange(256)}.{number}.7"
            found.strangers.append(found.server.account(f"m{number}", address=address))
        yield found


def public_room(server: Homeserver, host: Account, members: list[Account]) -> str:
    """Make a public room whose members the homeserver has counted."""
    made = host.create(preset="public_chat", visibility="public")
    assert made.status_code == 200, made.text
    room = str(made.json()["room_id"])
    for member in members:
        assert member.join(room).status_code == 200
    query = f"SELECT joined_members FROM room_stats_current WHERE room_id = '{room}'"
    end = time.monotonic() + 60
    while server.rows(query)[0][0] <= len(members):
        assert time.monotonic() < end, "the members are not counted"
        time.sleep(0.2)
    return room


def appoint(host: Account, room: str, people: list[Account]) -> None:
    """Make people moderators of a room."""
    levels = host.call("GET", f"/rooms/{quote(room)}/state/m.room.power_levels").json()
    levels["users"] |= dict.fromkeys((each.id for each in people), 50)
    assert host.state(room, "m.room.power_levels", levels).status_code == 200


def notices_about(server: Homeserver, room: str) -> list[tuple[str, str]]:
    """Return who is told of a room, and what, once as many are as there will be."""
    end = time.monotonic() + 60
    while True:
        told = [(person, text) for person, text in notices(server) if room in text]
        if len(told) >= MOST_TOLD or time.monotonic() > end:
            return told
        time.sleep(0.2)


def report(by: Account, room: str, event_id: str) -> None:
    path = f"/rooms/{quote(room)}/report/{quote(event_id)}"
    assert by.call("POST", path, {"reason": "spam"}).status_code == 200


def send_all(by: Account, room: str, gap_s: float, reporters: list[Account]) -> list[Any]:
    """Mention everyone again and again; as long as it arrives, somebody reports it."""
    answers = []
    waiting = list(reporters)
    for _ in range(MESSAGES):
        answer = by.send(room, EVERYONE)
        answers.append(answer)
        if answer.status_code == 200 and waiting:
            report(waiting.pop(), room, answer.json()["event_id"])
        time.sleep(gap_s)
    return answers


@pytest.mark.timeout(900)
@pytest.mark.parametrize("gap_s", [0.0, 1.0])
def test_fresh_account_mentions_everyone_a_few_times(story: SpamStory, gap_s: float) -> None:
    host, *members = story.strangers
    room = public_room(story.server, host, members)
    appoint(host, room, members[-MODERATORS:])
    spammer = story.server.account(f"loud{gap_s:.0f}", address=f"203.0.113.{gap_s:.0f}")
    assert spammer.join(room).status_code == 200
    answers = send_all(spammer, room, gap_s, members[:REPORTS])
    sent = sum(answer.status_code == 200 for answer in answers)
    print(f"{gap_s} s between: {sent} of {MESSAGES} sent to {MEMBERS}")
    assert sent <= MOST_SENT
    refused = answers[-1].json()
    assert (refused["errcode"], refused["org.wavebreak.outcome"]) == ("M_FORBIDDEN", "limit")
    # What mentions nobody goes on, and so does the host who made the room.
    assert spammer.send(room, "sorry").status_code == 200
    assert [host.send(room, EVERYONE).status_code for _ in range(5)] == [200] * 5
    # As many moderators as the page says read of it, once each, and nobody else.
    told = notices_about(story.server, room)
    assert all(text.startswith(f"{spammer.id} is new in the room {room}") for _, text in told)
    people = [person for person, _ in told]
    assert len(set(people)) == len(people) == MOST_TOLD
    assert host.id in people
    assert set(people) <= {host.id, *(each.id for each in members[-MODERATORS:])}
