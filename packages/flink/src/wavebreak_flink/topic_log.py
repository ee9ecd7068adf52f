"""A log in a topic of Kafka, of one partition: each record is a block of JSON Lines.

Flink's connector reads it, and keeps in its checkpoints how far. What a job has to read again after
a restart, from its last mark on, is read here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

from wavebreak.errors import FileError, UsageError
from wavebreak.extras import LazyModule
from wavebreak.io.line_splitter import LineBlock

kafka: Any = LazyModule("kafka")

_WAIT_MS = 30_000


class Topic(NamedTuple):
    """A topic, and the brokers that have it."""

    servers: str
    name: str

    @classmethod
    def of(cls, url: str) -> Self:
        """Parse `kafka://host:port/topic`; several brokers are parted by commas.

        Raises:
            UsageError: It is none.

        """
        parts = urlsplit(url)
        name = parts.path.strip("/")
        if parts.scheme != "kafka" or not parts.netloc or "@" in parts.netloc or not name:
            raise UsageError(f"{url} is no topic", fix="write it as kafka://host:9092/topic")
        return cls(parts.netloc, name)


class TopicLog:
    """The records of a topic's only partition, by their offsets.

    Args:
        topic: The topic.

    """

    last = -1
    """A topic has no last block."""

    def __init__(self, topic: Topic) -> None:
        self._topic = topic

    def check(self) -> None:
        """Look whether the topic is there, with one partition: the order of a log is one.

        Raises:
            UsageError: It is not.

        """
        with closing(self._consumer()) as consumer:
            partitions = consumer.partitions_for_topic(self._topic.name) or set()
        if partitions != {0}:
            raise UsageError(
                f"the topic {self._topic.name} has {len(partitions)} partitions",
                fix="make it with one partition: the order of a log is one",
            )

    def numbered(self, element: Any) -> tuple[int, LineBlock]:
        """Return a block, with its number, of an element of the source: offset and content."""
        return int(element[0]), _block(element[1])

    def between(self, first: int, end: int) -> Iterator[tuple[int, LineBlock]]:
        """Return the records from an offset on, up to another; some offsets have none.

        Raises:
            FileError: The topic has lost what is to be read again.

        """
        if first >= end:
            return
        with closing(self._consumer()) as consumer:
            place = kafka.TopicPartition(self._topic.name, 0)
            consumer.assign([place])
            if consumer.beginning_offsets([place])[place] > first:
                raise FileError(
                    f"the topic {self._topic.name} begins after block {first}, the last mark",
                    fix="keep records longer than the job may stand still",
                )
            consumer.seek(place, first)
            while consumer.position(place) < end:
                polled = consumer.poll(timeout_ms=_WAIT_MS)
                if not polled:
                    raise FileError(
                        f"the topic {self._topic.name} gave nothing for {_WAIT_MS // 1000} s",
                        fix="see whether its broker runs; the job tries again",
                    )
                for record in polled[place]:
                    if record.offset < end:
                        yield record.offset, _block(record.value)

    def _consumer(self) -> Any:
        return kafka.KafkaConsumer(
            bootstrap_servers=self._topic.servers.split(","), enable_auto_commit=False,
            isolation_level="read_committed",
        )  # fmt: skip


def _block(content: bytes | None) -> LineBlock:
    """Return the lines of a record; none of a tombstone."""
    text = bytes(content or b"")
    return LineBlock.of(text if not text or text.endswith(b"\n") else text + b"\n")
