"""Conversations, group messages and unsolicited messages, with typing, receipts and responses.

`converse` plans one-to-one conversations between accounts; `add_group_messages` messages to groups;
`add_unsolicited_messages` bulk messages with the recipients' replies, blocks and reports.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wavebreak.durations import MINUTE_MS, SECOND_MS
from wavebreak_lab.simulation.behaviour import (
    STYLE,
    ConversationStyle,
    MessageContent,
    RecipientBehaviour,
    adjust_style,
)
from wavebreak_lab.simulation.context import SimulationContext
from wavebreak_lab.simulation.log import Bools, Column, Columns, Floats, Ints

MEDIA = ("none", "image", "audio", "sticker", "video", "document")
"""Kinds of message that people send, in the order of `ConversationStyle.media`."""

MAX_TYPING_MS = 4 * MINUTE_MS
"""Longest typing indicator before a message."""

_NO_MESSAGE = 1 << 40
_MEDIA_BYTES = np.log([1, 120e3, 30e3, 25e3, 2.5e6, 200e3])
_MEDIA_SPREAD = np.array([0.0, 0.7, 1.0, 0.5, 1.2, 1.3])


@dataclass(frozen=True, slots=True)
class Messages(Columns):
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


def converse(
    sim: SimulationContext,
    style: ConversationStyle,
    start: Ints,
    opener: Ints | int,
    other: Ints | int,
    *,
    is_known: float | Bools = 1.0,
    is_mutual: float | Bools = 1.0,
    silent: float | Bools = 0.0,
    typing: float = 1.0,
    typing_back: float = 1.0,
    length: Ints | None = None,
) -> None:
    """Plan conversations and all of their events; a share instead of flags is drawn for each.

    Args:
        sim: The world.
        style: How people converse.
        start: Time of each first message (milliseconds).
        opener: Account that writes first.
        other: Account that it writes to.
        is_known: The other has the opener in contacts.
        is_mutual: The opener has the other in contacts.
        silent: The other reads and never answers.
        typing: Highest share of its texts that the opener types.
        typing_back: Highest share of its texts that the other types.
        length: Number of messages (None: drawn from the style).
    """
    rng, count = sim.rng, len(start)

    def flags(share: float | Bools) -> Bools:
        return rng.random(count) < share if isinstance(share, float) else share

    opener, other = np.broadcast_to(opener, count), np.broadcast_to(other, count)
    length = style.lengths(rng, count) if length is None else length
    is_known, is_mutual, silent = flags(is_known), flags(is_mutual), flags(silent)
    if not count:
        return
    talk = np.repeat(np.arange(count), length)
    first = np.cumsum(length) - length
    place = np.arange(len(talk)) - first[talk]
    switch = rng.random(len(talk)) < np.where(place == 1, style.turn_first, style.turn)
    switch &= (place > 0) & ~silent[talk]
    switches = np.cumsum(switch)
    turn = (switches - switches[first][talk]) % 2 == 1
    gap = np.where(
        switch,
        rng.lognormal(np.log(style.answer_gap), style.answer_spread, len(talk)),
        rng.lognormal(np.log(style.own_gap), style.own_spread, len(talk)),
    )
    gap = np.clip(gap, 400.0, style.longest_gap) * (place > 0)
    total = np.cumsum(gap)
    before = np.where(place > 0, gap, _NO_MESSAGE).astype(np.int64)
    is_answered = np.append(switch[1:], False)
    messages = Messages(
        start[talk] + (total - total[first][talk]).astype(np.int64),
        np.where(turn, other[talk], opener[talk]),
        np.where(turn, opener[talk], other[talk]),
        np.where(turn, is_mutual[talk], is_known[talk]),
        before,
        np.where(is_answered, np.append(before[1:], 0), _NO_MESSAGE),
        np.where(
            turn,
            np.minimum(sim.typing_shares(other), typing_back)[talk],
            np.minimum(sim.typing_shares(opener), typing)[talk],
        ),
    )
    _add_messages(sim, messages, style)


def add_first_messages(
    sim: SimulationContext, ts: Ints, sender: Ints, peer: Ints, style: ConversationStyle
) -> None:
    """Plan single messages between accounts that do not have each other in contacts."""
    far, is_known = np.full(len(ts), _NO_MESSAGE), np.zeros(len(ts), bool)
    typing = sim.typing_shares(sender)
    _add_messages(sim, Messages(ts, sender, peer, is_known, far, far, typing), style)


def _draw_contents(
    rng: np.random.Generator, count: int, style: ConversationStyle
) -> tuple[Ints, Ints, Floats]:
    edges = np.cumsum(style.media)
    medium = np.searchsorted(edges / edges[-1], rng.random(count), side="right")
    text = rng.lognormal(np.log(style.characters), style.characters_spread, count)
    size = style.overhead + 16 * np.ceil(text / 16)
    heavy = np.flatnonzero(medium > 0)
    kinds = medium[heavy]
    size[heavy] = np.exp(_MEDIA_BYTES[kinds] + _MEDIA_SPREAD[kinds] * rng.normal(size=len(heavy)))
    return medium, size.astype(np.int64), np.where(medium == 0, text, 0.0)


def _draw_typing(
    sim: SimulationContext,
    medium: Ints,
    characters: Floats,
    share: Floats,
    style: ConversationStyle,
) -> tuple[Ints, Floats]:
    typed = np.flatnonzero((medium == 0) & (sim.rng.random(len(medium)) < share))
    seconds = characters[typed] / style.speed
    seconds *= sim.rng.lognormal(0.0, style.speed_spread, len(typed))
    return typed, np.clip(seconds * SECOND_MS, 300, MAX_TYPING_MS)


def _add_messages(sim: SimulationContext, messages: Messages, style: ConversationStyle) -> None:
    rng, log, ts = sim.rng, sim.log, messages.ts
    medium, size, characters = _draw_contents(rng, len(ts), style)
    typed, lead = _draw_typing(sim, medium, characters, messages.typing, style)
    typing_at = ts[typed] - np.minimum(lead, 0.85 * messages.before[typed]).astype(np.int64)
    log.add("typing.started", typing_at, messages.sender[typed], peer=messages.peer[typed])
    media = sim.pool.codes(MEDIA)[medium]
    ids = log.add(
        "message.sent", ts, messages.sender, peer=messages.peer, size=size, media=media,
        in_contacts=messages.known,
    )  # fmt: skip
    dead = (rng.random(len(ids)) < style.dead) & (messages.after == _NO_MESSAGE)
    add_undeliverable(sim, ts[dead], messages.sender[dead], messages.peer[dead])
    arrived = np.flatnonzero(~dead)
    _add_receipts(sim, ids[arrived], messages.select(arrived), style)


def add_undeliverable(sim: SimulationContext, ts: Ints, sender: Ints, peer: Ints) -> None:
    """Plan the notice that a number is no account, a second after each message."""
    reason = sim.pool.code("not_registered")
    sim.log.add("message.undeliverable", ts + SECOND_MS, sender, peer=peer, reason=reason)


def _add_receipts(
    sim: SimulationContext, ids: Ints, messages: Messages, style: ConversationStyle
) -> tuple[Ints, Ints]:
    rng, count, after = sim.rng, len(ids), messages.after
    wait = rng.lognormal(np.log(style.deliver), style.deliver_spread, count)
    offline = np.flatnonzero(rng.random(count) < style.offline)
    wait[offline] = rng.lognormal(np.log(style.offline_delay), style.offline_spread, len(offline))
    delivered = np.minimum(wait, 0.4 * after).astype(np.int64)
    look = rng.lognormal(np.log(style.look), style.look_spread, count)
    read_at = messages.ts + np.minimum(delivered + look, 0.8 * after).astype(np.int64)
    rows = np.flatnonzero((rng.random(count) >= style.unread) | (after < _NO_MESSAGE))
    sender, peer = messages.sender, messages.peer
    sim.log.add("message.delivered", messages.ts + delivered, peer, peer=sender, message=ids)
    sim.log.add("message.read", read_at[rows], peer[rows], peer=sender[rows], message=ids[rows])
    return read_at, rows


def add_group_messages(
    sim: SimulationContext,
    ts: Ints,
    sender: Ints | int,
    group: Ints | int,
    recipients: Ints | int,
    **columns: Column,
) -> Ints:
    """Plan messages to groups with typing; return their ids. `columns`: further ones of them.

    Receipts of group messages are left out: one a member would drown every other event.
    """
    style = STYLE
    medium, size, characters = _draw_contents(sim.rng, len(ts), style)
    sender, group = np.broadcast_to(sender, len(ts)), np.broadcast_to(group, len(ts))
    typed, lead = _draw_typing(sim, medium, characters, sim.typing_shares(sender), style)
    typing_at = ts[typed] - lead.astype(np.int64)
    sim.log.add("typing.started", typing_at, sender[typed], group=group[typed])
    media = sim.pool.codes(MEDIA)[medium]
    return sim.log.add(
        "message.sent", ts, sender, group=group, size=size, media=media, recipients=recipients,
        **columns,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class ReplyReading:
    """How answers are read: a `share` of them, after `look` seconds (bounds; None: as people)."""

    share: float = 0.9
    look: tuple[float, float] | None = None


def add_responses(
    sim: SimulationContext,
    ids: Ints,
    ts: Ints,
    sender: Ints,
    peer: Ints,
    behaviour: RecipientBehaviour,
    *,
    reply: Floats | None = None,
    reading: ReplyReading | None = None,
) -> tuple[Ints, Ints]:
    """Plan receipts, answers, blocks and reports for messages that were sent.

    `reply`: the share of answers, one a message, where it is not the behaviour's. Returns the
    messages that are answered, and the times of the answers.
    """
    rng, log = sim.rng, sim.log
    far, is_known = np.full(len(ids), _NO_MESSAGE), np.zeros(len(ids), bool)
    messages = Messages(ts, sender, peer, is_known, far, far, np.zeros(len(ids)))
    style = adjust_style(STYLE, unread=1 - behaviour.read)
    read_at, read_rows = _add_receipts(sim, ids, messages, style)
    first = np.zeros(len(ids), bool)
    first[np.unique(sender * len(sim.registry) + peer, return_index=True)[1]] = True
    read_rows = read_rows[first[read_rows]]

    def choose(share: float | Floats, delay: float) -> tuple[Ints, Ints]:
        rows = read_rows[rng.random(len(read_rows)) < share / max(behaviour.read, 1e-9)]
        wait = rng.lognormal(np.log(delay), behaviour.spread, len(rows))
        return rows, read_at[rows] + SECOND_MS + wait.astype(np.int64)

    share = behaviour.reply if reply is None else reply[read_rows]
    answered_rows, replied_at = choose(share, behaviour.reply_delay)
    _add_replies(sim, replied_at, peer[answered_rows], sender[answered_rows], reading)
    rows, times = choose(behaviour.block, behaviour.block_delay)
    log.add("user.blocked", times, peer[rows], peer=sender[rows])
    rows, times = choose(behaviour.report, behaviour.report_delay)
    reasons = sim.pool.codes(("spam", "scam", "other"))
    reason = reasons[rng.choice(3, len(rows), p=np.array(behaviour.report_reasons))]
    log.add("user.reported", times, peer[rows], peer=sender[rows], reason=reason, message=ids[rows])
    return answered_rows, replied_at


def _add_replies(
    sim: SimulationContext, ts: Ints, account: Ints, sender: Ints, reading: ReplyReading | None
) -> None:
    if not len(ts):
        return
    style = adjust_style(STYLE, characters=14.0)
    if reading:
        style = adjust_style(style, unread=1 - reading.share)
        if reading.look:
            low, high = reading.look
            look, sigma = (low * high) ** 0.5 * SECOND_MS, np.log(high / low) / 4
            style = adjust_style(style, look=look, look_spread=sigma)
    add_first_messages(sim, ts, account, sender, style)


def text_sizes(content: MessageContent, characters: Floats) -> Ints:
    """Return bytes of ciphertext, in blocks of 16."""
    return np.asarray(content.overhead + 16 * np.ceil(characters / 16), np.int64)


def draw_text_sizes(
    rng: np.random.Generator, count: int, content: MessageContent
) -> tuple[Floats, Ints]:
    """Draw characters of the varied template, and bytes of ciphertext."""
    text = np.maximum(rng.normal(content.characters, content.variation, count), 10.0)
    return text, text_sizes(content, text)


def add_unsolicited_messages(
    sim: SimulationContext,
    ts: Ints,
    sender: int,
    peer: Ints,
    *,
    content: MessageContent,
    behaviour: RecipientBehaviour,
    **columns: Column,
) -> None:
    """Plan bulk messages and responses of their recipients, up to the end of the simulation."""
    rng, log, pool, count = sim.rng, sim.log, sim.pool, len(ts)
    picture = rng.random(count) < content.image
    sizes = draw_text_sizes(rng, count, content)[1]
    sizes = np.where(picture, int(content.image_bytes), sizes)
    rows = (ts < sim.end) & (peer != sender)
    ts, peer, sizes, picture = ts[rows], peer[rows], sizes[rows], picture[rows]
    account = np.full(len(ts), sender)
    media = np.where(picture, pool.code("image"), pool.code("none"))
    contact_column = {"in_contacts": rng.random(len(ts)) < content.known}
    ids = log.add("message.sent", ts, account, peer=peer, size=sizes, media=media,
                  **(contact_column | columns))  # fmt: skip
    dead = rng.random(len(ts)) < content.dead
    add_undeliverable(sim, ts[dead], account[dead], peer[dead])
    add_responses(sim, ids[~dead], ts[~dead], account[~dead], peer[~dead], behaviour)
