"""What people do when someone they do not know writes: read, answer, block, report."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wavebreak.simulation.behaviour import Mood, Pitch, brief
from wavebreak.simulation.conversations import Messages, receipts, say
from wavebreak.simulation.geography import SECOND
from wavebreak.simulation.log import Bools, Column, Floats, Ints
from wavebreak.simulation.scene import Scene

_NO_ANSWER = 1 << 40


@dataclass(frozen=True, slots=True)
class Reading:
    """How answers are read: a `share` of them, after `look` seconds (bounds; None: as people)."""

    share: float = 0.9
    look: tuple[float, float] | None = None


def receive(
    scene: Scene,
    ids: Ints,
    ts: Ints,
    sender: Ints,
    peer: Ints,
    mood: Mood,
    *,
    reply: Floats | None = None,
    reading: Reading | None = None,
) -> tuple[Ints, Ints]:
    """Plan receipts, answers, blocks and reports for messages that were sent.

    `reply`: the share who answer, one a message, where it is not the mood's. Returns which
    messages are answered, and when.
    """
    rng, pool = scene.rng, scene.pool
    style = brief(scene.style, unread=1 - mood.read)
    alone = np.full(len(ids), _NO_ANSWER)
    seen, shown = receipts(scene, ids, ts, sender, peer, alone, style)
    first = np.zeros(len(ids), bool)
    first[np.unique(sender * len(scene.roll) + peer, return_index=True)[1]] = True
    shown = shown[first[shown]]

    def some(share: float | Floats, delay: float) -> tuple[Ints, Ints]:
        chosen = shown[rng.random(len(shown)) < share / max(mood.read, 1e-9)]
        wait = rng.lognormal(np.log(delay), mood.spread, len(chosen))
        return chosen, seen[chosen] + SECOND + wait.astype(np.int64)

    answered, told = some(mood.reply if reply is None else reply[shown], mood.reply_delay)
    answer(scene, told, peer[answered], sender[answered], reading)
    rows, when = some(mood.block, mood.block_delay)
    scene.log.add("user.blocked", when, peer[rows], peer=sender[rows])
    rows, when = some(mood.report, mood.report_delay)
    reasons = pool.codes(("spam", "scam", "other"))
    reason = reasons[rng.choice(3, len(rows), p=np.array(mood.report_reasons))]
    scene.log.add(
        "user.reported", when, peer[rows], peer=sender[rows], reason=reason, message=ids[rows]
    )
    return answered, told


def answer(scene: Scene, ts: Ints, who: Ints, sender: Ints, reading: Reading | None = None) -> None:
    """Plan short answers of people to a stranger, who reads them."""
    count = len(ts)
    if not count:
        return
    style = brief(scene.style, characters=14.0)
    if reading:
        style = brief(style, unread=1 - reading.share)
    if reading and reading.look:
        low, high = reading.look
        style = brief(style, look=(low * high) ** 0.5 * SECOND, look_spread=np.log(high / low) / 4)
    far = np.full(count, _NO_ANSWER)
    said = Messages(ts, who, sender, np.zeros(count, bool), far, far, scene.hands(who))
    say(scene, said, style)


def text_sizes(rng: np.random.Generator, count: int, pitch: Pitch) -> tuple[Floats, Ints]:
    """Draw characters of the varied template, and bytes of ciphertext."""
    text = np.maximum(rng.normal(pitch.characters, pitch.variation, count), 10.0)
    return text, (pitch.overhead + 16 * np.ceil(text / 16)).astype(np.int64)


def send(
    scene: Scene,
    ts: Ints,
    sender: Ints | int,
    peer: Ints,
    *,
    pitch: Pitch | None = None,
    mood: Mood | None = None,
    size: Ints | None = None,
    **columns: Column,
) -> None:
    """Plan unasked messages and what their recipients do. Later than the simulation: dropped.

    `pitch` and `mood` are the scene's unless given.
    """
    pitch, mood = pitch or scene.pitch, mood or scene.mood
    rng, log, pool = scene.rng, scene.log, scene.pool
    count = len(ts)
    who = np.broadcast_to(np.asarray(sender), count)
    picture = rng.random(count) < (pitch.image if size is None else 0.0)
    sizes = text_sizes(rng, count, pitch)[1] if size is None else size
    sizes = np.where(picture, int(pitch.image_bytes), sizes)
    keep: Bools = (ts < scene.end) & (peer != who)
    ts, who, peer, sizes, picture = ts[keep], who[keep], peer[keep], sizes[keep], picture[keep]
    ids = log.add(
        "message.sent", ts, who, peer=peer, size=sizes,
        media=np.where(picture, pool.code("image"), pool.code("none")),
        **({"in_contacts": rng.random(len(ts)) < pitch.known} | columns),
    )  # fmt: skip
    dead = rng.random(len(ts)) < pitch.dead
    log.add(
        "message.undeliverable", ts[dead] + SECOND, who[dead], peer=peer[dead],
        reason=pool.code("not_registered"),
    )  # fmt: skip
    alive = ~dead
    receive(scene, ids[alive], ts[alive], who[alive], peer[alive], mood)
