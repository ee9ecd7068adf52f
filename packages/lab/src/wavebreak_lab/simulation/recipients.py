"""Responses of recipients to unsolicited messages: read, reply, block, report."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wavebreak.durations import SECOND_MS
from wavebreak_lab.simulation.behaviour import MessageContent, RecipientBehaviour, adjust_style
from wavebreak_lab.simulation.context import SimulationContext
from wavebreak_lab.simulation.conversations import Messages, add_messages, add_receipts
from wavebreak_lab.simulation.log import Bools, Column, Floats, Ints

_NO_ANSWER = 1 << 40


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

    `reply`: the share who answer, one a message, where it is not the behaviour's. Returns which
    messages are answered, and when.
    """
    rng, pool = sim.rng, sim.pool
    style = adjust_style(sim.style, unread=1 - behaviour.read)
    alone = np.full(len(ids), _NO_ANSWER)
    seen, shown = add_receipts(sim, ids, ts, sender, peer, alone, style)
    first = np.zeros(len(ids), bool)
    first[np.unique(sender * len(sim.registry) + peer, return_index=True)[1]] = True
    shown = shown[first[shown]]

    def some(share: float | Floats, delay: float) -> tuple[Ints, Ints]:
        chosen = shown[rng.random(len(shown)) < share / max(behaviour.read, 1e-9)]
        wait = rng.lognormal(np.log(delay), behaviour.spread, len(chosen))
        return chosen, seen[chosen] + SECOND_MS + wait.astype(np.int64)

    share = behaviour.reply if reply is None else reply[shown]
    answered, replied_at = some(share, behaviour.reply_delay)
    add_replies(sim, replied_at, peer[answered], sender[answered], reading)
    rows, when = some(behaviour.block, behaviour.block_delay)
    sim.log.add("user.blocked", when, peer[rows], peer=sender[rows])
    rows, when = some(behaviour.report, behaviour.report_delay)
    reasons = pool.codes(("spam", "scam", "other"))
    reason = reasons[rng.choice(3, len(rows), p=np.array(behaviour.report_reasons))]
    sim.log.add(
        "user.reported", when, peer[rows], peer=sender[rows], reason=reason, message=ids[rows]
    )
    return answered, replied_at


def add_replies(
    sim: SimulationContext, ts: Ints, who: Ints, sender: Ints, reading: ReplyReading | None = None
) -> None:
    """Plan short answers of people to a stranger, who reads them."""
    count = len(ts)
    if not count:
        return
    style = adjust_style(sim.style, characters=14.0)
    if reading:
        style = adjust_style(style, unread=1 - reading.share)
    if reading and reading.look:
        low, high = reading.look
        style = adjust_style(
            style, look=(low * high) ** 0.5 * SECOND_MS, look_spread=np.log(high / low) / 4
        )
    far = np.full(count, _NO_ANSWER)
    said = Messages(ts, who, sender, np.zeros(count, bool), far, far, sim.typing_shares(who))
    add_messages(sim, said, style)


def draw_text_sizes(
    rng: np.random.Generator, count: int, content: MessageContent
) -> tuple[Floats, Ints]:
    """Draw characters of the varied template, and bytes of ciphertext."""
    text = np.maximum(rng.normal(content.characters, content.variation, count), 10.0)
    return text, (content.overhead + 16 * np.ceil(text / 16)).astype(np.int64)


def add_unsolicited_messages(
    sim: SimulationContext,
    ts: Ints,
    sender: Ints | int,
    peer: Ints,
    *,
    content: MessageContent | None = None,
    behaviour: RecipientBehaviour | None = None,
    size: Ints | None = None,
    **columns: Column,
) -> None:
    """Plan unasked messages and what their recipients do. Later than the simulation: dropped.

    `content` and `behaviour` are the sim's unless given.
    """
    content, behaviour = (
        content or sim.content,
        behaviour or sim.behaviour,
    )
    rng, log, pool = sim.rng, sim.log, sim.pool
    count = len(ts)
    who = np.broadcast_to(np.asarray(sender), count)
    picture = rng.random(count) < (content.image if size is None else 0.0)
    sizes = draw_text_sizes(rng, count, content)[1] if size is None else size
    sizes = np.where(picture, int(content.image_bytes), sizes)
    keep: Bools = (ts < sim.end) & (peer != who)
    ts, who, peer, sizes, picture = ts[keep], who[keep], peer[keep], sizes[keep], picture[keep]
    ids = log.add(
        "message.sent",
        ts,
        who,
        peer=peer,
        size=sizes,
        media=np.where(picture, pool.code("image"), pool.code("none")),
        **({"in_contacts": rng.random(len(ts)) < content.known} | columns),
    )
    dead = rng.random(len(ts)) < content.dead
    log.add(
        "message.undeliverable",
        ts[dead] + SECOND_MS,
        who[dead],
        peer=peer[dead],
        reason=pool.code("not_registered"),
    )
    alive = ~dead
    add_responses(sim, ids[alive], ts[alive], who[alive], peer[alive], behaviour)
