"""The topic of the log's bodies at a Kafka cluster: its URL, settings, and client.

The topic has one partition, since the log has one order. It is compacted, and never deletes by age
or size: what is removed is removed by its key. A start refuses a topic whose settings would lose
what is acknowledged, or keep what is erased.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from wavebreak import extras
from wavebreak.errors import ServiceError
from wavebreak.io.log_rows import TopicUrl, parse_topic_url
from wavebreak_server.storage.log_bodies import (
    MAX_BODY_BYTES,
    MAX_COMPACTION_LAG_MS,
    LogBodiesError,
    TopicBodies,
    TopicRecord,
)

APPEND_S = 10.0
"""How long a broker may take to acknowledge: a leader that failed is replaced in less."""
ANSWER_S = 5.0
"""How long it may take to answer anything else."""
READERS = 4
"""Consumers that are kept, each where it stopped reading."""
SKIPPED = 1_000
"""A consumer reads over so many records rather than to ask for others."""
_SPARE_BYTES = 1 << 16
_BROKERS_OF_COPIES = 3


class KafkaTopic:
    """A topic at a Kafka cluster (`log_bodies.Topic`). Safe for several threads.

    Raises:
        MissingExtraError: The client is not installed.
    """

    def __init__(self, url: TopicUrl) -> None:
        self._url = url
        self._client = extras.load("confluent_kafka")
        self._admin = extras.load("confluent_kafka.admin")
        self._producer: Any = None
        self._appending, self._choosing = threading.Lock(), threading.Lock()
        self._idle: list[_Reader] = []

    def open(self, *, create: bool) -> None:
        """Check the topic's settings; make it first where it is missing and may be made.

        Raises ServiceError, and LogBodiesError where no broker answers.
        """
        admin = self._admin.AdminClient(self._url.client_options())
        there = self._metadata(admin)
        if self._url.topic not in there.topics or there.topics[self._url.topic].error:
            if not create:
                raise ServiceError(
                    f"the log's topic {self._url.topic} is missing, and the log has bodies in it",
                    fix="name the topic that the log has, or restore a backup with a new topic",
                )
            self._create(admin, len(there.brokers))
            there = self._metadata(admin)
        partitions = there.topics[self._url.topic].partitions
        resource = self._admin.ConfigResource(self._admin.RESOURCE_TOPIC, self._url.topic)
        with self._answer():
            found = admin.describe_configs([resource], request_timeout=ANSWER_S)[resource].result()
        values = {name: entry.value for name, entry in found.items()}
        faults = topic_faults(values, len(partitions), _copies(partitions))
        if faults:
            raise ServiceError(
                f"the log's topic {self._url.topic} cannot be used: {'; '.join(faults)}",
                fix="set it so with the cluster's own tools, or name a topic that is new",
            )

    def _create(self, admin: Any, brokers: int) -> None:
        copies = _BROKERS_OF_COPIES if brokers >= _BROKERS_OF_COPIES else 1
        settings = {name: str(value) for name, value in topic_settings(copies).items()}
        topic = self._admin.NewTopic(
            self._url.topic, num_partitions=1, replication_factor=copies, config=settings
        )
        with self._answer(), suppress(KeyError):
            admin.create_topics([topic], operation_timeout=APPEND_S)[self._url.topic].result()

    def append(self, records: Sequence[tuple[bytes, bytes | None]]) -> list[int]:
        """Append records, and wait until every copy in step has them; return their offsets."""
        offsets, errors = dict[int, int](), list[str]()

        def note(at: int, error: Any, message: Any) -> None:
            if error is not None:
                errors.append(error.str())
            else:
                offsets[at] = message.offset()

        with self._appending:
            try:
                producer = self._producer = self._producer or self._new_producer()
                for at, (key, value) in enumerate(records):
                    producer.produce(
                        self._url.topic,
                        value=value,
                        key=key,
                        partition=0,
                        on_delivery=lambda error, message, at=at: note(at, error, message),
                    )
                left = producer.flush(APPEND_S + 1)
            except (self._client.KafkaException, BufferError) as error:
                errors.append(_reason(error))
                left = 1
            if errors or left or len(offsets) < len(records):
                # Nothing of it may arrive with what is sent later.
                self._drop_producer()
                raise LogBodiesError(
                    f"the log's topic took no record: {errors[0] if errors else 'no answer'}",
                    fix="check the Kafka cluster and the option `log`",
                )
        return [offsets[at] for at in range(len(records))]

    def _new_producer(self) -> Any:
        return self._client.Producer(
            self._url.client_options()
            | {
                "acks": "all",
                "enable.idempotence": True,
                "linger.ms": 0,
                "compression.type": "none",
                "message.max.bytes": MAX_BODY_BYTES + _SPARE_BYTES,
                "message.timeout.ms": int(APPEND_S * 1000),
                "request.timeout.ms": int(ANSWER_S * 1000),
            }
        )

    def _drop_producer(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            with suppress(self._client.KafkaException):
                producer.purge(blocking=False)
                producer.flush(0)

    def read(self, since: int, until: int) -> Iterator[TopicRecord]:
        """Yield the records of offsets from `since` to before `until` that are still there."""
        with self._choosing:
            near = [r for r in self._idle if r.position <= since <= r.position + SKIPPED]
            reader = max(near, key=lambda r: r.position, default=None)
            if reader is not None:
                self._idle.remove(reader)
        reader = reader or _Reader(self._new_consumer(), self._client, self._url.topic, since)
        kept = False
        try:
            yield from reader.read(since, until)
            kept = not reader.ended
        finally:
            with self._choosing:
                if kept:
                    self._idle.append(reader)
                surplus = self._idle.pop(0) if len(self._idle) > READERS else None
            for each in (surplus, None if kept else reader):
                if each is not None:
                    each.close()

    def _new_consumer(self) -> Any:
        return self._client.Consumer(
            self._url.client_options()
            | {
                "group.id": "wavebreak-log",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "error",
                "fetch.message.max.bytes": MAX_BODY_BYTES + _SPARE_BYTES,
                "receive.message.max.bytes": 2 * MAX_BODY_BYTES,
                # Read ahead of what is asked for, in one thread's memory.
                "queued.max.messages.kbytes": 1 << 15,
            }
        )

    def end(self) -> int:
        """Return the offset after the newest record."""
        consumer = self._new_consumer()
        try:
            with self._answer():
                partition = self._client.TopicPartition(self._url.topic, 0)
                return int(consumer.get_watermark_offsets(partition, timeout=ANSWER_S)[1])
        finally:
            consumer.close()

    def check(self) -> None:
        """Raise LogBodiesError where no broker answers, or the topic has no leader."""
        partition = self._metadata(self._admin.AdminClient(self._url.client_options())).topics.get(
            self._url.topic
        )
        if partition is None or partition.error or partition.partitions[0].leader < 0:
            raise LogBodiesError(
                f"the log's topic {self._url.topic} has no leader", fix="check the Kafka cluster"
            )

    def close(self) -> None:
        """Close every connection."""
        self._drop_producer()
        with self._choosing:
            for reader in self._idle:
                reader.close()
            self._idle.clear()

    def _metadata(self, admin: Any) -> Any:
        with self._answer():
            return admin.list_topics(self._url.topic, timeout=ANSWER_S)

    def _answer(self) -> _Answer:
        return _Answer(self._client.KafkaException)


class _Answer:
    """Turns the client's errors into ours."""

    def __init__(self, kind: type[Exception]) -> None:
        self._kind = kind

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: type[BaseException] | None, error: Any, _: Any) -> None:
        """Raise LogBodiesError in place of the client's own error."""
        if isinstance(error, self._kind):
            raise LogBodiesError(
                f"the Kafka cluster does not answer: {_reason(error)}",
                fix="check that its brokers can be reached, and the option `log`",
            ) from None


