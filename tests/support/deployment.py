"""A deployment on this machine, each part of which can be killed under load.

A service whose log is at a Kafka broker, PostgreSQL, and a job on a Flink cluster over that log.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from pyarrow import RecordBatch

from support import crash_test
from support.external_servers import Postgres
from support.flink_cluster import LocalCluster, await_, in_mid_run
from support.flink_jobs import OPTIONS, job_over_service
from support.kafka_broker import KafkaBroker
from support.service_process import Server
from wavebreak_flink import submission
from wavebreak_flink.environment import FlinkEnvironment
from wavebreak_flink.logs import open_log
from wavebreak_flink.settings import JobSettings
from wavebreak_flink.submission import Submission, rows_of
from wavebreak_flink.topic_log import Notes

VICTIMS = ("TaskManager", "broker", "JobManager", "PostgreSQL", "service")
EVER = 1 << 62


@dataclass
class Parts:
    """What a deployment stands on: all of it runs."""

    broker: KafkaBroker
    postgres: Postgres
    cluster: LocalCluster
    environment: FlinkEnvironment

    @property
    def database(self) -> str:
        """The URL of the service's database."""
        return f"{self.postgres.url}/postgres"


@dataclass
class Deployment:
    """A service and a job over its log.

    Attributes:
        parts: What they stand on.
        job: The job's settings.
        server: The service.
        made: Where the job runs.
        restarts: How often Flink restarted the job; a lost JobManager forgets it.
        loads: What was sent to the service.
    """

    parts: Parts
    job: JobSettings
    server: Server
    made: Submission
    restarts: int = field(default=0)
    loads: list[crash_test.Load] = field(default_factory=list)

    @property
    def home(self) -> Path:
        """The job's directory."""
        return Path(self.job.home)

    def send(self, events: list[bytes], begin: int = 0, *, pause_s: float = 0) -> crash_test.Load:
        """Begin to send events, from one of them on."""
        load = crash_test.Load(
            self.server, events, seed=3, most=20 if pause_s else 200, pause_s=pause_s
        )
        load.at = begin
        self.loads.append(load)
        load.thread.start()
        return load

    def kill_under(self, load: crash_test.Load, victim: str, number: int) -> None:
        """Kill a part while events are sent and decided on; wait until they are again."""
        in_mid_run(self.made)
        assert load.thread.is_alive(), "the load has ended before the killing"
        self.kill(victim, number)
        before = load.at
        await_(lambda: load.at > before, "nothing is acknowledged any more")

    def kill(self, victim: str, number: int = 0) -> None:
        """Kill a part as it is, and start it again."""
        parts = self.parts
        if victim == "TaskManager":
            busy = parts.cluster.managers_of(self.made.job)
            parts.cluster.kill_manager(busy[number % len(busy)])
            parts.cluster.launch_manager(busy[number % len(busy)])
        elif victim == "broker":
            parts.broker.kill()
            parts.broker.start_again()
        elif victim == "PostgreSQL":
            parts.postgres.kill_outright()
            parts.postgres.start_again()
        elif victim == "service":
            self.server.kill()
            self.server.start(wait=False)
        else:
            self.restarts += self.made.api.overview(self.made.job).restarts
            parts.cluster.kill_job_manager()
            groups = 1 + number % 2
            self.made = submission.rescale(self.home, groups, parts.environment, lost=True)

    def decisions(self) -> list[bytes]:
        """What the service decided, in order."""
        rows = self.server.rows("SELECT body FROM decision ORDER BY number")
        return [bytes(body) for (body,) in rows]

    def same_in_the_end(self, acknowledged: list[bytes], events: int) -> list[bytes]:
        """Hold a log and what a job published to what was sent, the service and the engine.

        Args:
            acknowledged: Events that the service has acknowledged: each is in the log once.
            events: How many the log has.

        """
        self.server.settled(events)
        expected = self.decisions()
        await_(lambda: Notes(self.job).end == events, "the job has not read the log's end")
        await_(
            lambda: len(rows_of(self.home, "decision")) >= len(expected), "decisions are missing"
        )
        self.restarts += self.made.api.overview(self.made.job).restarts
        self.made.api.cancel(self.made.job)
        with closing(open_log(self.job)) as log:
            pieces = [piece for _, piece in log.between(0, EVER) if isinstance(piece, RecordBatch)]
        ids = [name for piece in pieces for name in piece.column("id").to_pylist()]
        crash_test.check_ids(ids, acknowledged)
        assert len(ids) == events
        assert expected
        assert rows_of(self.home, "decision") == expected
        assert submission.compare(self.home) == (len(expected), len(expected), None)
        return expected


@contextmanager
def hung(pids: list[int]) -> Iterator[None]:
    """Processes do nothing as long as the block lasts, and go on after it, where they still are."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


@contextmanager
def deployed(
    home: Path, topic: str, parts: Parts, events: list[bytes], *options: str, **changed: Any
) -> Iterator[Deployment]:
    """A deployment that runs as long as the block lasts.

    Args:
        home: For the directories of job and service.
        topic: Of the log.
        parts: What it stands on.
        events: What will be sent, of which the profile is made.
        options: More of the service's command line.
        changed: Settings of the job; where it publishes, the service answers from it.

    """
    url = f"kafka://{parts.broker.address}/{topic}"
    job = job_over_service(home / "job", url, parts.database, events)
    job = msgspec.structs.replace(job, **changed)
    (home / "service").mkdir()
    options += ("--log", url, "--profile", job.profile)
    options += ("--flink-job", job.name) if job.publish else ()
    server = Server(home / "service", options, database=parts.database)
    with server.started():
        made = submission.submit(job, parts.environment, parts.cluster.url, options=OPTIONS)
        deployment = Deployment(parts, job, server, made)
        try:
            yield deployment
        finally:
            for load in deployment.loads:
                load.stopped.set()
