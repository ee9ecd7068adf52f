"""What is planned ahead for an account beside its messages: groups, reports, floods, warm-up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wavebreak.simulator.log import ABSENT, Ints
from wavebreak.simulator.places import DAY, HOUR, MINUTE, SECOND
from wavebreak.simulator.scene import Scene
from wavebreak.simulator.senders.following import ADD, CHAT, MESSAGE, REPORT, Acts, acts, together
from wavebreak.simulator.senders.parameters import Sender
from wavebreak.simulator.strangers import text_sizes

WRITE, INVITE, ACCUSE, TALK, FOUND, POST, BLOCK, JOIN = range(8)
"""Steps of a script."""

ALSO_BLOCK = 0.4
"""Share of hired reporters who block the victim as well."""

_POSTS = 2  # messages of an adder to each group


@dataclass(frozen=True, slots=True)
class Script:
    """Steps in order of time: what to do, to whom (ABSENT: any own account), in which group."""

    ts: Ints
    what: Ints
    peer: Ints
    group: Ints
    size: Ints

    def __len__(self) -> int:
        return len(self.ts)

    def part(self, low: int, high: int) -> Script:
        """Return the steps at positions low (inclusive) to high (exclusive)."""
        chosen = slice(low, high)
        return Script(
            self.ts[chosen], self.what[chosen], self.peer[chosen], self.group[chosen],
            self.size[chosen],
        )  # fmt: skip

    def later(self, place: int, until: int) -> Script:
        """Return the script with what is left moved back, so that it goes on at a time."""
        moved = self.ts.copy()
        rest = moved[place:]
        if len(rest):
            rest += max(0, until - int(rest[0]))
        return Script(moved, self.what, self.peer, self.group, self.size)


_NONE: Ints = np.zeros(0, np.int64)
NO_SCRIPT = Script(_NONE, _NONE, _NONE, _NONE, _NONE)

Step = tuple[Ints, int, Ints | int, Ints | int, int]


def _script(steps: list[Step]) -> Script:
    if not steps:
        return NO_SCRIPT
    counts = [len(ts) for ts, *_ in steps]
    ts = np.concatenate([step[0] for step in steps]).astype(np.int64)
    columns = [
        np.concatenate([np.broadcast_to(step[k], n) for step, n in zip(steps, counts, strict=True)])
        for k in range(1, 5)
    ]
    order = np.argsort(ts, kind="stable")
    return Script(ts[order], *(np.asarray(column, np.int64)[order] for column in columns))


def adding(scene: Scene, sender: Sender, place: int, start: int) -> Script:
    """Plan groups and their members: many small ones, or for every second account a few large."""
    rng = scene.rng
    many = place % 2 == 0
    steps: list[Step] = []
    when = start
    for _ in range(int(rng.integers(*(sender.groups if many else sender.few)))):
        member = scene.strangers(int(rng.integers(*(sender.members if many else sender.crowd))))
        name = int(scene.new_groups(1)[0])
        gaps = rng.lognormal(np.log(sender.add_gap * SECOND), 0.8, len(member))
        times = when + np.cumsum(gaps).astype(np.int64)
        posts = times[-1] + 10 * SECOND * np.arange(1, _POSTS + 1)
        steps += [
            (np.array([when]), FOUND, ABSENT, name, 0),
            (times, INVITE, member, name, 0),
            (posts, POST, ABSENT, name, len(member)),
        ]
        when = int(posts[-1]) + int(rng.uniform(20, 240) * SECOND)
        if when >= scene.end:
            break
    return _script(steps)


def accusing(scene: Scene, sender: Sender, start: int, victims: Ints, at: Ints) -> Script:
    """Plan reports against victims, each around its own time; some after writing to the victim."""
    rng, count = scene.rng, len(victims)
    ts = np.maximum(start, at) + (rng.random(count) * sender.within_h * HOUR).astype(np.int64)
    baits, blocks = rng.random(count) < sender.bait, rng.random(count) < ALSO_BLOCK
    early = np.maximum(ts - 8 * MINUTE, start - 9 * MINUTE)
    return _script([
        (early[baits], WRITE, victims[baits], ABSENT, 0),
        (ts, ACCUSE, victims, ABSENT, 0),
        (ts[blocks] + 4 * SECOND, BLOCK, victims[blocks], ABSENT, 0),
    ])  # fmt: skip


def flooding(scene: Scene, sender: Sender, start: int, victim: int, at: int) -> Script:
    """Plan what one account of a flood sends to the victim: messages and invitations to groups."""
    rng = scene.rng
    ts = max(start, at) + (rng.random(sender.insist) * sender.within_h * HOUR).astype(np.int64)
    invited = rng.random(sender.insist) < sender.invites
    groups = scene.new_groups(int(invited.sum()))
    return _script([
        (ts[invited] - 2 * SECOND, FOUND, ABSENT, groups, 0),
        (ts[invited], INVITE, victim, groups, 0),
        (ts[~invited], WRITE, victim, ABSENT, 0),
    ])  # fmt: skip


def warming(scene: Scene, sender: Sender, start: int) -> Script:
    """Plan chats with own accounts, by the day curve of nobody: evenly."""
    rng = scene.rng
    span = sender.ring_h * HOUR
    count = rng.poisson(sender.ring_chats * span / DAY)
    return _script([(np.sort(start + (rng.random(count) * span)), TALK, ABSENT, ABSENT, 0)])


def joining(scene: Scene, start: int, count: int) -> Script:
    """Plan the joining of groups whose members are written to later."""
    ts = start + np.cumsum(scene.rng.uniform(1, 9, count) * MINUTE).astype(np.int64)
    return _script([(ts, JOIN, ABSENT, scene.new_groups(count), 0)])


def perform(scene: Scene, sender: Sender, account: int, steps: Script, own: Ints) -> Acts:
    """Plan the events of steps; return the acts on people among them."""
    log, pool, rng = scene.log, scene.pool, scene.rng
    pitch = sender.pitch or scene.pitch

    def of(what: int) -> tuple[Ints, Ints, Ints, Ints]:
        chosen = np.flatnonzero(steps.what == what)
        return steps.ts[chosen], steps.peer[chosen], steps.group[chosen], steps.size[chosen]

    ts, _, group, _ = of(FOUND)
    log.add("group.created", ts, account, group=group)
    ts, _, group, _ = of(JOIN)
    log.add("group.joined", ts, account, group=group)
    ts, _, group, members = of(POST)
    log.add(
        "message.sent", ts, account, group=group, size=text_sizes(rng, len(ts), pitch)[1],
        media=pool.code("none"), recipients=members,
    )  # fmt: skip
    ts, peer, _, _ = of(BLOCK)
    log.add("user.blocked", ts, account, peer=peer)
    ts, peer, group, _ = of(INVITE)
    ids = log.add("group.member_added", ts, account, group=group, peer=peer)
    done = [acts(scene, ids, ts, np.array(account), peer, ADD, group=group)]
    ts, peer, _, _ = of(ACCUSE)
    reason = pool.codes(("spam", "scam"))[rng.integers(0, 2, len(ts))]
    ids = log.add("user.reported", ts, account, peer=peer, reason=reason)
    done.append(acts(scene, ids, ts, np.array(account), peer, REPORT))
    for what, kind, reply in ((WRITE, MESSAGE, 0.3), (TALK, CHAT, 0.93)):
        ts, peer, _, _ = of(what)
        peer = own[rng.integers(0, len(own), len(ts))] if kind == CHAT and len(own) else peer
        keep = peer != ABSENT
        ts, peer = ts[keep], peer[keep]
        ids = log.add(
            "message.sent", ts, account, peer=peer, media=pool.code("none"),
            size=text_sizes(rng, len(ts), pitch)[1], in_contacts=kind == CHAT,
        )  # fmt: skip
        done.append(
            acts(scene, ids, ts, np.array(account), peer, kind, reply=np.full(len(ts), reply))
        )
    return together(done)
