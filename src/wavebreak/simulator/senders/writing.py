"""The events of an operator's messages: look-ups, contacts, typing, the message, its correction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wavebreak.simulator.log import Floats, Ints
from wavebreak.simulator.manners import Pitch
from wavebreak.simulator.places import SECOND
from wavebreak.simulator.scene import Scene
from wavebreak.simulator.senders.following import MESSAGE, Acts, acts, together
from wavebreak.simulator.senders.parameters import Sender

_CORRECTION = 14.0  # characters of a corrected word


@dataclass(frozen=True, slots=True)
class Draft:
    """Messages to send, one row each; `place` is the account's number among its operator's."""

    ts: Ints
    account: Ints
    place: Ints
    peer: Ints
    lists: Ints
    reply: Floats
    characters: Floats
    lead: Ints


def _sizes(pitch: Pitch, characters: Floats) -> Ints:
    return np.asarray(pitch.overhead + 16 * np.ceil(characters / 16), np.int64)


def _look_up(scene: Scene, sender: Sender, draft: Draft) -> None:
    """Plan look-ups before messages: one by one, or in batches for every second account."""
    rng = scene.rng
    share = rng.uniform(*sender.lookups)
    alone = draft.place % 2 == 1
    tries = rng.geometric(share, int(alone.sum()))
    ts = np.repeat(draft.ts[alone], tries) - rng.integers(200, 2500, int(tries.sum()))
    hit = np.zeros(len(ts), np.int64)
    hit[np.cumsum(tries) - 1] = 1
    account = np.repeat(draft.account[alone], tries)
    scene.log.add("contact.looked_up", ts, account, count=1, hits=hit)
    found = max(1, int(sender.batch * share))
    first = ~alone & (rng.random(len(alone)) < 1 / found)
    ts, account = draft.ts[first] - 1500, draft.account[first]
    scene.log.add("contact.looked_up", ts, account, count=sender.batch, hits=found)


def _correct(scene: Scene, sender: Sender, draft: Draft) -> Acts:
    """Plan second messages that correct the first."""
    rng, pitch = scene.rng, sender.pitch or scene.pitch
    wrong = np.flatnonzero(rng.random(len(draft.ts)) < sender.errors)
    ts = draft.ts[wrong] + (rng.uniform(0.5, 2.0, len(wrong)) * SECOND).astype(np.int64)
    account, peer = draft.account[wrong], draft.peer[wrong]
    size = _sizes(pitch, np.full(len(wrong), _CORRECTION))
    ids = scene.log.add(
        "message.sent", ts, account, peer=peer, size=size, media=scene.pool.code("none"),
        in_contacts=False,
    )  # fmt: skip
    return acts(
        scene, ids, ts, account, peer, MESSAGE, lists=draft.lists[wrong],
        reply=np.zeros(len(wrong)),
    )  # fmt: skip


def write(scene: Scene, sender: Sender, draft: Draft) -> Acts:
    """Plan messages to strangers with all that surrounds them; what they do comes later."""
    rng, log, pool = scene.rng, scene.log, scene.pool
    count, pitch = len(draft.ts), sender.pitch or scene.pitch
    if sender.lookups[1] > 0:
        _look_up(scene, sender, draft)
    if sender.saves:
        early = draft.ts - rng.integers(4 * SECOND, 40 * SECOND, count)
        log.add("contact.added", early, draft.account, peer=draft.peer)
    typed = draft.lead >= 0
    begun = draft.ts[typed] - draft.lead[typed]
    log.add("typing.started", begun, draft.account[typed], peer=draft.peer[typed])
    picture = ~typed & (rng.random(count) < pitch.image)
    size = np.where(picture, int(pitch.image_bytes), _sizes(pitch, draft.characters))
    ids = log.add(
        "message.sent", draft.ts, draft.account, peer=draft.peer, size=size,
        media=np.where(picture, pool.code("image"), pool.code("none")),
        in_contacts=rng.random(count) < pitch.known,
    )  # fmt: skip
    done = acts(
        scene, ids, draft.ts, draft.account, draft.peer, MESSAGE, lists=draft.lists,
        reply=draft.reply, dead=np.full(count, pitch.dead + sender.stale),
    )  # fmt: skip
    return together([done, _correct(scene, sender, draft)]) if sender.errors else done
