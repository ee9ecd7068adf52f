"""Divides long runs among processes, and kills them: `python -m support.shard_test --days 7`.

A simulated week with the model of 0.2, and a whole real trace, by 1, 2, 3 and 5 workers; then
killed at random points, and rescaled in mid-run while it is killed. Each run must leave the
decisions, operators, accounts and state of one engine. `tests/e2e/test_shard_processes.py` is the
short one.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

from support.shard_comparison import Reference, compared, reference
from support.traces import write_trace
from wavebreak_lab import simulation


def week(home: Path, people: int, days: float) -> Reference:
    """A simulated stretch with every campaign and persona, decided by one engine."""
    world = simulation.simulate(
        people=people, days=days, campaigns=[(name, 1) for name in simulation.CAMPAIGNS],
        personas=list(simulation.PERSONAS), seed=9,
    )  # fmt: skip
    simulation.write(world, home / "world")
    return reference(home / "world", home, model=True)


def trace(home: Path, name: str) -> Reference:
    """A whole real trace, decided by one engine."""
    log = write_trace(name, 1 << 40, home / "trace.jsonl")
    return reference(log, home, model=True, strict=True)


def run(of: Reference, home: Path, kills: float, seed: int, only: str = "") -> None:
    """Divide one run in each way whose name holds `only`."""
    ways: list[tuple[str, list[int], dict[str, Any]]] = [
        *((f"{n} workers", [n], {}) for n in (1, 2, 3, 5)),
        ("2, 3, 1 and 5 workers", [2, 3, 1, 5], {}),
        ("3 workers, killed", [3], {"kills": kills, "every": 60}),
        ("2 and 4 workers, killed", [2, 4], {"kills": kills, "every": 60}),
    ]
    chosen = [way for way in ways if only in way[0]]
    for number, (name, workers, options) in enumerate(chosen):
        began = time.monotonic()
        done = compared(of, home / f"way{number}", workers, seed=seed, **options)
        took = time.monotonic() - began
        print(f"  {name}: the same; {done.killed} kills, {done.repeated} results came again; "
              f"{took:.0f} s", flush=True)  # fmt: skip


def main() -> None:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(prog="python -m support.shard_test", description=__doc__)
    parser.add_argument("--people", type=int, default=150)
    parser.add_argument("--days", type=float, default=7)
    parser.add_argument("--kills", type=float, default=0.003, help="chance in each message")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--trace", default="collegemsg", help="its name, or none")
    parser.add_argument("--way", default="", help="only ways whose names hold this")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        for name in ("a simulated stretch", given.trace):
            if name == "none":
                continue
            home = Path(directory) / name.replace(" ", "-")
            home.mkdir()
            simulated = name != given.trace
            of = week(home, given.people, given.days) if simulated else trace(home, name)
            print(f"{name}: {len(of.decisions)} decisions", flush=True)
            run(of, home, given.kills, given.seed, given.way)


if __name__ == "__main__":
    main()
