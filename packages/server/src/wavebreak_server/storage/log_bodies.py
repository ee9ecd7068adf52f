"""Where the bodies of the log's rows are: in the rows themselves, or in a topic of Kafka.

A row of the log has positions, the time of receipt, the SHA-256 of its body, and its proof. They
are in the database wherever the body is, and what acknowledged, erased, sealed and fenced mean
hangs on them alone. A body without a row is nothing; a row without its body is damaged. The row's
column `blob` holds the body, or a pointer to its record in the topic: a row says itself where its
body is, so that a log that began in the database goes on in a topic.

A record's key is the position and the digest of its body, so that no body ever takes the place of
another one, whoever sends it how late. An erasure sends the new body, then commits the row that
names it, then sends the former key without a value; the broker's compaction removes what that key
had, within `MAX_COMPACTION_LAG_MS`. What a crash, a lost owner or a failed transaction leaves is
named by no row (a stray), and the next erasure or trim removes it as well.

The store is bound with the database, as the deployment's key is (see `row_macs`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple, Protocol, Self

from django.db import OperationalError, connections, transaction

from wavebreak.durations import DAY_MS
from wavebreak.errors import ServiceError
from wavebreak.io.log_rows import body_cell, body_key, body_offset
from wavebreak_server.storage.database import LOG_BODIES
from wavebreak_server.storage.models import AppliedPosition, LogBatch, LogStart

MAX_COMPACTION_LAG_MS = DAY_MS
"""Within this time the broker has removed a body whose key was sent without a value."""
MAX_BODY_BYTES = 96 << 20
"""A broker takes requests of at most 100 MiB, unless it is set to."""
STRAY_AGE_S = 120.0
"""A body of this age belongs to no transaction that is open, in whichever process."""
_HEARTBEAT = b"heartbeat"
_NEAR = 100
"""Records between two that are wanted: so many are read past rather than sought again."""
_LOOKED_UP = 500
"""Records whose rows are looked up in one query."""


class LogBodiesError(ServiceError, OperationalError):
    """The topic of the log's bodies does not answer, or does not take what is written."""

    status = 503
    retry_after_s = 1.0


class BodyName(NamedTuple):
    """What names a body: the position of its first event, and its SHA-256."""

    first: int
    sha256: bytes


class StoredBody(NamedTuple):
    """What a row tells of its body: its position and SHA-256, and what its column `blob` holds."""

    first: int
    sha256: bytes
    cell: bytes

    @property
    def offset(self) -> int | None:
        """The offset of its record in the topic; None if the row holds the body itself.

        >>> StoredBody(0, b"", b"kafka:17").offset, StoredBody(0, b"", b"(").offset
        (17, None)
        """
        return body_offset(self.cell)


class NewBody(NamedTuple):
    """A body that is to be stored."""

    first: int
    sha256: bytes
    blob: bytes | memoryview


class LogBodies(Protocol):
    """A store of bodies."""

    def store(self, bodies: Sequence[NewBody]) -> list[bytes | memoryview]:
        """Make bodies durable; return what the rows hold in their column `blob`."""
        ...

    def load(self, stored: Sequence[StoredBody]) -> list[bytes]:
        """Return the bodies of rows; empty for one that is not there."""
        ...

    def remove(self, names: Sequence[BodyName]) -> None:
        """Remove bodies that no row names any more."""
        ...

    def rewriting(self) -> AbstractContextManager[object]:
        """Hold off `remove_strays` while a body is stored whose row names it a moment later."""
        ...

    def remove_strays(self, age_s: float) -> int:
        """Remove bodies of this age that no row ever named, or names; return how many."""
        ...

    def check(self) -> None:
        """Raise LogBodiesError where nothing can be stored now."""
        ...

    def upkeep(self) -> None:
        """Do what is to be done at intervals."""
        ...


class RowBodies:
    """Bodies in the rows themselves."""

    def store(self, bodies: Sequence[NewBody]) -> list[bytes | memoryview]:
        """Return the bodies: the row is their place."""
        return [body.blob for body in bodies]

    def load(self, stored: Sequence[StoredBody]) -> list[bytes]:
        """Return what the rows hold; raises ServiceError for a row whose body is in a topic."""
        if any(each.offset is not None for each in stored):
            raise ServiceError(
                "bodies of this log are in a topic of Kafka",
                fix="give its URL as the option `log` (WAVEBREAK_LOG), as the service has it",
            )
        return [each.cell for each in stored]

    def remove(self, names: Sequence[BodyName]) -> None:
        """Do nothing: a body goes with its row."""

    def rewriting(self) -> AbstractContextManager[object]:
        """Hold off nothing."""
        return nullcontext()

    def remove_strays(self, age_s: float) -> int:
        """Return 0: there is none."""
        return 0

    def check(self) -> None:
        """Do nothing: the database is checked by whoever writes to it."""

    def upkeep(self) -> None:
        """Do nothing."""


