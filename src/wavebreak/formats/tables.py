"""Parquet and Arrow IPC as batches of bounded size, each with how far into the file it is."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from wavebreak.errors import FileError
from wavebreak.events import LOG_SCHEMA, SCHEMA_KEY, TYPES, WIRE_SCHEMA
from wavebreak.formats.columns import LONG_WORD, sound
from wavebreak.formats.streams import BLOCK, Kind, Opened

_MAGIC = b"ARROW1\0\0"

# Read as dictionaries: quick where they are empty or few words, and no long word is spread out.
_SPREAD = ("id", "account", "peer")
_REPEATED = [f.name for f in WIRE_SCHEMA if pa.types.is_string(f.type) and f.name not in _SPREAD]
UNPACKED_AT_MOST = 64 << 30
"""Bytes to which a Parquet file compressed once more may unpack: it is laid out on disk."""
_GROUP_AT_MOST = 64 << 20
_LONG_ROW = 4 * LONG_WORD

Part = tuple[pa.RecordBatch, float]


def parts(path: Path, kind: Kind, rows: int, *, unpacked: int = UNPACKED_AT_MOST) -> Iterator[Part]:
    """Give a columnar file's rows in batches of at most `rows`.

    Raises FileError where the file is damaged, holds far longer words than events do, or, as
    Parquet compressed once more, unpacks to more than `unpacked` bytes.
    """
    try:
        parquet = kind.format == "parquet"
        read = _parquet(path, kind, rows, unpacked) if parquet else _ipc(path, kind, rows)
        for batch, progress in read:
            _ = batch.schema.names  # a name that is not UTF-8 shows only when it is asked for
            yield batch, progress
    except (pa.ArrowException, OSError, ValueError, KeyError, EOFError) as e:
        if isinstance(e, FileError):
            raise
        fix = "write the file again; it is cut off, damaged or of another format"
        what = "Parquet" if kind.format == "parquet" else "Arrow IPC"
        raise FileError(f"{path} cannot be read as {what}", fix=fix) from None


def _parquet(path: Path, kind: Kind, rows: int, unpacked: int) -> Iterator[Part]:
    if not kind.codec:
        with pa.memory_map(str(path)) as source:
            yield from _row_groups(source, rows)
        return
    # Parquet is read from its end: compressed once more, it has to be laid out first.
    with tempfile.TemporaryFile() as laid_out:
        opened = Opened(path, kind.codec)
        while block := opened.read(BLOCK):
            if laid_out.tell() + len(block) > unpacked:
                opened.close()
                what = f"{path} unpacks to more than {unpacked / 1e9:.1f} GB"
                raise FileError(what, fix="unpack it yourself, and give the .parquet")
            laid_out.write(block)
        opened.close()
        yield from _row_groups(laid_out, rows)


def _row_groups(source: Any, rows: int) -> Iterator[Part]:
    metadata = pq.read_metadata(source)
    leaves = {metadata.schema.column(i).path for i in range(metadata.num_columns)}
    repeated = [name for name in _REPEATED if name in leaves]
    total, seen = max(metadata.num_rows, 1), 0
    for groups, long in _runs(source, metadata, rows):
        file = pq.ParquetFile(source, metadata=metadata, read_dictionary=[*repeated, *long])
        for batch in file.iter_batches(batch_size=rows, row_groups=groups):
            seen += batch.num_rows
            yield batch, min(seen / total, 1.0)


def _runs(
    source: Any, metadata: pq.FileMetaData, rows: int
) -> Iterator[tuple[list[int], list[str]]]:
    """Row groups to be read together, and which of their columns hold a long word many times."""
    leaves = {metadata.schema.column(i).path for i in range(metadata.num_columns)}
    names = [name for name in _SPREAD if name in leaves]
    groups: list[int] = []
    held, before = 0, list[str]()
    for number in range(metadata.num_row_groups):
        long = _long_words(source, metadata, names, number)
        if groups and (long != before or held >= 8 * rows):
            yield groups, before
            groups, held = [], 0
        groups.append(number)
        held, before = held + metadata.row_group(number).num_rows, long
    if groups:
        yield groups, before


def _long_words(source: Any, metadata: pq.FileMetaData, names: list[str], number: int) -> list[str]:
    """Look at the words of a row group, each of which may stand for many rows.

    What the footer says of a column is not asked for: in a damaged one it ends the process.
    """
    group = metadata.row_group(number)
    if group.total_byte_size > _GROUP_AT_MOST + _LONG_ROW * group.num_rows:
        what = "a column of the file holds words of more than a thousand bytes"
        raise FileError(what, fix="leave that column out, or shorten its words by a hash")
    long = []
    for name in names:
        file = pq.ParquetFile(source, metadata=metadata, read_dictionary=[name])
        one = file.iter_batches(1, row_groups=[number], columns=[name], use_threads=False)
        first = next(one, None)
        if first is not None and first.num_columns and _longest(first.column(0)) > LONG_WORD:
            long.append(name)
    return long


def _longest(column: pa.Array) -> int:
    """Bytes of the longest word of a dictionary; 0 where it holds no text."""
    words = column.dictionary if pa.types.is_dictionary(column.type) else None
    if words is None or not (pa.types.is_string(words.type) or pa.types.is_binary(words.type)):
        return 0
    return int(pc.max(pc.binary_length(words)).as_py() or 0)


def _ipc(path: Path, kind: Kind, rows: int) -> Iterator[Part]:
    opened = Opened(path, kind.codec)
    is_file = opened.read(len(_MAGIC)) == _MAGIC
    opened.close()
    if is_file and not kind.codec:
        with pa.memory_map(str(path)) as source:
            reader = pa.ipc.open_file(source)
            for i in range(reader.num_record_batches):
                yield from _slices(
                    reader.get_batch(i), rows, lambda i=i: (i + 1) / reader.num_record_batches
                )
        return
    opened = Opened(path, kind.codec)
    if is_file:
        # The file format is the stream format between a magic word and a footer.
        opened.read(len(_MAGIC))
    for batch in pa.ipc.open_stream(opened.stream):
        yield from _slices(batch, rows, opened.progress)
    opened.close()


def _slices(batch: pa.RecordBatch, rows: int, progress: Any) -> Iterator[Part]:
    for start in range(0, batch.num_rows, rows):
        yield batch.slice(start, rows), progress()


def is_log(schema: pa.Schema) -> bool:
    """Tell whether a table is a log of ours; raises FileError for one of another version."""
    version = (schema.metadata or {}).get(SCHEMA_KEY)
    if version is None:
        return False
    if version != LOG_SCHEMA.metadata[SCHEMA_KEY] or not schema.equals(LOG_SCHEMA):
        fix = "make it again with this version of Wavebreak"
        raise FileError("a log of another version of Wavebreak", fix=fix)
    return True


def checked_log(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Give a log batch back, or raise FileError where it cannot be one."""
    sound(batch)
    needed = [batch.column(f.name) for f in LOG_SCHEMA if not f.nullable]
    top = pc.max(batch.column("type")).as_py()
    if any(c.null_count for c in needed) or (top or 0) >= len(TYPES):
        raise FileError("the log is damaged", fix="make it again from its events")
    return batch
