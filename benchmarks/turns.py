"""This checkout beside another one, in turns: `python -m benchmarks.turns OTHER [PART …]`.

Both do the same work alternately, each in a process of its own, and what is measured is processor
time: other programs on the machine then meet both alike. A ratio is that of one turn, ours by the
other's. The benchmarks' own code is this checkout's for both, the packages are each checkout's own:
a process whose packages would be those of another checkout refuses.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from rich.console import Console

from benchmarks import machine, service
from benchmarks.engine_stages import Clockwork, engine, feed, warmed
from benchmarks.figures import Figure, figure, show
from benchmarks.load_streams import log_batch, write
from wavebreak import io
from wavebreak.engine import Engine
from wavebreak.privacy.pseudonymizer import Pseudonymizer

ROOT = Path(__file__).resolve().parents[1]
NAME = "turns"
Costs = dict[str, float]
"""Nanoseconds of processor an event, by what is done."""


class _Engine:
    """Fan-out and kernel at some number of accounts."""

    def __init__(self, accounts: int, each: int) -> None:
        self.to: Engine = engine(accounts=accounts + accounts // 20 + 10_000)
        self.clock: Clockwork = warmed(self.to, accounts, 2 * each)
        self.each, self.of = each, f"{accounts:,} accounts"

    def __call__(self) -> Costs:
        cost = feed(self.to, log_batch(self.clock.next(self.each)))
        return {
            f"fan-out, {self.of}": cost.fanout_busy_s / cost.events * 1e9,
            f"kernel, {self.of}": cost.kernel_busy_s / cost.events * 1e9,
        }


class _Reading:
    """Files of events into batches of the log."""

    def __init__(self, events: int, accounts: int, suffix: str) -> None:
        self.events, self.held = events, tempfile.TemporaryDirectory(prefix="wavebreak-turns-")
        self.path = Path(self.held.name) / f"events.{suffix}"
        write(self.path, events, accounts)
        self()

    def __call__(self) -> Costs:
        edge, began = Pseudonymizer(b"a benchmark, no secret"), time.process_time()
        for _ in io.read(self.path, edge):
            pass
        spent = time.process_time() - began
        return {f"read {self.path.suffix[1:]}": spent / self.events * 1e9}


class _Run:
    """`wavebreak run` of JSON Lines, whole: processor time, and by the clock."""

    def __init__(self, events: int, accounts: int) -> None:
        self.events, self.held = events, tempfile.TemporaryDirectory(prefix="wavebreak-turns-")
        self.home = Path(self.held.name)
        write(self.home / "events.jsonl", events, accounts)
        self()

    def __call__(self) -> Costs:
        program = "from wavebreak.cli import main; main()"
        command = [
            sys.executable, "-c", program, "run", str(self.home / "events.jsonl"), "--model",
            "none", "-o", str(self.home / "out"), "--key", str(self.home / "key"),
        ]  # fmt: skip
        before = machine.children_busy_s()
        subprocess.run(command, capture_output=True, check=True)
        spent = machine.children_busy_s() - before
        seconds = json.loads((self.home / "out" / "summary.json").read_text("utf-8"))["seconds"]
        return {
            "run on JSON Lines, whole, processor": spent / self.events * 1e9,
            "run on JSON Lines, of summary.json, by the clock": seconds / self.events * 1e9,
        }


class _Ingest:
    """Durable events into the service's SQLite: processor time of its processes, and the clock."""

    def __init__(self, events: int, seconds: int) -> None:
        self.held = ExitStack()
        self.server = self.held.enter_context(service.serving("--model", "none"))
        options = ("--events", str(events), "--seconds", str(seconds))
        self.load = self.held.enter_context(service.loading(self.server, *options))
        self()

    def __call__(self) -> Costs:
        before = self.server.busy_s()
        (run,) = self.load.runs(1)
        spent = self.server.busy_s() - before
        return {
            "durable ingest of JSON, processor": spent / run["events"] * 1e9,
            "durable ingest of JSON, by the clock": 1e9 / run["rate"],
        }


PARTS: dict[str, Callable[[bool], Callable[[], Costs]]] = {
    "small": lambda quick: _Engine(20_000 if quick else 100_000, 200_000 if quick else 500_000),
    "engine": lambda quick: _Engine(50_000 if quick else 1_000_000, 200_000 if quick else 500_000),
    "large": lambda quick: _Engine(200_000 if quick else 10_000_000, 200_000 if quick else 500_000),
    "jsonl": lambda quick: _Reading(50_000 if quick else 500_000, 50_000, "jsonl"),
    "parquet": lambda quick: _Reading(50_000 if quick else 500_000, 50_000, "parquet"),
    "ingest": lambda quick: _Ingest(100_000 if quick else 1_000_000, 3 if quick else 10),
    "run": lambda quick: _Run(100_000 if quick else 2_000_000, 400_000),
}


