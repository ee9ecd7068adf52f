"""Readers and writers of events: files of events as they are, and tables through a mapping."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import pyarrow as pa

from wavebreak.errors import FileError, UsageError
from wavebreak.io.jsonl import decode_lines
from wavebreak.io.line_splitter import LineBlock
from wavebreak.io.mapping import Mapping
from wavebreak.io.readers import (
    BEGINNING,
    InputFile,
    StandardInput,
    check_log,
    columnar_batches,
    events_file,
    file_format,
    is_log,
    json_items,
    line_blocks,
    spread_columns,
    spread_lines,
)
from wavebreak.io.sources import open_source, write_table
from wavebreak.io.tables import Table
from wavebreak.io.validation import ValidatedBatch, validate_columns
from wavebreak.io.writers import write
from wavebreak.privacy.names import Names
from wavebreak.privacy.pseudonymizer import Pseudonymizer, with_all_columns
from wavebreak.schema.events import Refusal

__all__ = [
    "Batch",
    "Mapping",
    "Source",
    "Table",
    "decode",
    "events_file",
    "open_source",
    "read",
    "sample",
    "write",
    "write_table",
]


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch of events of a file, in order.

    `log` contains the accepted events (LOG_SCHEMA), `refused` the reasons for the others; `read`
    counts both, `progress` is the share of the file that was read (0 to 1; 0 for standard input).
    `causes` counts the refused ones, where `refused` has the first of them alone.
    """

    log: pa.RecordBatch
    refused: list[Refusal] = field(default_factory=list)
    read: int = 0
    progress: float = 0.0
    causes: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        """Count the refused events by cause, unless counts were given."""
        if not self.causes:
            self.causes.update(refusal.cause for refusal in self.refused)


Source = Path | str | Table
"""A file of events, a directory with one, `-`, or a table with its mapping."""


def read(
    source: Source, pseudonymizer: Pseudonymizer, *, batch: int = 50_000, names: Names | None = None
) -> Iterator[Batch]:
    """Read, validate and pseudonymize events.

    Args:
        source: A file whose name gives its format, a directory with one `events.*`, `-` for JSON
            Lines on standard input, or a table.
        pseudonymizer: Pseudonymizes the events.
        batch: Events per batch at most.
        names: Replaces accounts, groups and businesses too. Without it, accounts of a table that
            are phone numbers get pseudonyms all the same: no number reaches the disk.

    Yields:
        Batches in file order. An invalid event is refused and reading continues.

    Raises:
        FileError: The file cannot be read further.
        UsageError: `batch` is less than 1.
    """
    if batch < 1:
        raise UsageError("the batch size is less than 1", fix="give 1 or more")
    if names is None and isinstance(source, Table) and source.mapping.numbers:
        names = Names(pseudonymizer.secret)
    for part in _batches(source, pseudonymizer, batch):
        yield replace(part, log=names.replace(part.log)) if names else part


def _batches(source: Source, pseudonymizer: Pseudonymizer, batch: int) -> Iterator[Batch]:
    if isinstance(source, Table):
        yield from _read_table(source, pseudonymizer, batch)
        return
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


def decode(lines: bytes, pseudonymizer: Pseudonymizer) -> Batch:
    """Validate and pseudonymize events of JSON Lines that are in memory."""
    validated, count = decode_lines(LineBlock.of(lines))
    return _pseudonymize(validated, pseudonymizer, count, 1.0)


def _read_table(table: Table, pseudonymizer: Pseudonymizer, rows: int) -> Iterator[Batch]:
    """Yield a table's events in the order of their times; the first batch has the refused rows."""
    conversion = table.load()
    refusals, causes = conversion.refused, Counter(conversion.causes)
    row_count, total = causes.total(), max(conversion.rows, 1)
    accepted = 0
    for wire, numbers in table.wire_batches(rows):
        log, unparsed = pseudonymizer.split(wire, numbers.to_numpy())
        accepted += wire.num_rows
        causes.update(refusal.cause for refusal in unparsed)
        yield Batch(
            log, [*refusals, *unparsed], wire.num_rows + row_count, accepted / total, causes
        )
        refusals, causes, row_count = [], Counter(), 0
    if row_count:
        yield Batch(
            with_all_columns(pa.RecordBatch.from_pydict({})), refusals, row_count, 1.0, causes
        )


def sample(source: Source, pseudonymizer: Pseudonymizer) -> Iterator[pa.RecordBatch]:
    """Read a file's beginning and samples spread over the rest of it, a bounded number of events.

    The samples depend on the file alone. See `io.sampling` for how many there are.

    Args:
        source: A file whose name gives its format, or a directory with one `events.*`.
        pseudonymizer: Pseudonymizes the events.

    Yields:
        The accepted events of each sample (LOG_SCHEMA), in file order.

    Raises:
        FileError: The file cannot be read.
    """
    if isinstance(source, Table):
        yield from (batch.log for batch in _read_table(source, pseudonymizer, 50_000))
        return
    progress = 0.0
    for batch in islice(read(source, pseudonymizer), BEGINNING):
        progress = batch.progress
        yield batch.log
    path = events_file(Path(source))
    kind = file_format(path)
    # Where the file is damaged further on, whoever reads all of it reports it.
    with suppress(FileError):
        if kind.format in ("lines", "json"):
            for piece in spread_lines(path, kind, progress):
                validated, count = decode_lines(piece)
                yield _pseudonymize(validated, pseudonymizer, count, 1.0).log
            return
        for table in spread_columns(path, kind, progress):
            if is_log(table.schema):
                yield check_log(table)
            else:
                validated = validate_columns(table, 1)
                yield _pseudonymize(validated, pseudonymizer, table.num_rows, 1.0).log


def _read_lines(
    source: InputFile | StandardInput, form: str, pseudonymizer: Pseudonymizer, limit: int
) -> Iterator[Batch]:
    try:
        stream = json_items(source) if form == "json" else source
        for piece in line_blocks(stream, limit):
            validated, count = decode_lines(piece)
            if count:
                yield _pseudonymize(validated, pseudonymizer, count, source.progress())
    finally:
        source.close()


def _pseudonymize(
    validated: ValidatedBatch, pseudonymizer: Pseudonymizer, count: int, progress: float
) -> Batch:
    log, unparsed = pseudonymizer.split(validated.wire, validated.lines)
    refusals = validated.refused
    if unparsed:
        refusals = sorted(refusals + unparsed, key=lambda r: r.line)
    return Batch(log, refusals, count, progress)
