"""Calls of people: whom they talk with, and those who call before they come.

They follow from the messages of a simulated log, in two passes over its blocks: one finds who has
written to whom, the other puts the calls among the events. Calls of bulk senders are acts of theirs
(`attackers.actions`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from wavebreak.durations import DAY_MS, MINUTE_MS, SECOND_MS
from wavebreak.schema.events import TYPES
from wavebreak_lab.simulation.context import SimulationContext
from wavebreak_lab.simulation.log import (
    Bools,
    Columns,
    EventBlock,
    EventBuffer,
    EventLog,
    Ints,
    read_chats,
)

_MESSAGE = TYPES.index("message.sent")
_NEVER = 1 << 62
RINGS_MS = 25 * SECOND_MS
"""How long a call rings that nobody takes."""
TAKEN_AFTER_MS = 6 * SECOND_MS
CALLERS = ("courier", "support-desk", "shop", "recruiter", "salesperson")
"""Personas who call those to whom they wrote first and who have not answered."""


@dataclass(frozen=True, slots=True)
class CallHabits:
    """How people call; delays are medians in milliseconds, lengths in seconds, spreads sigmas.

    `calls`: the chance, a chat in which both have written and a day on which one of them writes,
    that one calls the other `later` than the last message; `taken` of these calls are taken, for
    `length`. `video`: the share with a picture. `business`: the chance that one of `CALLERS` calls
    who has not answered by `soon` after the first message; `door` of these calls are taken, for
    `door_length`.
    """

    calls: float = 0.05
    later: float = 20 * MINUTE_MS
    taken: float = 0.72
    length: float = 170.0
    video: float = 0.25
    business: float = 0.35
    soon: float = 30 * MINUTE_MS
    door: float = 0.5
    door_length: float = 22.0
    spread: float = 1.2


@dataclass(frozen=True, slots=True)
class _Talk(Columns):
    """Messages of chats, one row each, by pair and time.

    `both`: time from which both of the pair have written (_NEVER: only one has). `first`: the
    pair's first message; `last`: its last of a day.
    """

    ts: Ints
    account: Ints
    peer: Ints
    both: Ints
    first: Bools
    last: Bools


class Calls:
    """The calls of a world, put among the events of its log.

    Args:
        seed: Seed of every draw; the same arguments give the same events.
    """

    def __init__(self, sim: SimulationContext, habits: CallHabits, seed: int) -> None:
        self.sim, self.habits, self.seed = sim, habits, seed

    def apply(self, blocks: Callable[[], Iterator[EventBlock]]) -> Iterator[EventBlock]:
        """Return the blocks of a log with its calls, in order of time.

        `blocks` is called twice, and yields the same sorted blocks each time.
        """
        talk, next_id = _read(blocks())
        return EventBuffer(self._plan(talk, next_id)).among(blocks(), self.sim.end)

    def _plan(self, talk: _Talk, next_id: int) -> list[EventBlock]:
        habits, registry = self.habits, self.sim.registry
        rng = np.random.default_rng([self.seed, len("calls")])
        log = EventLog(next_id)
        honest = ~registry.are_abusive()
        due = talk.last & (talk.ts >= talk.both) & honest[talk.account] & honest[talk.peer]
        rows = np.flatnonzero(due & (rng.random(len(due)) < habits.calls))
        self._add(rng, log, talk, rows, habits.later, (habits.taken, habits.length))
        family = np.zeros(len(registry), bool)
        for name in CALLERS:
            family[registry.of(name)] = True
        early = talk.first & family[talk.account]
        rows = np.flatnonzero(early & (rng.random(len(early)) < habits.business))
        self._add(rng, log, talk, rows, habits.soon, (habits.door, habits.door_length), cold=True)
        return log.flush()

    def _add(
        self, rng: np.random.Generator, log: EventLog, talk: _Talk, rows: Ints, delay: float,
        answer_rate: tuple[float, float], *, cold: bool = False,
    ) -> None:  # fmt: skip
        sigma, talk = self.habits.spread, talk.select(rows)
        ts = talk.ts + rng.lognormal(np.log(delay), sigma, len(rows)).astype(np.int64)
        is_reversed = rng.random(len(rows)) < (0.0 if cold else 0.5)
        is_inside = ts < self.sim.end
        if cold:
            is_inside &= talk.both > ts
        account = np.where(is_reversed, talk.peer, talk.account)[is_inside]
        peer = np.where(is_reversed, talk.account, talk.peer)[is_inside]
        video = rng.random(int(is_inside.sum())) < (0.0 if cold else self.habits.video)
        media = np.where(video, self.sim.pool.code("video"), self.sim.pool.code("audio"))
        log.add("call.started", ts[is_inside], account, peer=peer, media=media)
        add_call_ends(rng, log, ts[is_inside], account, peer, answer_rate, sigma=sigma)


def add_call_ends(
    rng: np.random.Generator, log: EventLog, ts: Ints, account: Ints, peer: Ints,
    answer_rate: tuple[float, float], *, sigma: float,
) -> tuple[Ints, Ints]:  # fmt: skip
    """Plan the ends of calls that began at `ts`.

    `taken` is the share of answered calls, and their median length in seconds. Returns the seconds
    spoken of each call, and the time of its end (milliseconds).
    """
    share, length = answer_rate
    length_drawn = rng.lognormal(np.log(length), sigma, len(ts))
    talks = rng.random(len(ts)) < share
    seconds = np.where(talks, length_drawn, 0).astype(np.int64)
    ended_at = ts + np.where(talks, TAKEN_AFTER_MS + seconds * SECOND_MS, RINGS_MS)
    log.add("call.ended", ended_at, account, peer=peer, seconds=seconds)
    return seconds, ended_at


def _read(blocks: Iterator[EventBlock]) -> tuple[_Talk, int]:
    (ts, account, peer), next_id = read_chats(blocks, (_MESSAGE,), ("ts", "account", "peer"))
    low, high = np.minimum(account, peer), np.maximum(account, peer)
    order = np.lexsort((ts, high, low))
    ts, account, peer = ts[order], account[order], peer[order]
    pair = (low[order] << 32) | high[order]
    first = np.diff(pair, prepend=-1) != 0
    begins, day = np.flatnonzero(first), ts // DAY_MS
    last = np.append((pair[1:] != pair[:-1]) | (day[1:] != day[:-1]), True)[: len(ts)]
    both_at = ts
    if len(ts):
        from_low = account == low[order]
        sides = [np.where(rows, ts, _NEVER) for rows in (from_low, ~from_low)]
        both_since = np.maximum(*(np.minimum.reduceat(side, begins) for side in sides))
        both_at = np.repeat(both_since, np.diff(np.append(begins, len(ts))))
    return _Talk(ts, account, peer, both_at, first, last), next_id
