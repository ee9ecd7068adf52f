"""What the job on Flink costs an event beside `wavebreak run`, in one run on one machine.

    python -m benchmarks.flink_job [--accounts 1000000] [--groups 1 2] [--rounds 3]

Processor time of all processes, user and system. Its head alone is run first, so that what a start
costs drops out: the figure is the difference of times by the difference of events. The head is one
message of each two accounts, which makes all known, and a tenth of the traffic. In turns, so that
what else the machine does falls on all alike; medians, lowest and highest. Needs the environment
that `make scale` makes.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from itertools import islice, product
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from benchmarks import load_streams, machine
from support.external_servers import running
from support.flink_cluster import LocalCluster
from support.flink_jobs import Decided, decide
from wavebreak import io
from wavebreak.io import read
from wavebreak.io.log_rows import decode_row, encode_row
from wavebreak_flink import event_log, messages, submission
from wavebreak_flink.dead_letters import DeadLetter
from wavebreak_flink.environment import FlinkEnvironment
from wavebreak_flink.fan_out import FanOut
from wavebreak_flink.settings import JobSettings
from wavebreak_flink.shard_task import ShardTask
from wavebreak_flink.submission import rows_of

ROOT = Path(__file__).resolve().parents[1]
ROOM = 1 << 24
"""Accounts for which address space is reserved."""
TICKS = os.sysconf("SC_CLK_TCK")


def embedded(day: Decided, log: Path, out: Path) -> float:
    """Processor time of `wavebreak run` (s)."""
    before = machine.children_busy_s()
    subprocess.run(
        [sys.executable, "-m", "wavebreak", "run", log, "-o", out, "--enforce", "--profile",
         day.home / "profile.json", "--key", day.home / "key"],
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    return machine.children_busy_s() - before


class ProcessorClock:
    """Processor time of all processes of some sessions, ended ones too.

    A Python worker outlives the shell that a TaskManager has started it by, so that nobody waits
    for it: each is looked at every `EVERY_S`, and its last figure stays.
    """

    EVERY_S = 0.25

    def __init__(self, sessions: list[int]) -> None:
        self._sessions, self._ticks = set(sessions), dict[int, int]()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._look()
        self._thread.start()

    def read_s(self) -> float:
        """Return it now."""
        return sum(self._ticks.values()) / TICKS

    def close(self) -> None:
        """End looking."""
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(self.EVERY_S):
            self._look()

    def _look(self) -> None:
        for path in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                fields = (path / "stat").read_text("ascii", "replace").rpartition(")")[2].split()
                if int(fields[3]) in self._sessions:
                    self._ticks[int(path.name)] = int(fields[11]) + int(fields[12])


def production(day: Decided, home: Path, log: Path, **changed: Any) -> JobSettings:
    """Settings of a job with blocks and marks as a command submits it."""
    usual = {"mark_every": JobSettings("", "", "").mark_every, "marks_kept": 2, "accounts": ROOM}
    return day.settings(home, log=log, block=event_log.BLOCK, **(usual | changed))


def traffic(home: Path, accounts: int, events: int) -> tuple[Decided, Path, int]:
    """Write a log and decide on it; return it, its head, and the events beyond the head.

    The head is what makes all accounts known, and a tenth of the traffic.
    """
    known = load_streams.everyone(
        accounts, start_ms=load_streams.START_MS - accounts // 2 * 1000 // load_streams.RATE
    )
    parts = [known, *load_streams.stretches(events, accounts)]
    io.write(home / "events.jsonl", map(load_streams.wire_batch, parts))
    many = known.ts.size + events // 10
    with (home / "events.jsonl").open("rb") as log, (home / "short.jsonl").open("wb") as short:
        short.writelines(islice(log, many))
    day = decide(home)
    return day, home / "short.jsonl", sum(part.ts.size for part in parts) - many


class Turns(NamedTuple):
    """Runs of one log in turns, by `wavebreak run` (0 groups) and by jobs on a cluster."""

    day: Decided
    home: Path
    cluster: LocalCluster
    environment: FlinkEnvironment

    def cost(self, log: Path, groups: int, name: str) -> float:
        """Processor time of a run (s)."""
        out = self.home / name
        if not groups:
            return embedded(self.day, log, out)
        used = self._on_flink(production(self.day, out, log, groups=groups))
        if log == self.day.log and rows_of(out, "decision") != self.day.decisions:
            print(f"Flink, {groups} groups: decisions DIFFER")
        return used

    def _on_flink(self, job: JobSettings) -> float:
        """Processor time of JobManager and TaskManagers, without the client that submits a job."""
        with closing(ProcessorClock(self.cluster.pids)) as clock:
            before = clock.read_s()
            made = submission.submit(job, self.environment, self.cluster.url)
            state = made.api.wait_for(made.job)
            assert state == "FINISHED", made.api.overview(made.job).failure
            # Python processes end a moment later.
            time.sleep(2)
            return clock.read_s() - before

    def take(
        self, kinds: list[int], rounds: int, short: Path, events: int
    ) -> dict[int, list[float]]:
        """Cost an event of each kind in each round (ns)."""
        used: dict[int, list[float]] = {groups: [] for groups in kinds}
        start = dict[int, float]()
        # What a JVM loads and compiles once is no part of what a job's start costs.
        self.cost(short, max(kinds), "warm-up")
        for turn, groups in product(range(rounds), kinds):
            if groups not in start:
                start[groups] = self.cost(short, groups, f"short{groups}")
            long = self.cost(self.day.log, groups, f"log{groups}-{turn}")
            used[groups].append((long - start[groups]) / events * 1e9)
            said = f"{used[groups][-1]:,.0f} ns; start {start[groups]:.1f} s"
            print(f"{groups} groups: {said}; load {os.getloadavg()[0]:.1f}", flush=True)
        return used


class Stages(NamedTuple):
    """Processor time and bytes of the stages of a job over a service's log, without Flink (ns)."""

    body: float
    fan_out: float
    shards: float
    body_bytes: float
    message_bytes: float


