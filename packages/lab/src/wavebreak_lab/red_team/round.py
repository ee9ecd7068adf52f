"""One round of a red-team run: operators act, the engine decides, operators get feedback.

People and personas are simulated once, as an `Environment`, and replayed in every round.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa

from wavebreak.durations import HOUR_MS, MINUTE_MS, SECOND_MS
from wavebreak.engine import Engine
from wavebreak.engine.decision import Decision
from wavebreak.features.layout import BARRED
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak_lab import simulation
from wavebreak_lab.red_team.config import RedTeamConfig
from wavebreak_lab.red_team.feedback import NEVER, FeedbackMode, FeedbackQueue
from wavebreak_lab.simulation import attackers
from wavebreak_lab.simulation.background_trace import FIRST_ID
from wavebreak_lab.simulation.context import AccountRegistry, Label, SimulationContext
from wavebreak_lab.simulation.log import Bools, EventBlock, EventLog, Ints, merge_blocks, to_batches
from wavebreak_lab.simulation.world import BATCH

GROUPS_PER_OPERATOR = 1 << 20
"""Group ids reserved for each operator, so that no two operators share one."""

EPOCH = MINUTE_MS
"""Shortest time slice: the engine's epoch (milliseconds)."""

MAX_SLICE = 6 * HOUR_MS
"""Longest time slice, while no operator does anything."""


@dataclass(frozen=True)
class Environment:
    """People's events between `sim.start` and `sim.end`: blocks of events in order of time."""

    sim: SimulationContext
    blocks: list[EventBlock]
    labels: list[Label]
    about: dict[str, Any]

    def events(self) -> int:
        """Return the number of events."""
        return sum(len(block) for block in self.blocks)


def simulate_environment(
    *, people: int, days: float, seed: int, progress: Callable[[float], None] = lambda _: None
) -> Environment:
    """Simulate people and all benign personas, once for all rounds."""
    world = simulation.simulate(
        people=people, days=days, personas=["all"], seed=seed, progress=progress
    )
    if world.timeline is None:
        raise AssertionError("a world without a background has a timeline")
    blocks = [block for block in world.timeline.blocks() if len(block)]
    return Environment(world.timeline.sim, blocks, world.labels, world.about)


class RoundState:
    """One round's copies of what operators change, and a simulation context for each operator."""

    def __init__(self, environment: Environment) -> None:
        sim = environment.sim
        self.log, self.pool = EventLog(FIRST_ID), copy.deepcopy(sim.pool)
        self.registry: AccountRegistry = copy.deepcopy(sim.registry)
        self._sim, self._assigned, self._operators = sim, set(sim.assigned), 0
        self._names = self.registry.names()

    def new_context(self, seed: tuple[int, ...], start: int, end: int) -> SimulationContext:
        """Return a simulation context of a time span with random numbers of its own."""
        self._operators += 1
        return replace(
            self._sim,
            start=start,
            end=end,
            rng=np.random.default_rng(seed),
            log=self.log,
            pool=self.pool,
            registry=self.registry,
            assigned=self._assigned,
            groups=GROUPS_PER_OPERATOR * self._operators,
        )

    def names(self) -> pa.StringArray:
        """Return every account's name, by number."""
        if len(self._names) != len(self.registry):
            self._names = self.registry.names()
        return self._names

    def batches(self, block: EventBlock) -> Iterator[pa.RecordBatch]:
        """Encode a block as record batches of WIRE_SCHEMA."""
        return to_batches(block, self.names(), self.pool.arrow(), BATCH)


class EventReplayer:
    """Replays the environment's events in order of time."""

    def __init__(self, environment: Environment) -> None:
        self._blocks, self._block, self._row = environment.blocks, 0, 0

    def take_until(self, ts: int) -> list[EventBlock]:
        """Return the events before a time that were not returned yet."""
        taken = []
        while self._block < len(self._blocks):
            block = self._blocks[self._block]
            cut = int(np.searchsorted(block.ts, ts))
            if cut > self._row:
                taken.append(block.slice(self._row, cut))
            if cut < len(block):
                self._row = cut
                return taken
            self._block, self._row = self._block + 1, 0
        return taken


