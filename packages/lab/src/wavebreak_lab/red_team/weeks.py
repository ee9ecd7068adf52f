"""Weeks of a red team: one world goes on, senders adapt each week, and the platform learns.

Rounds of adaptation come first, in the world's first week and without a learned score. Then all
weeks are played in turn, with one engine. Each week every operator begins with new accounts and the
next candidate of its family's search; at its end the platform learns from its own log, as a service
does, and checks each day what it has learned before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from wavebreak.durations import DAY_MS
from wavebreak.engine import Engine, snapshot
from wavebreak.engine.policy_change import carried_state
from wavebreak.evaluation import Evaluation
from wavebreak.evaluation.home_learning import Terms
from wavebreak.model import Model
from wavebreak.outcomes import REFUSING, SILENCING
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.rules import Policy
from wavebreak_lab.red_team import tournament
from wavebreak_lab.red_team.config import RedTeamConfig
from wavebreak_lab.red_team.learner import Learner
from wavebreak_lab.red_team.metrics import operator_cost, worst_outcomes, write_and_evaluate
from wavebreak_lab.red_team.round import (
    Environment,
    OperatorResult,
    Round,
    RoundResult,
    simulate_environment,
)
from wavebreak_lab.simulation.attackers import REACTION_PRESETS
from wavebreak_lab.simulation.log import Floats

WEEK_FAMILIES = (
    "blast", "jitter", "proxies", "limit-probing", "combination", *REACTION_PRESETS,
)  # fmt: skip
"""Families of weeks where none are named: those who know of reactions, and some from whom a
platform learns."""

ACCUSES = "accuse"
"""Work of those who deliver nothing, and are judged by what they do to honest accounts."""

RESAMPLES = 2_000


@dataclass(frozen=True)
class FamilyWeek:
    """A family in one week: its accounts, those restricted or worse, acts, dollars.

    `interval`: 95 % of the dollars per thousand delivered, by a bootstrap over accounts.
    `cheapest`: the least of an operator that delivered at least one in a hundred of the family's.
    """

    accounts: int
    restricted: int
    delivered: int
    attempted: int
    cost: float
    interval: tuple[float, float] | None
    cheapest: float | None

    @property
    def per_thousand(self) -> float | None:
        """Dollars per thousand delivered; None where nothing was."""
        return 1000 * self.cost / self.delivered if self.delivered else None


@dataclass(frozen=True)
class PeopleWeek:
    """Benign accounts at the end of a week.

    `first_contacts` and `refused` are of the week, outcomes of all weeks so far. `accused` are
    those of whom operators complained so far: how often, and the worst that came of it.
    """

    accounts: int
    restricted: int
    banned: int
    first_contacts: int
    refused: int
    accused: tuple[tuple[int, str], ...]

    @property
    def convicted(self) -> int:
        """Accused accounts that were restricted or worse."""
        return sum(outcome in SILENCING for _, outcome in self.accused)

    @property
    def slowed(self) -> int:
        """Accused accounts that were limited or asked, and no worse."""
        return sum(outcome in REFUSING for _, outcome in self.accused) - self.convicted


@dataclass(frozen=True)
class Week:
    """One week: families, people, and what the platform had learned at its end.

    `per_thousand`: of all families that deliver, with its bootstrap interval over operators.
    `days_acting`: days of the week on which a learned score acted.
    """

    number: int
    families: dict[str, FamilyWeek]
    people: PeopleWeek
    per_thousand: float | None
    interval: tuple[float, float] | None
    days_acting: int
    learned: list[dict[str, Any]]


@dataclass(frozen=True)
class Weeks:
    """All rounds of adaptation and all weeks, and the evaluation at the end."""

    config: tournament.TournamentConfig
    rounds: list[tournament.RoundSummary]
    weeks: list[Week]
    evaluation: Evaluation
    versions: dict[str, str | None]

    def as_json(self) -> dict[str, Any]:
        """Return the weeks as plain JSON values."""
        return {
            "config": asdict(self.config),
            "versions": self.versions,
            "rounds": [
                {"name": r.name, "families": {n: asdict(c) for n, c in r.counts.items()}}
                for r in self.rounds
            ],
            "weeks": [
                asdict(week)
                | {
                    "families": {
                        n: asdict(f) | {"per_thousand": f.per_thousand}
                        for n, f in week.families.items()
                    }
                }
                for week in self.weeks
            ],
            "personas": {name: asdict(p) for name, p in self.evaluation.personas.items()},
        }


def bootstrap_interval(cost: Floats, delivered: Floats, seed: int) -> tuple[float, float] | None:
    """Return 95 % of the dollars per thousand delivered, over resampled units.

    >>> bootstrap_interval(np.array([2.0, 2.0]), np.array([10.0, 10.0]), 0)
    (200.0, 200.0)
    """
    if not delivered.sum():
        return None
    rng = np.random.default_rng((seed, 7))
    drawn = rng.integers(0, len(cost), (RESAMPLES, len(cost)))
    reached = delivered[drawn].sum(1)
    some = reached > 0
    ratios = 1000 * cost[drawn].sum(1)[some] / reached[some]
    low, high = np.percentile(ratios, (2.5, 97.5))
    return round(float(low), 2), round(float(high), 2)


class _WeeksRun:
    """A run in progress: one world, one engine, one learner."""

    def __init__(
        self,
        run: tournament.TournamentRun,
        environment: Environment,
        searches: dict[str, tournament.FamilySearch],
        terms: Terms,
        pseudonymizer: Pseudonymizer,
    ) -> None:
        self.run, self.searches, self.environment = run, searches, environment
        self.learner = Learner(run.policy, run.model, terms, run.config.seed)
        self.pseudonymizer = pseudonymizer
        engine = tournament.new_engine(run.policy, run.model)
        config = run.config
        self.round = Round(
            environment, engine, pseudonymizer, run.settings, config.feedback, (config.seed, 1000)
        )
        self.round.batches = self.batches = list[pa.RecordBatch]()
        self.log: list[pa.RecordBatch] = []
        self.accused = Counter[str]()
        self.before = (0, 0)

    def play_week(self, number: int, span: int, *, presets: bool, last: bool) -> Week:
        """Play one week, learn from it, and tell every family how it fared."""
        run, low = self.run, self.environment.sim.start + number * span
        searches = self.searches
        senders = (
            tournament.presets_of(searches)
            if presets
            else {n: s.ask() for n, s in searches.items()}
        )
        self.round.start(run.entries(senders), low, low + span, (run.config.seed, 1000 + number))
        acting = 0
        for day in range(low, low + span, DAY_MS):
            until = min(day + DAY_MS, low + span)
            self.round.play(day, until)
            acting += self.learner.acting is not run.model
            self._learn(until, anew=until == low + span, last=last)
        results = self.round.results()
        week, harmed = self._count(number, results, acting)
        if not presets:
            tournament.tell(searches, results, lambda one: gain(one, harmed, run.settings))
        return week

    def _learn(self, now: int, *, anew: bool, last: bool) -> None:
        """Learn or check, and let the engine go on under the model that acts."""
        before = self.learner.acting
        self.log += [self.pseudonymizer.apply(batch) for batch in self.batches[len(self.log) :]]
        if anew and not last:
            self.learner.learn(self.log)
        elif not anew:
            self.learner.check(self.log, now)
        if self.learner.acting is not before:
            self.round.engine = _continued(self.round.engine, self.learner.acting)

    def _count(
        self, number: int, results: list[OperatorResult], acting: int
    ) -> tuple[Week, set[str]]:
        """Count a week, and return the accounts that anything was refused to."""
        run, registry = self.run, self.round.state.registry
        directory = run.out / "weeks" / str(number + 1)
        played = RoundResult(results, registry.labels(), registry.compromised_at(), 0, [])
        self.evaluation = write_and_evaluate(played, self.round.engine, directory)
        worst = worst_outcomes(self.round.engine)
        for one in results:
            self.accused.update(one.accused)
        convicted = {name for name, outcome in worst.items() if outcome in SILENCING}
        met = {name for name, outcome in worst.items() if outcome in REFUSING}
        families = {
            name: count_family(
                [one for one in results if one.entry.family == name], convicted, run.settings,
                run.config.seed,
            )
            for name in run.config.families
        }  # fmt: skip
        people = self._people(worst)
        costs = [
            (operator_cost(one, run.settings.prices), one.total_delivered)
            for one in results
            if one.entry.sender.work != ACCUSES
        ]
        cost, delivered = np.array(costs, np.float64).reshape(-1, 2).T
        total = float(1000 * cost.sum() / delivered.sum()) if delivered.sum() else None
        learned = [
            {
                "number": s.number, "state": s.state, "why": s.why, "line": s.lesson.line,
                "labels": s.lesson.labels, "operators": s.lesson.operators,
            }
            for s in self.learner.scores
        ]  # fmt: skip
        interval = bootstrap_interval(cost, delivered, run.config.seed)
        return Week(number + 1, families, people, total, interval, acting, learned), met

    def _people(self, worst: dict[str, str]) -> PeopleWeek:
        personas = self.evaluation.personas.values()
        refused, first = self.evaluation.first_messages
        week = PeopleWeek(
            accounts=sum(p.accounts for p in personas),
            restricted=sum(p.actioned for p in personas),
            banned=sum(p.banned for p in personas),
            first_contacts=first - self.before[1],
            refused=refused - self.before[0],
            accused=tuple(sorted((n, worst.get(a, "none")) for a, n in self.accused.items())),
        )
        self.before = (refused, first)
        return week


def count_family(
    operators: Sequence[OperatorResult], convicted: set[str], settings: RedTeamConfig, seed: int
) -> FamilyWeek:
    """Count a family's week; the dollars of an operator are spread evenly over its accounts."""
    dollars, delivered, cheapest = list[float](), list[int](), list[float]()
    names = set[str]()
    whole = sum(one.total_delivered for one in operators)
    for one in operators:
        cost, reached = operator_cost(one, settings.prices), one.total_delivered
        dollars += [cost / max(1, len(one.delivered))] * len(one.delivered)
        delivered += one.delivered.values()
        names |= one.delivered.keys()
        if reached and reached >= whole / 100:
            cheapest.append(1000 * cost / reached)
    writes = all(one.entry.sender.work != ACCUSES for one in operators)
    return FamilyWeek(
        accounts=len(names),
        restricted=len(names & convicted),
        delivered=whole,
        attempted=sum(one.total_attempted for one in operators),
        cost=sum(operator_cost(one, settings.prices) for one in operators),
        interval=bootstrap_interval(np.array(dollars), np.array(delivered, np.float64), seed)
        if writes
        else None,
        cheapest=min(cheapest, default=None),
    )


