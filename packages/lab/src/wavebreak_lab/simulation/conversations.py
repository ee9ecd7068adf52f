"""One-to-one and group conversations: turns, gaps, typing indicators, sizes, receipts.

A conversation is one row of `Conversations`; `add_conversations` plans the events of all of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wavebreak.durations import MINUTE_MS, SECOND_MS
from wavebreak_lab.simulation.behaviour import ConversationStyle
from wavebreak_lab.simulation.context import SimulationContext
from wavebreak_lab.simulation.log import Bools, Column, Floats, Ints

MEDIA = ("none", "image", "audio", "sticker", "video", "document")
"""Kinds of message that people send, in the order of `Style.media`."""

LONGEST_TYPING = 4 * MINUTE_MS
"""No typing indicator comes longer than this before its message."""

_LONG_AGO = 1 << 40
_MEDIA_BYTES = np.log([1, 120e3, 30e3, 25e3, 2.5e6, 200e3])
_MEDIA_SPREAD = np.array([0.0, 0.7, 1.0, 0.5, 1.2, 1.3])


@dataclass(frozen=True, slots=True)
class Conversations:
    """Conversations, one row each.

    `known`: the other has the opener in contacts; `back`: the opener has the other;
    `silent`: the other reads and never answers; `typing` and `typing_back`: the shares of texts
    that the opener and the other type.
    """

    start: Ints
    opener: Ints
    other: Ints
    length: Ints
    known: Bools
    back: Bools
    silent: Bools
    typing: Floats
    typing_back: Floats

    def __len__(self) -> int:
        return len(self.start)


def draw_conversations(
    sim: SimulationContext,
    style: ConversationStyle,
    start: Ints,
    opener: Ints,
    other: Ints,
    *,
    known: float | Bools = 1.0,
    back: float | Bools = 1.0,
    silent: float | Bools = 0.0,
    typing: float = 1.0,
    length: Ints | None = None,
) -> Conversations:
    """Make conversations; a share instead of flags is drawn for each.

    `typing` caps what share of its texts the opener types.
    """
    count = len(start)

    def flags(share: float | Bools) -> Bools:
        return sim.rng.random(count) < share if isinstance(share, float) else share

    opener, other = np.broadcast_to(opener, count), np.broadcast_to(other, count)
    return Conversations(
        start,
        opener,
        other,
        style.lengths(sim.rng, count) if length is None else length,
        flags(known),
        flags(back),
        flags(silent),
        np.minimum(sim.typing_shares(opener), typing),
        sim.typing_shares(other),
    )


@dataclass(frozen=True, slots=True)
class Messages:
    """One-to-one messages, one row each.

    `before` and `after`: milliseconds since the last message of the conversation and until the
    other's next, where the next is the other's. `known`: the recipient has the sender in
    contacts. `typing`: the chance that a text is typed.
    """

    ts: Ints
    sender: Ints
    peer: Ints
    known: Bools
    before: Ints
    after: Ints
    typing: Floats


def draw_messages(
    rng: np.random.Generator, talks: Conversations, style: ConversationStyle
) -> Messages:
    """Play conversations: who writes when."""
    of = np.repeat(np.arange(len(talks)), talks.length)
    first = np.cumsum(talks.length) - talks.length
    place = np.arange(len(of)) - first[of]
    draw = rng.random(len(of))
    switch = draw < np.where(place == 1, style.turn_first, style.turn)
    switch &= (place > 0) & ~talks.silent[of]
    switched = np.cumsum(switch)
    turn = (switched - switched[first][of]) % 2 == 1
    gap = np.where(
        switch,
        rng.lognormal(np.log(style.answer_gap), style.answer_spread, len(of)),
        rng.lognormal(np.log(style.own_gap), style.own_spread, len(of)),
    )
    gap = np.clip(gap, 400.0, style.longest_gap) * (place > 0)
    total = np.cumsum(gap)
    ts = talks.start[of] + (total - total[first][of]).astype(np.int64)
    before = np.where(place > 0, gap, _LONG_AGO).astype(np.int64)
    answered = np.append(switch[1:], False)
    after = np.where(answered, np.append(before[1:], 0), _LONG_AGO)
    opener, other = talks.opener[of], talks.other[of]
    return Messages(
        ts,
        np.where(turn, other, opener),
        np.where(turn, opener, other),
        np.where(turn, talks.back[of], talks.known[of]),
        before,
        after,
        np.where(turn, talks.typing_back[of], talks.typing[of]),
    )


def draw_contents(
    rng: np.random.Generator, count: int, style: ConversationStyle
) -> tuple[Ints, Ints, Floats]:
    """Draw kind of medium (index into MEDIA), bytes of ciphertext and characters of text."""
    edges = np.cumsum(style.media)
    medium = np.searchsorted(edges / edges[-1], rng.random(count), side="right")
    text = rng.lognormal(np.log(style.characters), style.characters_spread, count)
    size = style.overhead + 16 * np.ceil(text / 16)
    heavy = np.flatnonzero(medium > 0)
    kinds = medium[heavy]
    size[heavy] = np.exp(_MEDIA_BYTES[kinds] + _MEDIA_SPREAD[kinds] * rng.normal(size=len(heavy)))
    return medium, size.astype(np.int64), np.where(medium == 0, text, 0.0)


def media_codes(sim: SimulationContext) -> Ints:
    """Return the numbers of the names of MEDIA."""
    return sim.pool.codes(MEDIA)


def add_typing(
    sim: SimulationContext,
    said: Messages,
    medium: Ints,
    characters: Floats,
    style: ConversationStyle,
) -> None:
    """Plan the typing indicator before typed texts: longer for longer texts, with wide noise."""
    rng = sim.rng
    typed = np.flatnonzero((medium == 0) & (rng.random(len(medium)) < said.typing))
    seconds = characters[typed] / style.speed
    seconds *= rng.lognormal(0.0, style.speed_spread, len(typed))
    lead = np.clip(seconds * SECOND_MS, 300, LONGEST_TYPING)
    lead = np.minimum(lead, 0.85 * said.before[typed]).astype(np.int64)
    sim.log.add("typing.started", said.ts[typed] - lead, said.sender[typed], peer=said.peer[typed])


def add_receipts(
    sim: SimulationContext,
    ids: Ints,
    ts: Ints,
    sender: Ints,
    peer: Ints,
    after: Ints,
    style: ConversationStyle,
) -> tuple[Ints, Ints]:
    """Plan delivery and read receipts; return when each message was read, and which were."""
    rng, count = sim.rng, len(ids)
    wait = rng.lognormal(np.log(style.deliver), style.deliver_spread, count)
    away = np.flatnonzero(rng.random(count) < style.offline)
    wait[away] = rng.lognormal(np.log(style.offline_delay), style.offline_spread, len(away))
    delivered = np.minimum(wait, 0.4 * after).astype(np.int64)
    look = rng.lognormal(np.log(style.look), style.look_spread, count)
    seen = ts + np.minimum(delivered + look, 0.8 * after).astype(np.int64)
    shown = np.flatnonzero((rng.random(count) >= style.unread) | (after < _LONG_AGO))
    sim.log.add("message.delivered", ts + delivered, peer, peer=sender, message=ids)
    sim.log.add("message.read", seen[shown], peer[shown], peer=sender[shown], message=ids[shown])
    return seen, shown


def add_messages(sim: SimulationContext, said: Messages, style: ConversationStyle) -> Ints:
    """Plan messages with typing and receipts; return their ids."""
    rng, log = sim.rng, sim.log
    medium, size, characters = draw_contents(rng, len(said.ts), style)
    add_typing(sim, said, medium, characters, style)
    ids = log.add(
        "message.sent",
        said.ts,
        said.sender,
        peer=said.peer,
        size=size,
        media=media_codes(sim)[medium],
        in_contacts=said.known,
    )
    dead = (rng.random(len(ids)) < style.dead) & (said.after == _LONG_AGO)
    lost, got = np.flatnonzero(dead), np.flatnonzero(~dead)
    log.add(
        "message.undeliverable",
        said.ts[lost] + SECOND_MS,
        said.sender[lost],
        peer=said.peer[lost],
        reason=sim.pool.code("not_registered"),
    )
    add_receipts(
        sim, ids[got], said.ts[got], said.sender[got], said.peer[got], said.after[got], style
    )
    return ids


def add_conversations(
    sim: SimulationContext, talks: Conversations, style: ConversationStyle
) -> None:
    """Play conversations and plan all of their events."""
    if len(talks):
        add_messages(sim, draw_messages(sim.rng, talks, style), style)


def add_group_messages(
    sim: SimulationContext,
    ts: Ints,
    sender: Ints,
    group: Ints,
    recipients: Ints,
    style: ConversationStyle,
    typing: float = 1.0,
    **columns: Column,
) -> Ints:
    """Plan messages to groups with typing; return their ids. `columns`: further ones of them.

    Receipts of group messages are left out: one a member would drown every other event.
    """
    rng = sim.rng
    medium, size, characters = draw_contents(rng, len(ts), style)
    sender, group = np.broadcast_to(sender, len(ts)), np.broadcast_to(group, len(ts))
    share = np.minimum(sim.typing_shares(sender), typing)
    typed = np.flatnonzero((medium == 0) & (rng.random(len(ts)) < share))
    seconds = characters[typed] / style.speed * rng.lognormal(0.0, style.speed_spread, len(typed))
    lead = np.clip(seconds * SECOND_MS, 300, LONGEST_TYPING).astype(np.int64)
    sim.log.add("typing.started", ts[typed] - lead, sender[typed], group=group[typed])
    return sim.log.add(
        "message.sent",
        ts,
        sender,
        group=group,
        size=size,
        media=media_codes(sim)[medium],
        recipients=recipients,
        **columns,
    )
