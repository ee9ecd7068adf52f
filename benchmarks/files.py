"""`wavebreak run` as users start it: from files to decisions on disk."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks.figures import Figure, figure
from benchmarks.load_streams import write

NAME = "run"
TARGETS = {"parquet": 0.8e6, "jsonl": 0.4e6}
LONGEST_S = 60.0


class RunTime(NamedTuple):
    """Events a second of summary.json, seconds by the clock; accounts, None: stopped too early."""

    rate: float
    seconds: float
    accounts: int | None


def bench(quick: bool) -> list[Figure]:
    """Events a second of whole runs, from Parquet and JSON Lines, with one worker and two."""
    events, accounts, runs = (150_000, 20_000, 1) if quick else (2_500_000, 400_000, 3)
    figures: list[Figure] = []
    # What is compiled once and kept belongs to set-up, not to a run.
    subprocess.run([_command(), "precompile"], capture_output=True, check=True)
    with tempfile.TemporaryDirectory(prefix="wavebreak-speed-") as scratch:
        for suffix, target in TARGETS.items():
            source = Path(scratch) / f"events.{suffix}"
            size = write(source, events, accounts)
            note = f"{events:,} events, {size / 1e6:,.0f} MB"
            for shards in (1, 2):
                runs_made = _runs(source, ["--shards", str(shards)], runs, events)
                figures += _figures(f"{suffix}, {shards} shard(s)", runs_made, target, note, events)
            source.unlink()
    return figures


def _command() -> str:
    return str(Path(sys.executable).with_name("wavebreak"))


def _runs(source: Path, options: list[str], runs: int, events: int) -> list[RunTime]:
    """Run some times; only once where once is already slow."""
    runs_made = [_run(source, options, events)]
    while len(runs_made) < runs and runs_made[0].seconds < LONGEST_S / 3:
        runs_made.append(_run(source, options, events))
    return runs_made


def _run(source: Path, options: list[str], events: int) -> RunTime:
    """Run once, for LONGEST_S at most: a run that is stopped is slower than reported."""
    out = source.parent / "out"
    command = [
        _command(), "run", str(source), "-o", str(out),
        "--key", str(source.parent / "key"), *options,
    ]  # fmt: skip
    began = time.perf_counter()
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=LONGEST_S
        )
    except subprocess.TimeoutExpired:
        return RunTime(events / LONGEST_S, LONGEST_S, None)
    seconds = time.perf_counter() - began
    if done.returncode:
        raise RuntimeError(f"wavebreak run failed: {done.stderr.strip()[-500:]}")
    summary = json.loads((out / "summary.json").read_text("utf-8"))
    return RunTime(float(summary["events_per_s"]), seconds, int(summary["accounts"]))


def _figures(
    what: str, runs_made: list[RunTime], target: float | None, note: str, events: int
) -> list[Figure]:
    best = min(t.seconds for t in runs_made)
    if runs_made[0].accounts is None:
        note = f"stopped after {LONGEST_S:.0f} s: slower than this by the clock; {note}"
        return [
            figure(NAME, what, "events/s", [t.rate for t in runs_made], target=target, note=note)
        ]
    return [
        figure(NAME, what, "events/s", [t.rate for t in runs_made], target=target,
               note=f"of summary.json; {note}, {runs_made[0].accounts:,} accounts"),
        figure(NAME, f"{what}: by the clock", "events/s", [events / t.seconds for t in runs_made],
               note=f"with start, learning the profile, accounts.parquet: {best:.1f} s at best"),
    ]  # fmt: skip