def gain(one: OperatorResult, harmed: set[str], settings: RedTeamConfig) -> float:
    """Return what an operator has for a dollar: acts delivered, or honest rivals harmed."""
    if one.entry.sender.work == ACCUSES:
        return len(one.accused.keys() & harmed) / max(operator_cost(one, settings.prices), 0.01)
    return tournament.delivered_per_dollar(one, settings)


def _continued(old: Engine, model: Model | None) -> Engine:
    """Return an engine that goes on from another's state under another model."""
    engine = tournament.new_engine(old.policy, model)
    snapshot.load(engine, carried_state(old, engine))
    engine.first_messages = old.first_messages
    return engine


def run_weeks(
    config: tournament.TournamentConfig,
    weeks: int,
    policy: Policy,
    pseudonymizer: Pseudonymizer,
    settings: RedTeamConfig,
    terms: Terms,
    out: Path,
    *,
    model: Model | None = None,
    progress: Callable[[float, str], None] = lambda _share, _words: None,
) -> Weeks:
    """Play rounds of adaptation, then weeks with learning between them.

    The same arguments give the same counts.

    Args:
        config: Families, sizes, days of a week, rounds of adaptation, seed, feedback.
        weeks: How many weeks.
        policy: Rules and actions of the engine.
        pseudonymizer: Pseudonymizes the events.
        settings: Prices, challenge behaviour, parameters that senders may change.
        terms: Terms of learning.
        out: Directory for accounts and labels of rounds and weeks.
        model: A model that scores until one is learned, or None.
        progress: Called with the share that is done and what is being done.

    Returns:
        The rounds and weeks.
    """
    progress(0.0, "simulating people")
    span = int(config.days * DAY_MS)
    world = simulate_environment(people=config.people, days=config.days * weeks, seed=config.seed)
    first = replace(world, sim=replace(world.sim, end=world.sim.start + span))
    steps = weeks + config.rounds + 1
    run = tournament.TournamentRun(
        config, policy, pseudonymizer, settings, model, out,
        lambda share, words: progress(share * (steps - weeks) / steps, words), first,
    )  # fmt: skip
    searches = tournament.adapt(run) if config.rounds else tournament.new_searches(config, settings)
    going = _WeeksRun(run, world, searches, terms, pseudonymizer)
    played = list[Week]()
    for number in range(weeks):
        progress((steps - weeks + number) / steps, f"week {number + 1}")
        begins = not config.rounds and not number
        played.append(going.play_week(number, span, presets=begins, last=number + 1 == weeks))
    versions = {"policy": policy.version, "model": None if model is None else model.version}
    return Weeks(config, run.rounds, played, going.evaluation, versions)
