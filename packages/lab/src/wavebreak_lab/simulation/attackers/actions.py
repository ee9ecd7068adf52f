"""Acts of an operator's accounts: daily plans, messages, scripts, and how people respond.

A script is planned ahead for an account beside its messages: groups, reports, floods, warm-up.
Only delivered acts have consequences: nobody replies to a message that was refused.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from wavebreak.durations import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from wavebreak_lab.simulation.attackers.config import Sender
from wavebreak_lab.simulation.attackers.dialogues import APPROACHED_REPLY, add_approaches
from wavebreak_lab.simulation.attackers.infrastructure import apply_hourly_cap
from wavebreak_lab.simulation.behaviour import DEFAULT_CONTENT, MessageContent, RecipientBehaviour
from wavebreak_lab.simulation.calls import add_call_ends
from wavebreak_lab.simulation.context import SimulationContext
from wavebreak_lab.simulation.conversations import ReplyReading, add_responses, draw_text_sizes
from wavebreak_lab.simulation.log import ABSENT, Bools, Floats, Ints

OWN_ACCOUNTS = RecipientBehaviour(
    read=0.98, reply=0.93, block=0.0, report=0.0, reply_delay=90 * SECOND_MS
)
"""How an operator's own accounts meet each other's messages: as a warm-up wants it."""

GROUP_RESPONSES = {"left": 0.2, "reported": 0.01, "blocked": 0.015}
"""Of those whom strangers add to groups, the shares who leave, report, block."""

TAKEN_BY_STRANGERS = (0.35, 4.0)
"""Of those whom a stranger calls for business that they did not ask for: the share who take it, and
the median seconds until they hang up."""
CALL_BACK = 0.02
"""Share of those who did not take a stranger's call who call back."""

MESSAGE, ADD, REPORT, CHAT, CALL, PAID = range(6)
"""Kinds of act: a message to a stranger, an add to a group, a report, a chat of own accounts, a
call to a stranger, a message to somebody who is paid to answer."""


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

    def select(self, chosen: Bools | Ints) -> Acts:
        """Return some of the acts."""
        return Acts(*(getattr(self, name)[chosen] for name in Acts.__slots__))


def no_acts() -> Acts:
    """Return none."""
    none, no = np.zeros(0, np.int64), np.zeros(0, bool)
    return Acts(none, none, none, none, none, none, none, np.zeros(0), no)


def concat_acts(parts: list[Acts]) -> Acts:
    """Return the acts of several as one."""
    if not parts:
        return no_acts()
    if len(parts) == 1:
        return parts[0]
    return Acts(*(np.concatenate([getattr(p, name) for p in parts]) for name in Acts.__slots__))


def make_acts(
    sim: SimulationContext,
    ids: Ints,
    ts: Ints,
    account: Ints,
    peer: Ints,
    kind: int,
    **more: Ints | Floats,
) -> Acts:
    """Make acts of one kind; what is not given is absent, or as strangers are."""
    count, far = len(ids), np.full(len(ids), ABSENT)
    return Acts(
        ids,
        ts,
        np.broadcast_to(account, count),
        np.broadcast_to(peer, count),
        np.full(count, kind),
        np.broadcast_to(more.get("group", far), count),
        np.broadcast_to(more.get("lists", far), count),
        np.broadcast_to(more.get("reply", np.full(count, sim.behaviour.reply)), count),
        sim.rng.random(count) < more.get("dead", np.zeros(count)),
    )