class EventQueue:
    """Events planned ahead of their time, as a few sorted blocks.

    >>> EventQueue().next_at()
    4611686018427387904
    """

    MAX_BLOCKS = 48

    def __init__(self) -> None:
        self._blocks: list[EventBlock] = []

    def add(self, blocks: list[EventBlock]) -> None:
        """Add blocks; merge all of them where they become many."""
        self._blocks += [block for block in blocks if len(block)]
        if len(self._blocks) > self.MAX_BLOCKS:
            self._blocks = [merge_blocks(self._blocks)]

    def next_at(self) -> int:
        """Return the time of the next event."""
        return min((int(block.ts[0]) for block in self._blocks), default=1 << 62)

    def take_until(self, ts: int) -> list[EventBlock]:
        """Remove and return the events before a time."""
        taken, kept = [], []
        for block in self._blocks:
            if int(block.ts[0]) >= ts:
                kept.append(block)
                continue
            before, after = block.split(ts)
            taken.append(before)
            kept += [after] if len(after) else []
        self._blocks = kept
        return taken


def merge_events(blocks: list[EventBlock], low: int) -> EventBlock | None:
    """Merge events into one block in log order; events planned before `low` happen at `low`."""
    blocks = [block for block in blocks if len(block)]
    if not blocks:
        return None
    whole = merge_blocks(blocks)
    if int(whole.ts[0]) < low:
        whole = merge_blocks([EventBlock(whole.columns | {"ts": np.maximum(whole.ts, low)})])
    return whole


@dataclass(frozen=True)
class OperatorEntry:
    """An operator that takes part: its family, its parameters, its number of accounts."""

    family: str
    name: str
    sender: attackers.Sender
    accounts: int


