"""Measurements on public labelled data, compared with published results.

Run from the repository root: `python -m experiments.benchmarks sichuan`. The data sets are not part
of the repository; their directory is an argument. Each benchmark is a module with `run`, and its
result states its protocol.
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
    """Run a benchmark by name.

    Args:
        name: One of BENCHES.
        directory: Directory of the data sets.
        test_labels: CSV file `id,label` for what the data leave unlabelled.
        events: botornot only: the trace that the test labels belong to.
        seed: The same seed gives the same figures.
        progress: Called with the share that is done.

    Raises:
        UsageError: An unknown name, or options that the benchmark does not have.
        FileError: A file is missing or invalid.

    """
    if events and name != "botornot":
        raise UsageError("--events applies to botornot only", fix="omit --events")
    if name == "botornot":
        return botornot.run(
            directory, test_labels=test_labels, events=events, seed=seed, progress=progress
        )
    runs: dict[str, Callable[..., Result]] = {
        "sichuan": sichuan.run, "tagged": tagged_reports.run, "github": github.run,
        "tolokers": tolokers.run,
    }  # fmt: skip
    if name not in runs:
        raise UsageError("unknown benchmark", fix=f"choose from {', '.join(BENCHES)}")
    return runs[name](directory, test_labels=test_labels, seed=seed, progress=progress)
