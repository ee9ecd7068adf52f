"""Acts of an operator's accounts: day plans, messages, scripts, dialogues, and responses to them.

A script is planned ahead for an account beside its messages: groups, reports, floods, warm-up.
Only delivered acts have consequences: nobody replies to a message that was refused.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from wavebreak.durations import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from wavebreak_lab.simulation import conversations
from wavebreak_lab.simulation.attackers.config import Sender
from wavebreak_lab.simulation.attackers.infrastructure import apply_hourly_cap
from wavebreak_lab.simulation.behaviour import (
    DEFAULT_CONTENT,
    STYLE,
    RecipientBehaviour,
    adjust_style,
)
from wavebreak_lab.simulation.calls import add_call_ends
from wavebreak_lab.simulation.context import SimulationContext
from wavebreak_lab.simulation.log import ABSENT, Bools, Columns, Floats, Ints

OWN_ACCOUNTS = RecipientBehaviour(
    read=0.98, reply=0.93, block=0.0, report=0.0, reply_delay=90 * SECOND_MS
)
"""How an operator's own accounts respond to each other's messages: as a warm-up wants it."""

GROUP_RESPONSES = {"left": 0.2, "reported": 0.01, "blocked": 0.015}
"""Shares of people added to a stranger's group that leave, report and block."""

ANSWERED_CALLS = (0.35, 4.0)
"""Calls of strangers: the share that is answered, and the median seconds until people hang up."""
CALL_BACK = 0.02
"""Share of the unanswered calls of strangers that people return."""
APPROACHED_REPLY = 0.85
"""Share of the targets who wrote first that go on."""

MESSAGE, ADD, REPORT, CHAT, CALL, PAID = range(6)
"""Kinds of act: a message to a stranger, an add to a group, a report, a chat of own accounts, a
call to a stranger, a message to somebody who is paid to answer."""

_NONE: Ints = np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True)
class Acts(Columns):
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


NO_ACTS = Acts(
    _NONE, _NONE, _NONE, _NONE, _NONE, _NONE, _NONE, np.zeros(0), np.zeros(0, bool)
)  # fmt: skip


def concat_acts(parts: list[Acts]) -> Acts:
    """Return the acts of several tables as one."""
    return parts[0].append(*parts[1:]) if parts else NO_ACTS


def make_acts(
    sim: SimulationContext,
    kind: int,
    ids: Ints,
    ts: Ints,
    account: Ints | int,
    peer: Ints,
    *,
    group: Ints | int = ABSENT,
    lists: Ints | int = ABSENT,
    reply: Floats | float | None = None,
    dead: float = 0.0,
) -> Acts:
    """Return acts of one kind; the chance of a reply is that of strangers unless given."""
    count = len(ids)
    return Acts(
        ids,
        ts,
        np.broadcast_to(account, count),
        np.broadcast_to(peer, count),
        np.full(count, kind),
        np.broadcast_to(group, count),
        np.broadcast_to(lists, count),
        np.broadcast_to(sim.behaviour.reply if reply is None else reply, count),
        sim.rng.random(count) < dead,
    )


def add_consequences(
    sim: SimulationContext, acts: Acts, reading: conversations.ReplyReading, after: int = 0
) -> tuple[Acts, Ints]:
    """Plan people's responses to delivered acts; return the answered acts, and the reply times.

    `after`: nobody does anything before it (milliseconds): what is past is past.
    """
    if not len(acts):
        return acts, acts.ts
    kinds = {kind: acts.select(acts.kind == kind) for kind in (ADD, CALL, CHAT, PAID, MESSAGE)}
    if len(kinds[ADD]):
        _add_group_responses(sim, kinds[ADD], after)
    if len(kinds[CALL]):
        _add_call_responses(sim, kinds[CALL], after)
    for kind in (CHAT, PAID):
        _add_message_responses(sim, kinds[kind], OWN_ACCOUNTS, reading, after)
    dead = kinds[MESSAGE].select(kinds[MESSAGE].dead)
    conversations.add_undeliverable(
        sim, np.maximum(dead.ts, after - SECOND_MS), dead.account, dead.peer
    )
    alive = kinds[MESSAGE].select(~kinds[MESSAGE].dead)
    return _add_message_responses(sim, alive, sim.behaviour, reading, after)


