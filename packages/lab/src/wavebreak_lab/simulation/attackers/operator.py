"""An operator: its accounts, their plans step by step, and its reactions to feedback.

`SenderAccount` is one account: what it has planned, its counts, and when it acts next.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from wavebreak.durations import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from wavebreak_lab.simulation.attackers import actions, infrastructure
from wavebreak_lab.simulation.attackers.config import ENDS, REFUSALS, OperatorFeedback, Sender
from wavebreak_lab.simulation.context import SimulationContext
from wavebreak_lab.simulation.conversations import ReplyReading
from wavebreak_lab.simulation.geography import COUNTRIES
from wavebreak_lab.simulation.log import Ints
from wavebreak_lab.simulation.population import draw_clients, draw_devices

NEVER = 1 << 62
_NONE: Ints = np.zeros(0, np.int64)


@dataclass(slots=True)
class SenderAccount:
    """An account that an operator writes with; times are milliseconds.

    `start` is its first message, `until` when it is retired, `hold` until when it rests after a
    refusal, `pace` its share of the usual pace. `queue` are targets not yet written to, `reached`
    those that were. `rotate` and `reroll` are when address and fingerprint change next, `attempt`
    when it next tries to pass a challenge. `sent` and `answered` count since it last rested.
    `greeted` are the own accounts that it has written to for an answer.
    """

    account: int
    registered: int
    ip: int
    device: int
    client: int
    place: int
    start: int
    left: int = NEVER
    until: int = NEVER
    day: int = 0
    plan: actions.DayPlan = actions.NO_PLAN
    at: int = 0
    script: actions.Script = actions.NO_SCRIPT
    read: int = 0
    pace: float = 1.0
    hold: int = 0
    rotate: int = NEVER
    reroll: int = NEVER
    attempt: int = NEVER
    tries: int = 0
    sent: int = 0
    answered: int = 0
    ended: int = NEVER
    queue: Ints = field(default_factory=lambda: _NONE)
    reached: list[Ints] = field(default_factory=list)
    greeted: set[int] = field(default_factory=set)

    def opens(self) -> int:
        """Return when the day that is not planned yet begins."""
        return self.start + self.day * DAY_MS if self.left > 0 else NEVER

    def due(self) -> int:
        """Return when the account does something next."""
        if self.ended < NEVER:
            return NEVER
        sends = int(self.plan.ts[self.at]) if self.at < len(self.plan) else self.opens()
        script = int(self.script.ts[self.read]) if self.read < len(self.script) else NEVER
        return min(sends, script, self.rotate, self.reroll, self.attempt, self.until)

    def rest(self, until_ms: int) -> None:
        """Send nothing until a time: what was planned before it is dropped, scripts move back."""
        self.hold = until_ms
        self.at = max(self.at, int(np.searchsorted(self.plan.ts, until_ms)))
        self.script = self.script.later(self.read, until_ms)

    def slow(self, rng: np.random.Generator, share: float) -> None:
        """Go on at a share of the pace; what is planned for today is thinned out."""
        self.pace *= share
        keep = np.arange(len(self.plan)) < self.at
        keep |= rng.random(len(keep)) < share
        self.plan = self.plan.select(keep)

    def take(self, before: int) -> actions.DayPlan:
        """Take the planned messages before a time."""
        plan, first = self.plan, self.at
        self.at = max(first, int(np.searchsorted(plan.ts, before)))
        if self.at == first or self.left <= 0:
            return actions.NO_PLAN
        rows = slice(first, min(self.at, first + self.left))
        self.left -= rows.stop - rows.start
        return plan.select(rows)


LISTS = 8
"""Lists of targets that an operator buys; some answer more than others."""

TRIES = 3
"""Attempts at challenges an account and day: a quota."""

RETRY_H = 1.0
"""Hours after which software that does not listen tries again what was refused to its face."""

_AHEAD = 64  # targets drawn at a time
_STAGED = 3.0  # how much likelier someone of a shared group answers
_TRIED = 20  # messages before a share of answers says something
_VICTIMS = {"reports": "victim-of-reports", "flood": "victim-of-flood"}

RIVALS = ("salesperson", "recruiter", "greeter", "courier", "shop", "organiser", "new-number")
"""Personas of honest people who write to others first: a brigade accuses them, and anybody."""

HELPERS = "helpers"
"""Family of the accounts that only answer and complain."""

SHIFTS = 4
"""Of accounts that take turns by `hand`, one in so many is in use at once."""

_BEFORE_MIN = 10.0  # minutes, in the mean, between a message for an answer and one to a stranger


class Operator:
    """One operator with a number of accounts, successors included.

    `listens`: answers will come, so accounts are kept for successors; without, those that live
    for `life_h` hours follow each other by the clock. `spent` counts what was paid for: numbers,
    devices, addresses, challenges, taken_over, helpers, answers, lures, hours. `rivals` are the
    honest accounts that it complains of, `accused` how often it has, by account.
    """

    def __init__(
        self,
        sim: SimulationContext,
        name: str,
        family: str,
        sender: Sender,
        accounts: int,
        *,
        victims: Ints | None = None,
        listens: bool = False,
    ) -> None:
        rng, sender = sim.rng, replace(sender, content=sender.content or sim.content)
        self.name, self.family, self.sender, self.accounts = name, family, sender, accounts
        self.lines: list[SenderAccount] = []
        self.spent: dict[str, float] = defaultdict(float)
        self.zone = COUNTRIES[int(rng.integers(len(COUNTRIES)))].zone
        sigma = 0.8 if sender.shape else 0.0
        max_reply = 0.3 if sender.charm <= 1 else 0.6
        replies = sender.charm * sim.behaviour.reply
        self.reply_rates = np.minimum(replies * rng.lognormal(0, sigma, LISTS), max_reply)
        self.tried, self.answered = np.ones(LISTS), np.full(LISTS, sim.behaviour.reply)
        self._by_account: dict[int, SenderAccount] = {}
        self._pending_replies: list[tuple[actions.Acts, Ints]] = []
        self._waiting: list[SenderAccount] = []
        self.reading = ReplyReading(sender.reads, sender.look)
        self._victims = self._find_victims(sim) if victims is None else victims
        self._around = sim.draw_times(0.45, 0.8, len(self._victims))
        self._infrastructure = (
            None
            if sender.hijack
            else infrastructure.Infrastructure(sim, sender.enrolment, accounts)
        )
        self._sharing = 1.0
        self.spent["devices"] = 0 if sender.hijack else min(sender.enrolment.devices, accounts)
        if not (sender.enrolment.residential or sender.hijack):
            self._sharing = accounts / sender.enrolment.networks
        self.rivals = self._find_rivals(sim)
        self._accusations = actions.NO_ACCUSATIONS
        self.accused: dict[int, int] = defaultdict(int)
        self._helpers = self._find_helpers(sim)
        self._scheduled: list[tuple[int, SenderAccount | None]] = [
            (int(ts), None) for ts in np.sort(self._first(sim, listens=listens))
        ]
        self._left = accounts - len(self._scheduled)
        self.due = self._next()

    def _find_victims(self, sim: SimulationContext) -> Ints:
        family = _VICTIMS.get(self.sender.work, "")
        count = max(1, self.accounts // 20) if self.sender.work == "reports" else 1
        return sim.assign_people(count, family) if family else np.zeros(0, np.int64)

    def _find_rivals(self, sim: SimulationContext) -> Ints:
        if not (self.sender.rivals and self.sender.accuses):
            return _NONE
        count = self.sender.rivals
        persona_accounts = [sim.registry.of(name) for name in RIVALS]
        honest = np.unique(np.concatenate([*persona_accounts, sim.draw_strangers(10 * count)]))
        honest = honest[~sim.registry.are_abusive()[honest]]
        return sim.rng.permutation(honest)[:count]

    def _find_helpers(self, sim: SimulationContext) -> Ints:
        sender = self.sender
        if not sender.helpers:
            return _NONE
        enrolment = replace(sender.enrolment, residential=True, devices=sender.helpers)
        ts = np.sort(sim.start + sim.rng.integers(0, HOUR_MS, sender.helpers))
        helpers = infrastructure.Infrastructure(sim, enrolment, sender.helpers).enrol(
            sim, ts, HELPERS, self.name, aged=True
        )
        self.spent["helpers"] += sender.helpers
        self._accuse(sim, helpers.account, sim.start + HOUR_MS)
        return helpers.account

    def _accuse(self, sim: SimulationContext, accounts: Ints, start: int) -> None:
        if not len(self.rivals):
            return
        accusations = actions.plan_accusations(sim, self.sender, accounts, start, self.rivals)
        planned = self._accusations.append(accusations)
        self._accusations = planned.select(np.argsort(planned.ts, kind="stable"))

    def _first(self, sim: SimulationContext, *, listens: bool) -> Ints:
        sender, slots = self.sender, self.accounts
        if sender.life_h:
            lives = int(0.9 * sim.span / (sender.life_h * HOUR_MS))
            slots = -(-slots // max(1, min(slots, lives)))
            ts = sim.start + sim.rng.integers(0, HOUR_MS, slots)
            return np.minimum(ts, sim.end - 2 * MINUTE_MS)
        if sender.hand:
            slots = -(-slots // SHIFTS)
        elif sender.replace and listens:
            slots = -(-slots // 2)
        return sim.draw_times(*sender.register, slots)

    def _next(self) -> int:
        coming = min((ts for ts, _ in self._scheduled), default=NEVER)
        if len(self._accusations):
            coming = min(coming, int(self._accusations.ts[0]))
        return min(coming, min((line.due() for line in self.lines), default=NEVER))

    def step(
        self,
        sim: SimulationContext,
        low: int,
        high: int,
        answers: Sequence[OperatorFeedback] = (),
    ) -> actions.Acts:
        """Plan what the accounts do in [low, high) milliseconds; return their acts on people.

        `answers` are what the operator has learned since the last step. What people do about the
        acts is planned by `add_consequences`, for those that went through.
        """
        for answer in answers:
            self._hear(sim, answer)
        if self._pending_replies:
            self._learn(low)
        if not answers and self.due >= high:
            return actions.NO_ACTS
        self._arrive(sim, low, high)
        due = int(np.searchsorted(self._accusations.ts, high))
        accused = self._accusations.select(slice(due))
        self._accusations = self._accusations.select(slice(due, None))
        if len(accused):
            actions.add_accusations(sim, accused)
            self.spent["lures"] += int(accused.lured.sum())
            for rival in accused.rival.tolist():
                self.accused[rival] += 1
        acts_done: list[actions.Acts] = []
        drafts: list[actions.OutgoingMessages] = []
        for line in list(self.lines):
            if line.due() < high:
                self._move(sim, line, low, high)
                acts_done += self._perform(sim, line, high)
                messages = self._drafts(sim, line, high)
                acts_done += self._ask_for_answers(sim, line, messages, low)
                drafts += messages
        if drafts:
            drafted = drafts[0].append(*drafts[1:])
            acts_done.append(actions.add_stranger_messages(sim, self.sender, drafted))
        self.due = self._next()
        return actions.concat_acts(acts_done)

    def record_replies(self, answered_acts: actions.Acts, answered_at: Ints) -> None:
        """Record answers of people, and their times."""
        if self.sender.shape and len(answered_acts):
            self._pending_replies.append((answered_acts, answered_at))

    def lose_account(self, account: int, ts: int) -> None:
        """Lose an account to its owner at a time."""
        line = self._by_account[account]
        line.until = min(line.until, ts)

    def expenses(self, end: int) -> dict[str, float]:
        """Return what was paid for until `end`: counts of things, and hours of accounts."""
        running = [end - line.registered for line in self.lines if line.ended == NEVER]
        return dict(self.spent) | {"hours": self.spent["hours"] + sum(running) / HOUR_MS}

    def _learn(self, now: int) -> None:
        pending = []
        for acts, answered_at in self._pending_replies:
            has_come = answered_at < now
            for account, list_number in zip(
                acts.account[has_come].tolist(), acts.lists[has_come].tolist(), strict=True
            ):
                self.answered[list_number] += list_number >= 0
                if account in self._by_account:
                    self._by_account[account].answered += 1
            if not has_come.all():
                pending.append((acts.select(~has_come), answered_at[~has_come]))
        self._pending_replies = pending

    def _hear(self, sim: SimulationContext, answer: OperatorFeedback) -> None:
        line, sender, rng = self._by_account.get(answer.account), self.sender, sim.rng
        if line is None or line.ended < NEVER:
            return
        if answer.until > answer.ts and sender.waits and rng.random() < sender.waits:
            line.rest(max(line.hold, answer.until + int(rng.uniform(1, 30) * MINUTE_MS)))
            return
        if sender.hand and answer.until - answer.ts > DAY_MS:
            self._end(sim, line, answer.ts, wait=(0.02, 0.5), replaced=True)
            return
        if answer.kind in ENDS:
            self._end(sim, line, answer.ts, wait=(0.5, 3.0), replaced=sender.replace)
            return
        if sender.rotate and answer.ts < line.rotate:
            line.rotate = answer.ts + int(rng.uniform(1, 20) * MINUTE_MS)
        if answer.kind == "challenge" and sender.solve and line.tries < TRIES:
            self._attempt(sim, line, answer.ts)
        elif answer.kind == "silence" and not sender.watches:
            return
        elif answer.kind in (*REFUSALS, "challenge") and line.hold <= answer.ts:
            hours = rng.uniform(*sender.pause_h) if sender.resume[1] else RETRY_H
            line.rest(answer.ts + int(hours * HOUR_MS))
            if sender.resume[1]:
                line.slow(rng, max(0.01 / line.pace, rng.uniform(*sender.resume)))

    def _attempt(self, sim: SimulationContext, line: SenderAccount, ts: int) -> None:
        if not self.sender.appeals:
            line.attempt = ts + int(sim.rng.exponential(self.sender.solve_s) * SECOND_MS)
            return
        self._waiting.append(line)
        if len(self._waiting) >= min(self.sender.appeals, self._living()):
            for place, other in enumerate(self._waiting):
                other.attempt = ts + (place + 1) * 5 * SECOND_MS
            self._waiting = []

    def _living(self) -> int:
        return sum(line.ended == NEVER for line in self.lines)

    def _end(
        self,
        sim: SimulationContext,
        line: SenderAccount,
        ts: int,
        *,
        wait: tuple[float, float],
        replaced: bool,
    ) -> None:
        line.ended = ts
        self.spent["hours"] += (ts - line.registered) / HOUR_MS
        if replaced and self._left > 0:
            self._left -= 1
            self._scheduled.append((ts + int(sim.rng.uniform(*wait) * HOUR_MS), line))

    def _arrive(self, sim: SimulationContext, low: int, high: int) -> None:
        due = sorted((c for c in self._scheduled if c[0] < high), key=lambda c: c[0])
        if not due:
            return
        self._scheduled = [c for c in self._scheduled if c[0] >= high]
        ts = np.maximum(np.array([c[0] for c in due], np.int64), low)
        stock = self._infrastructure
        if stock is None:
            rows = self._take_over(sim, ts)
        else:
            enrolled = stock.enrol(sim, ts, self.family, self.name, aged=self.sender.aged)
            rows = [
                enrolled.account,
                enrolled.registered,
                enrolled.ip,
                enrolled.device,
                enrolled.client,
            ]
            self.spent["numbers"] += len(due)
            self.spent["addresses"] += len(due) if self.sender.enrolment.residential else 0
        for values, (_, before) in zip(np.stack(rows, 1).tolist(), due, strict=True):
            self._open(sim, values, before)

    def _take_over(self, sim: SimulationContext, ts: Ints) -> list[Ints]:
        owners = sim.assign_people(len(ts), self.family, "abusive", self.name)
        sim.registry.mark_compromised(owners, ts)
        ip = infrastructure.rent_hosted_addresses(sim, len(owners), 2)
        device = draw_devices(sim.rng, sim.pool, len(owners))
        client = draw_clients(sim.rng, sim.pool, len(owners))
        sim.add_sessions(ts, owners, ip, device, client, linked=True)
        self.spent["taken_over"] += len(owners)
        return [owners, ts, ip, device, client]

    def _open(
        self, sim: SimulationContext, values: list[int], before: SenderAccount | None
    ) -> None:
        sender, rng = self.sender, sim.rng
        account, registered, ip, device, client = values
        start = registered + int(rng.uniform(*sender.quiet) * MINUTE_MS)
        line = SenderAccount(account, registered, ip, device, client, len(self.lines), start)
        if sender.total[1]:
            line.left = int(rng.integers(*sender.total))
        if sender.hand:
            line.left = min(line.left, sender.hand)
        if sender.life_h:
            line.until = registered + int(sender.life_h * HOUR_MS)
        if sender.proxy_h[1]:
            line.rotate = registered + int(rng.uniform(*sender.proxy_h) * HOUR_MS)
        if sender.fingerprint_h:
            line.reroll = registered + int(rng.exponential(sender.fingerprint_h) * HOUR_MS)
        if before is not None and before.reached:
            old = np.concatenate(before.reached)
            old = old[: int(np.ceil(sender.again * len(old)))]
            new = sim.draw_strangers(int(len(old) * (1 - sender.again) / max(sender.again, 0.01)))
            line.queue = rng.permutation(np.unique(np.concatenate([old, new])))
        self._script(sim, line)
        if not sender.helpers:
            self._accuse(sim, np.array([line.account]), line.start)
        self.lines.append(line)
        self._by_account[line.account] = line

    def _script(self, sim: SimulationContext, line: SenderAccount) -> None:
        sender, start = self.sender, line.start
        if sender.work == "groups":
            line.script = actions.group_adding_script(sim, sender, line.place, start)
        elif sender.work == "reports":
            line.script = actions.reporting_script(sim, sender, start, self._victims, self._around)
        elif sender.work == "flood":
            victim, around = int(self._victims[0]), int(self._around[0])
            line.script = actions.flood_script(sim, sender, start, victim, around)
        elif sender.staging:
            line.script = actions.group_joining_script(sim, start, int(sim.rng.integers(2, 5)))
            line.start += int(sender.lurk_h * HOUR_MS)
        elif sender.ring_h:
            line.script = actions.warmup_script(sim, sender, start)
            line.start += int(sender.ring_h * HOUR_MS)
        if sender.work != "write":
            line.left = 0

    def _move(self, sim: SimulationContext, line: SenderAccount, low: int, high: int) -> None:
        sender, rng = self.sender, sim.rng
        if line.until < high:
            self._end(sim, line, line.until, wait=(0.02, 0.2), replaced=True)
            return
        if line.rotate < high:
            ts, line.rotate = max(low, line.rotate), NEVER
            if sender.proxy_h[1]:
                line.rotate = ts + int(rng.uniform(*sender.proxy_h) * HOUR_MS)
            line.ip = int(infrastructure.rent_consumer_addresses(sim, 1)[0])
            self.spent["addresses"] += 1
            self._connect(sim, line, ts)
        if line.reroll < high and self._infrastructure is not None:
            ts = max(low, line.reroll)
            line.reroll = ts + int(rng.exponential(sender.fingerprint_h) * HOUR_MS) + MINUTE_MS
            line.device = int(rng.choice(self._infrastructure.models))
            self._connect(sim, line, ts)
        if line.attempt < high:
            ts, line.attempt = max(low, line.attempt), NEVER
            line.tries += 1
            self.spent["challenges"] += 1
            has_passed = rng.random() < sender.solve
            kind = "challenge.passed" if has_passed else "challenge.failed"
            sim.log.add(kind, np.array([ts]), line.account, kind=sim.pool.code("code"))
            if not has_passed and line.tries < TRIES:
                line.attempt = ts + int(rng.uniform(1, 10) * MINUTE_MS)

    def _connect(self, sim: SimulationContext, line: SenderAccount, ts: int) -> None:
        account = np.array([line.account])
        sim.add_sessions(np.array([ts]), account, line.ip, line.device, line.client)

    def _perform(
        self, sim: SimulationContext, line: SenderAccount, high: int
    ) -> list[actions.Acts]:
        first, line.read = line.read, max(line.read, int(np.searchsorted(line.script.ts, high)))
        if first == line.read or line.ended < NEVER:
            return []
        steps = line.script.select(slice(first, line.read))
        present = [o for o in self.lines if o.ended == NEVER and o.registered <= steps.ts[0]]
        own_accounts = np.array([o.account for o in present if o is not line], np.int64)
        return [actions.add_script_events(sim, self.sender, line.account, steps, own_accounts)]

    def _drafts(
        self, sim: SimulationContext, line: SenderAccount, high: int
    ) -> list[actions.OutgoingMessages]:
        drafts = []
        while line.ended == NEVER:
            plan = line.take(high)
            count = len(plan)
            if count:
                peer, lists = self._targets(sim, line, count)
                chances = self.reply_rates[lists] * (_STAGED if self.sender.staging else 1.0)
                account, place = np.full(count, line.account), np.full(count, line.place)
                drafts.append(
                    actions.OutgoingMessages(
                        plan.ts, account, place, peer, lists, np.minimum(chances, 0.4),
                        plan.characters, plan.lead,
                    )
                )  # fmt: skip
            if line.at < len(line.plan) or line.opens() >= high:
                break
            self._plan(sim, line)
        return drafts

    def _ask_for_answers(
        self,
        sim: SimulationContext,
        line: SenderAccount,
        drafts: list[actions.OutgoingMessages],
        low: int,
    ) -> list[actions.Acts]:
        """Write to own accounts and to paid people, for their answers, before some strangers.

        An account that has written to all that its hand allows is laid down.
        """
        sender, rng, acts = self.sender, sim.rng, list[actions.Acts]()
        ts = np.concatenate([_NONE, *(draft.ts for draft in drafts)])
        for kind, share in (
            (actions.CHAT, sender.own_answers),
            (actions.PAID, sender.bought_answers),
        ):
            if not share or not len(ts):
                continue
            count = int(share * len(ts) + rng.random())
            peers = self._willing(sim, line, kind, count)
            lead = rng.exponential(_BEFORE_MIN * MINUTE_MS, len(peers)).astype(np.int64)
            times = np.maximum(rng.choice(ts, len(peers)) - lead, low)
            acts.append(actions.add_willing_messages(sim, sender, times, line.account, peers, kind))
        if sender.hand and line.left <= 0 and line.ended == NEVER:
            self._end(sim, line, int(ts.max(initial=low)), wait=(0.02, 0.5), replaced=True)
        return acts

    def _willing(self, sim: SimulationContext, line: SenderAccount, kind: int, count: int) -> Ints:
        if kind == actions.PAID:
            return sim.draw_strangers(count)
        living = [other.account for other in self.lines if other.ended == NEVER]
        own_accounts = [*self._helpers.tolist(), *living]
        free = np.array(
            [a for a in own_accounts if a != line.account and a not in line.greeted], np.int64
        )
        peers = sim.rng.permutation(free)[:count]
        line.greeted.update(peers.tolist())
        return peers

    def _plan(self, sim: SimulationContext, line: SenderAccount) -> None:
        sender, start, day = self.sender, line.opens(), line.day
        line.day += 1
        if day:
            line.tries, line.pace = 0, min(1.0, line.pace * 1.5)
        line.plan = actions.plan_day(
            sim.rng, sender, start, day, pace=line.pace, sharing=self._sharing, zone=self.zone,
            pick=line.place,
        )  # fmt: skip
        line.at = int(np.searchsorted(line.plan.ts, line.hold))
        if sender.staging and day:
            sim.log.add("group.joined", np.array([start]), line.account, group=sim.new_groups(1))
        if sender.shape and line.sent >= _TRIED and line.answered < sender.shape * line.sent:
            line.sent = line.answered = 0
            line.rest(start + DAY_MS)

    def _targets(
        self, sim: SimulationContext, line: SenderAccount, count: int
    ) -> tuple[Ints, Ints]:
        while len(line.queue) < count:
            strangers = sim.draw_strangers(max(_AHEAD, count))
            if self.sender.shape and self.tried.sum() > 2 * _TRIED:
                best = np.argsort(self.answered / self.tried)[LISTS // 2 :]
                better = strangers[np.isin(strangers % LISTS, best)]
                strangers = better if len(better) else strangers
            line.queue = np.concatenate([line.queue, strangers])
        peer, line.queue = line.queue[:count], line.queue[count:]
        lists = peer % LISTS
        if self.sender.shape:
            line.sent += count
            np.add.at(self.tried, lists, 1)
        if self.sender.life_h or self.sender.replace:
            line.reached.append(peer)
        return peer, lists
