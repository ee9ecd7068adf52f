"""The cost of an event as accounts grow: a hundred thousand, a million, ten million."""

from __future__ import annotations

import statistics

from .feeding import Cost, engine, feed, warmed
from .figures import Figure, figure
from .machine import available_bytes
from .streams import log_batch

NAME = "scale"
BYTES_AN_ACCOUNT = 900
"""Rows, names, a few pairs, and room for the stream itself."""


def bench(quick: bool) -> list[Figure]:
    """Nanoseconds an event at each size, and the largest against the smallest."""
    sizes = (20_000, 200_000) if quick else (100_000, 1_000_000, 10_000_000)
    each, runs = (200_000, 3) if quick else (500_000, 7)
    measured: dict[int, list[Cost]] = {}
    figures: list[Figure] = []
    for accounts in sizes:
        free = available_bytes()
        if free is not None and free < accounts * BYTES_AN_ACCOUNT:
            note = f"needs {accounts * BYTES_AN_ACCOUNT / 1e9:.0f} GB, {free / 1e9:.0f} GB are free"
            figures.append(Figure(NAME, f"{accounts:,} accounts", "ns/event", None, note=note))
            continue
        costs = measured[accounts] = _costs(accounts, each, runs)
        figures += [
            figure(NAME, f"{accounts:,} accounts: {part}", "ns/event", [of(c) for c in costs])
            for part, of in (("kernel", _kernel_ns), ("fan-out", _fanout_ns))
        ]
    return figures + _growth(measured, sizes[0], sizes[-1])


def _kernel_ns(cost: Cost) -> float:
    return cost.kernel_s / cost.events * 1e9


def _fanout_ns(cost: Cost) -> float:
    return cost.fanout_s / cost.events * 1e9


def _both_ns(cost: Cost) -> float:
    return _kernel_ns(cost) + _fanout_ns(cost)


def _costs(accounts: int, each: int, runs: int) -> list[Cost]:
    to = engine(accounts=accounts + accounts // 20 + 10_000)
    clock = warmed(to, accounts, 2 * each)
    return [feed(to, log_batch(clock.next(each))) for _ in range(runs)]


def _growth(measured: dict[int, list[Cost]], small: int, large: int) -> list[Figure]:
    figures = []
    for part, of in (("kernel", _kernel_ns), ("fan-out and kernel", _both_ns)):
        what = f"{part}: {large:,} accounts ÷ {small:,}"
        ratio = None
        if large in measured and small in measured:
            ratio = statistics.median(map(of, measured[large])) / statistics.median(
                map(of, measured[small])
            )
        figures.append(Figure(NAME, what, "times", ratio, target=2.0, better="less"))
    return figures