def _add_message_responses(
    sim: SimulationContext,
    acts: Acts,
    behaviour: RecipientBehaviour,
    reading: conversations.ReplyReading,
    after: int,
) -> tuple[Acts, Ints]:
    if not len(acts):
        return acts, acts.ts
    ts = np.maximum(acts.ts, after)
    rows, replied_at = conversations.add_responses(
        sim, acts.id, ts, acts.account, acts.peer, behaviour, reply=acts.reply, reading=reading
    )
    return acts.select(rows), replied_at


def _add_group_responses(sim: SimulationContext, done: Acts, after: int) -> None:
    rng, log = sim.rng, sim.log
    start = np.maximum(done.ts, after)

    def choose(share: float) -> tuple[Acts, Ints]:
        rows = np.flatnonzero(rng.random(len(done)) < share)
        wait = rng.lognormal(np.log(20 * MINUTE_MS), 1.5, len(rows)).astype(np.int64)
        return done.select(rows), start[rows] + 5 * SECOND_MS + wait

    acts, ts = choose(GROUP_RESPONSES["left"])
    log.add("group.left", ts, acts.peer, group=acts.group, peer=acts.account)
    acts, ts = choose(GROUP_RESPONSES["reported"])
    log.add("user.reported", ts, acts.peer, peer=acts.account, reason=sim.pool.code("spam"))
    acts, ts = choose(GROUP_RESPONSES["blocked"])
    log.add("user.blocked", ts, acts.peer, peer=acts.account)


def _add_call_responses(sim: SimulationContext, acts: Acts, after: int) -> None:
    rng, log, behaviour = sim.rng, sim.log, sim.behaviour
    start = np.maximum(acts.ts, after)
    seconds, ended_at = add_call_ends(
        rng, log, start, acts.account, acts.peer, ANSWERED_CALLS, sigma=1.0
    )
    draws = rng.random(len(acts))
    for kind, share, delay, reason in (
        ("user.blocked", behaviour.block, behaviour.block_delay, ABSENT),
        ("user.reported", behaviour.report, behaviour.report_delay, sim.pool.code("spam")),
    ):
        rows, draws = draws < share, draws - share
        wait = rng.lognormal(np.log(delay), behaviour.spread, int(rows.sum())).astype(np.int64)
        account, peer = acts.account[rows], acts.peer[rows]
        log.add(kind, ended_at[rows] + wait, peer, peer=account, reason=reason)
    returns_call = (seconds == 0) & (draws >= 0) & (draws < CALL_BACK)
    times = ended_at[returns_call] + rng.exponential(
        10 * MINUTE_MS, int(returns_call.sum())
    ).astype(np.int64)
    audio = sim.pool.code("audio")
    log.add(
        "call.started", times, acts.peer[returns_call], peer=acts.account[returns_call], media=audio
    )


WRITE, INVITE, FILE_REPORT, TALK, CREATE_GROUP, POST, BLOCK, JOIN = range(8)
"""Steps of a script."""

ALSO_BLOCK = 0.4
"""Share of hired reporters who block the victim as well."""

_POSTS = 2  # messages of an adder to each group


@dataclass(frozen=True, slots=True)
class Script(Columns):
    """Steps in order of time: kind, peer (ABSENT: any own account), group and its size."""

    ts: Ints
    step: Ints
    peer: Ints
    group: Ints
    size: Ints

    def later(self, place: int, until_ms: int) -> Script:
        """Return the script with the steps from `place` on moved back, to start at a time."""
        times = self.ts.copy()
        rest = times[place:]
        if len(rest):
            rest += max(0, until_ms - int(rest[0]))
        return replace(self, ts=times)


NO_SCRIPT = Script(*[_NONE] * 5)


def _steps(
    step: int, ts: Ints, peer: Ints | int = ABSENT, group: Ints | int = ABSENT, size: int = 0
) -> Script:
    columns = [np.broadcast_to(value, len(ts)) for value in (step, peer, group, size)]
    return Script(ts.astype(np.int64), *columns)


def _merge_steps(*parts: Script) -> Script:
    script = NO_SCRIPT.append(*parts)
    return script.select(np.argsort(script.ts, kind="stable"))