def add_consequences(
    sim: SimulationContext, done: Acts, reading: ReplyReading, after: int = 0
) -> tuple[Acts, Ints]:
    """Plan what people do about acts that went through; return the acts answered, and when.

    `after`: nobody does anything before it (milliseconds): what is past is past.
    """
    if not len(done):
        return done, done.ts
    if (done.kind == ADD).any():
        _add_group_responses(sim, done.select(done.kind == ADD), after)
    if (done.kind == CALL).any():
        _add_call_responses(sim, done.select(done.kind == CALL), after)
    for kind in (CHAT, PAID):
        if (done.kind == kind).any():
            willing = done.select(done.kind == kind)
            _add_message_responses(sim, willing, OWN_ACCOUNTS, reading, after)
    dead = done.select((done.kind == MESSAGE) & done.dead)
    sim.log.add(
        "message.undeliverable",
        np.maximum(dead.ts + SECOND_MS, after),
        dead.account,
        peer=dead.peer,
        reason=sim.pool.code("not_registered"),
    )
    alive = done.select((done.kind == MESSAGE) & ~done.dead)
    return _add_message_responses(sim, alive, sim.behaviour, reading, after)


def _add_message_responses(
    sim: SimulationContext,
    done: Acts,
    behaviour: RecipientBehaviour,
    reading: ReplyReading,
    after: int,
) -> tuple[Acts, Ints]:
    if not len(done):
        return done, done.ts
    rows, when = add_responses(
        sim,
        done.id,
        np.maximum(done.ts, after),
        done.account,
        done.peer,
        behaviour,
        reply=done.reply,
        reading=reading,
    )
    return done.select(rows), when


def _add_group_responses(sim: SimulationContext, done: Acts, after: int) -> None:
    """Plan what people do who were added to a stranger's group."""
    rng, log = sim.rng, sim.log
    start = np.maximum(done.ts, after)

    def some(share: float) -> tuple[Acts, Ints]:
        chosen = np.flatnonzero(rng.random(len(done)) < share)
        wait = rng.lognormal(np.log(20 * MINUTE_MS), 1.5, len(chosen)).astype(np.int64)
        return done.select(chosen), start[chosen] + 5 * SECOND_MS + wait

    who, ts = some(GROUP_RESPONSES["left"])
    log.add("group.left", ts, who.peer, group=who.group, peer=who.account)
    who, ts = some(GROUP_RESPONSES["reported"])
    log.add("user.reported", ts, who.peer, peer=who.account, reason=sim.pool.code("spam"))
    who, ts = some(GROUP_RESPONSES["blocked"])
    log.add("user.blocked", ts, who.peer, peer=who.account)


def _add_call_responses(sim: SimulationContext, done: Acts, after: int) -> None:
    """Plan what people do whom a stranger called: most do not take it, or hang up."""
    rng, log, met = sim.rng, sim.log, sim.behaviour
    start = np.maximum(done.ts, after)
    who = (start, done.account, done.peer)
    seconds, over = add_call_ends(rng, log, *who, TAKEN_BY_STRANGERS, spread=1.0)
    drawn = rng.random(len(done))
    kinds = (("user.blocked", met.block, met.block_delay),
             ("user.reported", met.report, met.report_delay))  # fmt: skip
    for kind, share, delay in kinds:
        chosen, drawn = drawn < share, drawn - share
        wait = rng.lognormal(np.log(delay), met.spread, int(chosen.sum())).astype(np.int64)
        reason = sim.pool.code("spam") if kind == "user.reported" else ABSENT
        log.add(kind, over[chosen] + wait, done.peer[chosen], peer=done.account[chosen],
                reason=reason)  # fmt: skip
    back = (seconds == 0) & (drawn >= 0) & (drawn < CALL_BACK)
    when = over[back] + rng.exponential(10 * MINUTE_MS, int(back.sum())).astype(np.int64)
    log.add("call.started", when, done.peer[back], peer=done.account[back],
            media=sim.pool.code("audio"))  # fmt: skip


WRITE, INVITE, FILE_REPORT, TALK, CREATE_GROUP, POST, BLOCK, JOIN = range(8)
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
            self.ts[chosen],
            self.what[chosen],
            self.peer[chosen],
            self.group[chosen],
            self.size[chosen],
        )

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


def _merge_steps(steps: list[Step]) -> Script:
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


