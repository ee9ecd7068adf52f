"""The default model: trained on random platforms, and on real traces with simulated operators.

Every random platform has other parameters (`simulation.random_platforms`). The settings are the
table `[default]` of `training.toml`; platforms with seeds from `held_from` on are kept from the fit
and decide calibration and thresholds.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from wavebreak import rules
from wavebreak.engine import Engine
from wavebreak.engine.engine import features_version
from wavebreak.errors import FileError
from wavebreak.evaluation import scoring_points
from wavebreak.evaluation.label_votes import Labels, LabelVote, resolve_votes
from wavebreak.io import csv_import
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.reports.tables import Table
from wavebreak.schema import coverage as profiles
from wavebreak.schema.event_kinds import KINDS
from wavebreak_lab import simulation
from wavebreak_lab.training import sample_weights
from wavebreak_lab.training.config import Default, Settings
from wavebreak_lab.training.evaluation import ModelEvaluation
from wavebreak_lab.training.pipeline import evaluate_and_write
from wavebreak_lab.training.trainer import Progress, TrainingResult, fit_model

TRACES = ("collegemsg", "copenhagen", "email_eu", "fb_forum", "irc_ubuntu")
"""Traces of people (presets of `wavebreak import csv`); one of bots and people is kept out."""

WORKERS = 2
"""Processes that replay platforms."""

_REGISTERED = KINDS.index("registered")


@dataclass(frozen=True)
class PlatformSource:
    """One world to learn from: drawn, or with operators drawn into a trace; `held` from the fit.

    `requests`: chats of a random platform open by a request for contact.
    """

    seed: int
    held: bool
    trace: Path | None = None
    requests: bool = False

    @property
    def world(self) -> str:
        """Accounts of one trace are the same people, whoever is planted among them."""
        return self.trace.parent.name if self.trace else f"drawn-{self.seed}"


def platform_sources(
    worlds: int, held: int, seed: int, traces: Sequence[Path], numbers: Default
) -> list[PlatformSource]:
    """Name the worlds of a model: drawn ones from `seed` on, held ones, traces."""

    def drawn(first: int, count: int, *, held: bool) -> list[PlatformSource]:
        seeds = range(first, first + count)
        return [PlatformSource(s, held, requests=_has_requests(s, numbers)) for s in seeds]

    planted = [PlatformSource(seed + k, False, t) for t in traces for k in range(numbers.times)]
    return drawn(seed, worlds, held=False) + planted + drawn(numbers.held_from, held, held=True)


def _has_requests(seed: int, numbers: Default) -> bool:
    return bool(np.random.default_rng([seed, len("has requests")]).random() < numbers.requests)


def import_traces(background: Path, into: Path) -> list[Path]:
    """Turn the known traces of a directory (NAME*.csv.gz) into events; return their files.

    Raises `FileError` where there is none.
    """
    found = []
    for name in TRACES:
        for path in sorted(background.glob(f"{name}*.csv.gz"))[:1]:
            known = csv_import.PRESETS[name]
            csv_import.convert(
                path, into / name, types=known.types, unit=known.unit, several=known.several
            )
            found.append(into / name / "events.parquet")
    if not found:
        raise FileError(
            f"{background} holds no known trace", fix=f"name files like {TRACES[0]}.csv.gz"
        )
    return found


def replay_platform(
    source: PlatformSource, policy: rules.Policy, settings: Settings
) -> scoring_points.ReplayResult:
    """Draw a world, replay it in memory, and return its points and votes."""
    if source.trace is None:
        world = simulation.random_platform(source.seed, requests=source.requests)
    else:
        world = simulation.random_platform_on_trace(source.trace, source.seed)
    edge = Pseudonymizer(scoring_points.KEY)
    logs = [edge.apply(batch) for batch in world.batches()]
    engine = Engine(policy, profiles.measure(logs), record=True)
    got = scoring_points.record_points(engine, logs, source.world)
    votes = tuple(
        LabelVote(
            source.world, account, label, family, operator and f"{operator}-{source.seed}", "file"
        )
        for account, label, family, operator in world.labels
    )
    points = _after_compromise(got.points, world.compromised_at)
    if not source.held:
        points = _sample_points(points, votes, settings, source.seed)
    return replace(got, points=points, votes=votes)


def _after_compromise(
    points: scoring_points.Points, turned: dict[str, int]
) -> scoring_points.Points:
    """Leave out what accounts did while they were still honest people's."""
    since = np.array([turned.get(name, 0) for _, name in points.accounts], np.int64)
    return points.select(points.ts >= since[points.account])


