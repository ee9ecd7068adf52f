"""Event log in the database: one batch per row, contiguous positions, a SHA-256 per row.

Erasure removes the pseudonyms of an account's number and addresses from the log. No feature reads
them, so a replay makes the same decisions, and counts that other accounts rely on remain: those of
networks, number blocks and devices. (A device's keyed pseudonym stays, because the reputation of
other accounts is counted by it.) SQLite overwrites what is removed; PostgreSQL keeps it in its own
files until its next vacuum. `erasure` says what else is erased, and applies it again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from django.db import connection

from wavebreak.errors import FileError, ServiceError
from wavebreak.io.readers import check_log
from wavebreak.privacy.pseudonymizer import with_all_columns
from wavebreak.service.models import LogBatch

_ZSTD = pa.Codec("zstd", 1)
# Passed to each stream: looking up the defaults in the environment takes 40 µs.
_OPTIONS = pa.ipc.IpcWriteOptions()
_AT_MOST = 1 << 30
_APPEND = "INSERT INTO log_batch (first, count, received_ms, sha256, blob) VALUES (%s,%s,%s,%s,%s)"


@dataclass(frozen=True, slots=True)
class LogSegment:
    """Positions `first` to `end - 1` of the log; `events` is None if the row is damaged."""

    first: int
    end: int
    events: pa.RecordBatch | None


def encode_row(events: pa.RecordBatch) -> memoryview:
    """Encode a batch (LOG_SCHEMA) as a row: an Arrow IPC stream compressed with zstd."""
    return compress_stream(encode_stream(events))


def encode_stream(events: pa.RecordBatch) -> pa.Buffer:
    """Encode a batch as an Arrow IPC stream.

    Columns without values are left out: most streams fill a dozen of 35, and compressing each
    column costs ten times as much as compressing them together.
    """
    columns = zip(events.schema.names, events.columns, strict=True)
    narrow = events.select([name for name, column in columns if column.null_count < len(column)])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, narrow.schema, options=_OPTIONS) as writer:
        writer.write_batch(narrow)
    return sink.getvalue()


def compress_stream(stream: pa.Buffer) -> memoryview:
    """Compress an encoded stream."""
    return memoryview(_ZSTD.compress(stream))


def decode_row(blob: bytes) -> pa.RecordBatch:
    """Decode a row; raises FileError if it is damaged."""
    try:
        stream = pa.CompressedInputStream(pa.BufferReader(blob), "zstd")
        read = with_all_columns(decode_stream(stream.read(_AT_MOST)))
    except (pa.ArrowException, OSError, StopIteration, TypeError):
        raise FileError("a row of the log is damaged", fix="restore a backup") from None
    return check_log(read)


def decode_stream(stream: bytes) -> pa.RecordBatch:
    """Decode an encoded stream without copying or validating; absent columns stay absent."""
    return pa.ipc.open_stream(stream).read_next_batch()


def row_digest(blob: bytes | memoryview) -> bytes:
    """Return the SHA-256 of a row."""
    return hashlib.sha256(blob).digest()


def append(
    cursor: Any, first: int, events: int, received_ms: int, blob: bytes | memoryview
) -> None:
    """Append a row in the open transaction; `first` is the position of its first event."""
    cursor.execute(_APPEND, (first, events, received_ms, row_digest(blob), blob))


def log_end() -> int:
    """Return the position after the newest event."""
    newest = LogBatch.objects.order_by("-first").values_list("first", "count").first()
    return newest[0] + newest[1] if newest else 0


def contains_row(first: int, blob: bytes) -> bool:
    """Whether the row at `first` is this one, after a commit with unknown result."""
    digest = LogBatch.objects.filter(first=first).values_list("sha256", flat=True).first()
    return digest is not None and bytes(digest) == row_digest(blob)


def read_log(since: int, *, rows: int = 16) -> Iterator[LogSegment]:
    """Read the log from a position on, row by row, checking each SHA-256.

    Yields a segment without events for positions whose row is damaged or missing.
    """
    at = since
    while True:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT first, count, sha256, blob FROM log_batch WHERE first + count > %s "
                "AND first >= %s ORDER BY first LIMIT %s",
                (at, _row_of(cursor, at), rows),
            )
            fetched = cursor.fetchall()
        if not fetched:
            return
        for first, count, sha256, blob in fetched:
            if first > at:
                yield LogSegment(at, first, None)
            yield _read_row(at, first, count, bytes(sha256), bytes(blob))
            at = first + count


def _row_of(cursor: Any, position: int) -> int:
    cursor.execute("SELECT MAX(first) FROM log_batch WHERE first <= %s", (position,))
    (first,) = cursor.fetchone()
    return first if first is not None else position


def _read_row(at: int, first: int, count: int, sha256: bytes, blob: bytes) -> LogSegment:
    begin, stop = max(at, first), first + count
    if row_digest(blob) != sha256:
        return LogSegment(begin, stop, None)
    try:
        events = decode_row(blob)
    except FileError:
        return LogSegment(begin, stop, None)
    if events.num_rows != count:
        return LogSegment(begin, stop, None)
    return LogSegment(begin, stop, events.slice(begin - first))


def damage_error(stretch: LogSegment) -> ServiceError:
    """Return the error that names the positions of a damaged or missing row."""
    return ServiceError(
        f"the log's positions {stretch.first} to {stretch.end - 1} are damaged",
        fix="restore a backup, or skip them by starting with --accept-loss",
    )


ERASED_COLUMNS = ("number", "address")


class Erasure(NamedTuple):
    """How many events lost a pseudonym, in how many rows of the log."""

    events: int
    batches: int


def erase_from_batch(events: pa.RecordBatch, account: str) -> tuple[pa.RecordBatch, int]:
    """Return a batch without an account's pseudonyms, and how many events had one."""
    own = pc.equal(events.column("account"), account)
    masks = [pc.and_(own, events.column(name).is_valid()) for name in ERASED_COLUMNS]
    count = pc.sum(pc.or_(*masks)).as_py() or 0
    if not count:
        return events, 0
    for name in ERASED_COLUMNS:
        at = events.schema.get_field_index(name)
        column = pc.if_else(own, pa.scalar(None, pa.string()), events.column(at))
        events = events.set_column(at, events.schema.field(at), column)
    return events, count