def group_adding_script(sim: SimulationContext, sender: Sender, place: int, start: int) -> Script:
    """Plan groups and their members: many small ones, or for every second account a few large."""
    rng = sim.rng
    many = place % 2 == 0
    steps: list[Step] = []
    when = start
    for _ in range(int(rng.integers(*(sender.groups if many else sender.few)))):
        member = sim.draw_strangers(int(rng.integers(*(sender.members if many else sender.crowd))))
        name = int(sim.new_groups(1)[0])
        gaps = rng.lognormal(np.log(sender.add_gap * SECOND_MS), 0.8, len(member))
        times = when + np.cumsum(gaps).astype(np.int64)
        posts = times[-1] + 10 * SECOND_MS * np.arange(1, _POSTS + 1)
        steps += [
            (np.array([when]), CREATE_GROUP, ABSENT, name, 0),
            (times, INVITE, member, name, 0),
            (posts, POST, ABSENT, name, len(member)),
        ]
        when = int(posts[-1]) + int(rng.uniform(20, 240) * SECOND_MS)
        if when >= sim.end:
            break
    return _merge_steps(steps)


def reporting_script(
    sim: SimulationContext, sender: Sender, start: int, victims: Ints, at: Ints
) -> Script:
    """Plan reports against victims, each around its own time; some after writing to the victim."""
    rng, count = sim.rng, len(victims)
    ts = np.maximum(start, at) + (rng.random(count) * sender.within_h * HOUR_MS).astype(np.int64)
    baits, blocks = rng.random(count) < sender.bait, rng.random(count) < ALSO_BLOCK
    early = np.maximum(ts - 8 * MINUTE_MS, start - 9 * MINUTE_MS)
    return _merge_steps(
        [
            (early[baits], WRITE, victims[baits], ABSENT, 0),
            (ts, FILE_REPORT, victims, ABSENT, 0),
            (ts[blocks] + 4 * SECOND_MS, BLOCK, victims[blocks], ABSENT, 0),
        ]
    )


def flood_script(
    sim: SimulationContext, sender: Sender, start: int, victim: int, at: int
) -> Script:
    """Plan what one account of a flood sends to the victim: messages and invitations to groups."""
    rng = sim.rng
    ts = max(start, at) + (rng.random(sender.insist) * sender.within_h * HOUR_MS).astype(np.int64)
    invited = rng.random(sender.insist) < sender.invites
    groups = sim.new_groups(int(invited.sum()))
    return _merge_steps(
        [
            (ts[invited] - 2 * SECOND_MS, CREATE_GROUP, ABSENT, groups, 0),
            (ts[invited], INVITE, victim, groups, 0),
            (ts[~invited], WRITE, victim, ABSENT, 0),
        ]
    )


def warmup_script(sim: SimulationContext, sender: Sender, start: int) -> Script:
    """Plan chats with own accounts, by the day curve of nobody: evenly."""
    rng = sim.rng
    span = sender.ring_h * HOUR_MS
    count = rng.poisson(sender.ring_chats * span / DAY_MS)
    return _merge_steps([(np.sort(start + (rng.random(count) * span)), TALK, ABSENT, ABSENT, 0)])


def group_joining_script(sim: SimulationContext, start: int, count: int) -> Script:
    """Plan the joining of groups whose members are written to later."""
    ts = start + np.cumsum(sim.rng.uniform(1, 9, count) * MINUTE_MS).astype(np.int64)
    return _merge_steps([(ts, JOIN, ABSENT, sim.new_groups(count), 0)])


