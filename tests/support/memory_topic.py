"""A topic of the log's bodies in memory, which fails, forgets and is compacted when a test says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from wavebreak_server.storage.log_bodies import LogBodiesError, TopicRecord


class MemoryTopic:
    """A compacted topic (`log_bodies.Topic`).

    Attributes:
        records: What it has, by offset.
        failures: How many of the next appends fail: before the broker has the records, or after
            it where `heard` says so.
        heard: Whether a failed append reached the broker.
        sent: How many records were read.
    """

    def __init__(self) -> None:
        self.records = dict[int, TopicRecord]()
        self.failures, self.heard, self.opened = 0, False, list[bool]()
        self._end = self.sent = 0

    def open(self, *, create: bool) -> None:
        self.opened.append(create)

    def append(self, records: Sequence[tuple[bytes, bytes | None]]) -> list[int]:
        failing, self.failures = self.failures > 0, max(0, self.failures - 1)
        offsets = []
        if not failing or self.heard:
            for key, value in records:
                self.records[self._end] = TopicRecord(self._end, key, value, 0)
                offsets.append(self._end)
                self._end += 1
        if failing:
            raise LogBodiesError("the broker is away", fix="wait")
        return offsets

    def read(self, since: int, until: int) -> Iterator[TopicRecord]:
        for offset in sorted(self.records):
            if since <= offset < until:
                self.sent += 1
                yield self.records[offset]

    def end(self) -> int:
        return self._end

    def check(self) -> None:
        if self.failures:
            raise LogBodiesError("the broker is away", fix="wait")

    def compact(self) -> None:
        """Keep the newest record of each key, and none that has no value."""
        newest = {record.key: record for record in self.records.values()}
        self.records = {r.offset: r for r in newest.values() if r.value is not None}

    @property
    def values(self) -> list[bytes]:
        """The bodies that it has, in order."""
        return [record.value for record in self.read(0, self._end) if record.value is not None]
