"""File readers: formats, compression, blocks of lines, columnar batches, and samples of a file.

A file that can be entered anywhere (plain JSON Lines, Parquet, an Arrow file) is sampled without
reading the rest. A stream (compressed lines, a JSON array, an Arrow stream) is unpacked whole,
but only the samples are decoded. The positions of samples depend on the file alone.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from wavebreak import example
from wavebreak.errors import FileError
from wavebreak.io.line_splitter import MAX_LINE, LineBlock
from wavebreak.io.validation import LONG_WORD, check_buffers
from wavebreak.schema import events

BLOCK = 4 << 20
"""Bytes read from a stream at a time."""

_FORMATS = {
    ".jsonl": "lines",
    ".ndjson": "lines",
    ".json": "json",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".ipc": "stream",
}
_CODECS = {".gz": "gzip", ".zst": "zstd"}
_BLANK = b" \t\r\n"
_NEWLINE = ord("\n")
_INDENT = re.compile(rb"\n[ \t\r]+")
_STEP = np.zeros(256, np.int64)
_STEP[[ord("["), ord("{")]] = 1
_STEP[[ord("]"), ord("}")]] = -1
_ESCAPE = re.compile(rb"\\.", re.DOTALL)


class FileFormat(NamedTuple):
    """A file's format (lines, json, parquet, arrow, stream) and codec (gzip, zstd or none)."""

    format: str
    codec: str | None


class Readable(Protocol):
    """A stream of bytes."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes, none at the end."""
        ...


def file_format(path: Path) -> FileFormat:
    """Return a file's format by its name; raises FileError for an unknown one.

    >>> file_format(Path("events.jsonl.zst"))
    FileFormat(format='lines', codec='zstd')
    """
    name = path.name.lower()
    codec = next((c for suffix, c in _CODECS.items() if name.endswith(suffix)), None)
    if codec:
        name = name.rpartition(".")[0]
    for suffix, file_kind in _FORMATS.items():
        if name.endswith(suffix):
            return FileFormat(file_kind, codec)
    file_kind = ", ".join(_FORMATS)
    fix = f"use one of {file_kind}, each also with .gz or .zst"
    raise FileError(f"{path}: unknown file name extension", fix=fix)


def events_file(path: Path) -> Path:
    """Return the file, or the one file `events.*` of a directory; raises FileError.

    The name `example` is the example data, where there is no such file.
    """
    if not path.is_dir():
        if path.exists():
            return path
        if str(path) == example.NAME:
            return example.example_path()
        fix = f"give a file with events, {example.NAME} for the example data, or - for stdin"
        raise FileError(f"{path}: no such file", fix=fix)
    names = {f"events{s}{c}" for s in _FORMATS for c in ("", *_CODECS)}
    files = sorted(p for p in path.iterdir() if p.name in names)
    if len(files) != 1:
        fix = "name the file itself"
        raise FileError(f"{path}: the directory has {len(files)} event files, not one", fix=fix)
    return files[0]


class InputFile:
    """A file with decompression during reading."""

    def __init__(self, path: Path, codec: str | None) -> None:
        self._raw = pa.OSFile(str(path))
        self._size: int = max(self._raw.size(), 1)
        self.stream: Any = pa.CompressedInputStream(self._raw, codec) if codec else self._raw

    def read(self, size: int, /) -> bytes:
        """Return the next bytes; raises FileError where the compressed data is damaged."""
        try:
            block: bytes = self.stream.read(size)
        except (OSError, EOFError) as e:
            fix = "write the file again; it is truncated or damaged"
            raise FileError(
                f"the compressed file cannot be decompressed: {_cause(e)}", fix=fix
            ) from None
        return block

    def progress(self) -> float:
        """Return the share of the file that has been read."""
        position: int = self._raw.tell()
        return min(position / self._size, 1.0)

    def close(self) -> None:
        """Close the file."""
        self.stream.close()
        self._raw.close()


def _cause(e: BaseException) -> str:
    return str(e).splitlines()[0][:100] if str(e) else type(e).__name__


class StandardInput:
    """Standard input, returned on arrival; the length is unknown."""

    def __init__(self) -> None:
        self._stdin: Any = sys.stdin.buffer

    def read(self, size: int, /) -> bytes:
        """Return the arrived bytes, at least one until the end."""
        block: bytes = self._stdin.read1(size)
        return block

    def progress(self) -> float:
        """Return 0: the length is unknown."""
        return 0.0

    def close(self) -> None:
        """Keep standard input open."""


