"""Play a red-team run: rounds of adaptation, then weeks of one world in which the platform learns.

Rounds: the presets play the world's first week, then each family searches for parameters that
deliver more for a dollar, a generation a round. Each round has a fresh engine.

Weeks: one world goes on under one engine. The adapted senders play the first week (the presets, if
there was no round); each later week the operators start with new accounts and the next candidates
of their family's search. Between weeks the platform learns from its own log, as a service does, and
checks each day the scores that it has learned. One week is a tournament: nothing is learned.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from wavebreak.durations import DAY_MS
from wavebreak.engine import Engine, snapshot
from wavebreak.engine.policy_change import carried_state
from wavebreak.errors import UsageError
from wavebreak.evaluation import Evaluation, Persona
from wavebreak.evaluation.home_learning import Terms
from wavebreak.model import Model
from wavebreak.outcomes import REFUSING
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.rules import Policy
from wavebreak_lab import simulation
from wavebreak_lab.red_team import counts
from wavebreak_lab.red_team.config import RedTeamConfig
from wavebreak_lab.red_team.feedback import FeedbackMode
from wavebreak_lab.red_team.learner import Learner
from wavebreak_lab.red_team.round import OperatorEntry, Round, new_engine, simulate_environment
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
    feedback: FeedbackMode = "delayed"


@dataclass(frozen=True)
class Stage:
    """A round of adaptation or a week, with its counts.

    Attributes:
        per_thousand: Dollars per thousand acts delivered, of all families that deliver.
        interval: Its 95 % interval, by a bootstrap over operators.
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
    """Return families without duplicates; no name means all but the presets of a public tool.

    Raises:
        UsageError: A name is unknown.
    """
    if unknown := [name for name in names if name not in FAMILIES]:
        raise UsageError(
            f"{len(unknown)} unknown families",
            fix=f"choose from {', '.join(FAMILIES)}",
        )
    return tuple(dict.fromkeys(names)) or tuple(PRESETS | REACTION_PRESETS)


