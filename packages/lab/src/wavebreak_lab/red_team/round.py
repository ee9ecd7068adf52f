"""Play a round of a red-team run: a causal replay of people, with operators that adapt.

People and personas are simulated once, as an `Environment`, and replayed in every round. The
operators are the actors of the replay (`wavebreak_lab.causal_replay`).
"""

from __future__ import annotations

import copy
import heapq
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import pyarrow as pa

from wavebreak.durations import HOUR_MS, SECOND_MS
from wavebreak.engine import Engine
from wavebreak.engine.decision import Decision
from wavebreak.engine.enforcement import FirstMessages, notification_time
from wavebreak.model import Model
from wavebreak.outcomes import PERCEPTIBLE
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.rules import Feedback, Policy
from wavebreak.schema import coverage
from wavebreak_lab import simulation
from wavebreak_lab.causal_replay import Behaviour, CausalReplay
from wavebreak_lab.red_team.config import MissingReceipts, RedTeamConfig
from wavebreak_lab.simulation import attackers
from wavebreak_lab.simulation.attackers import OperatorFeedback
from wavebreak_lab.simulation.background_trace import FIRST_ID
from wavebreak_lab.simulation.context import AccountRegistry, SimulationContext
from wavebreak_lab.simulation.log import Bools, EventBlock, EventLog, merge_blocks, to_batches
from wavebreak_lab.simulation.world import BATCH

GROUPS_PER_OPERATOR = 1 << 20
"""Group ids reserved for each operator, so that no two operators share one."""

MAX_BLOCKS = 48
"""Blocks of planned events above which they are merged."""

NEVER = 1 << 62

FeedbackMode = Literal["delayed", "instant", "never"]
"""When operators learn of decisions: with the policy's delay, at once, or not at all."""


@dataclass(slots=True)
class _AccountFeedback:
    """One account: when its operator knows the outcome, refusals, and its last notification."""

    known_at: int = NEVER
    refused: int = 0
    refused_since: int = NEVER
    notified_at: int = -NEVER


class FeedbackQueue:
    """Decisions and refusals, queued until the operator of the account gets them."""

    def __init__(
        self, mode: FeedbackMode, policy: Feedback, missing_receipts: MissingReceipts
    ) -> None:
        self._mode, self._policy, self._missing_receipts = mode, policy, missing_receipts
        self._accounts: dict[int, _AccountFeedback] = {}
        self._queue: list[tuple[int, int, str, int]] = []

    def add_decision(self, account: int, decision: Decision) -> None:
        """Queue a decision on an operator's account."""
        if decision.outcome not in PERCEPTIBLE or self._mode == "never":
            return
        state = self._accounts.setdefault(account, _AccountFeedback())
        state.known_at = decision.ts
        if self._mode == "delayed":
            state.known_at = notification_time(
                self._policy, decision.id, decision.ts, decision.outcome, decision.until
            )
        until_ms = decision.until or 0
        heapq.heappush(self._queue, (state.known_at, account, decision.outcome, until_ms))

    def add_refusals(self, account: int, count: int, now: int) -> None:
        """Queue refused acts: an error once the outcome is known, before that a missing receipt.

        An operator learns of an account's refusals once an hour at most, so that it does not
        change its plan at each of them.
        """
        state = self._accounts.setdefault(account, _AccountFeedback())
        state.refused += count
        state.refused_since = min(state.refused_since, now)
        if now < state.notified_at + HOUR_MS:
            return
        limit = self._missing_receipts
        if state.known_at <= now:
            heapq.heappush(self._queue, (now, account, "refused", 0))
        elif now - state.refused_since >= limit.seconds * SECOND_MS and state.refused >= limit.acts:
            heapq.heappush(self._queue, (now, account, "silence", 0))
        else:
            return
        state.notified_at = now

    def add_delivery(self, account: int) -> None:
        """Record a delivered act: receipts are no longer missing."""
        state = self._accounts.get(account)
        if state:
            state.refused, state.refused_since = 0, NEVER

    def next_at(self) -> int:
        """Return when the next feedback is due (milliseconds)."""
        return self._queue[0][0] if self._queue else NEVER

    def pop_due(self, now: int) -> list[OperatorFeedback]:
        """Remove and return the feedback that is due by now."""
        due = []
        while self._queue and self._queue[0][0] <= now:
            ts, account, kind, until_ms = heapq.heappop(self._queue)
            due.append(OperatorFeedback(account, kind, max(ts, 0), until_ms))
        return due


