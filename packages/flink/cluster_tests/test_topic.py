"""The job reads its log from a topic of a real Kafka, over a TaskManager that is killed."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from support import maven_jars
from support.flink_cluster import LocalCluster, await_
from support.flink_jobs import Decided, blocks, open_epoch
from support.kafka_broker import KafkaBroker
from wavebreak_flink import submission
from wavebreak_flink.environment import FlinkEnvironment
from wavebreak_flink.submission import rows_of

JARS = Path(__file__).with_name("kafka_jars.txt")
PRODUCE = """
import sys
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient, NewTopic
KafkaAdminClient(bootstrap_servers=sys.argv[1]).create_topics([NewTopic("events", 1, 1)])
producer = KafkaProducer(bootstrap_servers=sys.argv[1], acks="all")
lines = open(sys.argv[2], "rb").read().splitlines(keepends=True)
for at in range(0, len(lines), 50):
    producer.send("events", b"".join(lines[at : at + 50]))
producer.flush()
"""


@pytest.fixture
def broker() -> Iterator[KafkaBroker]:
    made = KafkaBroker()
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture
def cluster(environment: FlinkEnvironment, tmp_path: Path) -> Iterator[LocalCluster]:
    made = LocalCluster(environment, tmp_path / "cluster")
    try:
        made.start()
        yield made
    finally:
        made.stop()


def test_a_log_in_kafka_is_decided_the_same_over_a_kill(
    broker: KafkaBroker, cluster: LocalCluster, environment: FlinkEnvironment, day: Decided,
    tmp_path: Path,
) -> None:  # fmt: skip
    subprocess.run(
        [environment.python, "-c", PRODUCE, broker.address, day.log], check=True, timeout=60
    )
    home = tmp_path / "job"
    job = msgspec.structs.replace(
        day.settings(home, groups=2, mark_every=20),
        topic=f"kafka://{broker.address}/events", connector=maven_jars.class_path(JARS),
    )  # fmt: skip
    expected = open_epoch(job)
    assert len(blocks(job)) > 1
    made = submission.submit(
        job, environment, cluster.url, options={"execution.checkpointing.interval": "1000"}
    )
    await_(lambda: made.api.overview(made.job).checkpoints >= 2, "no checkpoint was made")
    cluster.kill_manager(0)
    cluster.launch_manager(0)
    # A topic has no end: its last epoch stays open.
    await_(lambda: len(rows_of(home, "decision")) >= len(expected), "decisions are missing")
    made.api.cancel(made.job)
    assert rows_of(home, "decision") == expected
