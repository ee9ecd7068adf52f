"""What the job on Flink costs an event beside `wavebreak run`, in one run on one machine.

    python -m benchmarks.flink_job [--people 1500] [--groups 1 2]

Processor time of all processes, user and system. Two lengths of one log, so that what a start costs
drops out: the figure is the difference of times by the difference of events. Needs the environment
that `make scale` makes.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from support.flink_cluster import LocalCluster
from support.flink_jobs import Decided, decided, in_lines
from wavebreak_flink import submission
from wavebreak_flink.environment import FlinkEnvironment
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


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="benchmarks.flink_job", description=__doc__)
    parser.add_argument("--people", type=int, default=1500)
    parser.add_argument("--days", type=float, default=1)
    parser.add_argument("--groups", type=int, nargs="*", default=[1, 2])
    given = parser.parse_args()
    environment = FlinkEnvironment(ROOT / ".venv-flink")
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        day = decided(home, people=given.people, days=given.days)
        logs = [in_lines(day.log), in_lines(day.log, home / "short.jsonl", share=6)]
        events = logs[0][1] - logs[1][1]
        print(f"{logs[0][1]:,} and {logs[1][1]:,} events; load {os.getloadavg()[0]:.1f}")
        whole, start = (
            embedded(day, log, home / f"embedded{number}")
            for number, (log, _) in enumerate(logs)
        )  # fmt: skip
        alone = (whole.processor_s - start.processor_s) / events * 1e9
        print(f"embedded: {alone:,.0f} ns of processor an event; {whole.seconds:.0f} s in all")
        cluster = LocalCluster(environment, home / "cluster")
        try:
            cluster.start()
            for groups in given.groups:
                costs = [
                    on_flink(day, log, home / f"job{groups}-{number}", cluster, environment, groups)
                    for number, (log, _) in enumerate(logs)
                ]
                same = rows_of(home / f"job{groups}-0", "decision") == day.decisions
                used = (costs[0].processor_s - costs[1].processor_s) / events * 1e9
                print(
                    f"Flink, {groups} groups: {used:,.0f} ns an event, share kept "
                    f"{alone / used:.2f}; {costs[0].seconds:.0f} s in all, decisions "
                    f"{'the same' if same else 'DIFFER'}; load {os.getloadavg()[0]:.1f}"
                )
        finally:
            cluster.stop()


if __name__ == "__main__":
    main()