class TopicRecord(NamedTuple):
    """A record of the topic; `value` is None where its key was removed."""

    offset: int
    key: bytes
    value: bytes | None
    at_ms: int


class Topic(Protocol):
    """A compacted topic of one partition."""

    def open(self, *, create: bool) -> None:
        """Check that it is there and its settings; make it first where it may be made."""
        ...

    def append(self, records: Sequence[tuple[bytes, bytes | None]]) -> list[int]:
        """Append (key, value), durably and in order; return offsets, or raise LogBodiesError."""
        ...

    def read(self, since: int, until: int) -> Iterator[TopicRecord]:
        """Yield the records of offsets from `since` to before `until` that are still there."""
        ...

    def end(self) -> int:
        """Return the offset after the newest record."""
        ...

    def check(self) -> None:
        """Raise LogBodiesError where the topic does not answer."""
        ...


class TopicBodies:
    """Bodies in a topic, of which no other database's log has any.

    Args:
        heartbeat_s: After so long without a record one is appended: a broker begins a new segment,
            and so comes to compact the former one, only when something is appended.
    """

    def __init__(self, topic: Topic, heartbeat_s: float = MAX_COMPACTION_LAG_MS / 4000) -> None:
        self._topic, self._heartbeat_s = topic, heartbeat_s
        self._appended_s = -heartbeat_s
        self._rewriting = threading.RLock()

    def __deepcopy__(self, memo: object) -> Self:
        """Return itself: settings of a connection are copied, and connections are not."""
        return self

    def check_start(self) -> None:
        """Make the topic of a new log; raise ServiceError for one that cannot be this log's."""
        cells = LogBatch.objects.order_by("-first").values_list("first", "sha256", "blob")
        newest = next((row for row in map(_stored, cells[:1]) if row.offset is not None), None)
        self._topic.open(create=newest is None)
        end = self._topic.end()
        if newest is None:
            trimmed = not LogBatch.objects.exists() and LogStart.objects.exists()
            if end and not trimmed and not self._only_strays(end):
                raise ServiceError(
                    "the log's topic holds bodies, and the database names none of them",
                    fix="after a restore, or for another database, name a topic that is new",
                )
        elif not self.load([newest])[0]:
            raise ServiceError(
                f"the body of the log's newest row (position {newest.first:,}) is not in its topic",
                fix="name the topic that the log has, or restore a backup with a new topic",
            )

    def _only_strays(self, end: int) -> bool:
        """Whether a crash before the first commit may have left what the topic has."""
        if AppliedPosition.objects.filter(position__gt=0).exists() or LogBatch.objects.exists():
            return False
        firsts = [_key_parts(record.key) for record in self._topic.read(0, end) if record.value]
        return len(firsts) <= _LOOKED_UP and any(part and part[0] == 0 for part in firsts)

    def store(self, bodies: Sequence[NewBody]) -> list[bytes | memoryview]:
        """Append the bodies, and wait until the broker has them; return pointers to them."""
        if not bodies:
            return []
        records = [(body_key(body.first, body.sha256), bytes(body.blob)) for body in bodies]
        for (_, value), body in zip(records, bodies, strict=True):
            if len(value) > MAX_BODY_BYTES:
                raise LogBodiesError(
                    f"the body at position {body.first:,} has {len(value):,} bytes: a topic takes "
                    f"{MAX_BODY_BYTES:,}",
                    fix="send fewer events in one request",
                )
        return [body_cell(offset) for offset in self._append(records)]

    def load(self, stored: Sequence[StoredBody]) -> list[bytes]:
        """Return the bodies of rows, wherever they are; empty for one that is not there."""
        wanted = {each.offset: each for each in stored if each.offset is not None}
        bodies = dict[int, bytes]()
        for since, until in _runs(sorted(wanted)):
            for record in self._topic.read(since, until):
                row = wanted.get(record.offset)
                if row is not None and record.key == body_key(row.first, row.sha256):
                    bodies[record.offset] = record.value or b""
        return [
            each.cell if each.offset is None else bodies.get(each.offset, b"") for each in stored
        ]

    def remove(self, names: Sequence[BodyName]) -> None:
        """Send the keys of bodies without a value: compaction removes what they had."""
        if names:
            self._append([(body_key(*name), None) for name in names])

    def rewriting(self) -> AbstractContextManager[object]:
        """Hold off `remove_strays`: no row names a rewritten body until its transaction ends."""
        return self._rewriting

    def remove_strays(self, age_s: float) -> int:
        """Remove bodies of this age that no row names, of positions that the log has passed.

        Args:
            age_s: 0 for the owner of the log; `STRAY_AGE_S` beside a service that runs.
        """
        end = _log_end()
        newest_ms = int((time.time() - age_s) * 1000)
        candidates = set[bytes]()
        for records in _chunks(self._topic.read(0, self._topic.end())):
            named = _named([record.key for record in records])
            for record in records:
                parts = _key_parts(record.key)
                if record.value is None:
                    candidates.discard(record.key)
                elif parts is None or parts[0] >= end or record.key in named:
                    continue
                elif not age_s or record.at_ms <= newest_ms:
                    candidates.add(record.key)
        if not candidates:
            return 0
        with self._rewriting, transaction.atomic():
            # Nobody takes over the log meanwhile: an earlier owner writes nothing here.
            AppliedPosition.objects.filter(id=1).update(id=1)
            strays = sorted(candidates - _named(sorted(candidates)))
            if strays:
                self._append([(key, None) for key in strays])
        return len(strays)

    def check(self) -> None:
        """Raise LogBodiesError where the topic does not answer."""
        self._topic.check()

    def upkeep(self) -> None:
        """Append a record where none was appended for a while."""
        if time.monotonic() - self._appended_s >= self._heartbeat_s:
            self._append([(_HEARTBEAT, None)])

    def _append(self, records: Sequence[tuple[bytes, bytes | None]]) -> list[int]:
        offsets = self._topic.append(records)
        self._appended_s = time.monotonic()
        return offsets


