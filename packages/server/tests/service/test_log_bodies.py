"""Bodies of the log in a topic: what rows name is there, and what they no longer name goes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction

from support import service_harness
from support.memory_topic import MemoryTopic
from wavebreak.errors import ServiceError, UsageError
from wavebreak.io import log_rows
from wavebreak.io.log_rows import parse_topic_url
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.schema.events import WIRE_SCHEMA
from wavebreak_server.slices.backup import service as backups
from wavebreak_server.storage import database, event_log, log_bodies, ownership
from wavebreak_server.storage.kafka_topic import topic_faults, topic_settings
from wavebreak_server.storage.log_bodies import LogBodiesError, TopicBodies
from wavebreak_server.storage.models import LogBatch

START = 1_767_222_000_000


@pytest.fixture
def topic(tmp_path: Path) -> Iterator[MemoryTopic]:
    """A topic that holds the bodies of a fresh database's log."""
    with service_harness.migrated("sqlite", tmp_path):
        made = MemoryTopic()
        database.connect("", tmp_path, bodies=TopicBodies(made))
        yield made


def test_a_connection_that_is_copied_has_the_same_topic(topic: MemoryTopic) -> None:
    # As a service over PostgreSQL copies it, for the session of its lock.
    copied = connection.copy().settings_dict[database.LOG_BODIES]
    assert copied is log_bodies.bound()


def append(number: int, account: str = "ann") -> None:
    """Append a body of two sign-ins to the log, as a service would."""
    events = [
        {
            "id": f"e{number}-{n}",
            "ts": START + 1000 * number + n,
            "type": "session.started",
            "account": account,
            "ip": f"198.51.100.{number}",
        }
        for n in range(2)
    ]
    log = Pseudonymizer(service_harness.SECRET).apply(service_harness.wire(events, WIRE_SCHEMA))
    with transaction.atomic(), connection.cursor() as cursor:
        event_log.append(cursor, event_log.log_end(), 2, 1, log_rows.encode_row(log))


def ids() -> list[str]:
    """Ids of the log's events, in order; fails where a row cannot be used."""
    found: list[str] = []
    for segment in event_log.read_log(0):
        assert segment.events is not None, segment.fault
        found += segment.events.column("id").to_pylist()
    return found


def faults() -> list[str]:
    return [segment.fault for segment in event_log.read_log(0)]


def test_rows_of_a_topic_are_small_and_read_in_order(topic: MemoryTopic) -> None:
    for number in range(40):
        append(number)
    cells = [bytes(cell) for cell in LogBatch.objects.values_list("blob", flat=True)]
    assert ids() == [f"e{number}-{n}" for number in range(40) for n in range(2)]
    assert max(map(len, cells)) < 16


def test_row_without_its_body_says_so(topic: MemoryTopic) -> None:
    append(0)
    append(1)
    del topic.records[0]
    assert faults() == [event_log.NO_BODY, ""]


def test_body_replaced_by_a_stranger_is_refused(topic: MemoryTopic) -> None:
    append(0)
    topic.records[0] = topic.records[0]._replace(value=b"another body")
    assert faults() == [event_log.DAMAGED]


def test_body_without_a_row_is_nothing(topic: MemoryTopic) -> None:
    append(0)
    topic.append([(b"%020d-%s" % (2, b"0" * 64), b"of a commit that failed")])
    append(1)
    topic.compact()
    assert ids() == ["e0-0", "e0-1", "e1-0", "e1-1"]


@pytest.mark.parametrize("heard", [False, True], ids=["unheard", "heard"])
def test_failed_append_leaves_no_row_and_is_repeated(topic: MemoryTopic, heard: bool) -> None:
    topic.failures, topic.heard = 1, heard
    with pytest.raises(LogBodiesError):
        append(0)
    left = LogBatch.objects.count()
    append(0)
    topic.compact()
    assert (left, ids()) == (0, ["e0-0", "e0-1"])


def test_body_of_another_attempt_displaces_none(topic: MemoryTopic) -> None:
    topic.failures, topic.heard = 1, True
    with pytest.raises(LogBodiesError):
        append(7)
    append(8)
    # The earlier attempt arrives late, as one of a lost owner may.
    topic.append([(topic.records[0].key, topic.records[0].value)])
    topic.compact()
    assert ids() == ["e8-0", "e8-1"]


def test_lost_owner_sends_no_body(topic: MemoryTopic, tmp_path: Path) -> None:
    with ownership.owned(tmp_path):
        append(0)
        with connection.cursor() as cursor:
            cursor.execute("/* another server */ UPDATE owner SET epoch = epoch + 1")
        with pytest.raises(ownership.OwnershipLostError):
            append(1)
    assert (len(topic.values), LogBatch.objects.count()) == (1, 1)


def test_erasure_leaves_no_former_body(topic: MemoryTopic) -> None:
    append(0)
    append(1, "ben")
    former = topic.values[0]
    erased = event_log.erase_pseudonyms({"ann": 4})
    topic.compact()
    assert (erased["ann"], former in topic.values) == (event_log.Erasure(2, 1), False)
    assert ids() == ["e0-0", "e0-1", "e1-0", "e1-1"]


def test_erasure_reads_past_no_bodies_of_rewritten_rows(topic: MemoryTopic) -> None:
    for number in range(60):
        append(number, "ann" if number % 20 == 0 else "ben")
        topic.append([(b"other", None)] * 40)
    event_log.erase_pseudonyms({"ann": 120})
    topic.sent = 0
    bodies = sum(1 for _ in event_log.read_rows(0))
    # Four reads of sixteen rows, and none of them from a rewritten row to the topic's end and back.
    assert (bodies, topic.sent < 60 * 41 + 100) == (60, True)


