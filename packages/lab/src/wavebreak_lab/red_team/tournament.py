"""A red-team tournament: between rounds, every family searches for what delivers more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from cmaes._cma import CMA

from wavebreak import engine
from wavebreak.engine import Engine
from wavebreak.engine.first_messages import FirstMessages
from wavebreak.errors import UsageError
from wavebreak.evaluation import Evaluation
from wavebreak.model import Model
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.rules import Policy
from wavebreak.schema import coverage
from wavebreak.schema.events import WIRE_SCHEMA
from wavebreak_lab import simulation
from wavebreak_lab.red_team.config import RedTeamConfig
from wavebreak_lab.red_team.feedback import FeedbackMode
from wavebreak_lab.red_team.metrics import (
    FamilyCounts,
    count_families,
    label_hired_ring,
    operator_cost,
    write_and_evaluate,
)
from wavebreak_lab.red_team.round import (
    Environment,
    OperatorEntry,
    OperatorResult,
    RoundResult,
    play_round,
    simulate_environment,
)
from wavebreak_lab.red_team.search_space import decode, describe_changes, encode, search_parameters
from wavebreak_lab.simulation.attackers import (
    PRESETS,
    REACTION_PRESETS,
    TOOL_PRESETS,
    Preset,
    Sender,
)
from wavebreak_lab.simulation.log import Floats
from wavebreak_lab.simulation.world import BATCH

MIN_CANDIDATES = 4
"""Fewest candidates of a generation; operators may then have fewer than the usual accounts."""

ACCOUNTS_PER_OPERATOR = 5
"""Usual number of accounts of one operator; a family's accounts are split over operators."""

INITIAL_STEP = 0.2
"""First step of the search, as a share of a parameter's scale."""

FAMILIES: dict[str, Preset] = PRESETS | TOOL_PRESETS | REACTION_PRESETS


@dataclass(frozen=True)
class TournamentConfig:
    """Families by name, accounts of each, people, days, rounds of adaptation, seed, feedback."""

    families: tuple[str, ...]
    accounts: int = 20
    people: int = 2500
    days: float = 7.0
    rounds: int = 5
    seed: int = 0
    feedback: FeedbackMode = "delayed"


@dataclass(frozen=True)
class RoundSummary:
    """One round: its name, when operators got feedback, and its counts by family."""

    name: str
    feedback: FeedbackMode
    events: int
    counts: dict[str, FamilyCounts]


@dataclass(frozen=True)
class Tournament:
    """All rounds, the adapted senders, and the evaluation of their round."""

    config: TournamentConfig
    rounds: list[RoundSummary]
    changes: dict[str, str]
    senders: dict[str, Sender]
    evaluation: Evaluation
    versions: dict[str, str | None]

    def as_json(self) -> dict[str, Any]:
        """Return the tournament as plain JSON values."""
        rounds = [
            {
                "name": r.name,
                "feedback": r.feedback,
                "events": r.events,
                "families": {
                    n: asdict(c) | {"per_thousand": _or_none(c.per_thousand)}
                    for n, c in r.counts.items()
                },
            }
            for r in self.rounds
        ]
        return {
            "config": asdict(self.config),
            "versions": self.versions,
            "rounds": rounds,
            "changes": self.changes,
            "senders": {name: asdict(sender) for name, sender in self.senders.items()},
            "personas": {name: asdict(p) for name, p in self.evaluation.personas.items()},
        }


def _or_none(value: float) -> float | None:
    return None if value != value else value


def resolve_families(names: Sequence[str]) -> tuple[str, ...]:
    """Return families without duplicates; no name means every tactic and the combination.

    Raises:
        UsageError: A name is unknown.
    """
    if unknown := [name for name in names if name not in FAMILIES]:
        raise UsageError(
            f"{len(unknown)} unknown families",
            fix=f"choose from {', '.join(FAMILIES)}",
        )
    return tuple(dict.fromkeys(names)) or tuple(PRESETS)