def erase_pseudonyms(account: str, upto: int) -> Erasure:
    """Erase an account's pseudonyms from the log before a position, row by row.

    Damaged rows are skipped. Other erasures may run at the same time.
    """
    erased, batches, at = 0, 0, -1
    while True:
        rows = LogBatch.objects.filter(first__gt=at, first__lt=upto).order_by("first")
        row = rows.values_list("first", "sha256", "blob").first()
        if row is None:
            return Erasure(erased, batches)
        at = row[0]
        count = _erase_from_row(at, bytes(row[1]), bytes(row[2]), account)
        erased, batches = erased + count, batches + bool(count)


def _erase_from_row(first: int, sha256: bytes, blob: bytes, account: str) -> int:
    """Erase from one row; return how many of its events had a pseudonym.

    The row is written only if it is still the one that was read. Otherwise another erasure has
    changed it, and it is read again: no lock is held while a row is decoded.
    """
    while row_digest(blob) == sha256:
        events, count = erase_from_batch(decode_row(blob), account)
        if not count:
            return 0
        fresh = bytes(encode_row(events))
        unchanged = LogBatch.objects.filter(first=first, sha256=sha256)
        if unchanged.update(blob=fresh, sha256=row_digest(fresh)):
            return count
        row = LogBatch.objects.filter(first=first).values_list("sha256", "blob").first()
        if row is None:
            return 0
        sha256, blob = bytes(row[0]), bytes(row[1])
    return 0
