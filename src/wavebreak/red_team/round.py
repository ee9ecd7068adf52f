"""The ground of an arena: people and innocents, planned once, and played again every round.

One round: people and operators in one log, through the engine, answers back to the operators.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa

from wavebreak import simulation
from wavebreak.engine import Engine
from wavebreak.engine.decision import Decision
from wavebreak.features.layout import BARRED
from wavebreak.privacy.pseudonymizer import Edge
from wavebreak.red_team.config import Terms
from wavebreak.red_team.feedback import NEVER, Desk, Telling
from wavebreak.simulation.attackers import (
    CHAT,
    MESSAGE,
    Acts,
    Operator,
    Sender,
    add_consequences,
    concat_acts,
)
from wavebreak.simulation.background_trace import FIRST_ID
from wavebreak.simulation.context import AccountRegistry, Label, SimulationContext
from wavebreak.simulation.geography import MINUTE, SECOND
from wavebreak.simulation.log import Bools, EventBlock, EventLog, Ints, merge_blocks, to_batches
from wavebreak.simulation.world import BATCH

GROUPS_EACH = 1 << 20
"""Names of groups kept for each operator, so that no two share one."""


@dataclass(frozen=True)
class Ground:
    """People's lives between `sim.start` and `sim.end`: blocks of events in order of time."""

    sim: SimulationContext
    blocks: list[EventBlock]
    starts: list[int]
    labels: list[Label]
    about: dict[str, Any]

    def events(self) -> int:
        """Return how many events it has."""
        return sum(len(block) for block in self.blocks)


def lay(
    *, people: int, days: float, seed: int, progress: Callable[[float], None] = lambda _: None
) -> Ground:
    """Plan a world of people and of every innocent."""
    world = simulation.simulate(
        people=people, days=days, personas=["all"], seed=seed, progress=progress
    )
    if world.days is None:
        raise AssertionError("a world without a background lives")
    blocks = [block for block in world.days.blocks() if len(block)]
    sim = world.days.sim
    return Ground(sim, blocks, [int(b.ts[0]) for b in blocks], world.labels, world.about)


class Stage:
    """One round's own copies of what operators change, and a sim for each of them."""

    def __init__(self, ground: Ground) -> None:
        sim = ground.sim
        self.log, self.pool = EventLog(FIRST_ID), copy.deepcopy(sim.pool)
        self.registry: AccountRegistry = copy.deepcopy(sim.registry)
        self._sim, self._assigned, self._scenes = sim, set(sim.assigned), 0
        self._names = self.registry.names()

    def sim(self, seed: tuple[int, ...]) -> SimulationContext:
        """Return a sim with random numbers of its own."""
        self._scenes += 1
        return replace(
            self._sim,
            rng=np.random.default_rng(seed),
            log=self.log,
            pool=self.pool,
            registry=self.registry,
            assigned=self._assigned,
            groups=GROUPS_EACH * self._scenes,
        )

    def names(self) -> pa.StringArray:
        """Return every account's name, by number."""
        if len(self._names) != len(self.registry):
            self._names = self.registry.names()
        return self._names

    def batches(self, block: EventBlock) -> Iterator[pa.RecordBatch]:
        """Turn a block into record batches of the wire."""
        return to_batches(block, self.names(), self.pool.arrow(), BATCH)


class Player:
    """Hands out the ground's events in order of time."""

    def __init__(self, ground: Ground) -> None:
        self._blocks, self._place, self._at = ground.blocks, 0, 0

    def until(self, ts: int) -> list[EventBlock]:
        """Return the events before a time that were not handed out yet."""
        found = []
        while self._place < len(self._blocks):
            block = self._blocks[self._place]
            cut = int(np.searchsorted(block.ts, ts))
            if cut > self._at:
                found.append(block.slice(self._at, cut))
            if cut < len(block):
                self._at = cut
                return found
            self._place, self._at = self._place + 1, 0
        return found


class Waiting:
    """Events planned ahead of their time, as sorted blocks; few of them, so that taking is cheap.

    >>> waiting = Waiting()
    >>> waiting.due()
    4611686018427387904
    """

    MOST = 48

    def __init__(self) -> None:
        self._blocks: list[EventBlock] = []

    def add(self, blocks: list[EventBlock]) -> None:
        """Take blocks in."""
        self._blocks += [block for block in blocks if len(block)]
        if len(self._blocks) > self.MOST:
            self._blocks = [merge_blocks(self._blocks)]

    def due(self) -> int:
        """Return when the next event is."""
        return min((int(block.ts[0]) for block in self._blocks), default=1 << 62)

    def until(self, ts: int) -> list[EventBlock]:
        """Take the events before a time."""
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


