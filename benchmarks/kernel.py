"""The kernel at a million accounts, compared with a lower bound in C, plain Python and river."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.baselines import Message, Peer, PurePython, River, river_installed
from benchmarks.engine_stages import Clockwork, Cost, engine, feed, held, warmed
from benchmarks.figures import Figure, figure
from benchmarks.load_streams import Traffic, account_names, log_batch
from benchmarks.native import QUOTED, Floor
from wavebreak.engine import Engine
from wavebreak.schema.events import TYPES

NAME = "kernel"
FLOOR = "the floor: C, the same memory, no features"


def bench(quick: bool) -> list[Figure]:
    """Events a second of kernel, fan-out, both; the peers in turns with them; the ratio."""
    accounts, each, rounds = (50_000, 200_000, 3) if quick else (1_000_000, 1_000_000, 7)
    to = engine()
    clock = warmed(to, accounts, 2 * each)
    beside = _Beside(accounts, clock.next(each), 15_000 if quick else 150_000)
    costs = []
    for _ in range(rounds):
        traffic = clock.next(each)
        costs.append(feed(to, log_batch(traffic)))
        beside.measure(traffic)
    asleep = _asleep(to, clock, each)
    hits = sum(cost.hits for cost in costs)
    return [
        _rate("kernel, rules, all features", [c.kernel_rate for c in costs], target=2e6,
              note=f"{len(to.fanout.accounts):,} accounts, {hits:,} hits; {held(costs)}"),
        _rate("fan-out", [c.fanout_rate for c in costs], note="names to slots, repeated ids"),
        _rate("fan-out, then kernel", [c.rate for c in costs], note="one after the other"),
        _rate("kernel, rules asleep", [c.kernel_rate for c in asleep],
              note=f"the rest is rules and reading features for them; {held(asleep)}"),
        *beside.figures(costs),
    ]  # fmt: skip


def _rate(what: str, values: Sequence[float], **more: Any) -> Figure:
    return figure(NAME, what, "events/s", values, **more)


def _asleep(to: Engine, clock: Clockwork, each: int) -> list[Cost]:
    core = to.core
    core.policy = replace(core.policy, wake=0)
    for worker in core.workers:
        core.policy.into(worker.record)
    return [feed(to, log_batch(clock.next(each))) for _ in range(3)]


class _Beside:
    """The floor and the peers, measured round by round with us, so that noise meets all alike."""

    def __init__(self, accounts: int, first: Traffic, events: int) -> None:
        self.accounts, self.events = accounts, events
        self.peers: dict[str, Peer] = {"plain Python": PurePython()}
        if river_installed():
            self.peers["river"] = River()
        self.rates: dict[str, list[float]] = {name: [] for name in (*self.peers, FLOOR)}
        try:
            self.floor: Floor | None = Floor(accounts, 8 * accounts)
        except FileNotFoundError:
            self.floor = None
        # The first stretch makes accounts and pairs, as our warm state does; it is not counted.
        self.measure(first)
        self.rates = {name: [] for name in self.rates}

    def measure(self, t: Traffic) -> None:
        """Take a stretch, each as much of it as it can in about a second."""
        for name, peer in self.peers.items():
            messages = _messages(t, self.events if name == "plain Python" else self.events // 10)
            began = time.perf_counter()
            for message in messages:
                peer.take(message)
            self.rates[name].append(len(messages) / (time.perf_counter() - began))
        if self.floor is not None:
            there = (t.account < self.accounts) & (t.peer < self.accounts)
            seconds = self.floor.seconds(t.account[there], t.peer[there])
            self.rates[FLOOR].append(np.count_nonzero(there) / seconds)

    def figures(self, ours: Sequence[Cost]) -> list[Figure]:
        """What was measured, and us against the faster peer, round by round."""
        made = [self._floor_figure()]
        note = "8 features, no rules, far fewer accounts"
        made += [_rate(name, self.rates[name], note=note) for name in self.peers]
        if "river" not in self.peers:
            made.append(Figure(NAME, "river", "events/s", None, note="not installed"))
        fastest = max(self.peers, key=lambda name: statistics.median(self.rates[name]))
        pairs = list(zip(ours, self.rates[fastest], strict=True))
        for what, ratios, target in (
            ("kernel", [c.kernel_rate / rate for c, rate in pairs], 20.0),
            ("fan-out, then kernel", [c.rate / rate for c, rate in pairs], None),
        ):
            note = f"the faster is {fastest}"
            made.append(
                figure(NAME, f"{what} ÷ the faster peer", "times", ratios, target=target, note=note)
            )
        return made

    def _floor_figure(self) -> Figure:
        if self.floor is not None:
            return _rate(FLOOR, self.rates[FLOOR], note="one row an account, one pair table")
        note = f"no C compiler; {QUOTED} is quoted from shared/design/architecture.md"
        return Figure(NAME, FLOOR, "events/s", None, note=note)


def _messages(t: Traffic, events: int) -> list[Message]:
    sent = np.flatnonzero(t.type == TYPES.index("message.sent"))[:events]
    names = (account_names(numbers[sent]).to_pylist() for numbers in (t.account, t.peer))
    return list(zip(t.ts[sent].tolist(), *names, strict=True))
