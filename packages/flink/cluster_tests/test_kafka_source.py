"""The job over the log of a running service: bodies in Kafka, rows in PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support import crash_test
from support.external_servers import Postgres
from support.flink_cluster import LocalCluster, await_, in_mid_run
from support.kafka_broker import KafkaBroker
from support.service_process import KEY, Server
from wavebreak.io import read
from wavebreak.schema import coverage
from wavebreak_flink import submission
from wavebreak_flink.environment import FlinkEnvironment
from wavebreak_flink.settings import JobSettings
from wavebreak_flink.submission import rows_of

OPTIONS = {"execution.checkpointing.interval": "1000"}
EVENTS = 6_000


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """The URL of a PostgreSQL that has no tables yet."""
    server = Postgres()
    try:
        server.start()
        yield f"{server.url}/postgres"
    finally:
        server.stop()


@pytest.fixture(scope="module")
def broker() -> Iterator[KafkaBroker]:
    """A broker that runs."""
    made = KafkaBroker()
    try:
        made.start()
        yield made
    finally:
        made.stop()


def job_of(home: Path, topic: str, database: str, events: list[bytes]) -> JobSettings:
    """Settings of a job over a service's log, with a profile of the events."""
    home.mkdir()
    (home / "key").write_text(KEY, "utf-8")
    (home / "key").chmod(0o600)
    (home / "events.jsonl").write_bytes(b"\n".join(events) + b"\n")
    job = JobSettings(
        "job", str(home), str(home / "profile.json"), model="none", key=str(home / "key"),
        topic=topic, database=database, exchange=database, mark_every=5, patience_s=60,
    )  # fmt: skip
    batches = read(home / "events.jsonl", job.edge())
    coverage.save(coverage.measure(batch.log for batch in batches), home / "profile.json")
    return job


def decisions(server: Server) -> list[bytes]:
    """What a service decided, in order."""
    return [bytes(body) for (body,) in server.rows("SELECT body FROM decision ORDER BY number")]


def test_a_job_over_a_service_decides_the_same_over_rescales(
    broker: KafkaBroker, database: str, cluster: LocalCluster, environment: FlinkEnvironment,
    tmp_path: Path,
) -> None:  # fmt: skip
    events, topic = crash_test.world()[:EVENTS], f"kafka://{broker.address}/read"
    home = tmp_path / "job"
    job = job_of(home, topic, database, events)
    options = ("--log", topic, "--profile", job.profile)
    (tmp_path / "service").mkdir()
    with Server(tmp_path / "service", options, database=database).started() as server:
        made = submission.submit(job, environment, cluster.url, options=OPTIONS)
        for third, groups in enumerate((4, 2, 0), 1):
            load = crash_test.Load(server, events[: third * EVENTS // 3], seed=3)
            load.at = (third - 1) * EVENTS // 3
            load.thread.start()
            if groups:
                in_mid_run(made)
            load.thread.join(120)
            if groups:
                made = submission.rescale(home, groups, environment)
        server.settled(EVENTS)
        expected = decisions(server)
        await_(lambda: len(rows_of(home, "decision")) >= len(expected), "decisions are missing")
        made.api.cancel(made.job)
    assert expected
    assert rows_of(home, "decision") == expected
    assert submission.compare(home) == (len(expected), len(expected), None)
    assert made.api.overview(made.job).restarts == 1
