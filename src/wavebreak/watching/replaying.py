"""A replay: the log of a run once more, under another policy or model, on the same path."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from wavebreak import pipeline
from wavebreak.edge import Edge
from wavebreak.errors import UsageError
from wavebreak.rules import Policy
from wavebreak.training.gathering import open_run
from wavebreak.watching.differences import Differences, compare, read_summary


def replay(
    run_dir: Path, out: Path, policy: Policy, edge: Edge, *, labels: Path | None = None,
    progress: Callable[[pipeline.Progress], None] = lambda _: None, **options: Any,
) -> Differences:  # fmt: skip
    """Run the log of `run_dir` again under a candidate policy or model; say what would differ.

    The challenger's files are written into `out`; the champion's are those of the run. Mode,
    lateness and profile are the run's own; `options` go to `pipeline.run` (model, workers, batch).
    Raises FileError where the log is gone or is not the one the run read.
    """
    told = read_summary(run_dir)
    if out.resolve() == run_dir.resolve():
        raise UsageError("the replay would overwrite the run", fix="give another directory to -o")
    source = open_run(run_dir).events
    profile = Path(told["profile"]) if Path(told["profile"]).is_file() else None
    pipeline.run(
        source, out, policy, edge, profile_path=profile, enforce=told["mode"] == "enforce",
        progress=progress, **options,
    )  # fmt: skip
    return compare(run_dir, out, labels)
