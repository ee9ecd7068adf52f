"""Events in and out of files: JSON Lines, JSON arrays, Parquet and Arrow IPC, compressed or not."""

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
    """Some events of a file, in its order.

    `log` holds those that were taken (LOG_SCHEMA), `refused` why the others were not; `read` counts
    both, `progress` is the share of the file behind us (0 to 1; 0 for standard input).
    """

    log: pa.RecordBatch
    refused: list[Refusal] = field(default_factory=list)
    read: int = 0
    progress: float = 0.0


def read(source: Path | str, edge: Pseudonymizer, *, batch: int = 50_000) -> Iterator[Batch]:
    """Read events and take them over the privacy edge, at most `batch` at a time.

    `source` is a file whose name tells its format, a directory that holds one `events.*`, or `-`
    for JSON Lines on standard input. A broken event is refused and reading goes on; raises
    FileError where the file itself cannot be read on, UsageError for a batch under 1.
    """
    if batch < 1:
        raise UsageError("a batch holds at least one event", fix="give 1 or more")
    if str(source) == "-":
        yield from _read_lines(StandardInput(), "lines", edge, batch)
        return
    path = events_file(Path(source))
    kind = file_format(path)
    if kind.format in ("lines", "json"):
        yield from _read_lines(InputFile(path, kind.codec), kind.format, edge, batch)
        return
    first = 1
    for table, progress in columnar_batches(path, kind, batch):
        if is_log(table.schema):
            yield Batch(check_log(table), [], table.num_rows, progress)
        else:
            yield _over_edge(validate_columns(table, first), edge, table.num_rows, progress)
        first += table.num_rows


def _read_lines(
    source: InputFile | StandardInput, form: str, edge: Pseudonymizer, limit: int
) -> Iterator[Batch]:
    try:
        stream = json_items(source) if form == "json" else source
        for piece in line_blocks(stream, limit):
            taken, count = decode_lines(piece)
            if count:
                yield _over_edge(taken, edge, count, source.progress())
    finally:
        source.close()


def _over_edge(taken: ValidatedBatch, edge: Pseudonymizer, count: int, progress: float) -> Batch:
    log, unparsed = edge.split(taken.wire, taken.lines)
    refused = taken.refused
    if unparsed:
        refused = sorted(refused + unparsed, key=lambda r: r.line)
    return Batch(log, refused, count, progress)
