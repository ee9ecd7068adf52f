"""Measure speed and memory: `python -m benchmarks [BENCHMARK …] [--quick]`.

Prints tables and writes build/speed.json. Each benchmark runs in a process of its own, so that none
uses memory or caches of another.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from rich.console import Console

from benchmarks import (
    business_platform,
    business_service,
    console,
    erasure,
    files,
    hostile_input_bench,
    kernel,
    ledger,
    machine,
    memory,
    model,
    pauses,
    scale,
    service,
    service_components,
    shards,
    webhooks,
)
from benchmarks.figures import Figure, keep, show

ROOT = Path(__file__).resolve().parents[1]
BENCHES: dict[str, tuple[str, Callable[[bool], list[Figure]]]] = {
    "kernel": ("Kernel: one process, one worker, Zipf traffic, compared with peers", kernel.bench),
    "model": ("Model: margins, scores and reasons, compared with LightGBM", model.bench),
    "run": ("wavebreak run: files in, decisions on disk", files.bench),
    "shards": ("Shards: the kernel on one worker and on two", shards.bench),
    "memory": ("Memory", memory.bench),
    "scale": ("Scale: the cost of an event as accounts grow", scale.bench),
    "pauses": ("Pauses: batches of 500 events, while accounts and pairs grow", pauses.bench),
    "ledger": ("The ledger: sealing, proofs, verification", ledger.bench),
    "service": ("The service: a real server under load, durable", service.bench),
    "service_components": (
        "Components of the service, each alone",
        service_components.bench,
    ),
    "webhooks": ("Webhooks of a real server: many decisions, and single ones", webhooks.bench),
    "erasure": ("Erasure: a thousand accounts in one pass over the log", erasure.bench),
    "console": ("The console's pages, a million accounts behind them", console.bench),
    "business": (
        "The platform for businesses: its rules, beside plain Python",
        business_platform.bench,
    ),
    "business_service": (
        "The platform for businesses in the service: durable answers",
        business_service.bench,
    ),
    "hostile": ("Hostile lines through the reader", hostile_input_bench.bench),
}


def _run_in_process(name: str, quick: bool) -> list[Figure]:
    """Run one benchmark in a fresh process."""
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=fresh) as pool:
        return pool.submit(BENCHES[name][1], quick).result()


def main() -> int:
    """Run the named benchmarks, all by default; return 1 when a target is not met."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("bench", nargs="*", help=f"any of: {', '.join(BENCHES)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="small sizes, to check that it works")
    given = parser.parse_args()
    if unknown := [name for name in given.bench if name not in BENCHES]:
        parser.error(f"unknown benchmark: {', '.join(unknown)}; choose from {', '.join(BENCHES)}")
    console = Console(width=None if sys.stdout.isatty() else 160)
    about = machine.described()
    for name, value in about.items():
        console.print(f"{name:>11}  {value}", highlight=False)
    if given.quick:
        console.print("[yellow]quick: small sizes; targets apply to the full sizes[/]")
    figures: list[Figure] = []
    for name in given.bench or BENCHES:
        began = time.perf_counter()
        with console.status(name):
            made = _run_in_process(name, given.quick)
        show(console, f"{BENCHES[name][0]} ({time.perf_counter() - began:.0f} s)", made)
        figures += made
        keep(ROOT / "build" / "speed.json", about | {"quick": str(given.quick)}, figures)
    return _exit_code(console, figures)


def _exit_code(console: Console, figures: list[Figure]) -> int:
    judged = [f for f in figures if f.target is not None]
    missed = [f for f in judged if not f.met]
    console.print(f"{len(judged) - len(missed)} of {len(judged)} targets met", highlight=False)
    for f in missed:
        console.print(f"  [red]{'not met' if f.met is False else 'not measured'}[/] "
                      f"{f.bench}: {f.what}", highlight=False)  # fmt: skip
    console.print("Written: build/speed.json")
    return 1 if any(f.met is False for f in judged) else 0


if __name__ == "__main__":
    sys.exit(main())