def bound() -> LogBodies:
    """Return the store of the bound database."""
    bodies: LogBodies | None = connections.settings["default"].get(LOG_BODIES)
    return bodies or RowBodies()


def _runs(offsets: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield where to read from and to, for offsets in order that are near one another.

    A row that an erasure rewrote has its body at the topic's end: what lies between is not read.

    >>> [*_runs([3, 4, 6, 90_000])]
    [(3, 7), (90000, 90001)]
    """
    since = 0
    for at, offset in enumerate(offsets):
        if at + 1 == len(offsets) or offsets[at + 1] - offset > _NEAR:
            yield offsets[since], offset + 1
            since = at + 1


def _key_parts(key: bytes) -> tuple[int, bytes] | None:
    """Return the position and digest of a record's key; None for a key of another kind."""
    first, dash, digest = key.partition(b"-")
    if not dash or len(first) != 20 or not first.isdigit() or len(digest) != 64:
        return None
    try:
        return int(first), bytes.fromhex(digest.decode())
    except ValueError:
        return None


def _stored(row: tuple[int, bytes, bytes]) -> StoredBody:
    return StoredBody(row[0], bytes(row[1]), bytes(row[2]))


def _log_end() -> int:
    newest = LogBatch.objects.order_by("-first").values_list("first", "count").first()
    if newest is not None:
        return sum(newest)
    return LogStart.objects.values_list("position", flat=True).first() or 0


def _named(keys: Sequence[bytes]) -> set[bytes]:
    """Return those of these keys that a row names."""
    firsts = sorted({parts[0] for key in keys if (parts := _key_parts(key)) is not None})
    named = set[bytes]()
    for at in range(0, len(firsts), _LOOKED_UP):
        rows = LogBatch.objects.filter(first__in=firsts[at : at + _LOOKED_UP])
        named |= {body_key(first, bytes(sha)) for first, sha in rows.values_list("first", "sha256")}
    return named.intersection(keys)


def _chunks(records: Iterator[TopicRecord]) -> Iterator[list[TopicRecord]]:
    chunk: list[TopicRecord] = []
    for record in records:
        chunk.append(record._replace(value=record.value and b"."))
        if len(chunk) == _LOOKED_UP:
            yield chunk
            chunk = []
    yield chunk