def test_erasure_removes_bodies_without_a_row(topic: MemoryTopic) -> None:
    topic.failures, topic.heard = 1, True
    with pytest.raises(LogBodiesError):
        append(0)
    append(1, "ben")
    event_log.erase_pseudonyms({"ann": 2})
    topic.compact()
    assert len(topic.values) == 1


def test_erasure_that_a_crash_cut_is_completed(topic: MemoryTopic) -> None:
    append(0)
    former = topic.values[0]
    topic_append, sent = topic.append, list[Any]()

    def crash(records: Any) -> list[int]:
        sent.append(records)
        if len(sent) > 1:
            raise LogBodiesError("killed after the commit", fix="start again")
        return topic_append(records)

    topic.append = crash  # type: ignore[method-assign]
    with pytest.raises(LogBodiesError):
        event_log.erase_pseudonyms({"ann": 2})
    topic.append = topic_append  # type: ignore[method-assign]
    event_log.erase_pseudonyms({"ann": 2})
    topic.compact()
    assert former not in topic.values
    assert ids() == ["e0-0", "e0-1"]


def test_young_strays_stay_beside_a_running_service(topic: MemoryTopic) -> None:
    append(0)
    stray = (b"%020d-%s" % (0, b"0" * 64), b"rewritten, and not committed yet")
    (offset,) = topic.append([stray])
    topic.records[offset] = topic.records[offset]._replace(at_ms=1 << 50)
    assert log_bodies.bound().remove_strays(log_bodies.STRAY_AGE_S) == 0


def test_trim_removes_bodies(topic: MemoryTopic) -> None:
    append(0)
    append(1)
    with transaction.atomic():
        event_log.remove_rows_before(2)
    topic.compact()
    assert len(topic.values) == 1


def test_log_begun_in_the_database_goes_on_in_a_topic(tmp_path: Path) -> None:
    with service_harness.migrated("sqlite", tmp_path):
        append(0)
        topic = MemoryTopic()
        database.connect("", tmp_path, bodies=TopicBodies(topic))
        append(1)
        assert (len(topic.values), ids()) == (1, ["e0-0", "e0-1", "e1-0", "e1-1"])


def test_log_in_a_topic_read_without_it_names_the_option(
    topic: MemoryTopic, tmp_path: Path
) -> None:
    append(0)
    database.connect("", tmp_path)
    with pytest.raises(ServiceError) as error:
        ids()
    assert "WAVEBREAK_LOG" in error.value.fix


def test_backup_of_a_topic_stands_alone(topic: MemoryTopic, tmp_path: Path) -> None:
    append(0)
    backups.save(tmp_path, tmp_path / "b.wavebreak", service_harness.SECRET)
    home = tmp_path / "restored"
    home.mkdir()
    database.connect("", home)
    backups.restore(tmp_path / "b.wavebreak", home, service_harness.SECRET, 1)
    assert ids() == ["e0-0", "e0-1"]


def test_start_with_another_logs_topic_is_refused(topic: MemoryTopic, tmp_path: Path) -> None:
    for number in range(2):
        append(number)
    (tmp_path / "other").mkdir()
    with service_harness.migrated("sqlite", tmp_path / "other"):
        append(0)
        with pytest.raises(ServiceError, match="names none of them"):
            TopicBodies(topic).check_start()


def test_start_after_a_crash_before_the_first_commit(topic: MemoryTopic) -> None:
    topic.failures, topic.heard = 1, True
    with pytest.raises(LogBodiesError):
        append(0)
    TopicBodies(topic).check_start()
    assert topic.opened == [True]


def test_start_with_a_topic_that_lost_its_end_is_refused(topic: MemoryTopic) -> None:
    append(0)
    topic.records.clear()
    with pytest.raises(ServiceError, match="newest row"):
        TopicBodies(topic).check_start()
    assert topic.opened == [False]


def test_idle_topic_gets_a_heartbeat(topic: MemoryTopic) -> None:
    TopicBodies(topic, heartbeat_s=0).upkeep()
    TopicBodies(topic).upkeep()
    idle = TopicBodies(topic)
    idle.store([log_bodies.NewBody(0, bytes(32), b"body")])
    idle.upkeep()
    assert [record.value for record in topic.read(0, 9)] == [None, None, b"body"]


@pytest.mark.parametrize(
    "url",
    [
        "http://broker:9092/log",
        "kafka://broker/log",
        "kafka://broker:9092",
        "kafka://broker:9092/a/b",
        "kafka://broker:9092/log?tls=perhaps",
        "kafka://broker:9092/log?acks=1",
        "kafka://me:secret@broker:9092/log",
        "kafka://broker:9092/..",
    ],
)
def test_urls_of_topics_malformed_are_refused(url: str) -> None:
    with pytest.raises(UsageError):
        parse_topic_url(url)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("cleanup.policy", "compact,delete"),
        ("max.compaction.lag.ms", "9223372036854775807"),
        ("min.insync.replicas", "1"),
        ("unclean.leader.election.enable", "true"),
        ("max.message.bytes", "1048588"),
        ("message.timestamp.type", "CreateTime"),
    ],
)
def test_topics_that_lose_or_keep_too_much_are_refused(setting: str, value: str) -> None:
    fit = {name: str(wanted) for name, wanted in topic_settings(3).items()}
    assert (topic_faults(fit, 1, 3), len(topic_faults(fit | {setting: value}, 1, 3))) == ([], 1)
    assert topic_faults(fit, 2, 3) == ["it has 2 partitions, not 1"]