class RowsInMemory:
    """Rows of a log in memory, in place of a topic; each block is one (`logs.Log`)."""

    last = -1
    lost: Sequence[DeadLetter] = ()

    def __init__(self, bodies: list[bytes]) -> None:
        self.bodies, self.decoding_ns = bodies, 0

    def read(self, number: int) -> pa.RecordBatch:
        """Return a block."""
        began = time.thread_time_ns()
        events = decode_row(self.bodies[number])
        self.decoding_ns += time.thread_time_ns() - began
        return events

    def between(self, first: int, end: int) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Return blocks."""
        return ((number, self.read(number)) for number in range(first, end))

    def file_of(self, number: int) -> str:
        """Return "": no block is of a file."""
        return ""

    def forget(self, number: int) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


def stages(day: Decided, home: Path) -> Stages:
    """Cost of the stages, one after the other in this thread, second half of the log."""
    job = production(day, home, day.log, mark_every=1 << 30)
    edge = job.edge()
    events = pa.Table.from_batches([batch.log for batch in read(day.log, edge)]).combine_chunks()
    log = RowsInMemory([bytes(encode_row(b)) for b in events.to_batches(max_chunksize=5_000)])
    fan_out, half, bodies = FanOut(job, log), len(log.bodies) // 2, len(log.bodies)
    fan_out_ns, shards_ns, message_bytes = 0, 0, 0
    with closing(ShardTask(job, 0)) as task:
        for number in range(bodies):
            if number == half:
                log.decoding_ns = fan_out_ns = shards_ns = message_bytes = 0
            began = time.thread_time_ns()
            encoded = [messages.encode(s.messages[0]) for s in fan_out.take(number)]
            fan_out_ns += time.thread_time_ns() - began
            message_bytes += sum(map(len, encoded))
            began = time.thread_time_ns()
            for each in encoded:
                list(task.take(messages.decode(each)))
            shards_ns += time.thread_time_ns() - began
    many = events.num_rows - 5_000 * half
    return Stages(
        log.decoding_ns / many, (fan_out_ns - log.decoding_ns) / many, shards_ns / many,
        sum(map(len, log.bodies)) / events.num_rows, message_bytes / many,
    )  # fmt: skip


def spread(values: list[float]) -> str:
    """Median, lowest and highest of a figure (ns)."""
    return f"{statistics.median(values):,.0f} ({min(values):,.0f}–{max(values):,.0f})"


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="benchmarks.flink_job", description=__doc__)
    parser.add_argument("--accounts", type=int, default=1_000_000)
    parser.add_argument("--events", type=int, default=3_000_000)
    parser.add_argument("--groups", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    environment = FlinkEnvironment(ROOT / ".venv-flink")
    print("; ".join(f"{name} {value}" for name, value in machine.described().items()))
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        day, short, events = traffic(home, given.accounts, given.events)
        print(f"{events:,} events beyond the start, {len(day.decisions):,} decisions", flush=True)
        for turn in range(given.rounds):
            parts = stages(day, home / f"stages{turn}")
            said = ", ".join(f"{name} {value:,.0f}" for name, value in parts._asdict().items())
            print(f"stages: {said}", flush=True)
        # One TaskManager: each job begins in the same JVM.
        alone = LocalCluster(environment, home / "cluster", managers=1, slots=max(given.groups))
        with running(alone) as cluster:
            turns = Turns(day, home, cluster, environment)
            used = turns.take([0, *given.groups], given.rounds, short, events)
    engine = statistics.median(used[0])
    print("| what | ns of processor an event | share kept |")
    for groups, values in used.items():
        name = f"Flink, {groups} groups" if groups else "`wavebreak run`"
        print(f"| {name} | {spread(values)} | {engine / statistics.median(values):.2f} |")


if __name__ == "__main__":
    main()
