"""Samples spread over a file: what it carries is learned without reading all of it.

A file that can be entered anywhere (plain JSON Lines, Parquet, an Arrow file) is read at a number
of places only. A stream (compressed lines, a JSON array, an Arrow stream) has to be unpacked as far
as its end, but only the samples are decoded. The places depend on the file alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from wavebreak.io import readers
from wavebreak.io.line_splitter import LineBlock

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
    """Return where the parts of a file end, as shares of it, after the share already read."""
    if after >= 1:
        return []
    return [after + (1 - after) * (k + 1) / PARTS for k in range(PARTS)]


def spread_lines(path: Path, kind: readers.FileFormat, after: float) -> Iterator[LineBlock]:
    """Yield samples of a file of lines, or of a JSON array.

    Args:
        path: The file.
        kind: Its format.
        after: The share of the file (0 to 1) from which on samples are taken.
    """
    ends = _part_ends(after)
    if kind == readers.FileFormat("lines", None):
        yield from _lines_at(path, [after, *ends])
        return
    source = readers.InputFile(path, kind.codec)
    try:
        stream = readers.json_items(source) if kind.format == "json" else source
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
    """Yield the last lines of a block that are whole: between its first newline and its last."""
    begin, end = block.find(b"\n") + 1, block.rfind(b"\n") + 1
    if end > begin:
        lines = LineBlock.of(memoryview(block)[begin:end])
        yield lines.part(max(0, len(lines.ends) - ROWS), len(lines.ends))


def spread_columns(path: Path, kind: readers.FileFormat, after: float) -> Iterator[pa.RecordBatch]:
    """Yield samples of a columnar file; of Parquet compressed once more, none.

    Args:
        path: The file.
        kind: Its format.
        after: The share of the file (0 to 1) from which on samples are taken.

    Raises:
        FileError: The file is damaged.
    """
    ends = _part_ends(after)
    if kind == readers.FileFormat("parquet", None):
        yield from _rows_at(path, kind, ends)
    elif kind.format != "parquet":
        for batch, progress in readers.columnar_batches(path, kind, ROWS):
            if ends and progress >= ends[0]:
                ends = [end for end in ends if end > progress]
                yield batch


def _rows_at(path: Path, kind: readers.FileFormat, ends: list[float]) -> Iterator[pa.RecordBatch]:
    with readers.columnar_errors(path, kind), pa.memory_map(str(path)) as source:
        metadata = pq.read_metadata(source)
        sizes = [metadata.row_group(g).num_rows for g in range(metadata.num_row_groups)]
        row_ends = np.cumsum(sizes)
        for group, batch in dict.fromkeys(_place(sizes, row_ends, end) for end in ends):
            batches = readers.row_group_batches(source, metadata, group, ROWS)
            yield from islice(batches, batch, batch + 1)


def _place(sizes: list[int], row_ends: np.ndarray, end: float) -> tuple[int, int]:
    """Return row group, and batch within it, of the sample that ends at a share of the rows."""
    row = max(0, int(row_ends[-1] * end) - ROWS)
    group = int(np.searchsorted(row_ends, row, "right"))
    offset = row - int(row_ends[group] - sizes[group])
    return group, offset // ROWS if sizes[group] <= WALKED else 0