def add_script_events(
    sim: SimulationContext, sender: Sender, account: int, steps: Script, own: Ints
) -> Acts:
    """Plan the events of steps; return the acts on people among them."""
    log, pool, rng = sim.log, sim.pool, sim.rng
    content = sender.content or sim.content

    def of(what: int) -> tuple[Ints, Ints, Ints, Ints]:
        chosen = np.flatnonzero(steps.what == what)
        return steps.ts[chosen], steps.peer[chosen], steps.group[chosen], steps.size[chosen]

    ts, _, group, _ = of(CREATE_GROUP)
    log.add("group.created", ts, account, group=group)
    ts, _, group, _ = of(JOIN)
    log.add("group.joined", ts, account, group=group)
    ts, _, group, members = of(POST)
    log.add(
        "message.sent",
        ts,
        account,
        group=group,
        size=draw_text_sizes(rng, len(ts), content)[1],
        media=pool.code("none"),
        recipients=members,
    )
    ts, peer, _, _ = of(BLOCK)
    log.add("user.blocked", ts, account, peer=peer)
    ts, peer, group, _ = of(INVITE)
    ids = log.add("group.member_added", ts, account, group=group, peer=peer)
    done = [make_acts(sim, ids, ts, np.array(account), peer, ADD, group=group)]
    ts, peer, _, _ = of(FILE_REPORT)
    reason = pool.codes(("spam", "scam"))[rng.integers(0, 2, len(ts))]
    ids = log.add("user.reported", ts, account, peer=peer, reason=reason)
    done.append(make_acts(sim, ids, ts, np.array(account), peer, REPORT))
    for what, kind, reply in ((WRITE, MESSAGE, 0.3), (TALK, CHAT, 0.93)):
        ts, peer, _, _ = of(what)
        peer = own[rng.integers(0, len(own), len(ts))] if kind == CHAT and len(own) else peer
        keep = peer != ABSENT
        ts, peer = ts[keep], peer[keep]
        ids = log.add(
            "message.sent",
            ts,
            account,
            peer=peer,
            media=pool.code("none"),
            size=draw_text_sizes(rng, len(ts), content)[1],
            in_contacts=kind == CHAT,
        )
        done.append(
            make_acts(sim, ids, ts, np.array(account), peer, kind, reply=np.full(len(ts), reply))
        )
    return concat_acts(done)


_CORRECTION = 14.0  # characters of a corrected word


@dataclass(frozen=True, slots=True)
class OutgoingMessages:
    """Messages to send, one row each; `place` is the account's number among its operator's."""

    ts: Ints
    account: Ints
    place: Ints
    peer: Ints
    lists: Ints
    reply: Floats
    characters: Floats
    lead: Ints

    def select(self, chosen: Bools) -> OutgoingMessages:
        """Return some of the messages."""
        return OutgoingMessages(*(getattr(self, name)[chosen] for name in self.__slots__))


def _call_strangers(sim: SimulationContext, draft: OutgoingMessages) -> Acts:
    """Plan calls in place of messages."""
    audio = sim.pool.code("audio")
    ids = sim.log.add("call.started", draft.ts, draft.account, peer=draft.peer, media=audio)
    return make_acts(sim, ids, draft.ts, draft.account, draft.peer, CALL, lists=draft.lists)


def _sizes(content: MessageContent, characters: Floats) -> Ints:
    return np.asarray(content.overhead + 16 * np.ceil(characters / 16), np.int64)


def _add_lookups(sim: SimulationContext, sender: Sender, draft: OutgoingMessages) -> None:
    """Plan look-ups before messages: one by one, or in batches for every second account."""
    rng = sim.rng
    share = rng.uniform(*sender.lookups)
    alone = draft.place % 2 == 1
    tries = rng.geometric(share, int(alone.sum()))
    ts = np.repeat(draft.ts[alone], tries) - rng.integers(200, 2500, int(tries.sum()))
    hit = np.zeros(len(ts), np.int64)
    hit[np.cumsum(tries) - 1] = 1
    account = np.repeat(draft.account[alone], tries)
    sim.log.add("contact.looked_up", ts, account, count=1, hits=hit)
    found = max(1, int(sender.batch * share))
    first = ~alone & (rng.random(len(alone)) < 1 / found)
    ts, account = draft.ts[first] - 1500, draft.account[first]
    sim.log.add("contact.looked_up", ts, account, count=sender.batch, hits=found)


