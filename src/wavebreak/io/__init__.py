"""Readers and writers of event files: JSON Lines, JSON arrays, Parquet, Arrow IPC, CSV import."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from wavebreak.errors import UsageError
from wavebreak.io.jsonl import decode_lines
from wavebreak.io.readers import (
    InputFile,
    StandardInput,
    check_log,
    columnar_batches,
    events_file,
    file_format,
    is_log,
    json_items,
    line_blocks,
)
from wavebreak.io.validation import ValidatedBatch, validate_columns
from wavebreak.io.writers import write
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.schema.events import Refusal

__all__ = ["Batch", "events_file", "read", "write"]


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch of events of a file, in order.

    `log` contains the accepted events (LOG_SCHEMA), `refused` the reasons for the others; `read`
    counts both, `progress` is the share of the file that was read (0 to 1; 0 for standard input).
    """

    log: pa.RecordBatch
    refused: list[Refusal] = field(default_factory=list)
    read: int = 0
    progress: float = 0.0


def read(
    source: Path | str, pseudonymizer: Pseudonymizer, *, batch: int = 50_000
) -> Iterator[Batch]:
    """Read, validate and pseudonymize events.

    Args:
        source: A file whose name gives its format, a directory with one `events.*`, or `-` for JSON
            Lines on standard input.
        pseudonymizer: Pseudonymizes the events.
        batch: Events per batch at most.

    Yields:
        Batches in file order. An invalid event is refused and reading continues.

    Raises:
        FileError: The file cannot be read further.
        UsageError: `batch` is less than 1.

    """
    if batch < 1:
        raise UsageError("the batch size is less than 1", fix="give 1 or more")
    if str(source) == "-":
        yield from _read_lines(StandardInput(), "lines", pseudonymizer, batch)
        return
    path = events_file(Path(source))
    kind = file_format(path)
    if kind.format in ("lines", "json"):
        yield from _read_lines(InputFile(path, kind.codec), kind.format, pseudonymizer, batch)
        return
    first = 1
    for table, progress in columnar_batches(path, kind, batch):
        if is_log(table.schema):
            yield Batch(check_log(table), [], table.num_rows, progress)
        else:
            yield _pseudonymize(
                validate_columns(table, first), pseudonymizer, table.num_rows, progress
            )
        first += table.num_rows


def _read_lines(
    source: InputFile | StandardInput, form: str, pseudonymizer: Pseudonymizer, limit: int
) -> Iterator[Batch]:
    try:
        stream = json_items(source) if form == "json" else source
        for piece in line_blocks(stream, limit):
            taken, count = decode_lines(piece)
            if count:
                yield _pseudonymize(taken, pseudonymizer, count, source.progress())
    finally:
        source.close()


def _pseudonymize(
    taken: ValidatedBatch, pseudonymizer: Pseudonymizer, count: int, progress: float
) -> Batch:
    log, unparsed = pseudonymizer.split(taken.wire, taken.lines)
    refused = taken.refused
    if unparsed:
        refused = sorted(refused + unparsed, key=lambda r: r.line)
    return Batch(log, refused, count, progress)