class PrefixedStream:
    """A stream behind a prefix of bytes."""

    def __init__(self, front: bytes, rest: Readable) -> None:
        self._front, self._rest = front, rest

    def read(self, size: int, /) -> bytes:
        """Return the bytes put before the stream first."""
        front, self._front = self._front, b""
        return front or self._rest.read(size)


def line_blocks(stream: Readable, limit: int) -> Iterator[LineBlock]:
    """Split a stream into blocks of at most `limit` lines; buffers one block and one line."""
    pending, line = b"", 1
    while block := stream.read(min(BLOCK, max(limit * 256, MAX_LINE))):
        if line == 1 and not pending:
            block = block.removeprefix(b"\xef\xbb\xbf")
        text = pending + block
        end = text.rfind(b"\n") + 1
        pending = text[end:]
        # Enough of a line without end is kept to see that it is too long.
        pending = pending[: MAX_LINE + 1]
        if end:
            lines = LineBlock.of(memoryview(text)[:end], line)
            yield from _parts(lines, limit)
            line += len(lines.ends)
    if pending:
        yield LineBlock.of(pending + b"\n", line)


def _parts(lines: LineBlock, limit: int) -> Iterator[LineBlock]:
    for start in range(0, len(lines.ends), limit):
        yield lines.part(start, min(start + limit, len(lines.ends)))


def json_items(stream: Readable) -> Readable:
    """Return a stream of lines of a JSON array or of JSON Lines, by the first character."""
    front = b""
    while not front.strip(_BLANK):
        block = stream.read(MAX_LINE)
        if not block:
            break
        front = (front.strip(_BLANK) + block)[: len(block) + 8]
        front = front.removeprefix(b"\xef\xbb\xbf")
    pushed = PrefixedStream(front, stream)
    return ArrayItems(pushed) if front.lstrip(_BLANK).startswith(b"[") else pushed


class ArrayItems:
    """Converts a JSON array to lines, one per item, one block at a time.

    Only strings and brackets are parsed; the decoder validates the items. An unterminated array, or
    anything after its end, gives one more line, which is not an event.
    """

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._carry = b""
        self._inside = 0
        self._depth = 0
        self._is_past_end = False
        self._is_exhausted = False

    def read(self, size: int, /) -> bytes:
        """Return the next items as lines."""
        while not self._is_exhausted:
            block = self._stream.read(size)
            if not block:
                self._is_exhausted = True
                return b"" if self._is_past_end else b"\n["
            if self._is_past_end:
                self._is_exhausted = bool(block.strip(_BLANK))
                out = b"\n]" if self._is_exhausted else b""
            else:
                out = self._lines(block)
            if out:
                return out
        return b""

    def _lines(self, block: bytes) -> bytes:
        text = self._carry + block
        tail = len(text) - len(text.rstrip(b"\\"))
        self._carry = text[len(text) - tail % 2 :]
        text = text[: len(text) - tail % 2]
        plain = np.frombuffer(_ESCAPE.sub(b"__", text) if b"\\" in text else text, np.uint8)
        inside = (np.cumsum(plain == ord('"')) + self._inside) & 1
        step = _STEP[plain] * (1 - inside)
        depth = np.cumsum(step) + self._depth
        out = np.frombuffer(text, np.uint8).copy()
        out[plain == _NEWLINE] = ord(" ")
        out[(plain == _NEWLINE) & (inside == 1)] = 1  # a raw newline in a string stays a fault
        out[(plain == ord(",")) & (inside == 0) & (depth == 1)] = _NEWLINE
        if self._depth == 0 and len(text):
            out[int(np.argmax(plain == ord("[")))] = ord(" ")
        ends = np.flatnonzero((step < 0) & (depth <= 0))
        if len(ends):
            return self._end(text, out, int(ends[0]))
        if len(text):
            self._inside, self._depth = int(inside[-1]), int(depth[-1])
        return _INDENT.sub(b"\n", out.tobytes())

    def _end(self, text: bytes, out: NDArray[np.uint8], end: int) -> bytes:
        self._is_past_end = True
        remainder = b"\n]" if (text[end + 1 :] + self._carry).strip(_BLANK) else b""
        self._is_exhausted = bool(remainder)
        return _INDENT.sub(b"\n", out[:end].tobytes()) + remainder or b" "