def _add_corrections(sim: SimulationContext, sender: Sender, draft: OutgoingMessages) -> Acts:
    """Plan second messages that correct the first."""
    rng, content = sim.rng, sender.content or sim.content
    wrong = np.flatnonzero(rng.random(len(draft.ts)) < sender.errors)
    ts = draft.ts[wrong] + (rng.uniform(0.5, 2.0, len(wrong)) * SECOND_MS).astype(np.int64)
    account, peer = draft.account[wrong], draft.peer[wrong]
    size = _sizes(content, np.full(len(wrong), _CORRECTION))
    ids = sim.log.add(
        "message.sent",
        ts,
        account,
        peer=peer,
        size=size,
        media=sim.pool.code("none"),
        in_contacts=False,
    )
    return make_acts(
        sim,
        ids,
        ts,
        account,
        peer,
        MESSAGE,
        lists=draft.lists[wrong],
        reply=np.zeros(len(wrong)),
    )


def add_stranger_messages(sim: SimulationContext, sender: Sender, draft: OutgoingMessages) -> Acts:
    """Plan messages to strangers with all that surrounds them; what they do comes later."""
    rng, log, pool = sim.rng, sim.log, sim.pool
    count, content = len(draft.ts), sender.content or sim.content
    if sender.calls and (calling := rng.random(count) < sender.calls).any():
        called = _call_strangers(sim, draft.select(calling))
        rest = add_stranger_messages(sim, replace(sender, calls=0.0), draft.select(~calling))
        return concat_acts([called, rest])
    if sender.lookups[1] > 0:
        _add_lookups(sim, sender, draft)
    if sender.saves:
        early = draft.ts - rng.integers(4 * SECOND_MS, 40 * SECOND_MS, count)
        log.add("contact.added", early, draft.account, peer=draft.peer)
    reply = draft.reply
    if sender.approached:
        first = add_approaches(sim, sender, draft.ts, draft.account, draft.peer)
        reply = np.where(first, APPROACHED_REPLY, reply)
    typed = draft.lead >= 0
    begun = draft.ts[typed] - draft.lead[typed]
    log.add("typing.started", begun, draft.account[typed], peer=draft.peer[typed])
    picture = ~typed & (rng.random(count) < content.image)
    size = np.where(picture, int(content.image_bytes), _sizes(content, draft.characters))
    ids = log.add(
        "message.sent",
        draft.ts,
        draft.account,
        peer=draft.peer,
        size=size,
        media=np.where(picture, pool.code("image"), pool.code("none")),
        in_contacts=rng.random(count) < content.known,
    )
    done = make_acts(
        sim,
        ids,
        draft.ts,
        draft.account,
        draft.peer,
        MESSAGE,
        lists=draft.lists,
        reply=reply,
        dead=np.full(count, content.dead + sender.stale),
    )
    return concat_acts([done, _add_corrections(sim, sender, draft)]) if sender.errors else done


