"""One round: people and operators in one log, through the engine, answers back to the operators."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from wavebreak.arena.answers import NEVER, Desk, Telling
from wavebreak.arena.ground import Ground, Player, Stage, Waiting, wire
from wavebreak.arena.terms import Terms
from wavebreak.decision import Decision
from wavebreak.edge import Edge
from wavebreak.features.state import BARRED
from wavebreak.pipeline import Engine
from wavebreak.simulator.log import Block, Bools, Ints
from wavebreak.simulator.places import MINUTE, SECOND
from wavebreak.simulator.scene import Label, Scene
from wavebreak.simulator.senders import CHAT, MESSAGE, Acts, Operator, Sender, follow, together

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
    turned: dict[str, int]
    events: int
    kept: list[pa.RecordBatch]


@dataclass
class _Team:
    """An operator in the arena with its own scene, and the counts of its accounts."""

    entry: Entry
    scene: Scene
    operator: Operator
    delivered: dict[int, int] = field(default_factory=dict)
    tried: dict[int, int] = field(default_factory=dict)
    recovered: set[int] = field(default_factory=set)


class _Arena:
    """The state of a round between two slices."""

    def __init__(
        self, ground: Ground, entries: Sequence[Entry], engine: Engine, edge: Edge, terms: Terms,
        telling: Telling, seed: tuple[int, ...],
    ) -> None:  # fmt: skip
        self.ground, self.engine, self.edge, self.terms = ground, engine, edge, terms
        self.stage, self.player, self.waiting = Stage(ground), Player(ground), Waiting()
        self.rng = np.random.default_rng((*seed, 99))
        self.desk = Desk(telling, engine.policy.feedback, terms.silence)
        self.teams = []
        for place, entry in enumerate(entries):
            scene = self.stage.scene((*seed, place))
            team = Operator(scene, entry.name, entry.family, entry.sender, entry.accounts,
                            listens=telling != "never")  # fmt: skip
            self.teams.append(_Team(entry, scene, team))
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
            acts = team.operator.step(team.scene, low, high, heard.get(id(team), ()))
            for line in team.operator.lines[before:]:
                self.team_of[line.account] = team
            if len(acts):
                done.append((team, acts))
        return done

    def _feed(self, block: Block) -> Ints:
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
        if len(self.number) != len(self.stage.roll):
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
        team.operator.expelled(account, when)

    def _pass(self, account: int, ts: int, median_s: float) -> int:
        when = ts + SECOND + int(self.rng.lognormal(np.log(median_s), 1.0) * SECOND)
        if when < self.ground.scene.end:
            code = self.stage.pool.code("code")
            self.stage.log.add("challenge.passed", np.array([when]), account, kind=code)
        return when

    def _answer(self, done: list[tuple[_Team, Acts]], barred: Ints, high: int) -> None:
        """What went through reaches people; what did not is refused, loudly or not."""
        if not done:
            return
        acts = together([acts for _, acts in done])
        went = ~np.isin(acts.id, barred)
        self._count(acts, went, high)
        first = 0
        for team, mine in done:
            through, first = went[first : first + len(mine)], first + len(mine)
            if through.any():
                reached = follow(team.scene, mine.of(through), team.operator.reading, high)
                team.operator.met(*reached)

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
    ground: Ground, entries: Sequence[Entry], engine: Engine, edge: Edge, terms: Terms, *,
    telling: Telling, seed: tuple[int, ...], keep: bool = False,
    progress: Callable[[float], None] = lambda _: None,
) -> Bout:  # fmt: skip
    """Play one round over the ground's whole span; the engine enforces what it decides.

    `keep` keeps the events. The same arguments give the same round.
    """
    arena = _Arena(ground, entries, engine, edge, terms, telling, seed)
    arena.kept = [] if keep else None
    low, end = ground.scene.start, ground.scene.end
    while low < end:
        due = arena.next()
        high = low + EPOCH
        if due >= high:
            high = min(max(high, due // EPOCH * EPOCH), low + LONGEST)
        arena.slice(low, min(high, end))
        low = high
        progress(min(1.0, (low - ground.scene.start) / ground.scene.span))
    for decision in engine.finish():
        arena._decided(decision)
    return Bout(
        [_told(team, arena.stage) for team in arena.teams], arena.stage.roll.labels(),
        arena.stage.roll.turned(), arena.events, arena.kept or [],
    )  # fmt: skip


def _told(team: _Team, stage: Stage) -> Played:
    """Return what became of an operator, its accounts by name."""
    names, end = stage.names(), team.scene.end

    def named(counts: dict[int, int]) -> dict[str, int]:
        return {names[account].as_py(): count for account, count in counts.items()}

    for line in team.operator.lines:
        named_zero = team.delivered.setdefault(line.account, 0)
        team.tried.setdefault(line.account, named_zero)
    return Played(
        team.entry, team.operator.paid(end), named(team.delivered), named(team.tried),
        {names[account].as_py() for account in team.recovered},
    )  # fmt: skip
