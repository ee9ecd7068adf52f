"""Red-team runs: rounds of adaptation, then weeks of one world in which the platform learns.

Both are stages of one runner. Rounds: the presets play the first week, then each family searches
for parameters that deliver more for a dollar, one generation a round. Each round has a fresh
engine. Weeks: one world goes on under one engine. The adapted senders play the first week (the
presets without rounds). In each later week, the operators start with new accounts and the next
candidates of their search. Between weeks the platform learns from its own log, as a service does,
and checks its learned scores daily.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from wavebreak.durations import DAY_MS
from wavebreak.engine import snapshot
from wavebreak.engine.policy_change import carried_state
from wavebreak.errors import UsageError
from wavebreak.evaluation import Evaluation, Persona
from wavebreak.evaluation.home_learning import Terms
from wavebreak.model import Model
from wavebreak.outcomes import REFUSING
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.rules import Policy
from wavebreak_lab import simulation
from wavebreak_lab.red_team import counts, round
from wavebreak_lab.red_team.config import RedTeamConfig
from wavebreak_lab.red_team.learner import Learner
from wavebreak_lab.red_team.search import FamilySearch, describe_changes
from wavebreak_lab.simulation.attackers import (
    EVASION_PRESETS,
    PRESETS,
    REACTION_PRESETS,
    TOOL_PRESETS,
    Preset,
    Sender,
)
from wavebreak_lab.simulation.world import BATCH

FAMILIES: dict[str, Preset] = PRESETS | TOOL_PRESETS | REACTION_PRESETS | EVASION_PRESETS


@dataclass(frozen=True)
class RunOptions:
    """Families by name, accounts of each, people, days of a week, rounds, weeks, seed, feedback."""

    families: tuple[str, ...]
    accounts: int = 20
    people: int = 2500
    days: float = 7.0
    rounds: int = 5
    weeks: int = 1
    seed: int = 0
    feedback: round.FeedbackMode = "delayed"


@dataclass(frozen=True)
class Stage:
    """A round of adaptation or a week, with its counts.

    Attributes:
        per_thousand: Dollars per thousand acts delivered, of all families that deliver.
        interval: The 95 % interval, by a bootstrap over operators.
        days_acting: Days on which a learned score acted.
        learned: The learned scores at the end: number, state, reason, line, labels, operators.
    """

    name: str
    families: dict[str, counts.FamilyCounts]
    people: counts.PeopleCounts
    per_thousand: float | None
    interval: tuple[float, float] | None
    personas: dict[str, Persona]
    days_acting: int = 0
    learned: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class RedTeamResult:
    """All rounds and weeks of a run, and the senders that played the first week."""

    options: RunOptions
    rounds: list[Stage]
    weeks: list[Stage]
    changes: dict[str, str]
    senders: dict[str, Sender]
    versions: dict[str, str | None]

    @property
    def before(self) -> Stage:
        """The stage of the presets."""
        return (self.rounds or self.weeks)[0]


def resolve_families(names: Sequence[str]) -> tuple[str, ...]:
    """Return families without duplicates; without a name, all but the presets of public tools.

    Raises:
        UsageError: A name is unknown.
    """
    if unknown := [name for name in names if name not in FAMILIES]:
        raise UsageError(
            f"{len(unknown)} unknown families", fix=f"choose from {', '.join(FAMILIES)}"
        )
    return tuple(dict.fromkeys(names)) or tuple(PRESETS | REACTION_PRESETS)


@dataclass
class _Run:
    """The state of a run in progress; see `run_red_team` for the fields."""

    options: RunOptions
    policy: Policy
    pseudonymizer: Pseudonymizer
    settings: RedTeamConfig
    terms: Terms
    out: Path
    model: Model | None
    progress: Callable[[float, str], None]
    accused: Counter[str] = field(default_factory=Counter)
    earlier: set[str] = field(default_factory=set)
    stages: int = 0

    def __post_init__(self) -> None:
        options = self.options
        self.learner = Learner(self.policy, self.model, self.terms, options.seed)
        self.searches = {
            name: FamilySearch(
                name, FAMILIES[name].sender, options.accounts, options.seed, self.settings
            )
            for name in options.families
        }
        self.span = int(options.days * DAY_MS)
        self.report_progress("simulating people")
        self.environment = round.simulate_environment(
            self.pseudonymizer,
            people=options.people,
            days=options.days * options.weeks,
            seed=options.seed,
        )

    def report_progress(self, text: str, share: float = 0.0) -> None:
        stage_count = self.options.weeks + (self.options.rounds + 1 if self.options.rounds else 0)
        self.progress(min(1.0, (self.stages + share) / stage_count), text)

    def new_round(self, number: int, *, until_ms: int) -> round.Round:
        """Return a round with a fresh engine on the environment before a time."""
        environment, seed = self.environment.until(until_ms), (self.options.seed, number)
        engine, mode = round.new_engine(self.policy, self.model), self.options.feedback
        return round.Round(environment, engine, self.pseudonymizer, self.settings, mode, seed)

    def entries(self, method: Callable[[FamilySearch], list[Sender]]) -> list[round.OperatorEntry]:
        """Split each family's accounts over its operators, one operator a candidate."""
        entries = []
        for family, search in self.searches.items():
            candidates = method(search)
            shares = np.array_split(np.arange(self.options.accounts), len(candidates))
            entries += [
                round.OperatorEntry(family, f"{family}-{k + 1}", sender, max(1, len(share)))
                for k, (sender, share) in enumerate(zip(candidates, shares, strict=True))
            ]
        return entries

    def play_rounds(self) -> list[Stage]:
        """Play the presets, then the rounds of adaptation, each with a fresh engine."""
        start, stages = self.environment.sim.start, list[Stage]()
        for number in range(self.options.rounds + 1):
            name = f"adaptation {number}" if number else "before adaptation"
            candidates = FamilySearch.ask if number else FamilySearch.presets
            replay = self.new_round(number, until_ms=start + self.span)
            replay.enter(
                self.entries(candidates), start, start + self.span, (self.options.seed, number)
            )
            stages.append(self.play_stage(name, replay, start, f"rounds/{number}"))
            if number:
                self.tell_searches(replay)
        return stages

    def play_weeks(self) -> list[Stage]:
        """Play the weeks under one engine, learn between them, and write the world."""
        sim, options, stages = self.environment.sim, self.options, list[Stage]()
        replay = self.new_round(1000, until_ms=sim.end)
        first = FamilySearch.best if options.rounds else FamilySearch.presets
        for number in range(options.weeks):
            low = sim.start + number * self.span
            high = sim.end if number + 1 == options.weeks else low + self.span
            entries = self.entries(FamilySearch.ask if number else first)
            replay.enter(entries, low, high, (options.seed, 1000 + number))
            name, directory = f"week {number + 1}", f"weeks/{number + 1}"
            stages.append(self.play_stage(name, replay, low, directory, is_week=True))
            if number:
                self.tell_searches(replay)
        self.write_world(replay)
        return stages

    def play_stage(
        self, name: str, replay: round.Round, start: int, directory: str, *, is_week: bool = False
    ) -> Stage:
        """Play the operators that entered, day by day; in a week, learn from the log."""
        end, days_acting = max(state.sim.end for state in replay.operators), 0
        self.report_progress(name)
        for day in range(start, end, DAY_MS):
            day_end = min(day + DAY_MS, end)
            replay.play(day, day_end)
            days_acting += self.learner.acting is not self.model
            if is_week and day_end < self.environment.sim.end:
                self.learn(replay, day_end, is_week_over=day_end == end)
            self.report_progress(name, (day_end - start) / (end - start))
        stage = self.count(name, replay, self.out / directory, start, days_acting, is_week=is_week)
        self.stages += 1
        return stage

    def learn(self, replay: round.Round, now_ms: int, *, is_week_over: bool) -> None:
        """Learn or check, and let the engine go on under the acting model."""
        previous = self.learner.acting
        if is_week_over:
            self.learner.learn(replay.replay.log_events().to_batches())
        elif self.learner.is_due(now_ms):
            self.learner.check(replay.replay.log_events().to_batches())
        if self.learner.acting is not previous:
            old = replay.replay.engine
            engine = round.new_engine(old.policy, self.learner.acting)
            snapshot.load(engine, carried_state(old, engine))
            engine.first_messages = old.first_messages
            replay.replay.engine = engine

    def count(
        self,
        name: str,
        replay: round.Round,
        directory: Path,
        start: int,
        days_acting: int,
        *,
        is_week: bool,
    ) -> Stage:
        """Count a stage that began at a time; accounts of earlier weeks are left out."""
        results, engine = replay.results(), replay.replay.engine
        labels = [row for row in replay.registry.labels() if row[0] not in self.earlier]
        labels = counts.label_hired_ring(labels)
        evaluation = counts.write_and_evaluate(labels, engine, directory)
        within_a_week = counts.actioned_within_a_week(engine)
        prices, seed = self.settings.prices, self.options.seed
        families = {
            family: counts.count_family(
                [result for result in results if result.entry.family == family],
                evaluation,
                within_a_week,
                prices,
                seed,
            )
            for family in self.options.families
        }
        accused = sum((Counter(result.accused) for result in results), Counter[str]())
        if is_week:
            self.earlier |= {row[0] for row in labels if row[1] == "abusive"}
            self.accused.update(accused)
            accused = self.accused
        return Stage(
            name,
            families,
            _count_people(replay, evaluation, accused, start),
            *counts.cost_of_all(results, prices, seed),
            evaluation.personas,
            days_acting,
            tuple(score.summary() for score in self.learner.scores),
        )

    def tell_searches(self, replay: round.Round) -> None:
        """Tell each family's search the gains of its operators."""
        worst = counts.worst_outcomes(replay.replay.engine)
        harmed = {account for account, outcome in worst.items() if outcome in REFUSING}
        gains: dict[str, list[float]] = {name: [] for name in self.searches}
        for result in replay.results():
            gains[result.entry.family].append(counts.gain(result, harmed, self.settings.prices))
        for name, search in self.searches.items():
            search.tell(gains[name])

    def write_world(self, replay: round.Round) -> None:
        """Write the weeks as a simulated world."""
        wire = pa.Table.from_batches(list(self.environment.world.batches()))
        events = replay.replay.events(wire).combine_chunks()
        description = {"red_team": asdict(self.options)} | self.environment.world.about
        labels = counts.label_hired_ring(replay.registry.labels())
        world = simulation.World(
            labels, description, lambda size: iter(events.to_batches(size or BATCH))
        )
        simulation.write(world, self.out)