_MAGIC = b"ARROW1\0\0"

# Read as dictionaries: quick where they are empty or few words, and no long word is spread out.
_ID_COLUMNS = ("id", "account", "peer")
_REPEATED = [
    f.name for f in events.WIRE_SCHEMA if pa.types.is_string(f.type) and f.name not in _ID_COLUMNS
]
MAX_UNPACKED_BYTES = 64 << 30
"""Maximum unpacked size of a compressed Parquet file, which is unpacked to disk."""
_MAX_GROUP_BYTES = 64 << 20
_LONG_ROW = 4 * LONG_WORD

Part = tuple[pa.RecordBatch, float]


def columnar_batches(
    path: Path, kind: FileFormat, rows: int, *, unpacked: int = MAX_UNPACKED_BYTES
) -> Iterator[Part]:
    """Yield a columnar file's rows in batches of at most `rows`, with the progress.

    Raises FileError where the file is damaged, has far longer words than events do, or, as
    compressed Parquet, unpacks to more than `unpacked` bytes.
    """
    with columnar_errors(path, kind):
        parquet = kind.format == "parquet"
        parts = _parquet(path, kind, rows, unpacked) if parquet else _ipc(path, kind, rows)
        for batch, progress in parts:
            _ = batch.schema.names  # a name that is not UTF-8 shows only when it is asked for
            yield batch, progress


@contextmanager
def columnar_errors(path: Path, kind: FileFormat) -> Iterator[None]:
    """Raise FileError where a columnar file that is read in this context is damaged."""
    try:
        yield
    except (pa.ArrowException, OSError, ValueError, KeyError, EOFError) as e:
        if isinstance(e, FileError):
            raise
        fix = "write the file again; it is truncated, damaged or of another format"
        format_name = "Parquet" if kind.format == "parquet" else "Arrow IPC"
        raise FileError(f"{path} cannot be read as {format_name}", fix=fix) from None


def _parquet(path: Path, kind: FileFormat, rows: int, unpacked: int) -> Iterator[Part]:
    if not kind.codec:
        with pa.memory_map(str(path)) as source:
            yield from _row_groups(source, rows)
        return
    # Parquet is read from its end: compressed once more, it has to be laid out first.
    with tempfile.TemporaryFile() as laid_out:
        source_file = InputFile(path, kind.codec)
        while block := source_file.read(BLOCK):
            if laid_out.tell() + len(block) > unpacked:
                source_file.close()
                problem = f"{path} unpacks to more than {unpacked / 1e9:.1f} GB"
                raise FileError(problem, fix="unpack it and give the .parquet file")
            laid_out.write(block)
        source_file.close()
        yield from _row_groups(laid_out, rows)


def _row_groups(source: Any, rows: int) -> Iterator[Part]:
    metadata = pq.read_metadata(source)
    leaves = {metadata.schema.column(i).path for i in range(metadata.num_columns)}
    repeated = [name for name in _REPEATED if name in leaves]
    total, row_count = max(metadata.num_rows, 1), 0
    for groups, long in _runs(source, metadata, rows):
        file = pq.ParquetFile(source, metadata=metadata, read_dictionary=[*repeated, *long])
        for batch in file.iter_batches(batch_size=rows, row_groups=groups):
            row_count += batch.num_rows
            yield _plain_log(batch), min(row_count / total, 1.0)


