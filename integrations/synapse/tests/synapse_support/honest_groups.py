"""Honest newcomers who invite many, on a real Synapse with a real Wavebreak, alone or attacked."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from support.service_process import Server

from synapse_support.homeserver import Account, Homeserver, started
from synapse_support.spam_story import AGENTS, SpamStory, source_key, wait_for_declaration

RESIDENTS = 62
"""Accounts of three months with a chat of three weeks: an even number."""
ATTACKERS = 15
STRANGERS_EACH = 7
THREADS = 6
DAY_MS = 86_400_000
FIRST_MINUTE_S = 61
LIMITING = frozenset({"limit", "restrict", "suspend", "ban"})


@dataclass(frozen=True)
class Result:
    """What became of one group of honest people.

    Attributes:
        people: How many acted.
        limited: How many of them are limited, or worse, at the end.
        wanted: How many invitations they made.
        delivered: How many of these arrived at once.
        unanswered: How many questions the service did not answer in time, so that the act passed.
        attacked: How many of how many strangers the attackers reached; None: no attack.
    """

    people: int
    limited: int
    wanted: int
    delivered: int
    unanswered: int
    attacked: tuple[int, int] | None = None


class Town:
    """A homeserver with residents, and newcomers who come to it."""

    def __init__(self, story: SpamStory, residents: list[Account]) -> None:
        self.story = story
        self.residents = residents
        self._random = random.Random(11)
        self._lock = threading.Lock()

    def newcomers(self, name: str, number: int) -> list[Account]:
        """Register accounts, each from an address of its own."""

        def register(place: int) -> Account:
            with self._lock:
                parts = [self._random.choice((2, 5, 31, 46, 77, 81, 109, 151, 178, 188))]
                parts += [self._random.randrange(1, 250) for _ in range(3)]
                agent = self._random.choice(AGENTS)
            address = ".".join(map(str, parts))
            return self.story.server.account(f"{name}{place}", address=address, agent=agent)

        with ThreadPoolExecutor(THREADS) as threads:
            return list(threads.map(register, range(number)))


Group = Callable[[Town], tuple[list[Account], int, int]]
"""Returns who acted, how many invitations they made, and how many arrived."""


def write_to(one: Account, other: Account, text: str, *, answers: bool = True) -> str | None:
    """Open a direct chat and write; returns the room, or None where the invitation is refused."""
    answer = one.create(other.id, is_direct=True)
    if answer.status_code != 200:
        return None
    room: str = answer.json()["room_id"]
    one.send(room, text)
    if answers:
        other.join(room)
        other.send(room, "hello, good to see you here")
    return room


def pairs(town: Town) -> tuple[list[Account], int, int]:
    """Twelve pairs who register together and write to each other."""
    people = town.newcomers("pair", 24)
    couples = list(zip(people[::2], people[1::2], strict=True))
    arrived = [write_to(one, other, "are you in?") for one, other in couples]
    return people, len(couples), len(list(filter(None, arrived)))


def to_an_admin(town: Town) -> tuple[list[Account], int, int]:
    """Fourteen newcomers who write to somebody new who runs their club."""
    [admin] = town.newcomers("club", 1)
    people = town.newcomers("member", 14)
    arrived = [write_to(one, admin, "please add me to the list") for one in people]
    return [*people, admin], len(people), len(list(filter(None, arrived)))


def invited_one_by_one(by: Account, others: Sequence[Account]) -> int:
    """Make a group and invite into it; all but one in five accept at once."""
    room = by.create(name="group").json()["room_id"]
    arrived = 0
    for number, other in enumerate(others):
        if by.invite(room, other.id).status_code == 200:
            arrived += 1
            if number % 5:
                other.join(room)
    return arrived


def a_class(town: Town) -> tuple[list[Account], int, int]:
    """A new teacher who invites twenty-five new pupils."""
    [teacher] = town.newcomers("teacher", 1)
    pupils = town.newcomers("pupil", 25)
    return [teacher, *pupils], 25, invited_one_by_one(teacher, pupils)


def an_old_group(town: Town) -> tuple[list[Account], int, int]:
    """A resident who invites sixty residents into a group."""
    host, *others = town.residents[:61]
    return [host], 60, invited_one_by_one(host, others)


def an_old_group_at_once(town: Town) -> tuple[list[Account], int, int]:
    """A resident who makes a group of sixty residents."""
    host, *others = town.residents[:61]
    answer = host.create(*(each.id for each in others), name="group")
    room = answer.json().get("room_id")
    [(arrived,)] = town.story.server.rows(
        "SELECT COUNT(*) FROM current_state_events WHERE membership = 'invite'"
        f" AND room_id = '{room}'"
    )
    return [host], 60, arrived


def somebody_who_moved(town: Town) -> tuple[list[Account], int, int]:
    """A newcomer who writes to fifty residents who know it; three in five answer at once.

    Its first minute goes by before: who tells several of a new number within a minute of
    registering waits an hour (ADR 51), and only a script has a fifth message in it by then.
    """
    [mover] = town.newcomers("mover", 1)
    time.sleep(FIRST_MINUTE_S)
    arrived = [
        write_to(mover, other, "my new address", answers=number % 5 < 3)
        for number, other in enumerate(town.residents[:50])
    ]
    return [mover], 50, len(list(filter(None, arrived)))


GROUPS: dict[str, Group] = {
    "12 pairs who write to each other": pairs,
    "14 newcomers to a new admin": to_an_admin,
    "a new teacher's 25 pupils": a_class,
    "an old account's group of 60": an_old_group,
    "the same by createRoom": an_old_group_at_once,
    "50 contacts of somebody who moved": somebody_who_moved,
}


def _settle(server: Homeserver) -> tuple[list[Account], list[tuple[Account, str]]]:
    """Register residents, let pairs of them chat, and date all of it back; with their chats."""

    def register(number: int) -> Account:
        return server.account(f"resident{number}", address=f"31.{number}.{number * 7 % 250}.4")

    server.start()
    with ThreadPoolExecutor(THREADS) as threads:
        residents = list(threads.map(register, range(RESIDENTS)))
    chats = [
        (one, room)
        for one, other in zip(residents[::2], residents[1::2], strict=True)
        if (room := write_to(one, other, "how are you"))
    ]
    server.stop()
    server.write(f"UPDATE users SET creation_ts = creation_ts - {90 * DAY_MS // 1000}")
    server.write(
        f"UPDATE events SET received_ts = received_ts - {20 * DAY_MS},"
        f" origin_server_ts = origin_server_ts - {20 * DAY_MS}"
    )
    return residents, chats


@contextmanager
def town(home: Path, *options: str) -> Iterator[Town]:
    """A homeserver with residents, to which a Wavebreak comes that enforces."""
    (home / "wavebreak").mkdir(parents=True)
    service = Server(home / "wavebreak", ("--enforce", *options), keyed=True)
    server = Homeserver(home / "synapse", None)
    residents, chats = _settle(server)
    with service.started():
        server.module = {
            "url": f"http://127.0.0.1:{service.port}", "key": source_key(service),
            "mode": "enforce", "timeout_ms": 2000, "on_failure": {"registration": "open"},
        }  # fmt: skip
        with started(server):
            wait_for_declaration(service)
            story = SpamStory(service, server)
            end = time.monotonic() + 60
            while story.positions() < RESIDENTS * 3 and time.monotonic() < end:
                time.sleep(0.2)
            # A log that was silent for weeks takes the first that it hears as said before (ADR 8):
            # residents speak first, as on any server.
            before = story.positions()
            for one, room in chats:
                one.send(room, "good morning")
            while story.positions() < before + len(chats) and time.monotonic() < end + 60:
                time.sleep(0.2)
            yield Town(story, residents)


class Attack:
    """Fifteen fresh accounts that write to seven residents each; one in four reports them."""

    def __init__(self, place: Town) -> None:
        self._town = place
        self._half = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.reached = 0

    def start(self) -> None:
        """Begin, and return once half of it is done."""
        self._thread.start()
        self._half.wait(300)

    def finish(self) -> tuple[int, int]:
        """Return how many of how many strangers it reached."""
        self._thread.join(600)
        return self.reached, ATTACKERS * STRANGERS_EACH

    def _run(self) -> None:
        attackers = self._town.newcomers("wave", ATTACKERS)
        victims = self._town.residents
        for turn in range(STRANGERS_EACH):
            for number, attacker in enumerate(attackers):
                victim = victims[(turn * ATTACKERS + number) % len(victims)]
                if write_to(attacker, victim, "buy cheap coins now", answers=False):
                    self.reached += 1
                    if self.reached % 4 == 0:
                        path = f"/users/{quote(attacker.id)}/report"
                        victim.call("POST", path, {"reason": "spam"})
            if turn == STRANGERS_EACH // 2:
                self._half.set()


def result_of(home: Path, group: Group, *options: str, attacked: bool) -> Result:
    """Let a group of honest people act, alone or while a wave of accounts attacks."""
    with town(home, *options) as place:
        attack = Attack(place) if attacked else None
        if attack is not None:
            attack.start()
        people, wanted, delivered = group(place)
        reached = attack.finish() if attack is not None else None
        time.sleep(3)
        found: dict[str, Any] = place.story.outcomes([each.id for each in people])
        unanswered = int(place.story.server.figure("wavebreak_client_no_answer_total"))
    limited = sum(found.get(outcome, 0) for outcome in LIMITING)
    return Result(len(people), limited, wanted, delivered, unanswered, reached)
