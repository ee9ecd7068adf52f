"""What the job on Flink costs an event beside `wavebreak run`, in one run on one machine.

    python -m benchmarks.flink_job [--accounts 1000000] [--groups 1 2] [--rounds 3]

Processor time of all processes, user and system, without what a start costs. Of the engine it is
the difference of the log and its head alone, by the difference of events; of a job, what its
processes use between two of its messages, after the head. The head is one message of each two
accounts, which makes all known, and a tenth of the traffic. In turns, so that what else the machine
does falls on all alike; medians, lowest and highest. Needs the environment that `make scale` makes.
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
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from itertools import islice, product
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from benchmarks import load_streams, machine
from support.external_servers import running
from support.flink_cluster import LocalCluster
from support.flink_jobs import Decided, blocks, decide
from wavebreak import io
from wavebreak.errors import UsageError
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
TICKS, PAGE = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
PARTS = {
    b"StandaloneSession": "JobManager", b"TaskManagerRunner": "TaskManager", b"pyflink": "Python",
}  # fmt: skip
"""What a part's command line has."""
HEAD = 0.25
"""The share of a job's messages after which it is measured: all accounts are known, and code is
compiled."""


def embedded(day: Decided, log: Path, out: Path) -> float:
    """Processor time of `wavebreak run` (s)."""
    before = machine.children_busy_s()
    subprocess.run(
        [sys.executable, "-m", "wavebreak", "run", log, "-o", out, "--enforce", "--profile",
         day.home / "profile.json", "--key", day.home / "key"],
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    return machine.children_busy_s() - before


class Sample(NamedTuple):
    """Messages that a job's groups have taken, and seconds of processor by part."""

    messages: int
    used_s: Counter[str]


class ProcessorClock:
    """Processor time of all processes of some sessions by part, ended ones too, and their memory.

    A Python worker outlives the shell that a TaskManager has started it by, so that nobody waits
    for it: each is looked at every `EVERY_S`, and its last figure stays.

    Args:
        sessions: Their leaders.
        messages: Returns how far the job is.

    Attributes:
        samples: What was seen.
        most: Resident memory of each part, at its highest (bytes).

    """

    EVERY_S = 0.25

    def __init__(self, sessions: list[int], messages: Callable[[], int]) -> None:
        self._sessions, self._messages = set(sessions), messages
        self._ticks = dict[int, tuple[str, int]]()
        self.samples, self.most = list[Sample](), Counter[str]()
        self._ended = threading.Event()
        self._before = self._look()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End looking."""
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(self.EVERY_S):
            with suppress(UsageError, OSError):
                messages, used = self._messages(), self._look()
                used.subtract(self._before)
                self.samples.append(Sample(messages, used))

    def _look(self) -> Counter[str]:
        held = Counter[str]()
        for path in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                fields = (path / "stat").read_text("ascii", "replace").rpartition(")")[2].split()
                if int(fields[3]) in self._sessions:
                    part = _part((path / "cmdline").read_bytes())
                    self._ticks[int(path.name)] = part, int(fields[11]) + int(fields[12])
                    held[part] += int(fields[21]) * PAGE
        self.most |= held
        used = Counter[str]()
        for part, ticks in self._ticks.values():
            used[part] += ticks / TICKS  # type: ignore[assignment]
        return used


def _part(command: bytes) -> str:
    """Return the part of a cluster that a process is, by its command."""
    return next((name for mark, name in PARTS.items() if mark in command), "shells")


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


class Cost(NamedTuple):
    """Processor time of a run: an event beyond the head (ns), also by part, and of its start (s).

    `held`: resident memory by part, at its highest (bytes).
    """

    event_ns: float
    start_s: float
    parts: Counter[str]
    held: Counter[str]


class Turns(NamedTuple):
    """Runs of one log in turns, by `wavebreak run` (0 groups) and by jobs on a cluster."""

    day: Decided
    short: Path
    events: int
    home: Path
    cluster: LocalCluster
    environment: FlinkEnvironment

    def embedded(self, name: str) -> Cost:
        """What `wavebreak run` costs: the difference of the log and its head alone."""
        start_s = embedded(self.day, self.short, self.home / f"short{name}")
        used_s = embedded(self.day, self.day.log, self.home / name) - start_s
        return Cost(used_s / self.events * 1e9, start_s, Counter(), Counter())

    def on_flink(self, groups: int, name: str) -> Cost:
        """What a job costs, JobManager and TaskManagers, without the client that submits it.

        It is what its processes use between two of its messages, in the midst of the log.
        """
        home = self.home / name
        job = production(self.day, home, self.day.log, groups=groups)
        given = {"job": ""}
        with closing(ProcessorClock(
            self.cluster.pids,
            lambda: self.cluster.messages_of(given["job"]) if given["job"] else 0,
        )) as clock:  # fmt: skip
            made = submission.submit(job, self.environment, self.cluster.url)
            given["job"] = made.job
            state = made.api.wait_for(made.job)
            assert state == "FINISHED", made.api.overview(made.job).failure
            # Python processes end a moment later.
            time.sleep(2)
        if rows_of(home, "decision") != self.day.decisions:
            print(f"Flink, {groups} groups: decisions DIFFER")
        return self._cost(clock, groups * len(blocks(job)))

    def _cost(self, clock: ProcessorClock, messages: int) -> Cost:
        begin, end = (
            next(each for each in clock.samples if each.messages >= share * messages)
            for share in (HEAD, 1 - HEAD / 4)
        )
        whole, short = self.day.log.stat().st_size, self.short.stat().st_size
        events = (end.messages - begin.messages) / messages * self.events * whole / (whole - short)
        parts = Counter({
            part: (end.used_s[part] - begin.used_s[part]) / events * 1e9 for part in end.used_s
        })  # fmt: skip
        event_ns = sum(parts.values())
        start_s = sum(clock.samples[-1].used_s.values()) - event_ns * self.events / 1e9
        return Cost(event_ns, start_s, parts, clock.most)

    def take(self, kinds: list[int], rounds: int) -> dict[int, list[float]]:
        """Cost an event of each kind in each round (ns)."""
        used: dict[int, list[float]] = {groups: [] for groups in kinds}
        # What a JVM loads and compiles once is no part of what an event costs.
        self.on_flink(max(kinds), "warm-up")
        for turn, groups in product(range(rounds), kinds):
            name = f"log{groups}-{turn}"
            cost = self.on_flink(groups, name) if groups else self.embedded(name)
            used[groups].append(cost.event_ns)
            parts = ", ".join(
                f"{part} {ns:,.0f} ns {cost.held[part] / 2**30:.1f} GiB"
                for part, ns in cost.parts.most_common()
            )
            print(f"{groups} groups: {cost.event_ns:,.0f} ns; start {cost.start_s:.1f} s; {parts}; "
                  f"load {os.getloadavg()[0]:.1f}", flush=True)  # fmt: skip
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
            turns = Turns(day, short, events, home, cluster, environment)
            used = turns.take([0, *given.groups], given.rounds)
    engine = statistics.median(used[0])
    print("| what | ns of processor an event | share kept |")
    for groups, values in used.items():
        name = f"Flink, {groups} groups" if groups else "`wavebreak run`"
        print(f"| {name} | {spread(values)} | {engine / statistics.median(values):.2f} |")


if __name__ == "__main__":
    main()
