"""The longest delay of a small batch while accounts and pairs grow past the reserved memory."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from benchmarks.engine_stages import Clockwork, advance, engine, warmed
from benchmarks.figures import Figure
from benchmarks.load_streams import Traffic, log_batch
from wavebreak.engine import Engine
from wavebreak.features.shards import RESERVED_ACCOUNTS

NAME = "pauses"
BATCH = 500
NEW = 0.02
"""Share of events in which an account acts that was never seen."""
REGISTERED = 0.001
"""Share of registrations in the stream: new accounts too."""
LONGEST_MS = 50.0


def bench(quick: bool) -> list[Figure]:
    """Longest wait for a batch, in the fan-out and the kernel, within and past the reserve."""
    reserve, events = (60_000, 100_000) if quick else (RESERVED_ACCOUNTS, 1_000_000)
    to = engine(accounts=reserve)
    # The first measured stretch ends short of the reserve, the second passes it.
    growth = (NEW + REGISTERED) * events
    clock = warmed(to, int(reserve - 1.5 * growth - REGISTERED * events), events // 2)
    figures = []
    for what in ("within the reserve", "past the reserve"):
        before = len(to.fanout.accounts), to.core.nbytes()["pairs_known"]
        waits = _waits(to, clock, events)
        after = len(to.fanout.accounts), to.core.nbytes()["pairs_known"]
        crossed = before[0] <= reserve < after[0]
        if crossed != (what == "past the reserve"):
            what = f"{what} (accounts {before[0]:,} to {after[0]:,} of {reserve:,})"
        note = f"accounts {before[0]:,}→{after[0]:,}, pairs {before[1]:,}→{after[1]:,}"
        figures += _figures(what, waits, note)
    return figures


def _growing(traffic: Traffic, first: int) -> Traffic:
    """Have new accounts act in some of the events, numbered from `first`."""
    new = traffic.random().random(traffic.ts.size) < NEW
    account = traffic.account.copy()
    account[new] = first + np.arange(int(new.sum()))
    return Traffic(traffic.ts, traffic.type, account, traffic.peer, traffic.seed)


def _clocks() -> Any:
    """Time that has passed, and time that this thread had a processor, in seconds."""
    return np.array([time.perf_counter(), time.thread_time()])


def _waits(to: Engine, clock: Clockwork, events: int) -> Any:
    """Milliseconds of each batch in the fan-out and in the kernel, passed and on a processor.

    Shape (batches, 2, 2).
    """
    log = log_batch(_growing(clock.next(events), 10**9 + clock.seed * 10**7))
    waits = np.zeros((log.num_rows // BATCH, 2, 2))
    for k in range(len(waits)):
        began = _clocks()
        segments = list(to.fanout.segments(log.slice(k * BATCH, BATCH)))
        read = _clocks()
        for segment in segments:
            advance(to.core, segment)
        waits[k] = (read - began, _clocks() - read)
    return waits * 1000


def _figures(what: str, waits: Any, note: str) -> list[Figure]:
    figures = []
    parts = (("kernel", waits[:, 1]), ("fan-out", waits[:, 0]), ("both", waits.sum(axis=1)))
    for part, ms in parts:
        # All batches are alike, so the usual time is what is proportional to a batch's events.
        usual = np.median(ms, axis=0)
        passed, worked = ms.max(axis=0) - usual
        sizes = (
            f"{worked:.1f} ms of work at most: the rest waited for a processor; beyond the usual "
            f"{usual[0]:.2f} ms of {BATCH} events; 99.9 %: {np.percentile(ms[:, 0], 99.9):.1f} ms"
        )
        figures.append(
            Figure(NAME, f"longest pause, {what}: {part}", "ms", float(passed), target=LONGEST_MS,
                   better="less", note=f"{sizes}; {note}")
        )  # fmt: skip
    return figures