@dataclass(frozen=True)
class Environment:
    """People's events between `sim.start` and `sim.end`: the world and its log."""

    sim: SimulationContext
    world: simulation.World
    log: pa.Table

    def until(self, end_ms: int) -> Environment:
        """Return the environment before a time."""
        end_row = int(np.searchsorted(self.log.column("ts").to_numpy(), end_ms))
        return replace(self, sim=replace(self.sim, end=end_ms), log=self.log.slice(0, end_row))


def simulate_environment(
    pseudonymizer: Pseudonymizer, *, people: int, days: float, seed: int
) -> Environment:
    """Simulate people and all benign personas, once for all rounds."""
    world = simulation.simulate(people=people, days=days, personas=["all"], seed=seed)
    if world.timeline is None:
        raise AssertionError("a world without a background has a timeline")
    log = pa.Table.from_batches([pseudonymizer.apply(batch) for batch in world.batches()])
    return Environment(world.timeline.sim, world, log)


def new_engine(policy: Policy, model: Model | None) -> Engine:
    """Return an engine that enforces and counts first messages, without state."""
    profile = coverage.declared(coverage.known_names())  # the same as in a replay of its log
    engine = Engine(policy, profile, enforce=True, accounts=1 << 15, model=model)
    engine.first_messages = FirstMessages()
    return engine


@dataclass(frozen=True)
class OperatorEntry:
    """An operator that takes part: its family, its parameters, its number of accounts."""

    family: str
    name: str
    sender: attackers.Sender
    accounts: int


@dataclass
class OperatorResult:
    """Expenses of an operator in a round, and its acts delivered and attempted, by account.

    `accused`: its complaints about honest accounts.
    """

    entry: OperatorEntry
    spent: dict[str, float]
    delivered: dict[str, int]
    attempted: dict[str, int]
    recovered: set[str]
    accused: dict[str, int] = field(default_factory=dict)

    @property
    def total_delivered(self) -> int:
        """Acts delivered by all of its accounts."""
        return sum(self.delivered.values())

    @property
    def total_attempted(self) -> int:
        """Acts attempted by all of its accounts."""
        return sum(self.attempted.values())


@dataclass
class _OperatorState:
    """An operator with its own simulation context, and the counts of its accounts."""

    entry: OperatorEntry
    sim: SimulationContext
    operator: attackers.Operator
    delivered: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    attempted: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    recovered: set[int] = field(default_factory=set)


