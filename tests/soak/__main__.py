"""The soak run from the command line: `PYTHONPATH=tests python -m soak --minutes 60`."""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import tempfile
from pathlib import Path

from soak.run import Measured, Soak
from support import external_servers


def show(measured: Measured) -> None:
    """Print what was measured."""
    memory = [mib for _, mib, _ in measured.memory] or [0.0]
    decide = sorted(measured.decide_ms) or [0.0]
    print(f"ran                {measured.seconds:,.0f} s")
    print(f"acknowledged       {measured.events:,} events")
    print(f"refused for now    {dict(measured.refused)}")
    print(f"faults             {dict(measured.faults)}")
    print(
        f"memory             {memory[0]:,.0f} to {memory[-1]:,.0f} MiB, at most {max(memory):,.0f}"
    )
    print(f"growth             {measured.growth_mib_per_hour():+,.1f} MiB an hour")
    print(
        f"decide             p50 {statistics.median(decide):.1f} ms, "
        f"p99 {decide[int(len(decide) * 0.99) - 1]:.1f} ms, of {len(decide):,}"
    )
    print("history            " + ("; ".join(measured.violations) or "holds"))


def main() -> int:
    """Run, and print; exit code 1 where the history does not hold."""
    parser = argparse.ArgumentParser(prog="python -m soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=20_000.0, help="events a second")
    parser.add_argument(
        "--fault-seconds", type=float, default=120.0, help="mean time between faults"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--around",
        action="store_true",
        help="keep the log in PostgreSQL, kill the database, and skew clocks",
    )
    given = parser.parse_args()
    with contextlib.ExitStack() as stack:
        place = stack.enter_context(tempfile.TemporaryDirectory())
        postgresql = None
        if given.around:
            postgresql = external_servers.Postgres(durable=True)
            stack.callback(postgresql.stop)
            postgresql.start()
        soak = Soak(
            Path(place) / "home",
            seconds=given.minutes * 60,
            rate=given.rate,
            seed=given.seed,
            fault_s=given.fault_seconds,
            report=print,
            postgresql=postgresql,
            skewed=given.around,
        )
        measured = soak()
    show(measured)
    return bool(measured.violations)


if __name__ == "__main__":
    sys.exit(main())
