"""The kernel at a million accounts, beside the floor in C, plain Python and river."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from wavebreak.events import TYPES
from wavebreak.pipeline import Engine

from .feeding import Clockwork, Cost, engine, feed, warmed
from .figures import Figure, figure
from .native import QUOTED, Floor
from .peers import Message, Peer, PurePython, River, river_installed
from .streams import Traffic, account_names, log_batch

NAME = "kernel"
RULES_ASLEEP = "how much is rules and reading all features for them"


def bench(quick: bool) -> list[Figure]:
    """Events a second of kernel, fan-out, both; the peers; the ratio to the faster peer."""
    accounts, each, runs = (50_000, 200_000, 3) if quick else (1_000_000, 1_000_000, 7)
    to = engine()
    clock = warmed(to, accounts, 2 * each)
    stretches = [clock.next(each) for _ in range(runs)]
    costs = [feed(to, log_batch(t)) for t in stretches]
    hits = sum(cost.hits for cost in costs)
    figures = [
        _rate("kernel, rules, all features", [c.kernel_rate for c in costs], target=2e6,
              note=f"{len(to.fanout.accounts):,} accounts, {hits:,} hits"),
        _rate("fan-out", [c.fanout_rate for c in costs], note="names to slots, repeated ids"),
        _rate("fan-out, then kernel", [c.rate for c in costs], note="one after the other"),
        _rate("kernel, rules asleep", [c.kernel_rate for c in _asleep(to, clock, each)],
              note=RULES_ASLEEP),
    ]  # fmt: skip
    del to
    return figures + _beside(figures[0], figures[2], accounts, stretches, quick=quick)


def _rate(what: str, values: Sequence[float], **more: Any) -> Figure:
    return figure(NAME, what, "events/s", values, **more)


def _asleep(to: Engine, clock: Clockwork, each: int) -> list[Cost]:
    core = to.core
    core.judgement = replace(core.judgement, wake=0)
    for worker in core.workers:
        core.judgement.into(worker.record)
    return [feed(to, log_batch(clock.next(each))) for _ in range(3)]


def _beside(
    ours: Figure, both: Figure, accounts: int, stretches: Sequence[Traffic], *, quick: bool
) -> list[Figure]:
    figures = [_floor(accounts, stretches)]
    events = 30_000 if quick else 300_000
    peers = [_peer("plain Python: dicts and deques", PurePython(), stretches, events)]
    if river_installed():
        peers.append(_peer("river", River(), stretches, events // 10))
    else:
        peers.append(Figure(NAME, "river", "events/s", None, note="not installed"))
    fastest = max((p for p in peers if p.value), key=lambda p: p.value or 0.0)
    for what, own, target in (("kernel", ours, 20.0), ("fan-out, then kernel", both, None)):
        ratio = (own.value or 0.0) / (fastest.value or 1.0)
        note = f"medians; the faster is {fastest.what.partition(':')[0]}"
        figures.append(
            Figure(NAME, f"{what} ÷ the faster peer", "times", ratio, target=target, note=note)
        )
    return figures[:1] + peers + figures[1:]


def _floor(accounts: int, stretches: Sequence[Traffic]) -> Figure:
    what = "the floor: C, the same memory, no features"
    try:
        floor = Floor(accounts, 8 * accounts)
    except FileNotFoundError:
        note = "no C compiler; quoted from shared/design/architecture.md: 15–21 M"
        return Figure(NAME, what, "events/s", None, note=f"{note} (≥ {QUOTED:,.0f})")
    rates = []
    for t in stretches:
        there = (t.account < accounts) & (t.peer < accounts)
        seconds = floor.seconds(t.account[there], t.peer[there])
        rates.append(np.count_nonzero(there) / seconds)
    return _rate(what, rates[1:], note="one row an account, one pair table")


def _messages(t: Traffic, events: int) -> list[Message]:
    sent = np.flatnonzero(t.type == TYPES.index("message.sent"))[:events]
    names = (account_names(numbers[sent]).to_pylist() for numbers in (t.account, t.peer))
    return list(zip(t.ts[sent].tolist(), *names, strict=True))


def _peer(what: str, peer: Peer, stretches: Sequence[Traffic], events: int) -> Figure:
    rates = []
    for t in stretches[:4]:
        messages = _messages(t, events)
        began = time.perf_counter()
        for message in messages:
            peer.take(message)
        rates.append(len(messages) / (time.perf_counter() - began))
    # The first stretch makes most of the accounts, as our warm state does.
    return _rate(what, rates[1:], note=f"8 features, no rules; {events:,} messages a run")