def wire(blocks: list[EventBlock], low: int) -> EventBlock | None:
    """Merge events into one block in log order; what was planned before `low` happens at it."""
    blocks = [block for block in blocks if len(block)]
    if not blocks:
        return None
    whole = merge_blocks(blocks)
    if int(whole.ts[0]) < low:
        whole = merge_blocks([EventBlock(whole.columns | {"ts": np.maximum(whole.ts, low)})])
    return whole


EPOCH = MINUTE
"""Shortest slice of time: the engine's epoch (milliseconds)."""

LONGEST = 360 * MINUTE
"""Longest slice, while no operator does anything."""


@dataclass(frozen=True)
class Entry:
    """An operator that takes part: its family, its parameters, its number of accounts."""

    family: str
    name: str
    sender: Sender
    accounts: int


@dataclass
class Played:
    """What became of one operator: what it spent, and by account what it delivered and tried."""

    entry: Entry
    spent: dict[str, float]
    delivered: dict[str, int]
    tried: dict[str, int]
    recovered: set[str]


@dataclass
class Bout:
    """What a round leaves: the engine's accounts stay with the engine."""

    played: list[Played]
    labels: list[Label]
    compromised_at: dict[str, int]
    events: int
    kept: list[pa.RecordBatch]


@dataclass
class _Team:
    """An operator in the arena with its own sim, and the counts of its accounts."""

    entry: Entry
    sim: SimulationContext
    operator: Operator
    delivered: dict[int, int] = field(default_factory=dict)
    tried: dict[int, int] = field(default_factory=dict)
    recovered: set[int] = field(default_factory=set)


class _Arena:
    """The state of a round between two slices."""

    def __init__(
        self,
        ground: Ground,
        entries: Sequence[Entry],
        engine: Engine,
        edge: Edge,
        terms: Terms,
        telling: Telling,
        seed: tuple[int, ...],
    ) -> None:
        self.ground, self.engine, self.edge, self.terms = ground, engine, edge, terms
        self.stage, self.player, self.waiting = Stage(ground), Player(ground), Waiting()
        self.rng = np.random.default_rng((*seed, 99))
        self.desk = Desk(telling, engine.policy.feedback, terms.silence)
        self.teams = []
        for place, entry in enumerate(entries):
            sim = self.stage.sim((*seed, place))
            team = Operator(
                sim,
                entry.name,
                entry.family,
                entry.sender,
                entry.accounts,
                listens=telling != "never",
            )
            self.teams.append(_Team(entry, sim, team))
        self.team_of: dict[int, _Team] = {}
        self.number: dict[str, int] = {}
        self.events = 0
        self.kept: list[pa.RecordBatch] | None = None
        self.passed: Ints = np.zeros(0, np.int64)

    def next(self) -> int:
        """Return when something of the operators is due."""
        acting = min((team.operator.due for team in self.teams), default=NEVER)
        return min(acting, self.waiting.due(), self.desk.next())

    def slice(self, low: int, high: int) -> None:
        """Play one slice of time."""
        done = self._act(low, high)
        self.waiting.add(self.stage.log.flush())
        blocks = [*self.player.until(high), *self.waiting.until(high)]
        block = wire(blocks, low)
        if block is None:
            return
        barred = self._feed(block)
        self._answer(done, barred, high)
        self.waiting.add(self.stage.log.flush())

    def _act(self, low: int, high: int) -> list[tuple[_Team, Acts]]:
        """Let the operators hear what is told by now, and act."""
        heard: dict[int, list[Any]] = {}
        for answer in self.desk.told(low):
            team = self.team_of.get(answer.account)
            if team is not None:
                heard.setdefault(id(team), []).append(answer)
        done = []
        for team in self.teams:
            before = len(team.operator.lines)
            acts = team.operator.step(team.sim, low, high, heard.get(id(team), ()))
            for line in team.operator.lines[before:]:
                self.team_of[line.account] = team
            if len(acts):
                done.append((team, acts))
        return done

    def _feed(self, block: EventBlock) -> Ints:
        """Give a block to the engine; return the ids of the acts that it refused."""
        barred, at = [], 0
        ids = block.columns["id"]
        for batch in self.stage.batches(block):
            self.events += batch.num_rows
            if self.kept is not None:
                self.kept.append(batch)
            for segment in self.engine.fanout.segments(self.edge.apply(batch)):
                for decision in self.engine.advance(segment):
                    self._decided(decision)
                rows = np.flatnonzero(segment.events["drop"] == BARRED)
                barred.append(ids[at + rows])
                at += len(segment.events)
        return np.concatenate(barred)

    def _decided(self, decision: Decision) -> None:
        """Pass a decision to who will hear of it; people go about their challenges."""
        if len(self.number) != len(self.stage.registry):
            self.number = {n: i for i, n in enumerate(self.stage.names().to_pylist())}
        account = self.number[decision.account]
        team, people = self.team_of.get(account), self.terms.people
        if team is not None and decision.action == "recover":
            if account not in team.recovered:
                team.recovered.add(account)
                self._recover(account, team, decision.ts)
        elif team is not None:
            self.desk.decided(account, decision)
        elif decision.outcome == "challenge" and self.rng.random() < people.pass_share:
            self._pass(account, decision.ts, people.pass_median_s)

    def _recover(self, account: int, team: _Team, ts: int) -> None:
        """The owner of a hijacked account ends the foreign session, and passes the challenge."""
        when = self._pass(account, ts, self.terms.people.recover_median_s)
        team.operator.lose_account(account, when)

    def _pass(self, account: int, ts: int, median_s: float) -> int:
        when = ts + SECOND + int(self.rng.lognormal(np.log(median_s), 1.0) * SECOND)
        if when < self.ground.sim.end:
            code = self.stage.pool.code("code")
            self.stage.log.add("challenge.passed", np.array([when]), account, kind=code)
        return when

    def _answer(self, done: list[tuple[_Team, Acts]], barred: Ints, high: int) -> None:
        """What went through reaches people; what did not is refused, loudly or not."""
        if not done:
            return
        acts = concat_acts([acts for _, acts in done])
        went = ~np.isin(acts.id, barred)
        self._count(acts, went, high)
        first = 0
        for team, mine in done:
            through, first = went[first : first + len(mine)], first + len(mine)
            if through.any():
                reached = add_consequences(team.sim, mine.of(through), team.operator.reading, high)
                team.operator.record_replies(*reached)

    def _count(self, acts: Acts, went: Bools, high: int) -> None:
        """Count by account what was tried and what went through; the desk hears of refusals."""
        accounts, of = np.unique(acts.account, return_inverse=True)
        counts = (acts.kind != CHAT) & ~(acts.dead & (acts.kind == MESSAGE))
        tried, through, refused = (
            np.bincount(of, chosen, len(accounts)).astype(np.int64).tolist()
            for chosen in (counts, counts & went, ~went)
        )
        for account, a, b, c in zip(accounts.tolist(), tried, through, refused, strict=True):
            team = self.team_of[account]
            team.tried[account] = team.tried.get(account, 0) + a
            team.delivered[account] = team.delivered.get(account, 0) + b
            if c:
                self.desk.refused(account, c, high)
            elif b:
                self.desk.delivered(account)


