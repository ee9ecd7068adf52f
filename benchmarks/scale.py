"""The cost of an event as accounts grow: a hundred thousand, a million, ten million.

With ten million new accounts nearly every chat is new, and a first contact costs more than a later
message. A small population with equally many new chats is measured too, so that the effect of size
can be separated from the effect of behaviour.
"""

from __future__ import annotations

from benchmarks.engine_stages import Clockwork, Cost, engine, feed, held, warmed
from benchmarks.figures import Figure, figure
from benchmarks.load_streams import STRANGERS, log_batch
from benchmarks.machine import available_bytes
from wavebreak.engine import Engine

NAME = "scale"
GROWTH = "largest ÷ smallest"
AS_MANY_NEW = 0.3
"""Share of messages to anyone at all with which chats are as new among 100,000 accounts as among
ten million: the bench prints what came of it."""
BYTES_AN_ACCOUNT = 900
"""Rows, names, a few pairs, and room for the stream itself."""

World = tuple[Engine, Clockwork]


def bench(quick: bool) -> list[Figure]:
    """Nanoseconds an event at each size, in turns, and the largest against the smallest."""
    sizes = (20_000, 200_000) if quick else (100_000, 1_000_000, 10_000_000)
    each, rounds = (200_000, 3) if quick else (500_000, 7)
    free, need = available_bytes(), sum(sizes) * BYTES_AN_ACCOUNT
    if free is not None and free < need:
        note = f"needs {need / 1e9:.0f} GB, {free / 1e9:.0f} GB are free"
        return [Figure(NAME, GROWTH, "times", None, target=2.0, better="less", note=note)]
    worlds = {f"{n:,} accounts": _world(n, 2 * each) for n in sizes}
    small, large = next(iter(worlds)), list(worlds)[-1]
    alike = f"{small}, as many new chats"
    worlds[alike] = _world(sizes[0], 2 * each, AS_MANY_NEW)
    before = {name: _pairs(world) for name, world in worlds.items()}
    costs: dict[str, list[Cost]] = {name: [] for name in worlds}
    for _ in range(rounds):
        # In turns, so that a machine that is busy for a while is so for every size.
        for name, (to, clock) in worlds.items():
            costs[name].append(feed(to, log_batch(clock.next(each))))
    fresh = {n: (_pairs(w) - before[n]) / (rounds * each) for n, w in worlds.items()}
    notes = {n: f"{fresh[n]:.2f} new pairs an event; {held(costs[n])}" for n in worlds}
    return [
        figure(NAME, f"{name}: {part}", "ns/event", [of(c) for c in costs[name]], note=notes[name])
        for name in worlds
        for part, of in (("kernel", _kernel_ns), ("fan-out", _fanout_ns))
    ] + [
        figure(NAME, f"{GROWTH}, {part}{what}", "times",
               [of(b) / of(a) for a, b in zip(costs[base], costs[large], strict=True)],
               target=2.0, better="less", note=f"{fresh[large]:.2f} ÷ {fresh[base]:.2f} new pairs")
        for base, what in ((small, ""), (alike, ", as many new chats"))
        for part, of in (("kernel", _kernel_ns), ("fan-out and kernel", _both_ns))
    ]  # fmt: skip


def _pairs(world: World) -> int:
    return world[0].core.nbytes()["pairs_known"]


def _kernel_ns(cost: Cost) -> float:
    return cost.kernel_s / cost.events * 1e9


def _fanout_ns(cost: Cost) -> float:
    return cost.fanout_s / cost.events * 1e9


def _both_ns(cost: Cost) -> float:
    return _kernel_ns(cost) + _fanout_ns(cost)


def _world(accounts: int, events: int, strangers: float = STRANGERS) -> World:
    to = engine(accounts=accounts + accounts // 20 + 10_000)
    return to, warmed(to, accounts, events, strangers=strangers)