class _Reader:
    """A consumer, and the offset that it reads next."""

    def __init__(self, consumer: Any, client: Any, topic: str, since: int) -> None:
        self._consumer, self._client = consumer, client
        self._ahead: TopicRecord | None = None
        self.position, self.ended = since, False
        self._partition = client.TopicPartition(topic, 0)
        consumer.assign([client.TopicPartition(topic, 0, since)])

    def read(self, since: int, until: int) -> Iterator[TopicRecord]:
        while self.position < until:
            record = self._next()
            if record is None:
                return
            if record.offset >= until:
                self._ahead = record
                return
            self.position = record.offset + 1
            if record.offset >= since:
                yield record

    def _next(self) -> TopicRecord | None:
        """Return the next record; None at the topic's end."""
        if self._ahead is not None:
            record, self._ahead = self._ahead, None
            return record
        codes = self._client.KafkaError
        while True:
            message = self._consumer.poll(APPEND_S)
            if message is None:
                raise LogBodiesError(
                    "the log's topic does not answer", fix="check the Kafka cluster"
                )
            error = message.error()
            if error is None:
                at_ms = message.timestamp()[1]
                return TopicRecord(message.offset(), message.key() or b"", message.value(), at_ms)
            if error.code() == codes._PARTITION_EOF:
                # It may be of a while ago: what was appended since comes after it.
                self.position = max(self.position, message.offset())
                if self.position >= self._end():
                    return None
            elif error.code() == codes._AUTO_OFFSET_RESET:
                # A topic that was made anew ends before the offset: nothing more is read.
                self.ended = True
                return None
            else:
                raise LogBodiesError(
                    f"the log's topic cannot be read: {error.str()}", fix="check the Kafka cluster"
                )

    def _end(self) -> int:
        try:
            return int(self._consumer.get_watermark_offsets(self._partition, timeout=ANSWER_S)[1])
        except self._client.KafkaException as error:
            raise LogBodiesError(
                f"the log's topic cannot be read: {_reason(error)}", fix="check the Kafka cluster"
            ) from None

    def close(self) -> None:
        self._consumer.close()


