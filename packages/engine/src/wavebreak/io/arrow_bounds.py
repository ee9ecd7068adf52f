"""Bounds of Arrow IPC streams: the unpacked size, read before any decompression.

Buffers may be compressed one by one, and a column of nulls has no buffers at all: a stream of a
few hundred bytes may hold gigabytes, or billions of rows. Each message's metadata says how much.
The layout of metadata is that of Arrow's format (`Message.fbs`), which pyarrow does not expose.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_I64, _I32, _U32, _U16, _U8 = map(struct.Struct, ("<q", "<i", "<I", "<H", "<B"))
_HEADER_TYPE, _HEADER = 1, 2
_DICTIONARY, _RECORDS = 2, 3
"""Values of a message's header type: those with buffers."""
_DICTIONARY_DATA = 1
_LENGTH, _NODES, _BUFFERS, _COMPRESSION = 0, 1, 2, 3
_NOT_COMPRESSED = -1


class StreamSize(NamedTuple):
    """Contents of a stream: rows, values of all columns (nested ones too), and unpacked bytes."""

    rows: int
    values: int
    unpacked: int


def stream_size(content: bytes) -> StreamSize:
    """Return the contents of an Arrow IPC stream, without decompression.

    Raises:
        ValueError: The stream's metadata is damaged.
        pa.ArrowException: The content is no Arrow IPC stream.

    >>> batch = pa.record_batch({"n": pa.nulls(1000), "m": pa.array([1] * 1000)})
    >>> sink = pa.BufferOutputStream()
    >>> with pa.ipc.new_stream(sink, batch.schema) as writer:
    ...     writer.write_batch(batch)
    >>> stream_size(sink.getvalue().to_pybytes())
    StreamSize(rows=1000, values=2000, unpacked=8000)
    """
    rows = values = unpacked = 0
    for message in pa.ipc.MessageReader.open_stream(content):
        size = _message_size(message)
        rows, values, unpacked = rows + size.rows, values + size.values, unpacked + size.unpacked
    return StreamSize(rows, values, unpacked)


def _message_size(message: Any) -> StreamSize:
    metadata = memoryview(message.metadata)
    try:
        table = _U32.unpack_from(metadata)[0]
        kind = _field(metadata, table, _HEADER_TYPE)
        header = _field(metadata, table, _HEADER)
        kind = _U8.unpack_from(metadata, kind)[0] if kind else 0
        if kind not in (_DICTIONARY, _RECORDS) or not header:
            return StreamSize(0, 0, 0)
        batch = _target(metadata, header)
        if kind == _DICTIONARY:
            batch = _target(metadata, _field(metadata, batch, _DICTIONARY_DATA))
        return _batch_size(metadata, batch, message.body, records=kind == _RECORDS)
    except struct.error:
        raise _damaged() from None


def _batch_size(metadata: memoryview, batch: int, body: Any, *, records: bool) -> StreamSize:
    offset = _field(metadata, batch, _LENGTH)
    length = _I64.unpack_from(metadata, offset)[0] if offset else 0
    nodes = _pairs(metadata, _field(metadata, batch, _NODES))[:, 0]
    buffers = _pairs(metadata, _field(metadata, batch, _BUFFERS))
    size = len(memoryview(body)) if body is not None else 0
    if length < 0 or (nodes < 0).any() or (buffers < 0).any():
        raise _damaged()
    values = sum(nodes.tolist())
    if not _field(metadata, batch, _COMPRESSION):
        unpacked = sum(buffers[:, 1].tolist())
    else:
        unpacked = sum(
            _unpacked(body, begin, length_bytes, size)
            for begin, length_bytes in buffers.tolist()
            if length_bytes
        )
    return StreamSize(length if records else 0, values, unpacked)


def _unpacked(body: Any, begin: int, length_bytes: int, size: int) -> int:
    """Return a compressed buffer's size, an int64 at the beginning."""
    if length_bytes < _I64.size or begin + length_bytes > size:
        raise _damaged()
    length: int = _I64.unpack_from(memoryview(body), begin)[0]
    if length == _NOT_COMPRESSED:
        return length_bytes - _I64.size
    if length < 0:
        raise _damaged()
    return length


def _pairs(metadata: memoryview, field: int) -> NDArray[np.int64]:
    """Return a vector of structs of two int64."""
    if not field:
        return np.zeros((0, 2), np.int64)
    begin = _target(metadata, field)
    pair_count = _U32.unpack_from(metadata, begin)[0]
    if begin + 4 + 16 * pair_count > len(metadata):
        raise _damaged()
    return np.frombuffer(metadata, "<i8", 2 * pair_count, begin + 4).reshape(pair_count, 2)


def _field(metadata: memoryview, table: int, index: int) -> int:
    """Return the position of a table's field; 0 for an absent field."""
    vtable = table - _I32.unpack_from(metadata, table)[0]
    if vtable < 0:
        raise _damaged()
    if 4 + 2 * index >= _U16.unpack_from(metadata, vtable)[0]:
        return 0
    offset: int = _U16.unpack_from(metadata, vtable + 4 + 2 * index)[0]
    return table + offset if offset else 0


def _target(metadata: memoryview, field: int) -> int:
    """Follow a reference."""
    return field + int(_U32.unpack_from(metadata, field)[0])


def _damaged() -> ValueError:
    return ValueError("the metadata of the Arrow stream is damaged")
