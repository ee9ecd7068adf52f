"""The log in the database: a batch a row, contiguous positions, each row under its SHA-256.

Erasure: the pseudonyms of a person's number and addresses are cut out of the log.

No feature reads them, so the log decides as before, and counts that others rely on remain: those of
networks, number blocks and devices. (A device's keyed pseudonym stays, since the reputation that
others have from it is counted by it.) What a database keeps of old pages goes with its next vacuum.
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
from wavebreak.service.models import Batch

_ZSTD = pa.Codec("zstd", 1)
# Given to each stream: looking up the defaults in the environment takes 40 µs.
_OPTIONS = pa.ipc.IpcWriteOptions()
_AT_MOST = 1 << 30
_APPEND = "INSERT INTO log_batch (first, count, received_ms, sha256, blob) VALUES (%s,%s,%s,%s,%s)"


@dataclass(frozen=True, slots=True)
class Stretch:
    """Positions `first` to `end - 1` of the log; `events` is None where the row is damaged."""

    first: int
    end: int
    events: pa.RecordBatch | None


def packed(events: pa.RecordBatch) -> memoryview:
    """Give a batch (LOG_SCHEMA) as a row's bytes: an Arrow IPC stream under zstd."""
    return compressed(laid(events))


def laid(events: pa.RecordBatch) -> pa.Buffer:
    """Give a batch as the bytes of an Arrow IPC stream.

    Columns in which nothing is given are left out: of 35, most streams fill a dozen, and a
    compressor for each cost ten times what one for all does.
    """
    given = zip(events.schema.names, events.columns, strict=True)
    narrow = events.select([name for name, column in given if column.null_count < len(column)])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, narrow.schema, options=_OPTIONS) as writer:
        writer.write_batch(narrow)
    return sink.getvalue()


def compressed(stream: pa.Buffer) -> memoryview:
    """Compress what `laid` gave."""
    return memoryview(_ZSTD.compress(stream))


def unpacked(blob: bytes) -> pa.RecordBatch:
    """Give the batch back; raises FileError where the bytes are not one."""
    try:
        stream = pa.CompressedInputStream(pa.BufferReader(blob), "zstd")
        read = with_all_columns(opened(stream.read(_AT_MOST)))
    except (pa.ArrowException, OSError, StopIteration, TypeError):
        raise FileError("a row of the log is damaged", fix="restore a backup") from None
    return check_log(read)


def opened(stream: bytes) -> pa.RecordBatch:
    """Give back what `laid` laid out, narrow and not copied, without looking for damage."""
    return pa.ipc.open_stream(stream).read_next_batch()


def digest(blob: bytes | memoryview) -> bytes:
    """SHA-256 of a row's bytes."""
    return hashlib.sha256(blob).digest()


def append(
    cursor: Any, first: int, events: int, received_ms: int, blob: bytes | memoryview
) -> None:
    """Append one row in the open transaction; `first` is the position of its first event."""
    cursor.execute(_APPEND, (first, events, received_ms, digest(blob), blob))


def end() -> int:
    """Position behind the newest event in the log."""
    newest = Batch.objects.order_by("-first").values_list("first", "count").first()
    return newest[0] + newest[1] if newest else 0


def holds(first: int, blob: bytes) -> bool:
    """Whether the row at `first` is this very one: what a commit of unknown outcome came to."""
    found = Batch.objects.filter(first=first).values_list("sha256", flat=True).first()
    return found is not None and bytes(found) == digest(blob)


def stretches(since: int, *, rows: int = 16) -> Iterator[Stretch]:
    """Read the log from a position on, row by row, each checked against its SHA-256.

    A damaged row is given without events, under the positions that it held. Raises ServiceError
    where a row is absent between two others, or where `since` does not begin a row's events.
    """
    at = since
    while True:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT first, count, sha256, blob FROM log_batch WHERE first + count > %s "
                "AND first >= %s ORDER BY first LIMIT %s",
                (at, _row_of(cursor, at), rows),
            )
            found = cursor.fetchall()
        if not found:
            return
        for first, count, sha256, blob in found:
            if first > at:
                yield Stretch(at, first, None)
            yield _stretch(at, first, count, bytes(sha256), bytes(blob))
            at = first + count


def _row_of(cursor: Any, position: int) -> int:
    cursor.execute("SELECT MAX(first) FROM log_batch WHERE first <= %s", (position,))
    (first,) = cursor.fetchone()
    return first if first is not None else position


def _stretch(at: int, first: int, count: int, sha256: bytes, blob: bytes) -> Stretch:
    begin, stop = max(at, first), first + count
    if digest(blob) != sha256:
        return Stretch(begin, stop, None)
    try:
        events = unpacked(blob)
    except FileError:
        return Stretch(begin, stop, None)
    if events.num_rows != count:
        return Stretch(begin, stop, None)
    return Stretch(begin, stop, events.slice(begin - first))


def lost(stretch: Stretch) -> ServiceError:
    """Name the positions that a damaged or absent row held."""
    return ServiceError(
        f"the log's positions {stretch.first} to {stretch.end - 1} are damaged",
        fix="restore a backup, or start with --accept-loss: these are skipped, the rest is kept",
    )


CUT = ("number", "address")


class Cut(NamedTuple):
    """How many events lost a pseudonym, in how many rows of the log."""

    events: int
    batches: int


def without(events: pa.RecordBatch, account: str) -> tuple[pa.RecordBatch, int]:
    """A batch of the log without the account's pseudonyms, and how many events had one."""
    own = pc.equal(events.column("account"), account)
    held = [pc.and_(own, events.column(name).is_valid()) for name in CUT]
    count = pc.sum(pc.or_(*held)).as_py() or 0
    if not count:
        return events, 0
    for name in CUT:
        at = events.schema.get_field_index(name)
        column = pc.if_else(own, pa.scalar(None, pa.string()), events.column(at))
        events = events.set_column(at, events.schema.field(at), column)
    return events, count


def erase(account: str) -> Cut:
    """Cut an account's pseudonyms out of the whole log; each row is rewritten by itself.

    A row that is damaged is left as it is.
    """
    cut, batches, at = 0, 0, -1
    while True:
        found = (
            Batch.objects.filter(first__gt=at).order_by("first")
            .values_list("first", "count", "sha256", "blob").first()
        )  # fmt: skip
        if found is None:
            return Cut(cut, batches)
        at, blob = found[0], bytes(found[3])
        if digest(blob) != bytes(found[2]):
            continue
        events, count = without(unpacked(blob), account)
        if count:
            fresh = bytes(packed(events))
            Batch.objects.filter(first=at).update(blob=fresh, sha256=digest(fresh))
            cut, batches = cut + count, batches + 1