def open_log(url: str) -> TopicBodies | None:
    """Return the store of bodies in the topic of a URL; None for "". Nothing is asked of it yet.

    Raises UsageError for a malformed URL, and MissingExtraError without the client.
    """
    return TopicBodies(KafkaTopic(parse_topic_url(url))) if url else None


def topic_settings(copies: int) -> dict[str, str | int]:
    """Return the settings of a new topic with so many copies."""
    return {
        "cleanup.policy": "compact",
        "max.compaction.lag.ms": MAX_COMPACTION_LAG_MS // 2,
        "delete.retention.ms": MAX_COMPACTION_LAG_MS // 2,
        "max.message.bytes": MAX_BODY_BYTES + _SPARE_BYTES,
        "min.insync.replicas": 2 if copies > 2 else 1,
        "unclean.leader.election.enable": "false",
        "message.timestamp.type": "LogAppendTime",
    }


def topic_faults(values: dict[str, str], partitions: int, copies: int) -> list[str]:
    """Return why a topic with these settings cannot hold the log's bodies."""
    faults = []
    if partitions != 1:
        faults.append(f"it has {partitions} partitions, not 1")
    wanted = topic_settings(copies)
    for name in ("cleanup.policy", "unclean.leader.election.enable", "message.timestamp.type"):
        if values.get(name) != wanted[name]:
            faults.append(f"{name} is {values.get(name)}, not {wanted[name]}")
    if int(values.get("max.compaction.lag.ms") or MAX_COMPACTION_LAG_MS + 1) > (
        MAX_COMPACTION_LAG_MS
    ):
        faults.append(f"max.compaction.lag.ms is above {MAX_COMPACTION_LAG_MS}")
    for name in ("max.message.bytes", "min.insync.replicas"):
        if int(values.get(name) or 0) < int(wanted[name]):
            faults.append(f"{name} is below {wanted[name]}")
    return faults


def _copies(partitions: Any) -> int:
    return min((len(each.replicas) for each in partitions.values()), default=0)


def _reason(error: Exception) -> str:
    first = error.args[0] if error.args else error
    return str(first.str() if hasattr(first, "str") else first)