def add_willing_messages(
    sim: SimulationContext, sender: Sender, ts: Ints, account: Ints, peer: Ints, kind: int
) -> Acts:
    """Plan messages to accounts that answer and do not complain: own ones (CHAT), or paid (PAID).

    They are first messages to people who do not know the sender, as those to strangers are.
    """
    size = draw_text_sizes(sim.rng, len(ts), sender.content or sim.content)[1]
    ids = sim.log.add(
        "message.sent", ts, account, peer=peer, size=size, media=sim.pool.code("none"),
        in_contacts=False,
    )  # fmt: skip
    return make_acts(
        sim, ids, ts, account, peer, kind, reply=np.full(len(ts), OWN_ACCOUNTS.reply)
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Accusations:
    """Planned complaints about honest accounts, one row each, in order of time.

    `lured`: the accused was led to write to the accuser first, by an order or a question.
    """

    ts: Ints
    account: Ints
    rival: Ints
    lured: Bools

    def __len__(self) -> int:
        return len(self.ts)

    def split(self, ts: int) -> tuple[Accusations, Accusations]:
        """Return those before a time, and the others."""
        cut = int(np.searchsorted(self.ts, ts))
        return tuple(  # type: ignore[return-value]
            Accusations(self.ts[of], self.account[of], self.rival[of], self.lured[of])
            for of in (slice(cut), slice(cut, None))
        )


NO_ACCUSATIONS = Accusations(_NONE, _NONE, _NONE, np.zeros(0, bool))
LURE_AHEAD_S = (120.0, 5_400.0)
"""Seconds between the message of an honest account that was lured, and the complaint about it."""


def plan_accusations(
    sim: SimulationContext, sender: Sender, accounts: Ints, start: int, rivals: Ints
) -> Accusations:
    """Plan what accounts complain of, from `start` on: each of a rival once at most."""
    rng, days = sim.rng, max(sim.end - start, 0) / DAY_MS
    wanted = rng.poisson(sender.accuses * days, len(accounts))
    chosen = [rng.permutation(rivals)[:count] for count in wanted.tolist()]
    account = np.repeat(accounts, [len(of) for of in chosen])
    rival = np.concatenate([*chosen, _NONE])
    ts = start + (rng.random(len(rival)) * max(sim.end - start, 0)).astype(np.int64)
    order = np.argsort(ts, kind="stable")
    lured = rng.random(len(rival)) < sender.lured
    return Accusations(ts[order], account[order], rival[order], lured)


def add_accusations(sim: SimulationContext, due: Accusations) -> None:
    """Plan complaints, and before some of them the message that the accused was led to send."""
    rng, log, pool = sim.rng, sim.log, sim.pool
    lured, count = due.lured, int(due.lured.sum())
    ahead = (rng.uniform(*LURE_AHEAD_S, count) * SECOND_MS).astype(np.int64)
    log.add(
        "message.sent", due.ts[lured], due.rival[lured], peer=due.account[lured],
        size=draw_text_sizes(rng, count, sim.content)[1], media=pool.code("none"),
        in_contacts=False,
    )  # fmt: skip
    when = due.ts.copy()
    when[lured] += ahead
    blocks = rng.random(len(due)) < ALSO_BLOCK
    reason = pool.codes(("spam", "scam"))[rng.integers(0, 2, len(due))]
    log.add("user.reported", when, due.account, peer=due.rival, reason=reason)
    log.add("user.blocked", when[blocks] + 4 * SECOND_MS, due.account[blocks],
            peer=due.rival[blocks])  # fmt: skip


CHARACTERS_A_WORD = 5.0
PEAK_HOUR = 15
"""Local hour at which a played day curve is highest."""

_GRID = np.arange(25.0)


@dataclass(frozen=True, slots=True)
class DayPlan:
    """The messages of one day: when, how many characters, how long typing is shown (-1: not)."""

    ts: Ints
    characters: Floats
    lead: Ints

    def __len__(self) -> int:
        return len(self.ts)


NO_PLAN = DayPlan(np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.int64))


def daily_quota(sender: Sender, day: int) -> float:
    """Return how many messages an account sends on its n-th day (0 is the first).

    >>> [round(daily_quota(Sender(first_day=20, growth=1.8, per_day=680), d)) for d in (0, 1, 6, 9)]
    [20, 36, 680, 680]
    """
    if not sender.first_day:
        return sender.per_day
    return float(min(sender.per_day, sender.first_day * sender.growth ** min(day, 60)))


def min_mean_gap(sender: Sender, sharing: float) -> float:
    """Return the least mean gap in seconds that the caps allow, with `sharing` accounts a network.

    >>> min_mean_gap(Sender(per_minute=5, per_10min=3, pooled=20), sharing=4)
    200.0
    """
    caps = (
        60 / sender.per_minute if sender.per_minute else 0.0,
        600 / sender.per_10min if sender.per_10min else 0.0,
        60 * sharing / sender.pooled if sender.pooled else 0.0,
    )
    return max(caps)