def group_adding_script(sim: SimulationContext, sender: Sender, place: int, start: int) -> Script:
    """Plan groups and their members: many small ones, or for every second account a few large."""
    rng, is_small = sim.rng, place % 2 == 0
    parts: list[Script] = []
    ts = start
    for _ in range(int(rng.integers(*(sender.groups if is_small else sender.few)))):
        member = sim.draw_strangers(
            int(rng.integers(*(sender.members if is_small else sender.crowd)))
        )
        name = int(sim.new_groups(1)[0])
        gaps = rng.lognormal(np.log(sender.add_gap * SECOND_MS), 0.8, len(member))
        times = ts + np.cumsum(gaps).astype(np.int64)
        posts = times[-1] + 10 * SECOND_MS * np.arange(1, _POSTS + 1)
        parts += [
            _steps(CREATE_GROUP, np.array([ts]), group=name),
            _steps(INVITE, times, member, name),
            _steps(POST, posts, group=name, size=len(member)),
        ]
        ts = int(posts[-1]) + int(rng.uniform(20, 240) * SECOND_MS)
        if ts >= sim.end:
            break
    return _merge_steps(*parts)


def reporting_script(
    sim: SimulationContext, sender: Sender, start: int, victims: Ints, around: Ints
) -> Script:
    """Plan reports against victims, each near its own time; some after writing to the victim."""
    rng, count = sim.rng, len(victims)
    delay = (rng.random(count) * sender.within_h * HOUR_MS).astype(np.int64)
    ts = np.maximum(start, around) + delay
    baits, blocks = rng.random(count) < sender.bait, rng.random(count) < ALSO_BLOCK
    early = np.maximum(ts - 8 * MINUTE_MS, start - 9 * MINUTE_MS)
    return _merge_steps(
        _steps(WRITE, early[baits], victims[baits]),
        _steps(FILE_REPORT, ts, victims),
        _steps(BLOCK, ts[blocks] + 4 * SECOND_MS, victims[blocks]),
    )


def flood_script(
    sim: SimulationContext, sender: Sender, start: int, victim: int, around: int
) -> Script:
    """Plan one account's part of a flood: messages, and invitations to groups."""
    rng = sim.rng
    delay = (rng.random(sender.insist) * sender.within_h * HOUR_MS).astype(np.int64)
    ts = max(start, around) + delay
    invited = rng.random(sender.insist) < sender.invites
    groups = sim.new_groups(int(invited.sum()))
    return _merge_steps(
        _steps(CREATE_GROUP, ts[invited] - 2 * SECOND_MS, group=groups),
        _steps(INVITE, ts[invited], victim, groups),
        _steps(WRITE, ts[~invited], victim),
    )


def warmup_script(sim: SimulationContext, sender: Sender, start: int) -> Script:
    """Plan chats with own accounts, evenly over the hours of warm-up."""
    span = sender.ring_h * HOUR_MS
    count = sim.rng.poisson(sender.ring_chats * span / DAY_MS)
    return _merge_steps(_steps(TALK, np.sort(start + (sim.rng.random(count) * span))))


def group_joining_script(sim: SimulationContext, start: int, count: int) -> Script:
    """Plan the joining of groups whose members are written to later."""
    ts = start + np.cumsum(sim.rng.uniform(1, 9, count) * MINUTE_MS).astype(np.int64)
    return _merge_steps(_steps(JOIN, ts, group=sim.new_groups(count)))


def _add_texts(
    sim: SimulationContext,
    ts: Ints,
    account: Ints | int,
    peer: Ints,
    size: Ints,
    *,
    is_known: bool = False,
) -> Ints:
    none = sim.pool.code("none")
    return sim.log.add(
        "message.sent", ts, account, peer=peer, size=size, media=none, in_contacts=is_known
    )


