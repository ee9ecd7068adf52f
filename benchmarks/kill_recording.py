"""Records a TaskManager killed under load, and draws what went on: a picture of a real run.

    python -m benchmarks.kill_recording docs/images/task-manager-killed.svg [--seconds 90]

A service with its log in Kafka takes events, a job on two TaskManagers decides on them, and one
third in, the TaskManager that runs the job is killed (-9). At the end the decisions of service, job
and engine are compared to the byte. Needs the environment that `make scale` makes.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import psycopg

from benchmarks import machine
from support import crash_test
from support.deployment import Deployment, Parts, deployed
from support.external_servers import Postgres, running
from support.flink_cluster import LocalCluster, in_mid_run
from support.kafka_broker import KafkaBroker
from wavebreak_flink.environment import FlinkEnvironment
from wavebreak_flink.settings import FILE, load
from wavebreak_flink.submission import rows_of
from wavebreak_flink.topic_log import Notes

ROOT = Path(__file__).resolve().parents[1]
EVERY_S = 0.5
WIDTH, HEIGHT, LEFT, RIGHT, TOP, GAP = 760, 176, 64, 16, 56, 44
COLOURS, DASHES = ("#1f5fbf", "#c2410c"), ("", ' stroke-dasharray="5 3"')


class Sample(NamedTuple):
    """What was there at a time: events acknowledged and read, decisions of service and job."""

    at_s: float
    acknowledged: int
    read: int
    service: int
    job: int


class Recorder:
    """Samples a deployment until it is closed."""

    def __init__(self, deployment: Deployment, load: crash_test.Load) -> None:
        self.samples, self._began = list[Sample](), time.monotonic()
        self._deployment, self._load, self._ended = deployment, load, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    @property
    def now_s(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self._began

    def close(self) -> None:
        """Take a last sample."""
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        home = self._deployment.home
        with psycopg.connect(self._deployment.parts.database, autocommit=True) as database:
            while not self._ended.wait(EVERY_S):
                ((service,),) = database.execute("SELECT count(*) FROM decision").fetchall()
                job = len(rows_of(home, "decision"))
                settings = load(home / FILE)
                self.samples.append(
                    Sample(self.now_s, self._load.at, Notes(settings).end, service, job)
                )  # fmt: skip


class Panel(NamedTuple):
    """What a panel shows: two counts of the samples, and their names."""

    what: str
    names: tuple[str, str]
    fields: tuple[int, int]


PANELS = (
    Panel("events", ("acknowledged by the service", "read by the job"), (1, 2)),
    Panel("decisions", ("made by the service", "published by the job"), (3, 4)),
)


def picture(samples: list[Sample], killed_s: float, said: str) -> str:
    """Draw two panels, events and decisions over time, as SVG."""
    height = TOP + 2 * HEIGHT + 2 * GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        'font-family="system-ui, sans-serif" font-size="12" fill="#1f2937">',
        "<title>A TaskManager is killed under load, and decisions go on</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        f'<text x="{LEFT}" y="20" font-size="14">A TaskManager is killed under load</text>',
        f'<text x="{LEFT}" y="38">{said}</text>',
    ]
    for number, panel in enumerate(PANELS):
        parts += drawn(panel, TOP + number * (HEIGHT + GAP), samples, killed_s)
    return "\n".join([*parts, "</svg>", ""])


def drawn(panel: Panel, top: int, samples: list[Sample], killed_s: float) -> list[str]:
    """Draw a panel."""
    last_s, bottom, inner = samples[-1].at_s, top + HEIGHT, WIDTH - LEFT - RIGHT
    most = max(max(sample[field] for field in panel.fields) for sample in samples) or 1

    def x(at_s: float) -> float:
        return LEFT + inner * at_s / last_s

    def y(count: float) -> float:
        return bottom - (HEIGHT - 14) * count / most

    parts = [f'<path d="M{LEFT} {top}V{bottom}H{WIDTH - RIGHT}" fill="none" stroke="#6b7280"/>']
    for share in (0, 0.5, 1):
        parts.append(
            f'<text x="{LEFT - 6}" y="{y(share * most) + 4:.0f}" text-anchor="end">'
            f'{share * most:,.0f}</text><text x="{x(share * last_s):.0f}" y="{bottom + 16}" '
            f'text-anchor="{"end" if share == 1 else "middle"}">{share * last_s:.0f} s</text>'
        )
    for line, (name, field) in enumerate(zip(panel.names, panel.fields, strict=True)):
        points = " ".join(f"{x(each.at_s):.1f},{y(each[field]):.1f}" for each in samples)
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{COLOURS[line]}" stroke-width="2"'
            f'{DASHES[line]}/><text x="{LEFT + 8}" y="{top + 12 + 15 * line}" '
            f'fill="{COLOURS[line]}">{panel.what} {name}</text>'
        )
    return [
        *parts,
        f'<path d="M{x(killed_s):.1f} {top}V{bottom}" stroke="#b91c1c"/><text '
        f'x="{x(killed_s) + 4:.1f}" y="{bottom - 6}" fill="#b91c1c">kill -9 TaskManager</text>',
    ]


def record(parts: Parts, home: Path, seconds: float) -> str:
    """Run a deployment, kill a TaskManager, and return the picture."""
    events = crash_test.world()
    with deployed(home, "recorded", parts, events) as deployment:
        # The job's first checkpoint: what a start takes is no part of the picture.
        in_mid_run(deployment.made, checkpoints=1)
        load = deployment.send(events, pause_s=0.05)
        recorder = Recorder(deployment, load)
        time.sleep(seconds / 3)
        killed_s = recorder.now_s
        deployment.kill("TaskManager")
        time.sleep(max(seconds - recorder.now_s, 0))
        load.stopped.set()
        load.thread.join()
        decisions = deployment.same_in_the_end(load.acknowledged, load.at)
        time.sleep(2 * EVERY_S)
        recorder.close()
    digest = hashlib.sha256(b"\n".join(decisions)).hexdigest()[:16]
    said = (
        f"{load.at:,} events, {len(decisions):,} decisions of service, job and engine, equal to "
        f"the byte: SHA-256 {digest}…"
    )
    print(f"killed at {killed_s:.1f} s; {said}")
    return picture(recorder.samples, killed_s, said)


def main() -> None:
    """Record, and write the picture."""
    parser = argparse.ArgumentParser(prog="benchmarks.kill_recording", description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seconds", type=float, default=90)
    given = parser.parse_args()
    print("; ".join(f"{name} {value}" for name, value in machine.described().items()))
    environment = FlinkEnvironment(ROOT / ".venv-flink")
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        cluster = stack.enter_context(running(LocalCluster(environment, home / "cluster")))
        broker = stack.enter_context(running(KafkaBroker()))
        postgres = stack.enter_context(running(Postgres()))
        parts = Parts(broker, postgres, cluster, environment)
        given.out.write_text(record(parts, home, given.seconds), "utf-8")
    print(f"wrote {given.out}; load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