@dataclass
class OperatorResult:
    """One operator's round: what it spent; by account, acts delivered and attempted.

    `accused`: complaints that it made of honest accounts.
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
class RoundResult:
    """Operators, labels and events of a round; decisions stay with the engine."""

    operators: list[OperatorResult]
    labels: list[Label]
    compromised_at: dict[str, int]
    events: int
    batches: list[pa.RecordBatch]


@dataclass
class _OperatorState:
    """An operator with its own simulation context, and the counts of its accounts."""

    entry: OperatorEntry
    sim: SimulationContext
    operator: attackers.Operator
    delivered: dict[int, int] = field(default_factory=dict)
    attempted: dict[int, int] = field(default_factory=dict)
    recovered: set[int] = field(default_factory=set)


class Round:
    """The state of a round between two time slices; operators come and go between two of them.

    `batches`: what happened, if anything is to be kept.
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
        self.environment, self.engine, self.pseudonymizer = environment, engine, pseudonymizer
        self.settings = settings
        self.state, self.replayer = RoundState(environment), EventReplayer(environment)
        self.queue = EventQueue()
        self.rng = np.random.default_rng((*seed, 99))
        self.feedback = FeedbackQueue(mode, engine.policy.feedback, settings.missing_receipts)
        self.listens = mode != "never"
        self.operators: list[_OperatorState] = []
        self.owners: dict[int, _OperatorState] = {}
        self.number: dict[str, int] = {}
        self.events = 0
        self.batches: list[pa.RecordBatch] | None = None
        self.requests_until: dict[int, int] = {}
        self.looked_at: dict[tuple[int, int], bool] = {}

    def start(
        self, entries: Sequence[OperatorEntry], low: int, high: int, seed: tuple[int, ...]
    ) -> None:
        """Let operators act from `low` to `high` (milliseconds), in place of those before."""
        self.operators = []
        for number, entry in enumerate(entries):
            sim = self.state.new_context((*seed, number), low, high)
            operator = attackers.Operator(
                sim, entry.name, entry.family, entry.sender, entry.accounts, listens=self.listens
            )
            self.operators.append(_OperatorState(entry, sim, operator))

    def play(self, low: int, end: int, progress: Callable[[float], None] = lambda _: None) -> None:
        """Play from `low` to `end` (milliseconds), slice by slice."""
        first = low
        while low < end:
            due = self.next_at()
            high = low + EPOCH
            if due >= high:
                high = min(max(high, due // EPOCH * EPOCH), low + MAX_SLICE)
            self.play_slice(low, min(high, end))
            low = high
            progress(min(1.0, (low - first) / (end - first)))

    def results(self) -> list[OperatorResult]:
        """Return what the operators that act now have done."""
        return [_operator_result(one, self.state) for one in self.operators]

    def next_at(self) -> int:
        """Return when an operator acts, learns something, or has a planned event next."""
        acting = min((one.operator.due for one in self.operators), default=NEVER)
        return min(acting, self.queue.next_at(), self.feedback.next_at())

    def play_slice(self, low: int, high: int) -> None:
        """Play one time slice: operators act, the engine decides, people respond."""
        acts = self._act(low, high)
        self.queue.add(self.state.log.flush())
        blocks = [*self.replayer.take_until(high), *self.queue.take_until(high)]
        block = merge_events(blocks, low)
        if block is None:
            return
        refused = self._run_engine(block)
        self._respond(acts, refused, high)
        self.queue.add(self.state.log.flush())

    def _act(self, low: int, high: int) -> list[tuple[_OperatorState, attackers.Acts]]:
        """Give operators the feedback that is due, and let them act."""
        feedback: dict[int, list[attackers.OperatorFeedback]] = {}
        for one in self.feedback.pop_due(low):
            owner = self.owners.get(one.account)
            if owner is not None:
                feedback.setdefault(id(owner), []).append(one)
        done = []
        for owner in self.operators:
            before = len(owner.operator.lines)
            acts = owner.operator.step(owner.sim, low, high, feedback.get(id(owner), ()))
            for line in owner.operator.lines[before:]:
                self.owners[line.account] = owner
            if len(acts):
                done.append((owner, acts))
        return done

    def _run_engine(self, block: EventBlock) -> Ints:
        """Give a block to the engine; return the ids of the events that it refused."""
        refused, at = [], 0
        ids = block.columns["id"]
        for batch in self.state.batches(block):
            self.events += batch.num_rows
            if self.batches is not None:
                self.batches.append(batch)
            for segment in self.engine.fanout.segments(self.pseudonymizer.apply(batch)):
                for decision in self.engine.advance(segment):
                    self.handle_decision(decision)
                rows = np.flatnonzero(segment.results & BARRED)
                refused.append(ids[at + rows])
                at += len(segment.events)
        return np.concatenate(refused)

    def handle_decision(self, decision: Decision) -> None:
        """Queue feedback for the account's operator, or plan how its owner meets a challenge."""
        if len(self.number) != len(self.state.registry):
            self.number = {n: i for i, n in enumerate(self.state.names().to_pylist())}
        account = self.number[decision.account]
        owner, people = self.owners.get(account), self.settings.challenges
        if decision.outcome == "request":
            self.requests_until[account] = decision.until or NEVER
        else:
            self.requests_until.pop(account, None)
        if owner is not None and decision.action == "recover":
            if account not in owner.recovered:
                owner.recovered.add(account)
                self._recover(account, owner, decision.ts)
        elif owner is not None:
            self.feedback.add_decision(account, decision)
        elif decision.outcome == "challenge" and self.rng.random() < people.pass_share:
            self._pass_challenge(account, decision.ts, people.pass_median_s)

    def _recover(self, account: int, owner: _OperatorState, ts: int) -> None:
        """Plan the recovery of a hijacked account: its owner passes the challenge."""
        when = self._pass_challenge(account, ts, self.settings.challenges.recover_median_s)
        owner.operator.lose_account(account, when)

    def _pass_challenge(self, account: int, ts: int, median_s: float) -> int:
        when = ts + SECOND_MS + int(self.rng.lognormal(np.log(median_s), 1.0) * SECOND_MS)
        if when < self.environment.sim.end:
            code = self.state.pool.code("code")
            self.state.log.add("challenge.passed", np.array([when]), account, kind=code)
        return when

    def _respond(
        self, done: list[tuple[_OperatorState, attackers.Acts]], refused: Ints, high: int
    ) -> None:
        """Plan people's responses to delivered acts, and queue feedback on refused ones."""
        if not done:
            return
        acts = attackers.concat_acts([acts for _, acts in done])
        delivered = ~np.isin(acts.id, refused)
        seen = delivered & self._look_at(acts, delivered)
        self._count(acts, delivered, seen, high)
        met = seen & ~self._decline(acts, seen, high)
        first = 0
        for owner, own in done:
            through, first = met[first : first + len(own)], first + len(own)
            if through.any():
                replies = attackers.add_consequences(
                    owner.sim, own.select(through), owner.operator.reading, high
                )
                owner.operator.spent["answers"] += int(
                    (through & (own.kind == attackers.PAID)).sum()
                )
                owner.operator.record_replies(*replies)

    def _look_at(self, acts: attackers.Acts, delivered: Bools) -> Bools:
        """Whether each act is looked at: all but some of the messages that arrive as requests.

        A chat whose first message nobody looked at stays unseen.
        """
        seen = np.ones(len(acts), bool)
        if not (self.requests_until or self.looked_at):
            return seen
        for row in np.flatnonzero(delivered & (acts.kind == attackers.MESSAGE)).tolist():
            account, peer = int(acts.account[row]), int(acts.peer[row])
            known = self.looked_at.get((account, peer))
            if known is None and self.requests_until.get(account, 0) > int(acts.ts[row]):
                known = bool(self.rng.random() < self.settings.requests.looked_at)
                self.looked_at[account, peer] = known
            seen[row] = known is not False
        return seen

    def _decline(self, acts: attackers.Acts, seen: Bools, high: int) -> Bools:
        """Plan who declines or reports a request; return which acts they were about."""
        people, log, pool = self.settings.requests, self.state.log, self.state.pool
        done = np.zeros(len(acts), bool)
        if not self.looked_at:
            return done
        for row in np.flatnonzero(seen & (acts.kind == attackers.MESSAGE) & ~acts.dead).tolist():
            pair = int(acts.account[row]), int(acts.peer[row])
            draw = self.rng.random() if pair in self.looked_at else 1.0
            if draw >= people.declines + people.reports:
                continue
            done[row], self.looked_at[pair] = True, False
            wait = self.rng.lognormal(np.log(people.median_s), 1.0) * SECOND_MS
            when = np.array([max(int(acts.ts[row]), high) + int(wait)])
            if draw < people.declines:
                reason = pool.code("stranger")
                log.add("contact.refused", when, pair[1], peer=pair[0], reason=reason)
            else:
                log.add("user.reported", when, pair[1], peer=pair[0], reason=pool.code("spam"))
        return done

    def _count(self, acts: attackers.Acts, delivered: Bools, seen: Bools, high: int) -> None:
        """Count attempted acts and those that somebody saw, by account; queue refusals."""
        accounts, of = np.unique(acts.account, return_inverse=True)
        counted = ~np.isin(acts.kind, (attackers.CHAT, attackers.PAID)) & ~(
            acts.dead & (acts.kind == attackers.MESSAGE)
        )
        attempts, deliveries, refusals = (
            np.bincount(of, rows, len(accounts)).astype(np.int64).tolist()
            for rows in (counted, counted & seen, ~delivered)
        )
        for account, tried, through, refused in zip(
            accounts.tolist(), attempts, deliveries, refusals, strict=True
        ):
            owner = self.owners[account]
            owner.attempted[account] = owner.attempted.get(account, 0) + tried
            owner.delivered[account] = owner.delivered.get(account, 0) + through
            if refused:
                self.feedback.add_refusals(account, refused, high)
            elif through:
                self.feedback.add_delivery(account)


def play_round(
    environment: Environment,
    entries: Sequence[OperatorEntry],
    engine: Engine,
    pseudonymizer: Pseudonymizer,
    settings: RedTeamConfig,
    *,
    feedback: FeedbackMode,
    seed: tuple[int, ...],
    keep_events: bool = False,
    progress: Callable[[float], None] = lambda _: None,
) -> RoundResult:
    """Play one round over the environment's whole time span, with enforcement.

    The same arguments give the same round.

    Args:
        environment: People and personas, from `simulate_environment`.
        entries: The operators that take part.
        engine: A fresh engine that enforces; it holds the accounts' state afterwards.
        pseudonymizer: Pseudonymizes the events.
        settings: Challenge behaviour and the limit of missing receipts.
        feedback: When operators learn of decisions.
        seed: Seeds of the operators' and people's random draws.
        keep_events: Whether the result holds the events.
        progress: Called with the share of the time span that is done.

    Returns:
        What each operator spent and delivered, labels, and the number of events.
    """
    current = Round(environment, engine, pseudonymizer, settings, feedback, seed)
    current.batches = [] if keep_events else None
    low, end = environment.sim.start, environment.sim.end
    current.start(entries, low, end, seed)
    current.play(low, end, progress)
    for decision in engine.finish():
        current.handle_decision(decision)
    registry = current.state.registry
    return RoundResult(
        current.results(),
        registry.labels(),
        registry.compromised_at(),
        current.events,
        current.batches or [],
    )


def _operator_result(owner: _OperatorState, state: RoundState) -> OperatorResult:
    """Return an operator's result, with its accounts by name."""
    names, end = state.names(), owner.sim.end

    def by_name(counts: dict[int, int]) -> dict[str, int]:
        return {names[account].as_py(): count for account, count in counts.items()}

    for line in owner.operator.lines:
        delivered = owner.delivered.setdefault(line.account, 0)
        owner.attempted.setdefault(line.account, delivered)
    return OperatorResult(
        owner.entry,
        owner.operator.expenses(end),
        by_name(owner.delivered),
        by_name(owner.attempted),
        {names[account].as_py() for account in owner.recovered},
        by_name(owner.operator.accused),
    )
