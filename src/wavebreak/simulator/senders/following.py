"""What an operator's accounts did to people, and what people do about it.

Only what went through has consequences: whoever never got a message does not answer it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wavebreak.simulator.log import ABSENT, Bools, Floats, Ints
from wavebreak.simulator.manners import Mood
from wavebreak.simulator.places import MINUTE, SECOND
from wavebreak.simulator.scene import Scene
from wavebreak.simulator.strangers import Reading, receive

OWN = Mood(read=0.98, reply=0.93, block=0.0, report=0.0, reply_delay=90 * SECOND)
"""How an operator's own accounts meet each other's messages: as a warm-up wants it."""

ADDED = {"left": 0.2, "reported": 0.01, "blocked": 0.015}
"""Of those whom strangers add to groups, the shares who leave, report, block."""

MESSAGE, ADD, REPORT, CHAT = range(4)
"""Kinds of act: a message to a stranger, an add to a group, a report, a chat of own accounts."""


@dataclass(frozen=True, slots=True)
class Acts:
    """Acts on people, one row each: `id` of the event, `kind`, the list that a target came from.

    `reply`: the chance of an answer; `dead`: the number is no account any more.
    """

    id: Ints
    ts: Ints
    account: Ints
    peer: Ints
    kind: Ints
    group: Ints
    lists: Ints
    reply: Floats
    dead: Bools

    def __len__(self) -> int:
        return len(self.id)

    def of(self, chosen: Bools | Ints) -> Acts:
        """Return some of the acts."""
        return Acts(*(getattr(self, name)[chosen] for name in Acts.__slots__))


def no_acts() -> Acts:
    """Return none."""
    none, no = np.zeros(0, np.int64), np.zeros(0, bool)
    return Acts(none, none, none, none, none, none, none, np.zeros(0), no)


def together(parts: list[Acts]) -> Acts:
    """Return the acts of several as one."""
    if not parts:
        return no_acts()
    if len(parts) == 1:
        return parts[0]
    return Acts(*(np.concatenate([getattr(p, name) for p in parts]) for name in Acts.__slots__))


def acts(
    scene: Scene, ids: Ints, ts: Ints, account: Ints, peer: Ints, kind: int, **more: Ints | Floats
) -> Acts:
    """Make acts of one kind; what is not given is absent, or as strangers are."""
    count, far = len(ids), np.full(len(ids), ABSENT)
    return Acts(
        ids, ts, np.broadcast_to(account, count), np.broadcast_to(peer, count),
        np.full(count, kind), np.broadcast_to(more.get("group", far), count),
        np.broadcast_to(more.get("lists", far), count),
        np.broadcast_to(more.get("reply", np.full(count, scene.mood.reply)), count),
        scene.rng.random(count) < more.get("dead", np.zeros(count)),
    )  # fmt: skip


def follow(scene: Scene, done: Acts, reading: Reading, after: int = 0) -> tuple[Acts, Ints]:
    """Plan what people do about acts that went through; return the acts answered, and when.

    `after`: nobody does anything before it (milliseconds): what is past is past.
    """
    if not len(done):
        return done, done.ts
    if (done.kind == ADD).any():
        _added(scene, done.of(done.kind == ADD), after)
    if (done.kind == CHAT).any():
        _met(scene, done.of(done.kind == CHAT), OWN, reading, after)
    dead = done.of((done.kind == MESSAGE) & done.dead)
    scene.log.add(
        "message.undeliverable", np.maximum(dead.ts + SECOND, after), dead.account, peer=dead.peer,
        reason=scene.pool.code("not_registered"),
    )  # fmt: skip
    alive = done.of((done.kind == MESSAGE) & ~done.dead)
    return _met(scene, alive, scene.mood, reading, after)


def _met(scene: Scene, done: Acts, mood: Mood, reading: Reading, after: int) -> tuple[Acts, Ints]:
    if not len(done):
        return done, done.ts
    rows, when = receive(
        scene, done.id, np.maximum(done.ts, after), done.account, done.peer, mood,
        reply=done.reply, reading=reading,
    )  # fmt: skip
    return done.of(rows), when


def _added(scene: Scene, done: Acts, after: int) -> None:
    """Plan what people do who were added to a stranger's group."""
    rng, log = scene.rng, scene.log
    start = np.maximum(done.ts, after)

    def some(share: float) -> tuple[Acts, Ints]:
        chosen = np.flatnonzero(rng.random(len(done)) < share)
        wait = rng.lognormal(np.log(20 * MINUTE), 1.5, len(chosen)).astype(np.int64)
        return done.of(chosen), start[chosen] + 5 * SECOND + wait

    who, ts = some(ADDED["left"])
    log.add("group.left", ts, who.peer, group=who.group, peer=who.account)
    who, ts = some(ADDED["reported"])
    log.add("user.reported", ts, who.peer, peer=who.account, reason=scene.pool.code("spam"))
    who, ts = some(ADDED["blocked"])
    log.add("user.blocked", ts, who.peer, peer=who.account)
