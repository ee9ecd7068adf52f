"""The training pipeline: runs in, a model directory out.

The stages are replay, label resolution, leakage checks, fit, calibration, evaluation, and the model
card. The same inputs give the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from wavebreak import model
from wavebreak.csv_files import CsvWriter
from wavebreak.durations import duration_ms
from wavebreak.engine.engine import features_version
from wavebreak.errors import UsageError
from wavebreak.evaluation import label_votes, scoring_points
from wavebreak.model import baseline
from wavebreak.outcomes import CONFIRMING
from wavebreak.reports.html import write_html
from wavebreak.reports.tables import Table
from wavebreak.rules import Policy
from wavebreak_lab.training import evaluation, leakage, model_card
from wavebreak_lab.training.config import Decisions, Settings
from wavebreak_lab.training.evaluation import ModelEvaluation
from wavebreak_lab.training.trainer import Progress, TrainingResult, fit_model, with_unlabelled

_COLUMNS = ["account", "outcome", "first_action_ms"]


def confirmed_decisions(
    run: scoring_points.Run, end: int, settings: Decisions
) -> Iterator[label_votes.LabelVote]:
    """Claims of the decisions of a run that still stood at its end (ms), long after they were made.

    None for a log that no run of ours decided on.
    """
    if run.decisions is None or not (run.decisions / "accounts.parquet").is_file():
        return
    least = duration_ms(settings.confirmed_after)
    for row in pq.read_table(run.decisions / "accounts.parquet", columns=_COLUMNS).to_pylist():
        at = row["first_action_ms"]
        if row["outcome"] in CONFIRMING and at is not None and end - at >= least:
            yield label_votes.LabelVote(
                run.world, row["account"], "abusive", "", "", "decision", label_votes.UNDATED
            )


CARD, REPORT, SUSPECTED = "card.html", "training.json", "suspected.csv"
Review = Callable[[Sequence[label_votes.Key]], Iterable[label_votes.LabelVote]]


@dataclass(frozen=True)
class TrainingSet:
    """Runs, replayed: their points together, their labels, and the digests of what was read.

    `votes` are what the labels follow from, `until` and `unlabelled_benign` as in `collect`.
    """

    points: scoring_points.Points
    labels: label_votes.Labels
    replays: tuple[scoring_points.ReplayResult, ...]
    calibrates: frozenset[int]
    notes: dict[str, Any]
    votes: tuple[label_votes.LabelVote, ...]
    until: int | None
    unlabelled_benign: bool

    def with_votes(self, votes: Iterable[label_votes.LabelVote], settings: Settings) -> TrainingSet:
        """Return the same runs with further votes on their accounts."""
        heard = (*self.votes, *votes)
        labels = _resolve_labels(heard, self.points, settings, self.until, self.unlabelled_benign)
        return replace(self, labels=labels, votes=heard)


def _resolve_labels(
    votes: Iterable[label_votes.LabelVote],
    points: scoring_points.Points,
    settings: Settings,
    until: int | None,
    benign: bool,
) -> label_votes.Labels:
    found = label_votes.resolve_votes(votes, settings.sources, until)
    return with_unlabelled(found, points) if benign else found


def collect(
    paths: Sequence[Path],
    policy: Policy,
    settings: Settings,
    *,
    labels: Path | None = None,
    calibrate: Sequence[Path] = (),
    enforce: bool = False,
    seed: int = 0,
    until: int | None = None,
    unlabelled_benign: bool = False,
    progress: Progress = lambda *_: None,
) -> TrainingSet:
    """Replay runs and resolve their labels, and check that no row knows its future.

    `labels` is a file for all runs (None: each has labels.csv beside it); runs in `calibrate` are
    kept from the fit; labels known after `until` (ms) are not heard. Raises UsageError where runs
    and labels do not go together.
    """
    runs = [scoring_points.open_run(path) for path in (*paths, *calibrate)]
    _check_runs(runs, labels)
    shares = len(runs) + 1
    replays, votes = [], _read_all_votes(runs, labels)
    for number, run in enumerate(runs):
        stage = _stage_progress(progress, number / shares, 1 / shares, f"replay of {run.name}")
        replays.append(scoring_points.replay(run, policy, enforce=enforce, progress=stage))
        votes += replays[-1].votes
        votes += confirmed_decisions(run, replays[-1].end, settings.decisions)
    _check_future_leaks(runs, replays, policy, enforce, settings, seed, progress)
    points = scoring_points.concat_points([one.points for one in replays])
    found = _resolve_labels(votes, points, settings, until, unlabelled_benign)
    notes = {
        "logs": [run.digest for run in runs],
        "labels": scoring_points.file_digest(labels) if labels else None,
        "policy": policy.version,
        "features": features_version(),
        "mode": "enforce" if enforce else "shadow",
        "events": sum(one.events for one in replays),
    }
    only = frozenset(range(len(paths), len(runs)))
    return TrainingSet(
        points, found, tuple(replays), only, notes, tuple(votes), until, unlabelled_benign
    )


def _check_runs(runs: Sequence[scoring_points.Run], labels: Path | None) -> None:
    if len({run.digest for run in runs}) < len(runs):
        raise UsageError("a log was given twice", fix="name each run once")
    if labels and sum(bool(run.world) for run in runs) > 1:
        raise UsageError(
            "one labels file cannot speak for several simulated worlds, which share names",
            fix="leave --labels out: each world has its labels.csv beside it",
        )


def _read_all_votes(
    runs: Sequence[scoring_points.Run], labels: Path | None
) -> list[label_votes.LabelVote]:
    votes: list[label_votes.LabelVote] = []
    for world in sorted({run.world for run in runs}) if labels else ():
        votes += label_votes.read_votes(labels, world) if labels else []
    for run in () if labels else runs:
        votes += label_votes.read_votes(run.labels, run.world) if run.labels else []
    return votes


def _stage_progress(
    progress: Progress, start: float, share: float, words: str
) -> Callable[[float, int], None]:
    return lambda done, seen: progress(start + share * done, f"{words}, {seen:,} events")


def _check_future_leaks(
    runs: Sequence[scoring_points.Run],
    replays: Sequence[scoring_points.ReplayResult],
    policy: Policy,
    enforce: bool,
    settings: Settings,
    seed: int,
    progress: Progress,
) -> None:
    """Cut as many logs as there are cuts, beginning with the first; all of them where few."""
    cuts = settings.leaks.cuts
    for number, (run, one) in enumerate(list(zip(runs, replays, strict=True))[:cuts]):
        mine = cuts // min(cuts, len(runs)) + (number < cuts % min(cuts, len(runs)))
        progress(1 - 0.5 / (len(runs) + 1), f"{run.name} again, cut at random")

        def prefix(stop: int, run: scoring_points.Run = run) -> scoring_points.Points:
            return scoring_points.replay(run, policy, enforce=enforce, stop=stop).points

        leakage.check_future_leak(one, prefix, mine, seed + number)


def train(
    paths: Sequence[Path],
    out: Path,
    policy: Policy,
    settings: Settings,
    *,
    name: str = "model",
    seed: int = 0,
    allow: Sequence[str] = (),
    progress: Progress = lambda *_: None,
    review: Review | None = None,
    **collecting: Any,
) -> tuple[TrainingResult, ModelEvaluation]:
    """Learn from runs and write the model's directory: model, card, drift baseline, report.

    `review` is given the accounts that were taken for benign on nobody's word and that the model
    doubts, and returns what people say of them; where they say anything it is learned anew.
    `collecting` goes to `collect`. Returns what was learned and how it did on its test.
    """
    got = collect(
        paths, policy, settings, seed=seed, progress=lambda s, w: progress(0.6 * s, w), **collecting
    )

    def made(known: TrainingSet) -> TrainingResult:
        return fit_model(
            known.points,
            known.labels,
            settings,
            name=name,
            seed=seed,
            calibrates=got.calibrates,
            logged=leakage.first_label_times(got.replays),
            allow=allow,
            notes=got.notes,
            progress=lambda s, w: progress(0.6 + 0.35 * s, w),
        )

    learned = made(got)
    if review and (said := tuple(review([key for key, _ in learned.suspected]))):
        learned = made(got.with_votes(said, settings))
    return learned, evaluate_and_write(learned, out, progress)


def evaluate_and_write(
    learned: TrainingResult, out: Path, progress: Progress, left_out: Sequence[Table] = ()
) -> ModelEvaluation:
    """Test what was learned and write the model's directory; the last twentieth of the work.

    The tables `left_out` go on the card.
    """
    progress(0.95, "test and card")
    measured = evaluation.evaluate_model(learned)
    write_model_directory(learned, measured, out, left_out)
    progress(1.0, "")
    return measured


def write_model_directory(
    learned: TrainingResult,
    measured: ModelEvaluation,
    out: Path,
    left_out: Sequence[Table] = (),
) -> None:
    """Write a model's directory."""
    model.save(learned.model, out)
    baseline.save(learned.spreads, out)
    report = model_card.training_report(learned, measured, left_out)
    write_html(report, out / CARD)
    text = json.dumps(report.data, indent=1, sort_keys=True, ensure_ascii=False)
    (out / REPORT).write_text(text + "\n", encoding="utf-8")
    (out / SUSPECTED).unlink(missing_ok=True)
    if learned.suspected:
        _write_suspected(learned, out / SUSPECTED)


def _write_suspected(learned: TrainingResult, path: Path) -> None:
    """Accounts to look at: taken for benign, and suspected."""
    with path.open("w", encoding="utf-8", newline="") as file:
        lines = CsvWriter(file, exact=True)
        lines.write(["account", "world", "margin"])
        lines.write_all([name, world, margin] for (world, name), margin in learned.suspected)
