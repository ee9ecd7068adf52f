"""Decisions that were confirmed: what an earlier run decided, and nobody took back.

The command's whole way: runs in, a model directory out. The same inputs give the same bytes.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from wavebreak import model
from wavebreak.engine.engine import features_version
from wavebreak.errors import UsageError
from wavebreak.model import baseline
from wavebreak.rules import Policy
from wavebreak.rules.model import seconds
from wavebreak.training import evaluation, leakage, model_card
from wavebreak.training.config import Decisions, Settings
from wavebreak.training.dataset import Gathered, Points, Run, digest_of, joined, open_run, replay
from wavebreak.training.evaluation import Tested
from wavebreak.training.labels import UNDATED, Claim, Key, Labels, read_claims, resolve
from wavebreak.training.trainer import Learned, Progress, learn, with_unlabelled

STOOD = ("suspend", "ban")
_COLUMNS = ["account", "outcome", "first_action_ms"]


def confirmed(run: Run, end: int, settings: Decisions) -> Iterator[Claim]:
    """Claims of the decisions of a run that still stood at its end (ms), long after they were made.

    None for a log that no run of ours decided on.
    """
    if run.decided is None or not (run.decided / "accounts.parquet").is_file():
        return
    least = 1000 * seconds(settings.confirmed_after)
    for row in pq.read_table(run.decided / "accounts.parquet", columns=_COLUMNS).to_pylist():
        at = row["first_action_ms"]
        if row["outcome"] in STOOD and at is not None and end - at >= least:
            yield Claim(run.world, row["account"], "abusive", "", "", "decision", UNDATED)


CARD, REPORT, DOUBTED = "card.html", "training.json", "doubted.csv"
Review = Callable[[Sequence[Key]], Iterable[Claim]]


@dataclass(frozen=True)
class Collected:
    """Runs, replayed: their points together, their labels, and the digests of what was read.

    `claims` are what the labels follow from, `until` and `unlabelled_benign` as in `collect`.
    """

    points: Points
    labels: Labels
    gathered: tuple[Gathered, ...]
    calibrates: frozenset[int]
    notes: dict[str, Any]
    claims: tuple[Claim, ...]
    until: int | None
    unlabelled_benign: bool

    def told(self, claims: Iterable[Claim], settings: Settings) -> Collected:
        """The same runs with further words on their accounts."""
        heard = (*self.claims, *claims)
        labels = _labels(heard, self.points, settings, self.until, self.unlabelled_benign)
        return replace(self, labels=labels, claims=heard)


def _labels(
    claims: Iterable[Claim], points: Points, settings: Settings, until: int | None, benign: bool
) -> Labels:
    found = resolve(claims, settings.sources, until)
    return with_unlabelled(found, points) if benign else found


def collect(
    paths: Sequence[Path], policy: Policy, settings: Settings, *, labels: Path | None = None,
    calibrate: Sequence[Path] = (), enforce: bool = False, seed: int = 0, until: int | None = None,
    unlabelled_benign: bool = False, progress: Progress = lambda *_: None,
) -> Collected:  # fmt: skip
    """Replay runs and resolve their labels, and check that no row knows its future.

    `labels` is a file for all runs (None: each has labels.csv beside it); runs in `calibrate` are
    kept from the fit; labels known after `until` (ms) are not heard. Raises UsageError where runs
    and labels do not go together.
    """
    runs = [open_run(path) for path in (*paths, *calibrate)]
    _sound(runs, labels)
    shares = len(runs) + 1
    gathered, claims = [], _own(runs, labels)
    for number, run in enumerate(runs):
        told = _stage(progress, number / shares, 1 / shares, f"replay of {run.name}")
        gathered.append(replay(run, policy, enforce=enforce, progress=told))
        claims += gathered[-1].claims
        claims += confirmed(run, gathered[-1].end, settings.decisions)
    _recomputed(runs, gathered, policy, enforce, settings, seed, progress)
    points = joined([one.points for one in gathered])
    found = _labels(claims, points, settings, until, unlabelled_benign)
    notes = {
        "logs": [run.digest for run in runs],
        "labels": digest_of(labels) if labels else None,
        "policy": policy.version,
        "features": features_version(),
        "mode": "enforce" if enforce else "shadow",
        "events": sum(one.events for one in gathered),
    }
    only = frozenset(range(len(paths), len(runs)))
    return Collected(
        points, found, tuple(gathered), only, notes, tuple(claims), until, unlabelled_benign
    )  # fmt: skip


def _sound(runs: Sequence[Run], labels: Path | None) -> None:
    if len({run.digest for run in runs}) < len(runs):
        raise UsageError("a log was given twice", fix="name each run once")
    if labels and sum(bool(run.world) for run in runs) > 1:
        raise UsageError(
            "one labels file cannot speak for several simulated worlds, which share names",
            fix="leave --labels out: each world has its labels.csv beside it",
        )


def _own(runs: Sequence[Run], labels: Path | None) -> list[Claim]:
    claims: list[Claim] = []
    for world in sorted({run.world for run in runs}) if labels else ():
        claims += read_claims(labels, world) if labels else []
    for run in () if labels else runs:
        claims += read_claims(run.labels, run.world) if run.labels else []
    return claims


def _stage(
    progress: Progress, start: float, share: float, words: str
) -> Callable[[float, int], None]:
    return lambda done, seen: progress(start + share * done, f"{words}, {seen:,} events")


def _recomputed(
    runs: Sequence[Run], gathered: Sequence[Gathered], policy: Policy, enforce: bool,
    settings: Settings, seed: int, progress: Progress,
) -> None:  # fmt: skip
    """Cut as many logs as there are cuts, beginning with the first; all of them where few."""
    cuts = settings.leaks.cuts
    for number, (run, one) in enumerate(list(zip(runs, gathered, strict=True))[:cuts]):
        mine = cuts // min(cuts, len(runs)) + (number < cuts % min(cuts, len(runs)))
        progress(1 - 0.5 / (len(runs) + 1), f"{run.name} again, cut at random")

        def prefix(stop: int, run: Run = run) -> Points:
            return replay(run, policy, enforce=enforce, stop=stop).points

        leakage.recomputed(one, prefix, mine, seed + number)


def train(
    paths: Sequence[Path], out: Path, policy: Policy, settings: Settings, *, name: str = "model",
    seed: int = 0, allow: Sequence[str] = (), progress: Progress = lambda *_: None,
    review: Review | None = None, **collecting: Any,
) -> tuple[Learned, Tested]:  # fmt: skip
    """Learn from runs and write the model's directory: model, card, drift baseline, report.

    `review` is given the accounts that were taken for benign on nobody's word and that the model
    doubts, and returns what people say of them; where they say anything it is learned anew.
    `collecting` goes to `collect`. Returns what was learned and how it did on its test.
    """
    got = collect(
        paths, policy, settings, seed=seed, progress=lambda s, w: progress(0.6 * s, w), **collecting
    )

    def made(known: Collected) -> Learned:
        return learn(
            known.points, known.labels, settings, name=name, seed=seed, calibrates=got.calibrates,
            logged=leakage.first_logged(got.gathered), allow=allow, notes=got.notes,
            progress=lambda s, w: progress(0.6 + 0.35 * s, w),
        )  # fmt: skip

    learned = made(got)
    if review and (said := tuple(review([key for key, _ in learned.doubted]))):
        learned = made(got.told(said, settings))
    return learned, finished(learned, out, progress)


def finished(learned: Learned, out: Path, progress: Progress) -> Tested:
    """Test what was learned and write the model's directory; the last twentieth of the work."""
    progress(0.95, "test and card")
    measured = evaluation.tested(learned)
    write(learned, measured, out)
    progress(1.0, "")
    return measured


def write(learned: Learned, measured: Tested, out: Path) -> None:
    """Write a model's directory."""
    model.save(learned.model, out)
    baseline.save(learned.spreads, out)
    model_card.write_html(learned, measured, out / CARD)
    told = evaluation.as_json(learned, measured)
    text = json.dumps(told, indent=1, sort_keys=True, ensure_ascii=False)
    (out / REPORT).write_text(text + "\n", encoding="utf-8")
    (out / DOUBTED).unlink(missing_ok=True)
    if learned.doubted:
        _write_doubted(learned, out / DOUBTED)


def _write_doubted(learned: Learned, path: Path) -> None:
    """Accounts to look at: taken for benign, and doubted."""
    with path.open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["account", "world", "margin"])
        lines.writerows([name, world, margin] for (world, name), margin in learned.doubted)
