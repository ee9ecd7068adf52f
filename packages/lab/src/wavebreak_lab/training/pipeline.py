"""The training pipeline: runs in, a model directory out.

The stages are replay, label resolution, fit, calibration, evaluation, and the model card. The same
inputs give the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from wavebreak import model
from wavebreak.durations import duration_ms
from wavebreak.engine.engine import features_version
from wavebreak.errors import UsageError
from wavebreak.evaluation import labels as label_files
from wavebreak.evaluation import scoring_points
from wavebreak.outcomes import CONFIRMING
from wavebreak.reports.html import write_html
from wavebreak.rules import Policy
from wavebreak_lab.training import model_card
from wavebreak_lab.training.config import Decisions, Settings
from wavebreak_lab.training.evaluation import ModelEvaluation, evaluate_model
from wavebreak_lab.training.trainer import Progress, TrainingResult, fit_model, with_unlabelled

CARD, REPORT = "card.html", "training.json"


@dataclass(frozen=True)
class TrainingSet:
    """Replayed runs: their points together, their labels, and digests of the inputs."""

    points: scoring_points.Points
    labels: label_files.Labels
    replays: tuple[scoring_points.ReplayResult, ...]
    calibrates: frozenset[int]
    notes: dict[str, Any]

    def first_labels(self) -> dict[label_files.Key, int]:
        """Return the time (ms) at which the logs first give each account's label."""
        first: dict[label_files.Key, int] = {}
        for replay in self.replays:
            for vote in replay.votes:
                key = (vote.world, vote.account)
                first[key] = min(vote.ts, first.get(key, vote.ts))
        return first


def confirmed_decisions(
    training_run: scoring_points.Run, end_ms: int, settings: Decisions
) -> Iterator[label_files.LabelVote]:
    """Return votes of a run's decisions that still stood at its end, long after they were made."""
    if (
        training_run.decisions is None
        or not (training_run.decisions / "accounts.parquet").is_file()
    ):
        return
    min_age_ms = duration_ms(settings.confirmed_after)
    columns = ["account", "outcome", "first_action_ms"]
    for row in pq.read_table(
        training_run.decisions / "accounts.parquet", columns=columns
    ).to_pylist():
        action_ms = row["first_action_ms"]
        is_old = action_ms is not None and end_ms - action_ms >= min_age_ms
        if row["outcome"] in CONFIRMING and is_old:
            yield label_files.LabelVote(
                training_run.world,
                row["account"],
                "abusive",
                "",
                "",
                "decision",
                label_files.UNDATED,
            )


def collect(
    paths: Sequence[Path],
    policy: Policy,
    settings: Settings,
    *,
    labels: Path | None = None,
    calibrate: Sequence[Path] = (),
    enforce: bool = False,
    unlabelled_benign: bool = False,
    progress: Progress = lambda *_: None,
) -> TrainingSet:
    """Replay runs and resolve their labels.

    Args:
        paths: Runs to learn from.
        policy: The policy of the replay.
        settings: Settings of training.
        labels: A file for all runs (None: each has labels.csv beside it).
        calibrate: Runs that are kept from the fit.
        enforce: Whether outcomes are enforced in the replay.
        unlabelled_benign: Whether accounts without a label are benign.
        progress: Called with a share and a text.

    Raises:
        UsageError: Runs and labels do not go together.
    """
    runs = [scoring_points.open_run(path) for path in (*paths, *calibrate)]
    _check_runs(runs, labels)
    replays, votes = [], _read_votes(runs, labels)
    for number, training_run in enumerate(runs):
        stage = _stage_progress(progress, number / len(runs), 1 / len(runs), training_run.name)
        replays.append(scoring_points.replay(training_run, policy, enforce=enforce, progress=stage))
        votes += replays[-1].votes
        votes += confirmed_decisions(training_run, replays[-1].end, settings.decisions)
    points = scoring_points.concat_points([replay.points for replay in replays])
    resolved = label_files.resolve_votes(votes, settings.sources)
    notes = {
        "logs": [training_run.digest for training_run in runs],
        "labels": scoring_points.file_digest(labels) if labels else None,
        "policy": policy.version,
        "features": features_version(),
        "mode": "enforce" if enforce else "shadow",
        "events": sum(replay.events for replay in replays),
    }
    return TrainingSet(
        points,
        with_unlabelled(resolved, points) if unlabelled_benign else resolved,
        tuple(replays),
        frozenset(range(len(paths), len(runs))),
        notes,
    )


def _check_runs(runs: Sequence[scoring_points.Run], labels: Path | None) -> None:
    if len({training_run.digest for training_run in runs}) < len(runs):
        raise UsageError("a log was given twice", fix="name each run once")
    if labels and sum(bool(training_run.world) for training_run in runs) > 1:
        raise UsageError(
            "one labels file cannot speak for several simulated worlds, which share names",
            fix="leave --labels out: each world has its labels.csv beside it",
        )


def _read_votes(
    runs: Sequence[scoring_points.Run], labels: Path | None
) -> list[label_files.LabelVote]:
    if labels:
        files = [(labels, world) for world in sorted({training_run.world for training_run in runs})]
    else:
        files = [
            (training_run.labels, training_run.world)
            for training_run in runs
            if training_run.labels
        ]
    return [vote for file, world in files for vote in label_files.read_votes(file, world)]


def _stage_progress(
    progress: Progress, start: float, share: float, name: str
) -> Callable[[float, int], None]:
    return lambda done, seen: progress(start + share * done, f"replay of {name}, {seen:,} events")


def train(
    paths: Sequence[Path],
    out: Path,
    policy: Policy,
    settings: Settings,
    *,
    name: str = "model",
    seed: int = 0,
    progress: Progress = lambda *_: None,
    **collecting: Any,
) -> tuple[TrainingResult, ModelEvaluation]:
    """Train on runs and write the model's directory: model, card, report.

    `collecting` goes to `collect`. Returns the model with its training data, and its evaluation.
    """
    data = collect(
        paths, policy, settings, progress=lambda s, text: progress(0.6 * s, text), **collecting
    )
    result = fit_model(
        data.points,
        data.labels,
        settings,
        name=name,
        seed=seed,
        calibrates=data.calibrates,
        first_labels=data.first_labels(),
        notes=data.notes,
        progress=lambda s, text: progress(0.6 + 0.35 * s, text),
    )
    progress(0.95, "test and card")
    tested = evaluate_model(result)
    write_model_directory(result, tested, out)
    progress(1.0, "")
    return result, tested


def write_model_directory(result: TrainingResult, tested: ModelEvaluation, out: Path) -> None:
    """Write a model's directory."""
    model.save(result.model, out)
    report = model_card.training_report(result, tested)
    write_html(report, out / CARD)
    text = json.dumps(report.data, indent=1, sort_keys=True, ensure_ascii=False)
    (out / REPORT).write_text(text + "\n", encoding="utf-8")