def add_script_events(
    sim: SimulationContext, sender: Sender, account: int, steps: Script, own_accounts: Ints
) -> Acts:
    """Plan the events of steps; return the acts on people among them."""
    log, pool, rng = sim.log, sim.pool, sim.rng
    content = sender.content or sim.content
    parts = {step: steps.select(steps.step == step) for step in range(8)}
    part = parts[CREATE_GROUP]
    log.add("group.created", part.ts, account, group=part.group)
    part = parts[JOIN]
    log.add("group.joined", part.ts, account, group=part.group)
    part = parts[POST]
    size = conversations.draw_text_sizes(rng, len(part), content)[1]
    log.add(
        "message.sent", part.ts, account, group=part.group, size=size, media=pool.code("none"),
        recipients=part.size,
    )  # fmt: skip
    part = parts[BLOCK]
    log.add("user.blocked", part.ts, account, peer=part.peer)
    part = parts[INVITE]
    ids = log.add("group.member_added", part.ts, account, group=part.group, peer=part.peer)
    acts = [make_acts(sim, ADD, ids, part.ts, account, part.peer, group=part.group)]
    part = parts[FILE_REPORT]
    reason = pool.codes(("spam", "scam"))[rng.integers(0, 2, len(part))]
    ids = log.add("user.reported", part.ts, account, peer=part.peer, reason=reason)
    acts.append(make_acts(sim, REPORT, ids, part.ts, account, part.peer))
    for step, kind, reply in ((WRITE, MESSAGE, 0.3), (TALK, CHAT, 0.93)):
        part = parts[step]
        if kind == CHAT and len(own_accounts):
            part = replace(part, peer=own_accounts[rng.integers(0, len(own_accounts), len(part))])
        part = part.select(part.peer != ABSENT)
        size = conversations.draw_text_sizes(rng, len(part), content)[1]
        ids = _add_texts(sim, part.ts, account, part.peer, size, is_known=kind == CHAT)
        acts.append(make_acts(sim, kind, ids, part.ts, account, part.peer, reply=reply))
    return concat_acts(acts)


_CORRECTION = 14.0  # characters of a corrected word


@dataclass(frozen=True, slots=True)
class OutgoingMessages(Columns):
    """Messages to send, one row each; `place` is the account's number among its operator's."""

    ts: Ints
    account: Ints
    place: Ints
    peer: Ints
    lists: Ints
    reply: Floats
    characters: Floats
    lead: Ints


def _add_lookups(sim: SimulationContext, sender: Sender, draft: OutgoingMessages) -> None:
    rng = sim.rng
    share = rng.uniform(*sender.lookups)
    is_single = draft.place % 2 == 1
    tries = rng.geometric(share, int(is_single.sum()))
    ts = np.repeat(draft.ts[is_single], tries) - rng.integers(200, 2500, int(tries.sum()))
    hits = np.zeros(len(ts), np.int64)
    hits[np.cumsum(tries) - 1] = 1
    account = np.repeat(draft.account[is_single], tries)
    sim.log.add("contact.looked_up", ts, account, count=1, hits=hits)
    batch_hits = max(1, int(sender.batch * share))
    first = ~is_single & (rng.random(len(is_single)) < 1 / batch_hits)
    ts, account = draft.ts[first] - 1500, draft.account[first]
    sim.log.add("contact.looked_up", ts, account, count=sender.batch, hits=batch_hits)


def _add_corrections(sim: SimulationContext, sender: Sender, draft: OutgoingMessages) -> Acts:
    rng, content = sim.rng, sender.content or sim.content
    wrong = draft.select(np.flatnonzero(rng.random(len(draft)) < sender.errors))
    ts = wrong.ts + (rng.uniform(0.5, 2.0, len(wrong)) * SECOND_MS).astype(np.int64)
    size = conversations.text_sizes(content, np.full(len(wrong), _CORRECTION))
    ids = _add_texts(sim, ts, wrong.account, wrong.peer, size)
    return make_acts(sim, MESSAGE, ids, ts, wrong.account, wrong.peer, lists=wrong.lists, reply=0.0)


def _add_approaches(sim: SimulationContext, sender: Sender, draft: OutgoingMessages) -> Bools:
    rng = sim.rng
    first = rng.random(len(draft)) < sender.approached
    lag = rng.lognormal(np.log(10 * MINUTE_MS), 1.2, int(first.sum())).astype(np.int64)
    times = np.maximum(draft.ts[first] - lag, sim.start)
    conversations.add_first_messages(sim, times, draft.peer[first], draft.account[first], STYLE)
    return first