class _Run:
    """A run in progress: the state that its stages share. See `run_red_team`."""

    def __init__(
        self,
        options: RunOptions,
        policy: Policy,
        pseudonymizer: Pseudonymizer,
        settings: RedTeamConfig,
        terms: Terms,
        out: Path,
        model: Model | None,
        progress: Callable[[float, str], None],
    ) -> None:
        self.options, self.settings, self.policy, self.out = options, settings, policy, out
        self.pseudonymizer, self.model, self.progress = pseudonymizer, model, progress
        self.learner = Learner(policy, model, terms, options.seed)
        self.searches = {
            name: FamilySearch(
                name, FAMILIES[name].sender, options.accounts, options.seed, settings
            )
            for name in options.families
        }
        self.span = int(options.days * DAY_MS)
        self.stages = 0
        self.stage_count = options.weeks + (options.rounds + 1 if options.rounds else 0)
        self.report_progress("simulating people")
        days = options.days * options.weeks
        self.environment = simulate_environment(
            pseudonymizer, people=options.people, days=days, seed=options.seed
        )
        self.accused, self.earlier = Counter[str](), set[str]()

    def report_progress(self, text: str, share: float = 0.0) -> None:
        """Report the share of the run that is done."""
        self.progress(min(1.0, (self.stages + share) / self.stage_count), text)

    def new_round(self, seed: int, *, until_ms: int) -> Round:
        """Return a round with a fresh engine on the environment before a time."""
        environment = self.environment.until(until_ms)
        engine = new_engine(self.policy, self.model)
        return Round(
            environment, engine, self.pseudonymizer, self.settings, self.options.feedback,
            (self.options.seed, seed),
        )  # fmt: skip

    def entries(self, method: Callable[[FamilySearch], list[Sender]]) -> list[OperatorEntry]:
        """Split each family's accounts over its operators, one operator a candidate."""
        entries = []
        for family, search in self.searches.items():
            candidates = method(search)
            shares = np.array_split(np.arange(self.options.accounts), len(candidates))
            entries += [
                OperatorEntry(family, f"{family}-{k + 1}", sender, max(1, len(share)))
                for k, (sender, share) in enumerate(zip(candidates, shares, strict=True))
            ]
        return entries

    def adapt(self) -> list[Stage]:
        """Play the presets, then the rounds of adaptation, each with a fresh engine."""
        start, stages = self.environment.sim.start, list[Stage]()
        for number in range(self.options.rounds + 1):
            name = f"adaptation {number}" if number else "before adaptation"
            method = FamilySearch.ask if number else FamilySearch.presets
            played = self.new_round(number, until_ms=start + self.span)
            self.report_progress(name)
            seed = (self.options.seed, number)
            played.enter(self.entries(method), start, start + self.span, seed)
            played.go_on(start, start + self.span)
            stages.append(self.count(name, played, self.out / "rounds" / str(number), start))
            if number:
                self.tell(played)
        return stages

    def play_weeks(self) -> list[Stage]:
        """Play the weeks under one engine, learn between them, and write the world."""
        options, weeks = self.options, list[Stage]()
        sim = self.environment.sim
        played = self.new_round(1000, until_ms=sim.end)
        for number in range(options.weeks):
            low, name = sim.start + number * self.span, f"week {number + 1}"
            high = sim.end if number + 1 == options.weeks else low + self.span
            self.report_progress(name)
            first = FamilySearch.best if options.rounds else FamilySearch.presets
            entries = self.entries(FamilySearch.ask if number else first)
            played.enter(entries, low, high, (options.seed, 1000 + number))
            days_acting = 0
            for day in range(low, high, DAY_MS):
                until = min(day + DAY_MS, high)
                played.go_on(day, until)
                days_acting += self.learner.acting is not self.model
                if until < sim.end:
                    self.learn(played, until, anew=until == high)
                self.report_progress(name, (until - low) / (high - low))
            stage = self.count(name, played, self.out / "weeks" / str(number + 1), low, days_acting)
            if number:
                self.tell(played)
            weeks.append(stage)
        self.write_world(played)
        return weeks

    def learn(self, played: Round, now_ms: int, *, anew: bool) -> None:
        """Learn or check, and let the engine go on under the model that acts."""
        before = self.learner.acting
        if anew:
            self.learner.learn(played.replay.log_events().to_batches())
        elif self.learner.is_due(now_ms):
            self.learner.check(played.replay.log_events().to_batches())
        if self.learner.acting is not before:
            played.replay.engine = _continued(played.replay.engine, self.learner.acting)

    def count(
        self, name: str, played: Round, directory: Path, start: int, days_acting: int = 0
    ) -> Stage:
        """Count a stage that began at a time; accounts of earlier weeks are left out."""
        results, engine = played.results(), played.replay.engine
        labels = [row for row in played.registry.labels() if row[0] not in self.earlier]
        labels = counts.label_hired_ring(labels)
        evaluation = counts.write_and_evaluate(labels, engine, directory)
        within_a_week = counts.actioned_within_a_week(engine)
        prices, seed = self.settings.prices, self.options.seed
        families = {
            family: counts.count_family(
                [result for result in results if result.entry.family == family],
                evaluation, within_a_week, prices, seed,
            )
            for family in self.options.families
        }  # fmt: skip
        is_week = name.startswith("week")
        if is_week:
            self.earlier |= {row[0] for row in labels if row[1] == "abusive"}
            for result in results:
                self.accused.update(result.accused)
        accused = self.accused if is_week else sum(
            (Counter(result.accused) for result in results), Counter[str]()
        )  # fmt: skip
        people = _count_people(played, evaluation, accused, start)
        learned = tuple(
            {
                "number": s.number, "state": s.state, "why": s.why, "line": s.lesson.line,
                "labels": s.lesson.labels, "operators": s.lesson.operators,
            }
            for s in self.learner.scores
        )  # fmt: skip
        total = counts.cost_of_all(results, prices, seed)
        self.stages += 1
        return Stage(name, families, people, *total, evaluation.personas, days_acting, learned)

    def tell(self, played: Round) -> None:
        """Tell each family's search the gains of its operators."""
        worst = counts.worst_outcomes(played.replay.engine)
        harmed = {account for account, outcome in worst.items() if outcome in REFUSING}
        results, prices = played.results(), self.settings.prices
        for name, search in self.searches.items():
            search.tell([
                counts.gain(result, harmed, prices)
                for result in results if result.entry.family == name
            ])  # fmt: skip

    def write_world(self, played: Round) -> None:
        """Write the weeks as a simulated world."""
        wire = pa.Table.from_batches(list(self.environment.world.batches()))
        events = played.replay.events(wire).combine_chunks()
        about = {"red_team": asdict(self.options)} | self.environment.world.about
        labels = counts.label_hired_ring(played.registry.labels())
        world = simulation.World(labels, about, lambda size: iter(events.to_batches(size or BATCH)))
        simulation.write(world, self.out)


def _count_people(
    played: Round, evaluation: Evaluation, accused: Counter[str], start: int
) -> counts.PeopleCounts:
    personas, replay = evaluation.personas.values(), played.replay
    abusive = {account for account, label, *_ in played.registry.labels() if label == "abusive"}
    end = max(state.sim.end for state in played.operators)
    contacts = [
        (tuple(sorted((sender, recipient))), stopped)
        for sender, recipient, stopped in replay.first_contacts(start, end)
        if sender not in abusive
    ]
    worst = counts.worst_outcomes(replay.engine)
    return counts.PeopleCounts(
        accounts=sum(p.accounts for p in personas),
        restricted=sum(p.actioned for p in personas),
        banned=sum(p.banned for p in personas),
        first_contacts=len(contacts),
        refused=sum(stopped for _, stopped in contacts),
        delayed=sum(pair in replay.delayed and not stopped for pair, stopped in contacts),
        accused=tuple(sorted((n, worst.get(a, "none")) for a, n in accused.items())),
    )


def _continued(old: Engine, model: Model | None) -> Engine:
    """Return an engine that goes on from another's state under another model."""
    engine = new_engine(old.policy, model)
    snapshot.load(engine, carried_state(old, engine))
    engine.first_messages = old.first_messages
    return engine


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
        progress: Called with the share that is done and the name of the stage.
    """
    run = _Run(options, policy, pseudonymizer, settings, terms, out, model, progress)
    rounds = run.adapt() if options.rounds else []
    senders = {
        name: search.best()[0] if options.rounds else search.sender
        for name, search in run.searches.items()
    }
    changes = {
        name: describe_changes(search.sender, senders[name], search.parameters)
        for name, search in run.searches.items()
    }
    versions = {"policy": policy.version, "model": None if model is None else model.version}
    return RedTeamResult(options, rounds, run.play_weeks(), changes, senders, versions)
