"""Baselines: the same few features in plain Python, and in river.

Both take message.sent events as tuples (ms, sender, receiver) and return, for the sender after
each: sends in 15 s, 5 min, 1 h, 24 h and 7 d, first contacts and distinct peers in 24 h, and the
share of its opened chats with a reply. They have no rules and no decisions: less than Wavebreak.
"""

from __future__ import annotations

from collections import Counter, deque
from datetime import datetime, timedelta
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol

Message = tuple[int, str, str]
WINDOWS_S = (15, 300, 3_600, 86_400, 604_800)
DAY_S = 86_400
_EPOCH = datetime(1970, 1, 1)
"""Without a zone: river compares with a time that has none."""


class Peer(Protocol):
    """What takes a message and gives the features of its sender."""

    def take(self, message: Message) -> tuple[float, ...]:
        """Update by one message; gives the sender's features."""
        ...


class _Person:
    """One account in plain Python."""

    __slots__ = ("answered", "firsts", "known", "peers", "recent", "started", "windows", "wrote_me")

    def __init__(self) -> None:
        self.windows: tuple[deque[int], ...] = tuple(deque() for _ in WINDOWS_S)
        self.firsts: deque[int] = deque()
        self.recent: deque[tuple[int, str]] = deque()
        self.peers: Counter[str] = Counter()
        self.known: set[str] = set()
        self.wrote_me: set[str] = set()
        self.started: set[str] = set()
        self.answered = 0


class PurePython:
    """Dicts, deques and sets: the obvious way, exact."""

    def __init__(self) -> None:
        self._people: dict[str, _Person] = {}

    def _person(self, name: str) -> _Person:
        person = self._people.get(name)
        if person is None:
            person = self._people[name] = _Person()
        return person

    def take(self, message: Message) -> tuple[float, ...]:
        """Update by one message; gives the sender's features."""
        ts, sender, receiver = message
        me, other = self._person(sender), self._person(receiver)
        for window, seconds in zip(me.windows, WINDOWS_S, strict=True):
            window.append(ts)
            oldest = ts - seconds * 1000
            while window[0] <= oldest:
                window.popleft()
        self._meet(me, other, ts, sender, receiver)
        share = me.answered / len(me.started) if me.started else 0.0
        sends = [float(len(window)) for window in me.windows]
        return (*sends, float(len(me.firsts)), float(len(me.peers)), share)

    def _meet(self, me: _Person, other: _Person, ts: int, sender: str, receiver: str) -> None:
        oldest = ts - DAY_S * 1000
        if receiver not in me.known:
            me.known.add(receiver)
            if receiver not in me.wrote_me:
                me.started.add(receiver)
                me.firsts.append(ts)
            elif sender in other.started:
                other.answered += 1
        other.wrote_me.add(sender)
        while me.firsts and me.firsts[0] <= oldest:
            me.firsts.popleft()
        me.recent.append((ts, receiver))
        me.peers[receiver] += 1
        while me.recent[0][0] <= oldest:
            gone = me.recent.popleft()[1]
            me.peers[gone] -= 1
            if not me.peers[gone]:
                del me.peers[gone]


class _Rolling:
    """One account in river: a rolling sum a window, a mean of answers, sets for who is known."""

    __slots__ = ("answers", "firsts", "known", "sends", "started", "wrote_me")

    def __init__(self, stats: Any, utils: Any) -> None:
        self.sends = [utils.TimeRolling(stats.Sum, period=timedelta(seconds=s)) for s in WINDOWS_S]
        self.firsts = utils.TimeRolling(stats.Sum, period=timedelta(seconds=DAY_S))
        self.answers = stats.Mean()
        self.known: set[str] = set()
        self.wrote_me: set[str] = set()
        self.started: set[str] = set()


class River:
    """river's online statistics for each account; distinct peers without a window (it has none)."""

    def __init__(self) -> None:
        # Only `make speed` installs it, so it is not imported with this module.
        self._stats, self._utils = import_module("river.stats"), import_module("river.utils")
        self._people: dict[str, _Rolling] = {}

    def _person(self, name: str) -> _Rolling:
        if name not in self._people:
            self._people[name] = _Rolling(self._stats, self._utils)
        return self._people[name]

    def take(self, message: Message) -> tuple[float, ...]:
        """Update by one message; gives the sender's features."""
        ts, sender, receiver = message
        me, other = self._person(sender), self._person(receiver)
        at = _EPOCH + timedelta(milliseconds=ts)
        opens = receiver not in me.known and receiver not in me.wrote_me
        if opens:
            me.started.add(receiver)
            me.answers.update(0.0)
        elif receiver not in me.known and sender in other.started:
            other.answers.revert(0.0)
            other.answers.update(1.0)
        me.known.add(receiver)
        other.wrote_me.add(sender)
        for window in me.sends:
            window.update(1.0, t=at)
        me.firsts.update(float(opens), t=at)
        sends = [float(window.get()) for window in me.sends]
        return (*sends, float(me.firsts.get()), float(len(me.known)), float(me.answers.get()))


def river_installed() -> bool:
    """Whether river can be measured."""
    return find_spec("river") is not None
