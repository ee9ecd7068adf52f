"""Rows of a service's log: how the body of one is encoded, and where it is.

A body is an Arrow IPC stream compressed with zstd: the columns of LOG_SCHEMA that have values.
"""

from __future__ import annotations

import hashlib

import pyarrow as pa

from wavebreak.errors import FileError
from wavebreak.io.readers import check_log
from wavebreak.privacy.pseudonymizer import with_all_columns

_POINTER = b"kafka:"
_ZSTD = pa.Codec("zstd", 1)
# Passed to each stream: looking up the defaults in the environment takes 40 µs.
_OPTIONS = pa.ipc.IpcWriteOptions()
_MAX_ROW_BYTES = 1 << 30


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
    return check_log(with_all_columns(unpack_row(blob)))


def unpack_row(blob: bytes) -> pa.RecordBatch:
    """Decode a row without validating it; columns without values are absent.

    Raises:
        FileError: It is damaged.
    """
    try:
        stream = pa.CompressedInputStream(pa.BufferReader(blob), "zstd")
        return decode_stream(stream.read(_MAX_ROW_BYTES))
    except (pa.ArrowException, OSError, StopIteration, TypeError):
        raise FileError("a row of the log is damaged", fix="restore a backup") from None


def decode_stream(stream: bytes) -> pa.RecordBatch:
    """Decode an encoded stream without copying or validating; absent columns stay absent."""
    return pa.ipc.open_stream(stream).read_next_batch()


def row_digest(blob: bytes | memoryview) -> bytes:
    """Return the SHA-256 of a row."""
    return hashlib.sha256(blob).digest()


def body_offset(cell: bytes) -> int | None:
    """Return the offset of a body's record in the log's topic; None if the row holds the body.

    Args:
        cell: What the row has in place of the body.

    Example:
        >>> body_offset(b"kafka:17"), body_offset(b"(")
        (17, None)
    """
    return int(cell.removeprefix(_POINTER)) if cell.startswith(_POINTER) else None


def body_cell(offset: int) -> bytes:
    """Return what a row has in place of a body whose record is at an offset of the log's topic."""
    return _POINTER + b"%d" % offset


def body_key(first: int, sha256: bytes) -> bytes:
    """Return the key of a body's record: the position of its first event, and its SHA-256."""
    return b"%020d-%s" % (first, sha256.hex().encode())