def _plain_log(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return a batch of a log with texts in the types of the log's schema; others unchanged.

    Raises:
        FileError: A text is longer than the schema allows, and may not be expanded.
    """
    if events.SCHEMA_KEY not in (batch.schema.metadata or {}):
        return batch
    if any(_longest(column) > LONG_WORD for column in batch.columns):
        raise FileError("the log is damaged", fix="recreate it from its events")
    columns = [
        c.dictionary_decode() if pa.types.is_dictionary(c.type) else c for c in batch.columns
    ]
    kinds = zip(batch.schema, columns, strict=True)
    schema = pa.schema([field.with_type(column.type) for field, column in kinds])
    return pa.RecordBatch.from_arrays(columns, schema=schema.with_metadata(batch.schema.metadata))


def row_group_batches(
    source: Any, metadata: pq.FileMetaData, group: int, rows: int
) -> Iterator[pa.RecordBatch]:
    """Yield one row group of a Parquet file in batches of at most `rows`."""
    leaves = {metadata.schema.column(i).path for i in range(metadata.num_columns)}
    long = _long_words(source, metadata, [n for n in _ID_COLUMNS if n in leaves], group)
    repeated = [name for name in _REPEATED if name in leaves]
    file = pq.ParquetFile(source, metadata=metadata, read_dictionary=[*repeated, *long])
    yield from map(_plain_log, file.iter_batches(batch_size=rows, row_groups=[group]))


def _runs(
    source: Any, metadata: pq.FileMetaData, rows: int
) -> Iterator[tuple[list[int], list[str]]]:
    """Yield row groups to read together, and their columns with repeated long words."""
    leaves = {metadata.schema.column(i).path for i in range(metadata.num_columns)}
    names = [name for name in _ID_COLUMNS if name in leaves]
    groups: list[int] = []
    gathered, before = 0, list[str]()
    for number in range(metadata.num_row_groups):
        long = _long_words(source, metadata, names, number)
        if groups and (long != before or gathered >= 8 * rows):
            yield groups, before
            groups, gathered = [], 0
        groups.append(number)
        gathered, before = gathered + metadata.row_group(number).num_rows, long
    if groups:
        yield groups, before


def _long_words(source: Any, metadata: pq.FileMetaData, names: list[str], number: int) -> list[str]:
    """Return the columns of a row group with long words, each of which may occur in many rows.

    Column statistics of the footer are not read: a damaged footer would end the process.
    """
    group = metadata.row_group(number)
    if group.total_byte_size > _MAX_GROUP_BYTES + _LONG_ROW * group.num_rows:
        problem = "a column of the file has values of more than a thousand bytes"
        raise FileError(problem, fix="omit that column, or replace its values by hashes")
    long = []
    for name in names:
        file = pq.ParquetFile(source, metadata=metadata, read_dictionary=[name])
        batches = file.iter_batches(1, row_groups=[number], columns=[name], use_threads=False)
        first = next(batches, None)
        if first is not None and first.num_columns and _longest(first.column(0)) > LONG_WORD:
            long.append(name)
    return long


def _longest(column: pa.Array) -> int:
    """Return the bytes of the longest word of a dictionary; 0 for other types."""
    words = column.dictionary if pa.types.is_dictionary(column.type) else None
    if words is None or not (pa.types.is_string(words.type) or pa.types.is_binary(words.type)):
        return 0
    return int(pc.max(pc.binary_length(words)).as_py() or 0)


def _ipc(path: Path, kind: FileFormat, rows: int) -> Iterator[Part]:
    stream = InputFile(path, kind.codec)
    is_file = stream.read(len(_MAGIC)) == _MAGIC
    stream.close()
    if is_file and not kind.codec:
        with pa.memory_map(str(path)) as source:
            reader = pa.ipc.open_file(source)
            for i in range(reader.num_record_batches):
                yield from _slices(
                    reader.get_batch(i), rows, lambda i=i: (i + 1) / reader.num_record_batches
                )
        return
    stream = InputFile(path, kind.codec)
    if is_file:
        # The file format is the stream format between a magic word and a footer.
        stream.read(len(_MAGIC))
    for batch in pa.ipc.open_stream(stream.stream):
        yield from _slices(batch, rows, stream.progress)
    stream.close()


def _slices(batch: pa.RecordBatch, rows: int, progress: Any) -> Iterator[Part]:
    for start in range(0, batch.num_rows, rows):
        yield batch.slice(start, rows), progress()


def is_log(schema: pa.Schema) -> bool:
    """Return whether a table is a Wavebreak log; raises FileError for another version."""
    version = (schema.metadata or {}).get(events.SCHEMA_KEY)
    if version is None:
        return False
    lacking = [name for name in events.LATER_COLUMNS if name not in schema.names]
    expected = pa.schema([field for field in events.LOG_SCHEMA if field.name not in lacking])
    if version != events.LOG_SCHEMA.metadata[events.SCHEMA_KEY] or not schema.equals(expected):
        fix = "recreate it from its events with this version"
        raise FileError("the log is of another version of Wavebreak", fix=fix)
    return True


def check_log(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return a log batch with all columns; raises FileError for an invalid batch."""
    check_buffers(batch)
    if batch.num_columns < len(events.LOG_SCHEMA):
        columns = dict(zip(batch.schema.names, batch.columns, strict=True))
        all_columns = events.null_columns(log=True, rows=batch.num_rows) | columns
        batch = pa.RecordBatch.from_arrays(list(all_columns.values()), schema=events.LOG_SCHEMA)
    required = [batch.column(f.name) for f in events.LOG_SCHEMA if not f.nullable]
    top = pc.max(batch.column("type")).as_py()
    if any(c.null_count for c in required) or (top or 0) >= len(events.TYPES):
        raise FileError("the log is damaged", fix="recreate it from its events")
    return batch


BEGINNING = 4
"""Batches at a file's beginning that are read whole, before the samples."""
PARTS = 20
"""Samples of the rest; each ends where a twentieth of it does."""
ROWS = 2_000
"""Most events of a sample."""
WINDOW = ROWS << 8
"""Most bytes of a sample of lines: 256 an event."""
WALKED = 1 << 17
"""In a row group of at most so many rows a sample lies where its part ends, which decodes what is
before it; of a larger one the first rows are taken."""


def _part_ends(after: float) -> list[float]:
    """Return the ends of a file's parts, as shares of the file, after the share already read."""
    if after >= 1:
        return []
    return [after + (1 - after) * (k + 1) / PARTS for k in range(PARTS)]


def spread_lines(path: Path, kind: FileFormat, after: float) -> Iterator[LineBlock]:
    """Yield samples of a file of lines, or of a JSON array.

    Args:
        path: The file.
        kind: The format.
        after: The share of the file (0 to 1) from which on samples are taken.
    """
    ends = _part_ends(after)
    if kind == FileFormat("lines", None):
        yield from _lines_at(path, [after, *ends])
        return
    source = InputFile(path, kind.codec)
    try:
        stream = json_items(source) if kind.format == "json" else source
        while ends and (block := stream.read(WINDOW)):
            progress = source.progress()
            if progress >= ends[0]:
                ends = [end for end in ends if end > progress]
                yield from _whole_lines(block)
    finally:
        source.close()


def _lines_at(path: Path, bounds: list[float]) -> Iterator[LineBlock]:
    size = path.stat().st_size
    with path.open("rb") as file:
        for begin, end in pairwise(int(size * share) for share in bounds):
            begin = max(begin, end - WINDOW)
            file.seek(begin)
            yield from _whole_lines(file.read(end - begin))


def _whole_lines(block: bytes) -> Iterator[LineBlock]:
    """Yield the last whole lines of a block: between the first newline and the last."""
    begin, end = block.find(b"\n") + 1, block.rfind(b"\n") + 1
    if end > begin:
        lines = LineBlock.of(memoryview(block)[begin:end])
        yield lines.part(max(0, len(lines.ends) - ROWS), len(lines.ends))


def spread_columns(path: Path, kind: FileFormat, after: float) -> Iterator[pa.RecordBatch]:
    """Yield samples of a columnar file; of Parquet compressed once more, none.

    Args:
        path: The file.
        kind: The format.
        after: The share of the file (0 to 1) from which on samples are taken.

    Raises:
        FileError: The file is damaged.
    """
    ends = _part_ends(after)
    if kind == FileFormat("parquet", None):
        yield from _rows_at(path, kind, ends)
    elif kind.format != "parquet":
        for batch, progress in columnar_batches(path, kind, ROWS):
            if ends and progress >= ends[0]:
                ends = [end for end in ends if end > progress]
                yield batch


def _rows_at(path: Path, kind: FileFormat, ends: list[float]) -> Iterator[pa.RecordBatch]:
    with columnar_errors(path, kind), pa.memory_map(str(path)) as source:
        metadata = pq.read_metadata(source)
        sizes = [metadata.row_group(g).num_rows for g in range(metadata.num_row_groups)]
        row_ends = np.cumsum(sizes)
        for group, batch in dict.fromkeys(_place(sizes, row_ends, end) for end in ends):
            batches = row_group_batches(source, metadata, group, ROWS)
            yield from islice(batches, batch, batch + 1)


def _place(sizes: list[int], row_ends: np.ndarray, end: float) -> tuple[int, int]:
    """Return row group, and batch within the group, of the sample that ends at a share of rows."""
    row = max(0, int(row_ends[-1] * end) - ROWS)
    group = int(np.searchsorted(row_ends, row, "right"))
    offset = row - int(row_ends[group] - sizes[group])
    return group, offset // ROWS if sizes[group] <= WALKED else 0
