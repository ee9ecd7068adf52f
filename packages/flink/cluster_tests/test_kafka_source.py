"""The job over the log of a running service: rescaled, and killed with what it stands on."""

from __future__ import annotations

import os
from itertools import cycle, islice
from pathlib import Path

from support import crash_test
from support.flink_cluster import LocalCluster, await_, in_mid_run
from support.flink_jobs import OPTIONS, job_over_service
from support.kafka_broker import KafkaBroker
from support.service_process import Server
from wavebreak_flink import submission
from wavebreak_flink.environment import FlinkEnvironment
from wavebreak_flink.submission import Submission, rows_of

EVENTS = 6_000
KILLS = int(os.environ.get("KILLS", "3"))
"""How many processes are killed: `make scale KILLS=50`."""


def decisions(server: Server) -> list[bytes]:
    """What a service decided, in order."""
    return [bytes(body) for (body,) in server.rows("SELECT body FROM decision ORDER BY number")]


def send(server: Server, begin: int, end: int) -> crash_test.Load:
    """Begin to send a stretch of the events."""
    load = crash_test.Load(server, crash_test.world()[:end], seed=3)
    load.at = begin
    load.thread.start()
    return load


def same_in_the_end(server: Server, made: Submission, home: Path) -> None:
    """Hold what a job has published to what the service decided and the engine decides."""
    server.settled(EVENTS)
    expected = decisions(server)
    await_(lambda: len(rows_of(home, "decision")) >= len(expected), "decisions are missing")
    made.api.cancel(made.job)
    assert expected
    assert rows_of(home, "decision") == expected
    assert submission.compare(home) == (len(expected), len(expected), None)


def test_a_job_over_a_service_decides_the_same_over_rescales(
    broker: KafkaBroker, database: str, cluster: LocalCluster, environment: FlinkEnvironment,
    tmp_path: Path,
) -> None:  # fmt: skip
    home, third = tmp_path / "job", EVENTS // 3
    job = job_over_service(home, f"kafka://{broker.address}/read", database, crash_test.world())
    options = ("--log", job.topic, "--profile", job.profile)
    (tmp_path / "service").mkdir()
    with Server(tmp_path / "service", options, database=database).started() as server:
        made = submission.submit(job, environment, cluster.url, options=OPTIONS)
        for number, groups in enumerate((4, 2)):
            load = send(server, number * third, (number + 1) * third)
            in_mid_run(made)
            load.thread.join(120)
            made = submission.rescale(home, groups, environment)
        send(server, 2 * third, EVENTS).thread.join(120)
        same_in_the_end(server, made, home)
    assert made.api.overview(made.job).restarts == 1


def test_kills_change_nothing(
    broker: KafkaBroker, database: str, cluster: LocalCluster, environment: FlinkEnvironment,
    tmp_path: Path,
) -> None:  # fmt: skip
    home, part = tmp_path / "job", EVENTS // (KILLS + 1)
    job = job_over_service(home, f"kafka://{broker.address}/kills", database, crash_test.world())
    options = ("--log", job.topic, "--profile", job.profile)
    (tmp_path / "service").mkdir()
    with Server(tmp_path / "service", options, database=database).started() as server:
        made = submission.submit(job, environment, cluster.url, options=OPTIONS)
        victims = cycle(("TaskManager", "broker", "JobManager"))
        for number, victim in enumerate(islice(victims, KILLS)):
            load = send(server, number * part, (number + 1) * part)
            in_mid_run(made)
            if victim == "TaskManager":
                cluster.kill_manager(number % 2)
                cluster.launch_manager(number % 2)
            elif victim == "broker":
                broker.kill()
                broker.start_again()
            else:
                cluster.kill_job_manager()
                made = submission.rescale(home, 1 + number % 2, environment, lost=True)
            load.thread.join(120)
        send(server, KILLS * part, EVENTS).thread.join(120)
        same_in_the_end(server, made, home)