def add_stranger_messages(sim: SimulationContext, sender: Sender, draft: OutgoingMessages) -> Acts:
    """Plan messages to strangers with all that surrounds them; responses come later."""
    rng, log, pool = sim.rng, sim.log, sim.pool
    count, content = len(draft), sender.content or sim.content
    if sender.calls and (calling := rng.random(count) < sender.calls).any():
        calls, audio = draft.select(calling), pool.code("audio")
        ids = log.add("call.started", calls.ts, calls.account, peer=calls.peer, media=audio)
        acts = make_acts(sim, CALL, ids, calls.ts, calls.account, calls.peer, lists=calls.lists)
        rest = add_stranger_messages(sim, replace(sender, calls=0.0), draft.select(~calling))
        return acts.append(rest)
    if sender.lookups[1] > 0:
        _add_lookups(sim, sender, draft)
    if sender.saves:
        early = draft.ts - rng.integers(4 * SECOND_MS, 40 * SECOND_MS, count)
        log.add("contact.added", early, draft.account, peer=draft.peer)
    reply = draft.reply
    if sender.approached:
        reply = np.where(_add_approaches(sim, sender, draft), APPROACHED_REPLY, reply)
    is_typed = draft.lead >= 0
    typed = draft.select(is_typed)
    log.add("typing.started", typed.ts - typed.lead, typed.account, peer=typed.peer)
    picture = ~is_typed & (rng.random(count) < content.image)
    size = np.where(
        picture, int(content.image_bytes), conversations.text_sizes(content, draft.characters)
    )
    ids = log.add(
        "message.sent", draft.ts, draft.account, peer=draft.peer, size=size,
        media=np.where(picture, pool.code("image"), pool.code("none")),
        in_contacts=rng.random(count) < content.known,
    )  # fmt: skip
    acts_done = make_acts(
        sim, MESSAGE, ids, draft.ts, draft.account, draft.peer, lists=draft.lists, reply=reply,
        dead=content.dead + sender.stale,
    )  # fmt: skip
    return acts_done.append(_add_corrections(sim, sender, draft)) if sender.errors else acts_done


def add_willing_messages(
    sim: SimulationContext, sender: Sender, ts: Ints, account: int, peer: Ints, kind: int
) -> Acts:
    """Plan messages to accounts that answer and do not complain: own ones (CHAT), or paid (PAID).

    They are first messages to people who do not know the sender, as those to strangers are.
    """
    size = conversations.draw_text_sizes(sim.rng, len(ts), sender.content or sim.content)[1]
    ids = _add_texts(sim, ts, account, peer, size)
    return make_acts(sim, kind, ids, ts, account, peer, reply=OWN_ACCOUNTS.reply)


def add_dialogues(
    sim: SimulationContext, sender: Sender, account: Ints, peer: Ints, answered_at: Ints
) -> None:
    """Plan how a sender goes on with people who answer, and adds some of them to its group.

    `peer` answered `account` at `when` (milliseconds). Nothing where the sender has no dialogue.
    """
    low, high = sender.dialogue
    if not high or not len(answered_at):
        return
    rng, count, gap = sim.rng, len(answered_at), sender.dialogue_gap * SECOND_MS
    style = adjust_style(STYLE, answer_gap=gap, own_gap=0.5 * gap, longest_gap=8.0 * HOUR_MS)
    start = answered_at + rng.lognormal(np.log(gap), 1.0, count).astype(np.int64)
    length = rng.integers(max(1, low), max(2, high + 1), count)
    conversations.converse(
        sim,
        style,
        start,
        account,
        peer,
        is_known=0.3,
        is_mutual=0.5,
        typing=sender.typing,
        length=length,
    )
    rows_chosen = np.flatnonzero(rng.random(count) < sender.funnel)
    for owner in np.unique(account[rows_chosen]).tolist():
        rows = rows_chosen[account[rows_chosen] == owner]
        ts = start[rows] + (rng.uniform(0.5, 6.0, len(rows)) * HOUR_MS).astype(np.int64)
        group = int(sim.new_groups(1)[0])
        sim.log.add("group.created", ts.min(keepdims=True) - MINUTE_MS, owner, group=group)
        sim.log.add("group.member_added", ts, owner, group=group, peer=peer[rows])


@dataclass(frozen=True, slots=True)
class Accusations(Columns):
    """Planned complaints about honest accounts, one row each, in order of time.

    `lured`: the accused was led to write to the accuser first, by an order or a question.
    """

    ts: Ints
    account: Ints
    rival: Ints
    lured: Bools


