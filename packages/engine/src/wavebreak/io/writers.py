"""File writers: JSON Lines, a JSON array, Parquet or Arrow IPC, chosen by the file name."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from wavebreak.durable_files import replacing
from wavebreak.errors import FileError
from wavebreak.io.readers import FileFormat, file_format
from wavebreak.schema.events import WIRE_SCHEMA, json_rows


class _Writer(Protocol):
    def write(self, batch: pa.RecordBatch) -> None: ...

    def close(self) -> None: ...


def write(path: Path, batches: Iterable[pa.RecordBatch], schema: pa.Schema = WIRE_SCHEMA) -> int:
    """Write wire batches to a file in the format of the name; returns the number of events.

    Formats: .jsonl, .ndjson, .json (an array), .parquet, .arrow (file), .ipc (stream), each also
    with .gz or .zst. Columns that a batch lacks are null. The file appears whole or not at all;
    raises FileError where it cannot be written.
    """
    kind = file_format(path)
    try:
        with replacing(path, synced=False) as fresh:
            return _write(Path(fresh.name), kind, batches, schema)
    except OSError as e:
        fix = "check the directory and its free space"
        raise FileError(f"{path} cannot be written: {e.strerror or 'I/O error'}", fix=fix) from None


def _write(
    path: Path, kind: FileFormat, batches: Iterable[pa.RecordBatch], schema: pa.Schema
) -> int:
    event_count = 0
    with pa.OSFile(str(path), "wb") as file:
        sink = pa.CompressedOutputStream(file, kind.codec) if kind.codec else file
        writer = _writer(sink, kind.format, schema)
        for batch in batches:
            writer.write(_all_columns(batch, schema))
            event_count += batch.num_rows
        writer.close()
        if kind.codec:
            sink.close()
    return event_count


def _writer(sink: Any, form: str, schema: pa.Schema) -> _Writer:
    match form:
        case "parquet":
            return _Columns(pq.ParquetWriter(sink, schema, compression="zstd"))
        case "arrow":
            return _Columns(pa.ipc.new_file(sink, schema))
        case "stream":
            return _Columns(pa.ipc.new_stream(sink, schema))
    return _Json(sink, array=form == "json")


class _Columns:
    def __init__(self, writer: Any) -> None:
        self._writer = writer

    def write(self, batch: pa.RecordBatch) -> None:
        self._writer.write_batch(batch)

    def close(self) -> None:
        self._writer.close()


class _Json:
    def __init__(self, sink: Any, *, array: bool) -> None:
        self._sink, self._array, self._first = sink, array, True

    def write(self, batch: pa.RecordBatch) -> None:
        if not batch.num_rows:
            return
        rows = json_rows(batch)
        if self._array:
            self._sink.write(b"[\n" if self._first else b",\n")
            self._sink.write(",\n".join(rows.to_pylist()).encode())
        else:
            lines = pc.binary_join_element_wise(rows, "", "\n")
            self._sink.write(_text_of(lines))
        self._first = False

    def close(self) -> None:
        if self._array:
            self._sink.write(b"[]\n" if self._first else b"\n]\n")


def _text_of(lines: pa.Array) -> Any:
    # The lines already lie one behind another in memory.
    _, offsets, text = lines.buffers()
    ends = np.frombuffer(offsets, np.int32)[lines.offset :][: len(lines) + 1]
    return text.slice(int(ends[0]), int(ends[-1] - ends[0]))


def _all_columns(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    if batch.schema.equals(schema):
        return batch
    have = set(batch.schema.names)
    columns = [
        batch.column(f.name).cast(f.type) if f.name in have else pa.nulls(batch.num_rows, f.type)
        for f in schema
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)
