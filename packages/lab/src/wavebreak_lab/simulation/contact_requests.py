"""Platforms where chats open by a request: invitations, their acceptance, refusal and silence.

The requests follow from the messages of a simulated log, in two passes over its blocks: one finds
who opens which chat and whether it is answered, the other puts the requests among the events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from wavebreak.durations import MINUTE_MS, SECOND_MS
from wavebreak.schema.events import TYPES
from wavebreak_lab.simulation.context import SimulationContext
from wavebreak_lab.simulation.log import (
    ABSENT,
    Bools,
    Columns,
    EventBlock,
    EventBuffer,
    EventLog,
    Ints,
    column_of,
    read_chats,
)

VIAS = ("invite", "roster", "username")
"""Ways to ask that the event schema has, for a platform with one."""

_MESSAGE, _TYPING = TYPES.index("message.sent"), TYPES.index("typing.started")
_REGISTERED, _REPORT = TYPES.index("account.registered"), TYPES.index("user.reported")
_HELD_BACK = [
    _MESSAGE,
    _TYPING,
    *map(TYPES.index, ("message.delivered", "message.read", "message.undeliverable")),
]
_NEVER = 1 << 62


@dataclass(frozen=True, slots=True)
class RequestReception:
    """What those do who never answer the one who asked: shares of them; the rest ignores it.

    `accept`: accept all the same, and stay silent. `refuse`: refuse.
    """

    accept: float
    refuse: float


@dataclass(frozen=True, slots=True)
class RequestHabits:
    """How chats open on a platform of requests; times are medians in milliseconds.

    A chat opens by a request where the two did not chat before the simulation and the one written
    to does not have the other in contacts; whoever registers during the simulation always asks.
    `held`: nobody can write before the request is accepted; else a message follows after `lead`.
    Who answers has accepted, after `delay`. `honest` and `unwanted`: how the others meet the
    requests of honest accounts and of abusive ones. `via`: see `VIAS`.
    """

    via: str = "invite"
    held: bool = False
    lead: float = 2 * SECOND_MS
    delay: float = 10 * MINUTE_MS
    spread: float = 1.4
    honest: RequestReception = RequestReception(accept=0.6, refuse=0.1)
    unwanted: RequestReception = RequestReception(accept=0.15, refuse=0.3)


@dataclass(frozen=True, slots=True)
class _Chats(Columns):
    """Chats that open in the log, one row each; times in milliseconds.

    `start`: the opener begins to type, or writes; `answered_at`: the other's first message (_NEVER:
    none). `known`: the other has the opener in contacts.
    """

    opener: Ints
    other: Ints
    start: Ints
    answered_at: Ints
    known: Bools


class ContactRequests:
    """The requests of a world, put among the events of its log.

    Args:
        habits: How chats open.
        seed: Seed of every draw; the same arguments give the same events.
    """

    def __init__(self, sim: SimulationContext, habits: RequestHabits, seed: int) -> None:
        self.sim, self.habits, self.seed = sim, habits, seed

    def apply(self, blocks: Callable[[], Iterator[EventBlock]]) -> Iterator[EventBlock]:
        """Return the blocks of a log with its requests, in order of time.

        `blocks` is called twice, and yields the same sorted blocks each time.
        """
        chats, registered_at, next_id = self._read(blocks())
        planned, dropped = self._plan(chats, registered_at, next_id)
        pile = EventBuffer(planned)
        return pile.among(blocks(), self.sim.end, lambda block: _without(block, dropped))

    def _read(self, blocks: Iterator[EventBlock]) -> tuple[_Chats, Ints, int]:
        """Return the chats that open in a log, when each account registers, and the first free id.

        Who does not register in the log did so long ago.
        """
        registered_at = np.full(len(self.sim.registry), -_NEVER, np.int64)

        def note_registrations() -> Iterator[EventBlock]:
            for block in blocks:
                new = column_of(block, "type") == _REGISTERED
                registered_at[column_of(block, "account")[new]] = block.ts[new]
                yield block

        names = ("ts", "account", "peer", "in_contacts", "type")
        columns, next_id = read_chats(note_registrations(), (_MESSAGE, _TYPING), names)
        return _opened_chats(*columns), registered_at, next_id

    def _plan(
        self, chats: _Chats, registered_at: Ints, next_id: int
    ) -> tuple[list[EventBlock], Ints]:
        sim, habits = self.sim, self.habits
        rng = np.random.default_rng([self.seed, len("requests")])
        chats = chats.select(self._asks(chats, registered_at))
        count = len(chats.start)
        unwanted, draw = sim.registry.are_abusive()[chats.opener], rng.random(count)
        accept = np.where(unwanted, habits.unwanted.accept, habits.honest.accept)
        refuse = np.where(unwanted, habits.unwanted.refuse, habits.honest.refuse)
        is_answered = chats.answered_at != _NEVER
        accepts = is_answered | (draw < accept)
        refuses = ~accepts & (draw < accept + refuse)
        delay = rng.lognormal(np.log(habits.delay), habits.spread, count)
        lead = rng.lognormal(np.log(habits.lead), habits.spread, count)
        if habits.held:
            lead = np.where(accepts, delay, 0.0)
        free = np.maximum(chats.start - np.maximum(registered_at[chats.opener], sim.start), 0)
        asked_at = chats.start - np.minimum(lead, 0.9 * free).astype(np.int64)
        if habits.held:
            wait = np.where(accepts, 0.9 * (chats.start - asked_at), delay)
        else:
            wait = np.minimum(delay, 0.9 * (chats.answered_at - asked_at))
        decided_at = asked_at + wait.astype(np.int64)
        log = EventLog(next_id)
        via = sim.pool.code(habits.via)
        log.add("contact.requested", asked_at, chats.opener, peer=chats.other, via=via)
        for name, mask in (("contact.accepted", accepts), ("contact.refused", refuses)):
            rows = mask & (decided_at < sim.end)
            log.add(name, decided_at[rows], chats.other[rows], peer=chats.opener[rows])
        silent = chats.select(~accepts & habits.held)
        pairs = [(silent.opener, silent.other), (silent.other, silent.opener)]
        return log.flush(), np.concatenate([_pair_keys(side, other) for side, other in pairs])

    def _asks(self, chats: _Chats, registered_at: Ints) -> Bools:
        registered_ms = np.maximum(registered_at[chats.opener], registered_at[chats.other])
        ties = self.sim.people.ties
        tied = np.isin(_pair_keys(chats.opener, chats.other), _pair_keys(ties.opener, ties.other))
        return (registered_ms >= self.sim.start) | (~chats.known & ~tied)


def _opened_chats(ts: Ints, account: Ints, peer: Ints, is_known: Ints, kind: Ints) -> _Chats:
    pair = _pair_keys(np.minimum(account, peer), np.maximum(account, peer))
    order = np.argsort(pair, kind="stable")
    ts, account, peer, is_known, kind, pair = (
        column[order] for column in (ts, account, peer, is_known, kind, pair)
    )
    first = np.flatnonzero(np.diff(pair, prepend=-1))
    if not len(first):
        return _Chats(ts, account, peer, ts, is_known > 0)
    sizes = np.diff(np.append(first, len(pair)))
    from_opener = account == np.repeat(account[first], sizes)
    is_message = kind == _MESSAGE
    answered_at = np.minimum.reduceat(np.where(is_message & ~from_opener, ts, _NEVER), first)
    row = np.where(is_message & from_opener, np.arange(len(pair)), len(pair) - 1)
    opening = np.minimum.reduceat(row, first)
    return _Chats(account[first], peer[first], ts[first], answered_at, is_known[opening] > 0)


def _pair_keys(account: Ints, peer: Ints) -> Ints:
    return (account << 32) | peer


def _without(block: EventBlock, dropped: Ints) -> EventBlock:
    if not len(dropped):
        return block
    kind, peer = column_of(block, "type"), column_of(block, "peer")
    is_lost = (peer >= 0) & np.isin(_pair_keys(column_of(block, "account"), peer), dropped)
    keep = ~(is_lost & np.isin(kind, _HELD_BACK))
    columns = {name: values[keep] for name, values in block.columns.items()}
    if "message" in columns:
        columns["message"] = np.where(
            (is_lost & (kind == _REPORT))[keep], ABSENT, columns["message"]
        )
    return EventBlock(columns)