class Round:
    """An environment under one engine; the operators may change between two spans of time.

    Implements `wavebreak_lab.causal_replay.Actors`.
    """

    def __init__(
        self,
        environment: Environment,
        engine: Engine,
        pseudonymizer: Pseudonymizer,
        settings: RedTeamConfig,
        mode: FeedbackMode,
        seed: tuple[int, ...],
    ) -> None:
        self.environment, self.settings = environment, settings
        self.operators: list[_OperatorState] = []
        sim = environment.sim
        self.registry: AccountRegistry = copy.deepcopy(sim.registry)
        self._pool, self._assigned = copy.deepcopy(sim.pool), set(sim.assigned)
        self._log, self._planned = EventLog(FIRST_ID), list[EventBlock]()
        self._pseudonymizer, self._rng = pseudonymizer, np.random.default_rng((*seed, 99))
        self._feedback = FeedbackQueue(mode, engine.policy.feedback, settings.missing_receipts)
        self._listens = mode != "never"
        self._contexts = 0
        self._owners: dict[int, _OperatorState] = {}
        self._names = self.registry.names()
        self._numbers: dict[str, int] = {}
        self._acts: list[tuple[_OperatorState, attackers.Acts]] = []
        self._ids = np.zeros(0, np.int64)
        self._requests_until: dict[int, int] = {}
        self._open_requests: dict[tuple[int, int], bool] = {}
        people, requests = settings.challenges, settings.requests
        behaviour = Behaviour(
            pass_shares={"benign": people.pass_share, "abusive": people.pass_share},
            pass_log_s=math.log(people.pass_median_s),
            looked_at=requests.looked_at,
            reaction_log_s=math.log(requests.median_s),
        )
        labels = {account: label for account, label, *_ in environment.world.labels}
        self.replay = CausalReplay(environment.log, labels, engine, ("benign",), behaviour, self)

    def enter(
        self, entries: Sequence[OperatorEntry], start: int, end: int, seed: tuple[int, ...]
    ) -> None:
        """Let operators act from `start` to `end` (ms), in place of the operators before."""
        self.operators = []
        for number, entry in enumerate(entries):
            self._contexts += 1
            sim = replace(
                self.environment.sim,
                start=start,
                end=end,
                rng=np.random.default_rng((*seed, number)),
                log=self._log,
                pool=self._pool,
                registry=self.registry,
                assigned=self._assigned,
                groups=GROUPS_PER_OPERATOR * self._contexts,
            )
            operator = attackers.Operator(
                sim, entry.name, entry.family, entry.sender, entry.accounts, listens=self._listens
            )
            self.operators.append(_OperatorState(entry, sim, operator))

    def play(self, start: int, end: int) -> None:
        """Play the operators that entered, from `start` to `end` (ms)."""
        last = end >= self.environment.sim.end
        self.replay.run(begin_ms=start, end_ms=None if last else end)

    def results(self) -> list[OperatorResult]:
        """Return the results of the operators that entered last."""
        return [self._result(state) for state in self.operators]

    def act(self, start: int, end: int) -> tuple[pa.Table, pa.Table] | None:
        """Give operators the feedback that is due, and return the events of their accounts."""
        feedback = defaultdict[int, list[OperatorFeedback]](list)
        for item in self._feedback.pop_due(start):
            if item.account in self._owners:
                feedback[id(self._owners[item.account])].append(item)
        self._acts = []
        for state in self.operators:
            line_count = len(state.operator.lines)
            acts = state.operator.step(state.sim, start, end, feedback.get(id(state), ()))
            for line in state.operator.lines[line_count:]:
                self._owners[line.account] = state
            if len(acts):
                self._acts.append((state, acts))
        block = self._take_planned(start, end)
        self._ids = block.columns["id"]
        if not len(block):
            return None
        accounts, texts = self._account_names(), self._pool.arrow()
        wire = pa.Table.from_batches(to_batches(block, accounts, texts, BATCH))
        log = [self._pseudonymizer.apply(batch) for batch in wire.to_batches()]
        return pa.Table.from_batches(log), wire

    def _take_planned(self, start: int, end: int) -> EventBlock:
        blocks = [*self._planned, *self._log.flush()]
        if len(blocks) > MAX_BLOCKS:
            blocks = [merge_blocks(blocks)]
        self._planned, due = [], []
        for block in blocks:
            before, after = block.split(end)
            self._planned += [after] if len(after) else []
            due += [before] if len(before) else []
        late = [EventBlock(b.columns | {"ts": np.maximum(b.ts, start)}) for b in due]
        return merge_blocks(late)

    def take_decision(self, decision: Decision) -> bool:
        """Queue feedback for the operator of the account; False for all other accounts."""
        if len(self._numbers) != len(self.registry):
            self._numbers = {n: i for i, n in enumerate(self._account_names().to_pylist())}
        account = self._numbers[decision.account]
        state = self._owners.get(account)
        if state is None:
            return False
        if decision.outcome == "request":
            self._requests_until[account] = decision.until or NEVER
        else:
            self._requests_until.pop(account, None)
        if decision.action != "recover":
            self._feedback.add_decision(account, decision)
        elif account not in state.recovered:
            state.recovered.add(account)
            self._recover(account, state, decision.ts)
        return True

    def _recover(self, account: int, state: _OperatorState, ts: int) -> None:
        median = np.log(self.settings.challenges.recover_median_s)
        passed_at_ms = ts + SECOND_MS + int(self._rng.lognormal(median, 1.0) * SECOND_MS)
        if passed_at_ms < self.environment.sim.end:
            code = self._pool.code("code")
            self._log.add("challenge.passed", np.array([passed_at_ms]), account, kind=code)
        state.operator.lose_account(account, passed_at_ms)

    def respond(self, is_refused: Bools, end: int) -> None:
        """Plan people's responses to delivered acts, and queue feedback on refused ones."""
        if not self._acts:
            return
        acts = attackers.concat_acts([acts for _, acts in self._acts])
        delivered = ~np.isin(acts.id, self._ids[is_refused])
        is_seen, accepted = self._meet_requests(acts, delivered, end)
        self._count(acts, delivered, is_seen, end)
        first = 0
        for state, acts in self._acts:
            accepted_rows, first = accepted[first : first + len(acts)], first + len(acts)
            if accepted_rows.any():
                operator = state.operator
                replies = attackers.add_consequences(
                    state.sim, acts.select(accepted_rows), operator.reading, end
                )
                operator.spent["answers"] += int(
                    (accepted_rows & (acts.kind == attackers.PAID)).sum()
                )
                operator.record_replies(*replies)

    def _meet_requests(
        self, acts: attackers.Acts, delivered: Bools, end: int
    ) -> tuple[Bools, Bools]:
        """Return the acts that somebody saw, and those that were not declined or reported.

        A request that nobody looks at, or that is declined, closes the chat.
        """
        is_seen, accepted = delivered.copy(), delivered.copy()
        if not (self._requests_until or self._open_requests):
            return is_seen, accepted
        people = self.settings.requests
        for row in np.flatnonzero(delivered & (acts.kind == attackers.MESSAGE)).tolist():
            chat, ts = (int(acts.account[row]), int(acts.peer[row])), int(acts.ts[row])
            is_request = self._requests_until.get(chat[0], 0) > ts
            if chat in self._open_requests or not is_request:
                is_seen[row] = accepted[row] = self._open_requests.get(chat, True)
                continue
            is_seen[row] = self._rng.random() < people.looked_at
            draw = self._rng.random() if is_seen[row] and not acts.dead[row] else 1.0
            accepted[row] = is_seen[row] and draw >= people.declines + people.reports
            self._open_requests[chat] = bool(accepted[row])
            if draw < people.declines + people.reports:
                wait = self._rng.lognormal(np.log(people.median_s), 1.0) * SECOND_MS
                kind = "contact.refused" if draw < people.declines else "user.reported"
                reason = self._pool.code("stranger" if draw < people.declines else "spam")
                reacts_at = np.array([max(ts, end) + int(wait)])
                self._log.add(kind, reacts_at, chat[1], peer=chat[0], reason=reason)
        return is_seen, accepted

    def _count(self, acts: attackers.Acts, delivered: Bools, is_seen: Bools, end: int) -> None:
        accounts, places = np.unique(acts.account, return_inverse=True)
        is_counted = ~np.isin(acts.kind, (attackers.CHAT, attackers.PAID)) & ~(
            acts.dead & (acts.kind == attackers.MESSAGE)
        )
        attempts, deliveries, refusals = (
            np.bincount(places, rows, len(accounts)).astype(np.int64).tolist()
            for rows in (is_counted, is_counted & is_seen, ~delivered)
        )
        for account, attempted, accepted_rows, refused_count in zip(
            accounts.tolist(), attempts, deliveries, refusals, strict=True
        ):
            state = self._owners[account]
            state.attempted[account] += attempted
            state.delivered[account] += accepted_rows
            if refused_count:
                self._feedback.add_refusals(account, refused_count, end)
            elif accepted_rows:
                self._feedback.add_delivery(account)

    def _account_names(self) -> pa.StringArray:
        if len(self._names) != len(self.registry):
            self._names = self.registry.names()
        return self._names

    def _result(self, state: _OperatorState) -> OperatorResult:
        names = self._account_names()

        def by_name(counts: dict[int, int]) -> dict[str, int]:
            return {names[account].as_py(): count for account, count in counts.items()}

        for line in state.operator.lines:
            state.delivered.setdefault(line.account, 0)
            state.attempted.setdefault(line.account, 0)
        return OperatorResult(
            state.entry,
            state.operator.expenses(state.sim.end),
            by_name(state.delivered),
            by_name(state.attempted),
            {names[account].as_py() for account in state.recovered},
            by_name(state.operator.accused),
        )
