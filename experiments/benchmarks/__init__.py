"""Measurements on public labelled data beside published values.

Run from the repository: `python -m experiments.benchmarks sichuan`.

The data are not ours to ship: their directory is given. Each benchmark is a module with `run`, and
tells its protocol in its result.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from experiments.benchmarks import botornot, github, sichuan, tagged_reports, tolokers
from experiments.benchmarks.learners import Progress, quiet
from experiments.benchmarks.results import Bar, Result, Row
from wavebreak.errors import UsageError

__all__ = ["BENCHES", "Bar", "Result", "Row", "run"]

BENCHES = ("sichuan", "tagged", "botornot", "github", "tolokers")


def run(
    name: str, directory: Path, *, test_labels: Path | None = None, events: Path | None = None,
    seed: int = 0, progress: Progress = quiet,
) -> Result:  # fmt: skip
    """Run a benchmark by name. Raises UsageError for a name or options that do not fit, FileError.

    `test_labels` is a CSV file `id,label` for what the data leave unlabelled; `events` the trace
    that these labels belong to, where the benchmark is botornot.
    """
    if events and name != "botornot":
        raise UsageError("--events goes with botornot alone", fix="leave out --events")
    if name == "botornot":
        return botornot.run(
            directory, test_labels=test_labels, events=events, seed=seed, progress=progress
        )
    runs: dict[str, Callable[..., Result]] = {
        "sichuan": sichuan.run, "tagged": tagged_reports.run, "github": github.run,
        "tolokers": tolokers.run,
    }  # fmt: skip
    if name not in runs:
        raise UsageError("that benchmark is not known", fix=f"choose from {', '.join(BENCHES)}")
    return runs[name](directory, test_labels=test_labels, seed=seed, progress=progress)
