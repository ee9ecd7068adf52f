"""How many strangers a fresh account reaches in each way: real Synapse, real Wavebreak."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import pytest

from synapse_support.homeserver import Account
from synapse_support.spam_story import SpamStory, protected

STRANGERS = 32
"""More than a question about a new room holds."""
MOST_REACHED = 25
"""A newcomer's allowance of an hour: the rule `first_contact_allowance`."""


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SpamStory]:
    uncached = {"caches": {"sync_response_cache_duration": "0s"}}
    with protected(tmp_path_factory.mktemp("gates"), extra=uncached) as found:
        addresses = random.Random(1)
        for number in range(STRANGERS):
            address = f"{addresses.randrange(11, 99)}.{addresses.randrange(256)}.{number}.7"
            found.strangers.append(found.server.account(f"p{number}", address=address))
        yield found


def reached(strangers: list[Account], by: Account) -> int:
    """Return to how many an account has shown something: an invitation, or a knock."""
    found = 0
    for stranger in strangers:
        rooms = stranger.call("GET", "/sync?timeout=0").json().get("rooms", {})
        invitations = [
            event
            for room in rooms.get("invite", {}).values()
            for event in room["invite_state"]["events"]
        ]
        shown = [
            event
            for room in rooms.get("join", {}).values()
            for part in ("timeline", "state")
            for event in room[part]["events"]
        ]
        found += any(event["sender"] == by.id for event in [*invitations, *shown])
    return found


def directly(by: Account, strangers: list[Account]) -> None:
    for stranger in strangers:
        by.create(stranger.id, is_direct=True)


def by_one_room(by: Account, strangers: list[Account]) -> None:
    by.create(*[each.id for each in strangers], name="coins")


def by_one_room_of_sixty(by: Account, strangers: list[Account]) -> None:
    others = [f"@nobody{number}:hs.test" for number in range(60 - STRANGERS)]
    assert by.create(*[each.id for each in strangers], *others).status_code == 200


def by_two_rooms_of_half(by: Account, strangers: list[Account]) -> None:
    by_one_room(by, strangers[: STRANGERS // 2])
    by_one_room(by, strangers[STRANGERS // 2 :])


def by_small_rooms(by: Account, strangers: list[Account]) -> None:
    for number in range(0, len(strangers), 5):
        by_one_room(by, strangers[number : number + 5])


def by_the_first_state_of_a_room(by: Account, strangers: list[Account]) -> None:
    states = [
        {"type": "m.room.member", "state_key": each.id, "content": {"membership": "invite"}}
        for each in strangers
    ]
    by.create(initial_state=states)


def one_by_one(by: Account, strangers: list[Account]) -> None:
    room = by.create(name="coins").json()["room_id"]
    for stranger in strangers:
        by.invite(room, stranger.id, reason="buy coins")


def all_at_once(by: Account, strangers: list[Account]) -> None:
    room = by.create(name="coins").json()["room_id"]
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda stranger: by.invite(room, stranger.id), strangers))


def directly_all_at_once(by: Account, strangers: list[Account]) -> None:
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda stranger: by.create(stranger.id, is_direct=True), strangers))


def by_knocks(by: Account, strangers: list[Account]) -> None:
    rules = {"type": "m.room.join_rules", "content": {"join_rule": "knock"}}
    for stranger in strangers:
        room = stranger.create(initial_state=[rules]).json()["room_id"]
        by.call("POST", f"/knock/{quote(room)}", {"reason": "buy coins"})


WAYS: tuple[Callable[[Account, list[Account]], Any], ...] = (
    directly, directly_all_at_once, by_one_room, by_one_room_of_sixty, by_two_rooms_of_half,
    by_small_rooms, by_the_first_state_of_a_room, one_by_one, all_at_once, by_knocks,
)  # fmt: skip


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("way", WAYS, ids=lambda way: str(way.__name__))
def test_fresh_account_reaches_few_strangers(
    story: SpamStory, way: Callable[[Account, list[Account]], Any]
) -> None:
    address = f"203.0.{WAYS.index(way)}.9"
    spammer = story.server.account(f"spam.{way.__name__}", address=address)
    way(spammer, story.strangers)
    found = reached(story.strangers, spammer)
    print(f"{way.__name__}: {found} of {STRANGERS} reached")
    assert found <= MOST_REACHED