def _sample_points(
    points: scoring_points.Points, votes: tuple[LabelVote, ...], settings: Settings, seed: int
) -> scoring_points.Points:
    """Take a share of ordinary people, and of everyone's points those that the fit takes.

    Those who register are few, and are all taken.
    """
    ordinary = {vote.account for vote in votes if vote.family == "person"}
    rng = np.random.default_rng([seed, len("thinned")])
    taken = np.array([name not in ordinary for _, name in points.accounts])
    taken |= rng.random(len(taken)) < settings.default.persons
    taken[points.account[points.kind == _REGISTERED]] = True
    return points.select(
        taken[points.account] & sample_weights.sampled_points(points.ordinals(), settings.weights)
    )


def _job(job: tuple[PlatformSource, Path | None, Settings]) -> scoring_points.ReplayResult:
    source, policy, settings = job
    return replay_platform(source, rules.load_policy(policy), settings)


def replay_platforms(
    named: Sequence[PlatformSource],
    policy: Path | None,
    settings: Settings,
    progress: Progress,
    workers: int = WORKERS,
) -> Iterator[scoring_points.ReplayResult]:
    """Gather worlds in several processes (one: in this one); yields them in their order."""
    jobs = [(source, policy, settings) for source in named]

    def counted(
        made: Iterable[scoring_points.ReplayResult],
    ) -> Iterator[scoring_points.ReplayResult]:
        for number, got in enumerate(made):
            progress((number + 1) / len(jobs), f"world {number + 1} of {len(jobs)}")
            yield got

    if workers == 1:
        yield from counted(map(_job, jobs))
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        yield from counted(pool.map(_job, jobs))


def train_default_model(
    out: Path,
    settings: Settings,
    *,
    worlds: int,
    held: int,
    seed: int,
    traces: Sequence[Path] = (),
    policy: Path | None = None,
    name: str = "default",
    workers: int = WORKERS,
    left_out: Sequence[Table] = (),
    gathered: GatheredPlatforms | None = None,
    progress: Progress = lambda *_: None,
) -> tuple[TrainingResult, ModelEvaluation]:
    """Make the default model: gather, learn, test, write the model's directory.

    `worlds` drawn from `seed` on and `held` more to calibrate; `traces` are files of events that
    people made. The tables `left_out` go on the card; `gathered` are these platforms, where they
    were replayed before. The same arguments give the same bytes.
    """
    named = platform_sources(worlds, held, seed, traces, settings.default)
    if gathered is None:
        gathered = gather_platforms(
            named, policy, settings, lambda s, w: progress(0.55 * s, w), workers
        )
    learned = fit_model(
        gathered.points.without(settings.default.without),
        gathered.labels,
        default_settings(settings),
        name=name,
        seed=seed,
        calibrates=gathered.calibrates,
        notes=_notes(worlds, held, seed, settings.default, traces, policy, gathered.events),
        progress=lambda s, w: progress(0.55 + 0.4 * s, w),
    )
    return learned, evaluate_and_write(learned, out, progress, left_out)


@dataclass(frozen=True)
class GatheredPlatforms:
    """Points and labels of all platforms; `calibrates` are the runs kept from the fit."""

    points: scoring_points.Points
    labels: Labels
    calibrates: frozenset[int]
    events: int


def gather_platforms(
    named: Sequence[PlatformSource],
    policy: Path | None,
    settings: Settings,
    progress: Progress,
    workers: int = WORKERS,
) -> GatheredPlatforms:
    """Replay platforms, and put their points and labels together."""
    points, votes, events = [], [], 0
    for got in replay_platforms(named, policy, settings, progress, workers):
        points.append(got.points)
        votes += list(got.votes)
        events += got.events
    calibrates = frozenset(k for k, source in enumerate(named) if source.held)
    labels = resolve_votes(votes, settings.sources)
    return GatheredPlatforms(scoring_points.concat_points(points), labels, calibrates, events)


def default_settings(settings: Settings) -> Settings:
    """The settings of the default model: most operators in the fit, its own tolerance at most.

    Its thresholds stand on counts: it has people enough.
    """
    changed, own = msgspec.structs.replace, settings.default
    abstention = settings.abstention
    if abstention is not None:
        abstention = changed(abstention, newcomers=own.newcomers)
    kept = {name: min(most, settings.tolerance.of(name)) for name, most in own.tolerance.items()}
    return changed(
        settings,
        split=own.split,
        fit=changed(settings.fit, rounds=own.rounds, leaves=own.leaves),
        tolerance=changed(settings.tolerance, **kept),
        few=None,
        abstention=abstention,
    )


def _notes(
    worlds: int,
    held: int,
    seed: int,
    numbers: Default,
    traces: Sequence[Path],
    policy: Path | None,
    events: int,
) -> dict[str, Any]:
    return {
        "worlds": f"{worlds} drawn from seed {seed}, {held} held from seed {numbers.held_from}",
        "traces": " ".join(trace.parent.name for trace in traces),
        "logs": [scoring_points.file_digest(trace) for trace in traces],
        "policy": rules.load_policy(policy).version,
        "features": features_version(),
        "mode": "shadow",
        "events": events,
    }
