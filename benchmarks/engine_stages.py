"""Feed an engine as a run does, and time the fan-out and the kernel separately."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from benchmarks.load_streams import RATE, START_MS, STRANGERS, Traffic, everyone, log_batch, zipf
from wavebreak import rules
from wavebreak.engine import Engine
from wavebreak.features.facts import Segment
from wavebreak.features.shards import RESERVED_ACCOUNTS, ShardedKernel
from wavebreak.model import Model

BATCH = 50_000


@dataclass(frozen=True)
class Cost:
    """Seconds that events took in the fan-out and in the kernel, and the hits they made.

    `…_busy_s` is how much of that this thread was on a processor: less on a machine that is shared.
    """

    events: int
    fanout_s: float
    kernel_s: float
    hits: int
    fanout_busy_s: float
    kernel_busy_s: float

    @property
    def busy_s(self) -> float:
        """Seconds of processor of both."""
        return self.fanout_busy_s + self.kernel_busy_s

    @property
    def kernel_rate(self) -> float:
        """Events a second of the kernel: facts in, decisions made, epochs closed."""
        return self.events / self.kernel_s

    @property
    def fanout_rate(self) -> float:
        """Events a second of the fan-out: names to slots, repeated ids, facts by shard."""
        return self.events / self.fanout_s

    @property
    def rate(self) -> float:
        """Events a second of both, one after the other."""
        return self.events / (self.fanout_s + self.kernel_s)


def engine(
    *, workers: int = 1, accounts: int = RESERVED_ACCOUNTS, model: Model | None = None
) -> Engine:
    """An engine with the shipped policy, everything covered, in shadow; no model unless given."""
    return Engine(rules.load_policy(), workers=workers, accounts=accounts, model=model)


def advance(core: ShardedKernel, segment: Segment) -> int:
    """Take one segment, closing the open epoch first where it is another; gives the hits."""
    hits = 0
    if core.epoch < 0:
        core.start(segment.epoch)
    if segment.epoch != core.epoch:
        hits += core.open(segment.epoch, [core.close()]).size
    return hits + int(core.advance(segment).size)


def feed(to: Engine, log: pa.RecordBatch, *, batch: int = BATCH) -> Cost:
    """Take a log in batches, timing the fan-out and the kernel apart."""
    fanout = kernel = fanout_busy = kernel_busy = 0.0
    hits = 0
    for begin in range(0, log.num_rows, batch):
        began, busy = time.perf_counter(), time.thread_time()
        segments = list(to.fanout.segments(log.slice(begin, batch)))
        read, read_busy = time.perf_counter(), time.thread_time()
        for segment in segments:
            hits += advance(to.core, segment)
        fanout, fanout_busy = fanout + read - began, fanout_busy + read_busy - busy
        kernel += time.perf_counter() - read
        kernel_busy += time.thread_time() - read_busy
    return Cost(log.num_rows, fanout, kernel, hits, fanout_busy, kernel_busy)


def held(costs: Sequence[Cost]) -> str:
    """Say how much of the time the measured thread had a processor."""
    share = sum(c.busy_s for c in costs) / sum(c.fanout_s + c.kernel_s for c in costs)
    warning = "" if share > 0.95 else ": the machine was busy, measure again when it is idle"
    return f"on a processor {min(share, 1.0):.0%} of the time{warning}"


def segments_of(by: Engine, log: pa.RecordBatch, *, batch: int = BATCH) -> list[Segment]:
    """The facts of a log, made but not yet taken."""
    return [
        segment
        for begin in range(0, log.num_rows, batch)
        for segment in by.fanout.segments(log.slice(begin, batch))
    ]


def timed(core: ShardedKernel, segments: Sequence[Segment]) -> float:
    """Seconds that a core takes for facts that are already made."""
    began = time.perf_counter()
    for segment in segments:
        advance(core, segment)
    return time.perf_counter() - began


class Clockwork:
    """Consecutive stretches of one stream: first everyone, then Zipf traffic.

    `strangers` is the share of messages that go to anyone at all.
    """

    def __init__(self, accounts: int, strangers: float = STRANGERS) -> None:
        self.accounts, self.at_ms, self.seed = accounts, START_MS, 0
        self.strangers = strangers

    def _moved(self, traffic: Traffic) -> Traffic:
        self.at_ms += traffic.ts.size * 1000 // RATE
        self.seed += 1
        return traffic

    def everyone(self) -> Traffic:
        """A stretch in which every account appears."""
        return self._moved(everyone(self.accounts, start_ms=self.at_ms))

    def next(self, events: int) -> Traffic:
        """The next stretch of Zipf traffic."""
        made = zipf(events, self.accounts, self.seed, start_ms=self.at_ms, strangers=self.strangers)
        return self._moved(made)


def warmed(to: Engine, accounts: int, events: int, *, strangers: float = STRANGERS) -> Clockwork:
    """Bring an engine to a state with all accounts and so many events of traffic behind it."""
    clock = Clockwork(accounts, strangers)
    first = clock.everyone()
    n = first.ts.size
    for begin in range(0, n, 1_000_000):
        part = slice(begin, begin + 1_000_000)
        cut = Traffic(
            first.ts[part],
            first.type[part],
            first.account[part],
            first.peer[part],
            900_000 + begin // 1_000_000,
        )
        feed(to, log_batch(cut))
    while events > 0:
        feed(to, log_batch(clock.next(min(events, 1_000_000))))
        events -= 1_000_000
    return clock