class FamilySearch:
    """One family's CMA-ES search over its parameters; each operator plays one candidate."""

    def __init__(
        self, family: str, sender: Sender, config: TournamentConfig, settings: RedTeamConfig
    ) -> None:
        self.family, self.sender = family, sender
        wanted = min(8, config.accounts // ACCOUNTS_PER_OPERATOR)
        self.count = min(config.accounts, max(MIN_CANDIDATES, wanted))
        self.parameters = search_parameters(sender, settings)
        self.start = encode(sender, self.parameters)
        seed = config.seed * 1009 + sum(map(ord, family))
        bounds = np.array([[0.0, 1.0]] * len(self.parameters))
        self._cma = CMA(
            self.start, INITIAL_STEP, bounds=bounds, seed=seed, population_size=self.count
        )
        self._candidates: list[Floats] = []

    def ask(self) -> list[Sender]:
        """Return the next candidates."""
        self._candidates = [self._cma.ask() for _ in range(self.count)]
        return [decode(self.sender, self.parameters, vector) for vector in self._candidates]

    def tell(self, gains: Sequence[float]) -> None:
        """Update the search with each candidate's delivered acts per dollar."""
        self._cma.tell([(x, -gain) for x, gain in zip(self._candidates, gains, strict=True)])

    def best(self) -> Sender:
        """Return the sender at the mean of the search distribution."""
        return decode(self.sender, self.parameters, np.clip(self._cma.mean, 0, 1))


def new_searches(config: TournamentConfig, settings: RedTeamConfig) -> dict[str, FamilySearch]:
    """Return a search of each family, from its preset."""
    return {n: FamilySearch(n, FAMILIES[n].sender, config, settings) for n in config.families}


def presets_of(searches: dict[str, FamilySearch]) -> dict[str, list[Sender]]:
    """Return each family's preset, once an operator."""
    return {name: [search.sender] * search.count for name, search in searches.items()}


def tell(
    searches: dict[str, FamilySearch],
    operators: Sequence[OperatorResult],
    gain: Callable[[OperatorResult], float],
) -> None:
    """Tell each family's search what its operators gained."""
    for name, search in searches.items():
        search.tell([gain(one) for one in operators if one.entry.family == name])


def delivered_per_dollar(result: OperatorResult, settings: RedTeamConfig) -> float:
    """Return the acts that an operator delivered per dollar."""
    return result.total_delivered / max(operator_cost(result, settings.prices), 0.01)


def new_engine(policy: Policy, model: Model | None) -> Engine:
    """Return an engine that enforces and counts first messages, without state."""
    carried = coverage.declared(coverage.known_names())  # as a replay of its log measures
    engine = Engine(policy, carried, enforce=True, accounts=1 << 15, model=model)
    engine.first_messages = FirstMessages()
    return engine


class TournamentRun:
    """A tournament in progress: what all of its rounds share.

    `environment`: people, where they are simulated already; else they are here.
    """

    def __init__(
        self,
        config: TournamentConfig,
        policy: Policy,
        pseudonymizer: Pseudonymizer,
        settings: RedTeamConfig,
        model: Model | None,
        out: Path,
        progress: Callable[[float, str], None],
        environment: Environment | None = None,
    ) -> None:
        self.config, self.policy, self.pseudonymizer, self.settings = (
            config,
            policy,
            pseudonymizer,
            settings,
        )
        self.model, self.out, self.progress = model, out, progress
        self.rounds: list[RoundSummary] = []
        self.round_count = config.rounds + 3
        self.report_progress("simulating people")
        self.environment = environment or simulate_environment(
            people=config.people, days=config.days, seed=config.seed
        )

    def report_progress(self, words: str, share: float = 0.0) -> None:
        """Report the share of the tournament that is done."""
        self.progress(min(1.0, (len(self.rounds) + share) / self.round_count), words)

    def entries(self, senders: dict[str, list[Sender]]) -> list[OperatorEntry]:
        """Split each family's accounts over its operators, one operator a candidate."""
        entries = []
        for family, candidates in senders.items():
            shares = np.array_split(np.arange(self.config.accounts), len(candidates))
            entries += [
                OperatorEntry(family, f"{family}-{k + 1}", sender, max(1, len(share)))
                for k, (sender, share) in enumerate(zip(candidates, shares, strict=True))
            ]
        return entries

    def play(
        self,
        name: str,
        senders: dict[str, list[Sender]],
        feedback: FeedbackMode,
        *,
        keep_events: bool = False,
    ) -> tuple[RoundResult, Evaluation]:
        """Play one round, write its accounts and labels, and count it by family."""
        number = len(self.rounds)
        engine = new_engine(self.policy, self.model)
        result = play_round(
            self.environment,
            self.entries(senders),
            engine,
            self.pseudonymizer,
            self.settings,
            feedback=feedback,
            seed=(self.config.seed, min(number, self.config.rounds + 1)),
            keep_events=keep_events,
            progress=lambda share: self.report_progress(name, share),
        )
        directory = self.out / "rounds" / str(number)
        evaluation = write_and_evaluate(result, engine, directory)
        counts = count_families(result, evaluation, self.settings.prices, directory)
        self.rounds.append(RoundSummary(name, feedback, result.events, counts))
        return result, evaluation


def adapt(run: TournamentRun) -> dict[str, FamilySearch]:
    """Play the presets, then the rounds of adaptation; return every family's search."""
    config, settings = run.config, run.settings
    searches = new_searches(config, settings)
    run.play("before adaptation", presets_of(searches), config.feedback)
    for number in range(config.rounds):
        candidates = {n: search.ask() for n, search in searches.items()}
        result, _ = run.play(f"adaptation {number + 1}", candidates, config.feedback)
        tell(searches, result.operators, lambda one: delivered_per_dollar(one, settings))
    return searches


def run_tournament(
    config: TournamentConfig,
    policy: Policy,
    pseudonymizer: Pseudonymizer,
    settings: RedTeamConfig,
    out: Path,
    *,
    model: Model | None = None,
    progress: Callable[[float, str], None] = lambda _share, _words: None,
) -> Tournament:
    """Play a tournament: presets, rounds of adaptation, then the adapted senders.

    Every round of adaptation is one generation of each family's search. The adapted senders play
    twice: with the configured feedback and, for comparison, with instant feedback (or delayed,
    where instant is configured). The same arguments give the same bytes.

    Args:
        config: Families, sizes, rounds, seed, feedback.
        policy: Rules and actions of the engine.
        pseudonymizer: Pseudonymizes the events.
        settings: Prices, challenge behaviour, parameters that senders may change.
        out: Directory for the adapted round: events, labels, decisions, accounts.
        model: A model that scores, or None for rules alone.
        progress: Called with the share that is done and what is being done.

    Returns:
        The rounds, the adapted senders, and the evaluation of their round.
    """
    run = TournamentRun(config, policy, pseudonymizer, settings, model, out, progress)
    presets = {name: FAMILIES[name].sender for name in config.families}
    searches = adapt(run)
    adapted = {
        n: search.best() if config.rounds else search.sender for n, search in searches.items()
    }
    last = {n: [sender] * searches[n].count for n, sender in adapted.items()}
    final, evaluation = run.play("adapted", last, config.feedback, keep_events=True)
    other: FeedbackMode = "delayed" if config.feedback == "instant" else "instant"
    run.play(f"adapted, {other} feedback", last, other)
    _write_last_round(final, run, out)
    changes = {n: describe_changes(presets[n], adapted[n], searches[n].parameters) for n in presets}
    versions = {
        "policy": policy.version,
        "model": None if model is None else model.version,
    }
    return Tournament(config, run.rounds, changes, adapted, evaluation, versions)


def _write_last_round(final: RoundResult, run: TournamentRun, out: Path) -> None:
    """Write a round as a simulated world, and run the engine over its file of events."""
    whole = pa.Table.from_batches(final.batches, schema=WIRE_SCHEMA).combine_chunks()
    about = {"red_team": asdict(run.config)} | run.environment.about
    labels = label_hired_ring(final.labels)
    world = simulation.World(labels, about, lambda size: iter(whole.to_batches(size or BATCH)))
    simulation.write(world, out)
    run.report_progress("running the adapted round from its file")
    engine.run(out, out, run.policy, run.pseudonymizer, enforce=True, model=run.model)
