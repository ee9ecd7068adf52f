"""The log's bodies at a real Kafka broker, whose process and whose service are killed."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from django.db import connection, transaction

from support import crash_test, service_harness
from support.kafka_broker import KafkaBroker
from support.service_process import Server
from wavebreak.errors import ServiceError
from wavebreak.io import log_rows
from wavebreak.io.log_rows import parse_topic_url
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.schema.events import WIRE_SCHEMA
from wavebreak_server.storage import database, event_log, log_bodies
from wavebreak_server.storage.kafka_topic import KafkaTopic, topic_settings
from wavebreak_server.storage.log_bodies import TopicBodies

LAG_MS = 1500
"""Within this time the broker compacts what was removed."""
CLEANED_S = 60


def decided(server: Server) -> list[bytes]:
    """The decisions that a server stored, in order."""
    return [bytes(body) for (body,) in server.rows("SELECT body FROM decision ORDER BY number")]


def sent(load: crash_test.Load, events: int) -> None:
    """Wait until so many events are acknowledged."""
    end = time.monotonic() + 120
    while load.at < events:
        assert time.monotonic() < end, f"{load.at} of {events} events are acknowledged"
        time.sleep(0.01)


def test_log_in_kafka_over_kills_decides_as_in_a_database(
    broker: KafkaBroker, tmp_path: Path
) -> None:
    events = crash_test.world()[:3_000]
    (tmp_path / "kafka").mkdir()
    server = Server(tmp_path / "kafka", ("--log", f"kafka://{broker.address}/killed")).start()
    load = crash_test.Load(server, events, seed=3)
    load.thread.start()
    sent(load, len(events) // 3)
    server.kill()
    server.start()
    sent(load, 2 * len(events) // 3)
    broker.kill()
    broker.start_again()
    sent(load, len(events))
    load.thread.join(60)
    server.settled(len(events))
    found = decided(server)
    cells = [bytes(cell) for (cell,) in server.rows("SELECT blob FROM log_batch")]
    server.stop()

    (tmp_path / "rows").mkdir()
    with Server(tmp_path / "rows").started() as plain:
        plain_load = crash_test.Load(plain, events, seed=3)
        plain_load.thread.start()
        plain_load.thread.join(120)
        plain.settled(len(events))
        wanted = decided(plain)
    assert (len(load.acknowledged), found) == (len(events), wanted)
    assert wanted
    assert {cell[:6] for cell in cells} == {b"kafka:"}


def append(number: int) -> None:
    """Append a body of a sign-in to the log, as a service would."""
    event = {"id": f"e{number}", "ts": 1_767_222_000_000 + number, "type": "session.started",
             "account": "ann", "ip": "198.51.100.7"}  # fmt: skip
    log = Pseudonymizer(service_harness.SECRET).apply(service_harness.wire([event], WIRE_SCHEMA))
    with transaction.atomic(), connection.cursor() as cursor:
        event_log.append(cursor, event_log.log_end(), 1, 1, log_rows.encode_row(log))


def holds(broker: KafkaBroker, topic: str, body: bytes) -> bool:
    """Whether a file of the broker's has these bytes."""
    return any(body in file.read_bytes() for file in broker.data.glob(f"{topic}-*/*.log"))


def test_erasure_reaches_the_files_of_the_broker(broker: KafkaBroker, tmp_path: Path) -> None:
    settings = {n: str(v) for n, v in topic_settings(1).items()} | {
        "max.compaction.lag.ms": str(LAG_MS)
    }
    admin = AdminClient({"bootstrap.servers": broker.address})
    for made in admin.create_topics([NewTopic("erased", 1, 1, config=settings)]).values():
        made.result()
    topic = KafkaTopic(parse_topic_url(f"kafka://{broker.address}/erased"))
    bodies = TopicBodies(topic, heartbeat_s=LAG_MS / 1000)
    with service_harness.migrated("sqlite", tmp_path):
        database.connect("", tmp_path, bodies=bodies)
        bodies.check_start()
        for number in range(3):
            append(number)
        former = [row.blob for row in event_log.read_rows(0)]
        there = [holds(broker, "erased", body) for body in former]
        event_log.erase_pseudonyms({"ann": 3})
        end = time.monotonic() + CLEANED_S
        while any(holds(broker, "erased", body) for body in former):
            assert time.monotonic() < end, "the broker still has what was erased"
            time.sleep(0.2)
            bodies.upkeep()
        segments = list(event_log.read_log(0))
    topic.close()
    assert (there, [segment.fault for segment in segments]) == ([True] * 3, [""] * 3)


def test_topic_that_deletes_by_age_is_refused(broker: KafkaBroker, tmp_path: Path) -> None:
    admin = AdminClient({"bootstrap.servers": broker.address})
    for made in admin.create_topics([NewTopic("deleting", 1, 1)]).values():
        made.result()
    topic = KafkaTopic(parse_topic_url(f"kafka://{broker.address}/deleting"))
    with pytest.raises(ServiceError, match=r"cleanup.policy is delete, not compact"):
        topic.open(create=False)


def test_topic_that_is_gone_is_not_made_again(broker: KafkaBroker, tmp_path: Path) -> None:
    url = f"kafka://{broker.address}/gone"
    with service_harness.migrated("sqlite", tmp_path):
        topic = KafkaTopic(parse_topic_url(url))
        database.connect("", tmp_path, bodies=TopicBodies(topic))
        bodies = log_bodies.bound()
        assert isinstance(bodies, TopicBodies)
        bodies.check_start()
        append(0)
        topic.close()
        admin = AdminClient({"bootstrap.servers": broker.address})
        for removed in admin.delete_topics(["gone"]).values():
            removed.result()
        with pytest.raises(ServiceError, match="is missing"):
            bodies.check_start()
