"""A replay: the log of a run once more, under another policy or model, on the same path."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from wavebreak import pipeline
from wavebreak.edge import Edge
from wavebreak.errors import FileError, UsageError
from wavebreak.rules import Policy
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
    source = source_of(run_dir, told)
    profile = Path(told["profile"]) if Path(told["profile"]).is_file() else None
    pipeline.run(
        source, out, policy, edge, profile_path=profile, enforce=told["mode"] == "enforce",
        progress=progress, **options,
    )  # fmt: skip
    return compare(run_dir, out, labels)


def source_of(run_dir: Path, told: dict[str, Any]) -> Path:
    """Find the events that a run read, where they still lie and are the same.

    Raises FileError where they are gone, came from standard input, or were changed since.
    """
    named = told.get("source", "")
    path = Path(named["path"] if isinstance(named, dict) else named)
    if str(path) in ("", "-", ".") or not path.is_file():
        raise FileError(
            f"the events that {run_dir} was made from are not there any more",
            fix="put the file back where summary.json names it, or run again",
        )
    expected = named.get("sha256") if isinstance(named, dict) else None
    if expected and _sha256(path) != expected:
        raise FileError(f"{path} has changed since {run_dir} was made from it", fix="run again")
    return path


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
