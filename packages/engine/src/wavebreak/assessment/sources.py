"""Sources of an assessment, under pseudonyms.

Whatever is given is written once, as a log in a private directory, with a pseudonym in place of
every account, group and business. So no name reaches the disk, and none can reach the page.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from wavebreak import io
from wavebreak.durations import DAY_MS
from wavebreak.errors import FileError
from wavebreak.io import Batch, Source, Table, events_file, table_readers
from wavebreak.privacy.names import Names
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.schema import coverage
from wavebreak.schema.events import LOG_SCHEMA

SHOWN_REFUSALS = 5


@dataclass
class Reading:
    """Counts of the data.

    Attributes:
        kind: The kind of source, in words.
        rows: Events or rows that were read.
        refused: Invalid ones among these, by cause.
        examples: The faults of the first of these, with the line; never a value.
        days: Events by day (days since 1970, UTC).
        first_ms: When the first event was; None where there is none.
        last_ms: When the last one was.
        notes: Remarks for the reader, such as merged spellings of a number.
    """

    kind: str
    rows: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    days: Counter[int] = field(default_factory=Counter)
    first_ms: int | None = None
    last_ms: int | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def accepted(self) -> int:
        """How many events were taken."""
        return self.days.total()


def store_log(
    source: Source,
    log: Path,
    names: Names,
    edge: Pseudonymizer,
    progress: Callable[[float], None],
) -> Reading:
    """Convert a source to a log under pseudonyms, with a profile beside the log.

    Args:
        source: A file of events, or a table with a mapping.
        log: The file of Arrow to write.
        names: Makes the pseudonyms.
        edge: Replaces phone numbers, addresses and devices.
        progress: Called with the share that was read.

    Raises:
        UsageError: The table lacks a column of the mapping.
        FileError: The source cannot be read, or holds no valid event.
    """
    reading = Reading(_kind(source))
    if isinstance(source, Table):
        reading.notes += source.load(lambda share: progress(share / 2)).notes
    options_of_file = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_file(log, LOG_SCHEMA, options=options_of_file) as writer:

        def stored() -> Iterator[pa.RecordBatch]:
            for batch in io.read(source, edge, names=names):
                _count(reading, batch)
                progress(batch.progress)
                if batch.log.num_rows:
                    writer.write_batch(batch.log)
                yield batch.log

        profile = coverage.measure(stored())
    if not reading.accepted:
        raise _nothing_valid(source, reading)
    coverage.save(_known_profile(source) or profile, coverage.sidecar_path(log))
    reading.notes += names.notes()
    return reading


def _kind(source: Source) -> str:
    if not isinstance(source, Table):
        return "a file of events"
    if source.is_database and source.path:
        return f"the database of {table_readers.title_of(table_readers.server_of(source.path))}"
    return "a table"


def _count(reading: Reading, batch: Batch) -> None:
    reading.rows += batch.read
    reading.refused.update(batch.causes)
    room = max(0, SHOWN_REFUSALS - len(reading.examples))
    reading.examples += [refusal.message for refusal in batch.refused[:room]]
    ts: Any = batch.log.column("ts").to_numpy()
    if not ts.size:
        return
    first, last = int(ts.min()), int(ts.max())
    reading.first_ms = first if reading.first_ms is None else min(reading.first_ms, first)
    reading.last_ms = last if reading.last_ms is None else max(reading.last_ms, last)
    days, counts = np.unique(ts // DAY_MS, return_counts=True)
    reading.days.update(dict(zip(days.tolist(), counts.tolist(), strict=True)))


def _known_profile(source: Source) -> coverage.Profile | None:
    """Return the profile that stands beside a file of events, if there is one."""
    if isinstance(source, Table) or str(source) == "-":
        return None
    sidecar = coverage.sidecar_path(events_file(Path(source)))
    return coverage.load(sidecar) if sidecar.exists() else None


def _nothing_valid(source: Source, reading: Reading) -> FileError:
    name = (source.path or source.name) if isinstance(source, Table) else source
    if not reading.rows:
        return FileError(f"{name} holds no event", fix="give a file with events, or a table")
    causes = ", ".join(
        f"{cause.replace('_', ' ')} ({count:,})" for cause, count in reading.refused.most_common(3)
    )
    first = f"; first: {reading.examples[0]}" if reading.examples else ""
    return FileError(
        f"none of the {reading.rows:,} rows of {name} is a valid event: {causes}{first}",
        fix="write events by the schema wavebreak/policy/event.schema.json, or say how the table "
        "is read with --columns, --types and --time",
    )