NO_ACCUSATIONS = Accusations(_NONE, _NONE, _NONE, np.zeros(0, bool))
LURE_AHEAD_S = (120.0, 5_400.0)
"""Seconds between the message of a lured honest account, and the complaint about it."""


def plan_accusations(
    sim: SimulationContext, sender: Sender, accounts: Ints, start: int, rivals: Ints
) -> Accusations:
    """Plan complaints of accounts from `start` on: each about a rival once at most."""
    rng, span = sim.rng, max(sim.end - start, 0)
    counts = rng.poisson(sender.accuses * (span / DAY_MS), len(accounts))
    rivals_by_account = [rng.permutation(rivals)[:count] for count in counts.tolist()]
    account = np.repeat(accounts, [len(accused) for accused in rivals_by_account])
    rival = np.concatenate([*rivals_by_account, _NONE])
    ts = start + (rng.random(len(rival)) * span).astype(np.int64)
    order = np.argsort(ts, kind="stable")
    lured = rng.random(len(rival)) < sender.lured
    return Accusations(ts[order], account[order], rival[order], lured)


def add_accusations(sim: SimulationContext, due: Accusations) -> None:
    """Plan complaints, and before some of them the message that the accused was led to send."""
    rng, log, lured = sim.rng, sim.log, due.select(due.lured)
    ahead = (rng.uniform(*LURE_AHEAD_S, len(lured)) * SECOND_MS).astype(np.int64)
    size = conversations.draw_text_sizes(rng, len(lured), sim.content)[1]
    _add_texts(sim, lured.ts, lured.rival, lured.account, size)
    times = due.ts.copy()
    times[due.lured] += ahead
    blocks = rng.random(len(due)) < ALSO_BLOCK
    reason = sim.pool.codes(("spam", "scam"))[rng.integers(0, 2, len(due))]
    log.add("user.reported", times, due.account, peer=due.rival, reason=reason)
    blocked = due.select(blocks)
    log.add("user.blocked", times[blocks] + 4 * SECOND_MS, blocked.account, peer=blocked.rival)


CHARACTERS_A_WORD = 5.0
PEAK_HOUR = 15
"""Local hour at which a played day curve is highest."""

_GRID = np.arange(25.0)


@dataclass(frozen=True, slots=True)
class DayPlan(Columns):
    """The messages of one day: time, characters, and milliseconds of typing (-1: none)."""

    ts: Ints
    characters: Floats
    lead: Ints


NO_PLAN = DayPlan(_NONE, np.zeros(0), _NONE)


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
    low, high = sender.gap
    if sender.law == "fixed":
        return np.full(count, sender.gap[pick % 2] * SECOND_MS)
    if sender.quick[1] and pick % 2 == 0:
        low, high = sender.quick
        gaps = rng.normal((low + high) / 2, (high - low) / 5, count)
        return np.clip(gaps, low, high) * SECOND_MS
    if sender.law == "typed":
        return np.maximum(lead, 0) + rng.uniform(*sender.pause, count) * SECOND_MS
    return rng.uniform(low, high, count) * SECOND_MS


def _apply_day_curve(ts: Ints, start: int, amplitude: float, zone: int) -> Ints:
    hours = 2 * np.pi * (_GRID - PEAK_HOUR) / 24
    shape = np.sin(hours) - np.sin(hours[0])
    steps = _GRID + amplitude * 24 / (2 * np.pi) * shape
    local = start + zone * HOUR_MS
    day, rest = divmod(local, DAY_MS)
    position = np.interp(rest / HOUR_MS, _GRID, steps) * HOUR_MS
    days, rests = np.divmod(position + (ts - start), DAY_MS)
    shifted = (
        (day + days) * DAY_MS + np.interp(rests / HOUR_MS, steps, _GRID) * HOUR_MS - zone * HOUR_MS
    )
    return np.asarray(np.maximum(shifted.astype(np.int64), start))


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
    text = conversations.draw_text_sizes(rng, count, sender.content or DEFAULT_CONTENT)[0]
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
    typing_ms = np.minimum(lead[: len(ts)], (0.9 * before).astype(np.int64))
    return DayPlan(ts, text[: len(ts)], np.where(lead[: len(ts)] < 0, -1, typing_ms))