def _draw_gaps(
    rng: np.random.Generator, sender: Sender, count: int, lead: Ints, pick: int
) -> Floats:
    """Draw gaps in milliseconds."""
    low, high = sender.gap
    if sender.law == "fixed":
        return np.full(count, sender.gap[pick % 2] * SECOND_MS)
    if sender.quick[1] and pick % 2 == 0:
        low, high = sender.quick
        drawn = rng.normal((low + high) / 2, (high - low) / 5, count)
        return np.clip(drawn, low, high) * SECOND_MS
    if sender.law == "typed":
        return np.maximum(lead, 0) + rng.uniform(*sender.pause, count) * SECOND_MS
    return rng.uniform(low, high, count) * SECOND_MS


def _apply_day_curve(ts: Ints, start: int, amplitude: float, zone: int) -> Ints:
    """Move times so that they are as dense as a cosine day, from `start` on."""
    hours = 2 * np.pi * (_GRID - PEAK_HOUR) / 24
    shape = np.sin(hours) - np.sin(hours[0])
    steps = _GRID + amplitude * 24 / (2 * np.pi) * shape
    local = start + zone * HOUR_MS
    day, rest = divmod(local, DAY_MS)
    begun = np.interp(rest / HOUR_MS, _GRID, steps) * HOUR_MS
    days, rests = np.divmod(begun + (ts - start), DAY_MS)
    moved = (
        (day + days) * DAY_MS + np.interp(rests / HOUR_MS, steps, _GRID) * HOUR_MS - zone * HOUR_MS
    )
    return np.asarray(np.maximum(moved.astype(np.int64), start))


def plan_day(
    rng: np.random.Generator,
    sender: Sender,
    start: int,
    day: int,
    *,
    pace: float,
    sharing: float,
    zone: int,
    pick: int,
) -> DayPlan:
    """Plan the messages of an account's day that begins at `start` (milliseconds).

    `pace` is the share of its usual pace, `sharing` how many accounts share a network, `zone` the
    hour that the day curve is set to, `pick` the account's place among its operator's.
    """
    count = daily_quota(sender, day) * pace
    burst = sender.burst if day == 0 else 0
    count = int(count) + burst + int(rng.random() < count % 1)
    text = draw_text_sizes(rng, count, sender.content or DEFAULT_CONTENT)[0]
    speed = np.clip(rng.normal(*sender.words, count), 20, 80)
    typed = text / CHARACTERS_A_WORD / speed * MINUTE_MS
    lead = np.where(rng.random(count) < sender.typing, typed, -1).astype(np.int64)
    gaps = _draw_gaps(rng, sender, count, lead, pick)
    floor = min_mean_gap(sender, sharing) * SECOND_MS
    if count > burst:
        gaps *= max(1.0, floor / max(float(gaps.mean()), 1.0)) / max(pace, 0.01)
    gaps += np.where(rng.random(count) < sender.idle, rng.uniform(5, 20, count) * MINUTE_MS, 0.0)
    if burst:
        gaps[:burst] = rng.exponential(sender.burst_s / (burst + 1), burst) * SECOND_MS
        gaps[:burst] *= min(1.0, sender.burst_s * 0.9 * SECOND_MS / gaps[:burst].sum())
    if sender.law == "spread":
        hours = np.sort(rng.random(count)) * rng.uniform(*sender.waking)
        ts = start + (hours * HOUR_MS).astype(np.int64)
    else:
        ts = apply_hourly_cap(start, gaps, max(1, int(sender.per_hour) + burst))
    if sender.curve:
        ts = _apply_day_curve(ts, start, sender.curve, zone)
    ts = ts[ts < start + DAY_MS]
    before = np.diff(ts, prepend=start - MINUTE_MS)
    shown = np.minimum(lead[: len(ts)], (0.9 * before).astype(np.int64))
    return DayPlan(ts, text[: len(ts)], np.where(lead[: len(ts)] < 0, -1, shown))
