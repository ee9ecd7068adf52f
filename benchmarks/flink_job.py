"""What the job on Flink costs an event beside `wavebreak run`, in one run on one machine.

    python -m benchmarks.flink_job [--people 1500] [--groups 1 2] [--rounds 3]

Processor time of all processes, user and system. Two lengths of one log, so that what a start costs
drops out: the figure is the difference of times by the difference of events. In turns, so that what
else the machine does falls on all alike; medians, lowest and highest. Needs the environment that
`make scale` makes.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from benchmarks import machine
from support.flink_cluster import LocalCluster
from support.flink_jobs import Decided, decided, in_lines
from wavebreak.io import read
from wavebreak.io.log_rows import decode_row, encode_row
from wavebreak_flink import messages, submission
from wavebreak_flink.environment import FlinkEnvironment
from wavebreak_flink.fan_out import FanOut
from wavebreak_flink.shard_task import ShardTask
from wavebreak_flink.submission import rows_of

ROOT = Path(__file__).resolve().parents[1]
BLOCK = 1 << 20
TICKS = os.sysconf("SC_CLK_TCK")


class Cost(NamedTuple):
    """Processor time and time of a run."""

    processor_s: float
    seconds: float


def embedded(day: Decided, log: Path, out: Path) -> Cost:
    """Cost of `wavebreak run`."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "wavebreak", "run", log, "-o", out, "--enforce", "--profile",
         day.home / "profile.json", "--key", day.home / "key"],
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(used, time.monotonic() - began)


def processor_s(pids: list[int]) -> float:
    """Processor time of processes and of those that they have waited for."""
    used = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
        used += sum(map(int, fields[11:15]))
    return used / TICKS


def on_flink(
    day: Decided, log: Path, home: Path, cluster: LocalCluster, environment: FlinkEnvironment,
    groups: int,
) -> Cost:  # fmt: skip
    """Cost of a job, of JobManager and TaskManagers, without the client that submits it."""
    job = day.settings(home, log=log, block=BLOCK, groups=groups)
    before, began = processor_s(cluster.pids), time.monotonic()
    made = submission.submit(job, environment, cluster.url)
    state = made.api.wait_for(made.job)
    took = time.monotonic() - began
    assert state == "FINISHED", made.api.overview(made.job).failure
    # TaskManagers wait for their Python processes a moment later.
    time.sleep(3)
    return Cost(processor_s(cluster.pids) - before, took)


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

    def forget(self, number: int) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


def stages(day: Decided, home: Path) -> Stages:
    """Cost of the stages, one after the other in this thread, second half of the log."""
    job = day.settings(home, mark_every=1 << 30)
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
    parser.add_argument("--people", type=int, default=1500)
    parser.add_argument("--days", type=float, default=1)
    parser.add_argument("--groups", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    environment = FlinkEnvironment(ROOT / ".venv-flink")
    print("; ".join(f"{name} {value}" for name, value in machine.described().items()))
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        day = decided(home, people=given.people, days=given.days)
        logs = [in_lines(day.log), in_lines(day.log, home / "short.jsonl", share=6)]
        events = logs[0][1] - logs[1][1]
        print(f"{logs[0][1]:,} and {logs[1][1]:,} events, {len(day.decisions):,} decisions")
        for turn in range(given.rounds):
            parts = stages(day, home / f"stages{turn}")
            print("stages: " + ", ".join(f"{k} {v:,.0f}" for k, v in parts._asdict().items()))
        used: dict[int, list[float]] = {groups: [] for groups in (0, *given.groups)}
        seconds: dict[int, list[float]] = {groups: [] for groups in used}
        cluster = LocalCluster(environment, home / "cluster")
        try:
            cluster.start()
            for turn in range(given.rounds):
                for groups in used:
                    at = [home / f"job{groups}-{turn}-{number}" for number in range(2)]
                    costs = [
                        on_flink(day, log, to, cluster, environment, groups)
                        if groups
                        else embedded(day, log, to)
                        for (log, _), to in zip(logs, at, strict=True)
                    ]
                    if groups and rows_of(at[0], "decision") != day.decisions:
                        print(f"Flink, {groups} groups: decisions DIFFER")
                    took = costs[0].processor_s - costs[1].processor_s
                    used[groups].append(took / events * 1e9)
                    seconds[groups].append((costs[0].seconds - costs[1].seconds) / events * 1e9)
                    print(f"turn {turn}, {groups} groups: load {os.getloadavg()[0]:.1f}")
        finally:
            cluster.stop()
    alone = statistics.median(used[0])
    print("| what | ns of processor an event | ns of time an event | share kept |")
    for groups, values in used.items():
        name = f"Flink, {groups} groups" if groups else "`wavebreak run`"
        kept = alone / statistics.median(values)
        print(f"| {name} | {spread(values)} | {spread(seconds[groups])} | {kept:.2f} |")


if __name__ == "__main__":
    main()
