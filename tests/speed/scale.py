"""The cost of an event as accounts grow: a hundred thousand, a million, ten million."""

from __future__ import annotations

from wavebreak.pipeline import Engine

from .feeding import Clockwork, Cost, engine, feed, held, warmed
from .figures import Figure, figure
from .machine import available_bytes
from .streams import log_batch

NAME = "scale"
GROWTH = "largest ÷ smallest"
BYTES_AN_ACCOUNT = 900
"""Rows, names, a few pairs, and room for the stream itself."""


def bench(quick: bool) -> list[Figure]:
    """Nanoseconds an event at each size, in turns, and the largest against the smallest."""
    sizes = (20_000, 200_000) if quick else (100_000, 1_000_000, 10_000_000)
    each, rounds = (200_000, 3) if quick else (500_000, 7)
    free, need = available_bytes(), sum(sizes) * BYTES_AN_ACCOUNT
    if free is not None and free < need:
        note = f"needs {need / 1e9:.0f} GB, {free / 1e9:.0f} GB are free"
        return [Figure(NAME, GROWTH, "times", None, target=2.0, better="less", note=note)]
    worlds = {n: _world(n, 2 * each) for n in sizes}
    costs: dict[int, list[Cost]] = {n: [] for n in sizes}
    for _ in range(rounds):
        # In turns, so that a machine that is busy for a while is so for every size.
        for n, (to, clock) in worlds.items():
            costs[n].append(feed(to, log_batch(clock.next(each))))
    figures = [
        figure(NAME, f"{n:,} accounts: {part}", "ns/event", [of(c) for c in costs[n]],
               note=held(costs[n]))
        for n in sizes
        for part, of in (("kernel", _kernel_ns), ("fan-out", _fanout_ns))
    ]  # fmt: skip
    return figures + _growth(costs[sizes[0]], costs[sizes[-1]], f"{sizes[-1]:,} ÷ {sizes[0]:,}")


def _kernel_ns(cost: Cost) -> float:
    return cost.kernel_s / cost.events * 1e9


def _fanout_ns(cost: Cost) -> float:
    return cost.fanout_s / cost.events * 1e9


def _both_ns(cost: Cost) -> float:
    return _kernel_ns(cost) + _fanout_ns(cost)


def _world(accounts: int, events: int) -> tuple[Engine, Clockwork]:
    to = engine(accounts=accounts + accounts // 20 + 10_000)
    return to, warmed(to, accounts, events)


def _growth(small: list[Cost], large: list[Cost], what: str) -> list[Figure]:
    return [
        figure(NAME, f"{GROWTH}, {part}", "times",
               [of(b) / of(a) for a, b in zip(small, large, strict=True)],
               target=2.0, better="less", note=f"accounts: {what}")
        for part, of in (("kernel", _kernel_ns), ("fan-out and kernel", _both_ns))
    ]  # fmt: skip