def bout(
    ground: Ground,
    entries: Sequence[Entry],
    engine: Engine,
    edge: Edge,
    terms: Terms,
    *,
    telling: Telling,
    seed: tuple[int, ...],
    keep: bool = False,
    progress: Callable[[float], None] = lambda _: None,
) -> Bout:
    """Play one round over the ground's whole span; the engine enforces what it decides.

    `keep` keeps the events. The same arguments give the same round.
    """
    arena = _Arena(ground, entries, engine, edge, terms, telling, seed)
    arena.kept = [] if keep else None
    low, end = ground.sim.start, ground.sim.end
    while low < end:
        due = arena.next()
        high = low + EPOCH
        if due >= high:
            high = min(max(high, due // EPOCH * EPOCH), low + LONGEST)
        arena.slice(low, min(high, end))
        low = high
        progress(min(1.0, (low - ground.sim.start) / ground.sim.span))
    for decision in engine.finish():
        arena._decided(decision)
    return Bout(
        [_told(team, arena.stage) for team in arena.teams],
        arena.stage.registry.labels(),
        arena.stage.registry.compromised_at(),
        arena.events,
        arena.kept or [],
    )


def _told(team: _Team, stage: Stage) -> Played:
    """Return what became of an operator, its accounts by name."""
    names, end = stage.names(), team.sim.end

    def named(counts: dict[int, int]) -> dict[str, int]:
        return {names[account].as_py(): count for account, count in counts.items()}

    for line in team.operator.lines:
        named_zero = team.delivered.setdefault(line.account, 0)
        team.tried.setdefault(line.account, named_zero)
    return Played(
        team.entry,
        team.operator.expenses(end),
        named(team.delivered),
        named(team.tried),
        {names[account].as_py() for account in team.recovered},
    )
