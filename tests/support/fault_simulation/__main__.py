"""Run seeds from the command line: `python -m support.fault_simulation --seeds 1000`."""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections import Counter
from functools import partial

from rich.progress import track

from support.fault_simulation.run import run_seed


def main() -> int:
    """Run seeds, print what happened, and each seed that failed."""
    parser = argparse.ArgumentParser(prog="python -m support.fault_simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many seeds to run")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--upkeep", type=int, default=2, help="weight of an operator's acts")
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    began, counts, failed = time.monotonic(), Counter[str](), list[str]()
    seeds = range(given.first, given.first + given.seeds)
    with multiprocessing.get_context("spawn").Pool(given.processes) as pool:
        results = pool.imap_unordered(partial(run_seed, upkeep=given.upkeep), seeds, chunksize=4)
        for result in track(results, "seeds", total=given.seeds, transient=True):
            if isinstance(result, str):
                failed.append(result)
                print(result, flush=True)
            else:
                counts += result.counts
    took = time.monotonic() - began
    print(
        f"{given.seeds} seeds from {given.first} in {took:.0f} s, "
        f"{given.seeds / took:.1f} a second, {len(failed)} failed"
    )
    for name, count in sorted(counts.items()):
        print(f"  {name}: {count:,}")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