def _count_people(
    played: round.Round, evaluation: Evaluation, accused: Counter[str], start: int
) -> counts.PeopleCounts:
    personas, replay = evaluation.personas.values(), played.replay
    abusive = {account for account, label, *_ in played.registry.labels() if label == "abusive"}
    end = max(state.sim.end for state in played.operators)
    contacts = [
        (tuple(sorted((sender, recipient))), is_stopped)
        for sender, recipient, is_stopped in replay.first_contacts(start, end)
        if sender not in abusive
    ]
    worst = counts.worst_outcomes(replay.engine)
    return counts.PeopleCounts(
        accounts=sum(p.accounts for p in personas),
        restricted=sum(p.actioned for p in personas),
        banned=sum(p.banned for p in personas),
        first_contacts=len(contacts),
        refused=sum(is_stopped for _, is_stopped in contacts),
        delayed=sum(pair in replay.delayed and not is_stopped for pair, is_stopped in contacts),
        accused=tuple(sorted((n, worst.get(a, "none")) for a, n in accused.items())),
    )


def run_red_team(
    options: RunOptions,
    policy: Policy,
    pseudonymizer: Pseudonymizer,
    settings: RedTeamConfig,
    terms: Terms,
    out: Path,
    *,
    model: Model | None = None,
    progress: Callable[[float, str], None] = lambda _share, _text: None,
) -> RedTeamResult:
    """Play rounds of adaptation, then weeks. The same arguments give the same bytes.

    Args:
        options: Families, sizes, rounds, weeks, seed, feedback.
        policy: Rules and actions of the engine.
        pseudonymizer: Pseudonymizes the events.
        settings: Prices, challenge behaviour, parameters that senders may change.
        terms: Terms of learning at home.
        out: Directory for the weeks' events and labels, and the accounts of each stage.
        model: A model that scores until one is learned, or None for rules alone.
        progress: Called with the completed share and the name of the stage.
    """
    state = _Run(options, policy, pseudonymizer, settings, terms, out, model, progress)
    rounds = state.play_rounds() if options.rounds else []
    senders = {
        name: search.best()[0] if options.rounds else search.sender
        for name, search in state.searches.items()
    }
    changes = {
        name: describe_changes(search.sender, senders[name], search.parameters)
        for name, search in state.searches.items()
    }
    versions = {"policy": policy.version, "model": None if model is None else model.version}
    return RedTeamResult(options, rounds, state.play_weeks(), changes, senders, versions)