def _package_roots(root: Path) -> list[str]:
    """Return where the packages of a checkout lie: in distributions, or in `src`."""
    return [str(path) for path in (*sorted(root.glob("packages/*/src")), root / "src")]


def environment(root: Path) -> dict[str, str]:
    """Return the environment of processes that import the packages of a checkout."""
    return os.environ | {"PYTHONPATH": os.pathsep.join([*_package_roots(root), str(ROOT)])}


def check_origin(root: Path, part: str) -> None:
    """End the process where what it imports does not lie in the checkout that it is to measure."""
    for name in ("wavebreak", *(["wavebreak_server"] if part == "ingest" else [])):
        spec = importlib.util.find_spec(name)
        origin = "missing" if spec is None else str(spec.origin)
        if not origin.startswith(f"{root}{os.sep}"):
            sys.exit(f"{part}, {root}: the package {name} of this process is {origin}")


@contextmanager
def _working(root: Path, part: str, *, quick: bool) -> Iterator[subprocess.Popen[str]]:
    """A process with the packages of a checkout, which does its work once for each line."""
    command = [sys.executable, "-m", "benchmarks.turns", str(root), part, "--work"]
    with subprocess.Popen(
        [*command, "--quick"] if quick else command, stdin=subprocess.PIPE, cwd=ROOT,
        stdout=subprocess.PIPE, text=True,
        env=environment(root),
    ) as process:  # fmt: skip
        yield process
        process.communicate()


def _asked(process: subprocess.Popen[str]) -> Costs:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    line = process.stdout.readline()
    if not line:
        sys.exit("a process ended without an answer; it says why above")
    costs: Costs = json.loads(line)
    return costs


def _work(part: str, quick: bool, answers: IO[str]) -> None:
    work = PARTS[part](quick)
    for _ in sys.stdin:
        print(json.dumps(work()), file=answers, flush=True)


def compare(other: Path, part: str, turns: int, *, quick: bool) -> list[Figure]:
    """Nanoseconds of processor an event in both checkouts, and ours by the other's."""
    ours, theirs = list[Costs](), list[Costs]()
    with (
        _working(ROOT, part, quick=quick) as own,
        _working(other, part, quick=quick) as beside,
    ):
        # Each prepares its state before its first answer, which is not counted.
        for process in (own, beside):
            _asked(process)
        for turn in range(turns):
            order = [(own, ours), (beside, theirs)]
            for process, costs in order if turn % 2 else reversed(order):
                costs.append(_asked(process))
    figures = []
    for what in ours[0]:
        pairs = [(a[what], b[what]) for a, b in zip(ours, theirs, strict=True)]
        figures += [
            figure(NAME, f"{what}: other", "ns/event", [b for _, b in pairs], better="less"),
            figure(NAME, what, "ns/event", [a for a, _ in pairs], better="less"),
            figure(NAME, f"{what}: ÷ other", "times", [a / b for a, b in pairs], better="less"),
        ]
    return figures


def main() -> None:
    """Compare the named parts, all by default."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.turns", description=__doc__)
    parser.add_argument("other", type=Path, help="the other checkout")
    parser.add_argument("part", nargs="*", help=f"any of: {', '.join(PARTS)}")
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="small sizes")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    other = given.other.resolve()
    if not any(
        (Path(path) / "wavebreak" / "__init__.py").is_file() for path in _package_roots(other)
    ):
        parser.error(f"{other} is no checkout: it has no packages/*/src/wavebreak or src/wavebreak")
    if unknown := [name for name in given.part if name not in PARTS]:
        parser.error(f"unknown part: {', '.join(unknown)}; choose from {', '.join(PARTS)}")
    if given.work:
        check_origin(other, given.part[0])
        _work(given.part[0], given.quick, sys.stdout)
        return
    if other == ROOT:
        parser.error(f"{other} is this checkout; give another one")
    console = Console(width=None if sys.stdout.isatty() else 140)
    for part in given.part or PARTS:
        load = f"load {os.getloadavg()[0]:.1f}"
        made = compare(other, part, given.turns, quick=given.quick)
        show(console, f"{part}, in turns; {load} before, {os.getloadavg()[0]:.1f} after", made)
    console.print(machine.described()["processor"], highlight=False)


if __name__ == "__main__":
    main()
