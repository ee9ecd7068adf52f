"""What can be assessed: events, a CSV trace, or a chat server's database, under pseudonyms.

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
import pyarrow.compute as pc

from wavebreak import io
from wavebreak.durations import DAY_MS
from wavebreak.errors import FileError, UsageError
from wavebreak.io import Batch, chat_servers, csv_import
from wavebreak.io.readers import events_file, file_format
from wavebreak.privacy.pseudonymizer import SERVER, Pseudonymizer, pseudonyms
from wavebreak.schema import coverage
from wavebreak.schema.events import LOG_SCHEMA, TYPES

NAMED = {"account": "a-", "peer": "a-", "group": "g-", "business": "b-"}
"""Columns of the log that name somebody, and how their pseudonyms begin."""
DIGITS = 12
"""Hexadecimal digits of a pseudonym."""
SHOWN_REFUSALS = 5
KINDS = (
    "a file of events, a CSV (.csv, .csv.gz), or the SQLite database of a Synapse, Prosody or "
    "ejabberd"
)
_TYPES = {kind: kind for kind in TYPES} | {
    foreign: own for preset in csv_import.PRESETS.values() for foreign, own in preset.types.items()
}
"""Types of a CSV for which nothing else is said: the contract's own, and those of known traces."""


@dataclass(frozen=True)
class CsvOptions:
    """How a CSV is read: a preset's name, or headings, types and unit; all empty: by its header."""

    preset: str = ""
    columns: dict[str, str] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    unit: str = "s"


@dataclass
class Reading:
    """What was read.

    Attributes:
        kind: What the source is, in words.
        rows: Events or rows that were read.
        refused: Of these, those that are no valid event, by cause.
        examples: What the first of these lack, each with its line; never a value.
        days: Events by day (days since 1970, UTC).
        first_ms: When the first event was; None where there is none.
        last_ms: When the last one was.
    """

    kind: str
    rows: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    days: Counter[int] = field(default_factory=Counter)
    first_ms: int | None = None
    last_ms: int | None = None

    @property
    def accepted(self) -> int:
        """How many events were taken."""
        return self.days.total()


class Names:
    """Pseudonyms of accounts, groups and businesses, and whose they are: in memory alone."""

    def __init__(self, key: bytes) -> None:
        self._of = {name: pseudonyms(key, f"assess {name}") for name in ("a-", "g-", "b-")}
        self._known: dict[tuple[str, str], str] = {}

    def pseudonym(self, name: str, start: str = "a-") -> str:
        """Return the pseudonym of a name; one key gives the same one in every assessment."""
        if name.startswith(SERVER):
            return name
        known = self._known.get((start, name))
        if known is None:
            known = self._known[start, name] = start + self._of[start](name)[:DIGITS]
        return known

    def accounts(self) -> Iterator[tuple[str, str]]:
        """Yield each account's pseudonym and name."""
        return ((known, name) for (start, name), known in self._known.items() if start == "a-")

    def replace(self, log: pa.RecordBatch) -> pa.RecordBatch:
        """Return a log batch with pseudonyms in place of names."""
        for column, start in NAMED.items():
            at = log.schema.get_field_index(column)
            encoded = pc.dictionary_encode(log.column(at))
            words = [w and self.pseudonym(w, start) for w in encoded.dictionary.to_pylist()]
            values = pa.array(words, pa.string()).take(encoded.indices)
            log = log.set_column(at, log.schema.field(at), values)
        return log


def store_log(
    source: Path | str,
    log: Path,
    names: Names,
    edge: Pseudonymizer,
    options: CsvOptions,
    progress: Callable[[float], None],
) -> Reading:
    """Read a source and write it as a log under pseudonyms, with its profile beside it.

    Args:
        source: A file or directory of events, a CSV, a server's database, or - for JSON Lines.
        log: The file of Arrow to write.
        names: Makes the pseudonyms.
        edge: Replaces phone numbers, addresses and devices.
        options: How a CSV is read.
        progress: Called with the share that was read.

    Raises:
        UsageError: The source is of no kind that is known, or the options do not fit it.
        FileError: It cannot be read, or holds no valid event.
    """
    reading, batches = _open(source, edge, options)
    options_of_file = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_file(log, LOG_SCHEMA, options=options_of_file) as writer:

        def stored() -> Iterator[pa.RecordBatch]:
            for batch in batches:
                _count(reading, batch)
                progress(batch.progress)
                named = names.replace(batch.log)
                if named.num_rows:
                    writer.write_batch(named)
                yield named

        profile = coverage.measure(stored())
    if not reading.accepted:
        raise _nothing_valid(source, reading)
    known = _known_profile(source)
    coverage.save(known or profile, coverage.sidecar_path(log))
    return reading


def _open(
    source: Path | str, edge: Pseudonymizer, options: CsvOptions
) -> tuple[Reading, Iterator[Batch]]:
    path = Path(source)
    if str(source) != "-" and not path.exists():
        raise FileError(f"{path}: no such file", fix=f"give {KINDS}, or - for JSON Lines")
    if chat_servers.is_database(path):
        reading = Reading(f"the database of {chat_servers.title_of(chat_servers.server_of(path))}")
        counts = csv_import.Counts()
        return reading, _counted(chat_servers.read_database(path, counts), counts, reading, edge)
    if ".csv" in path.suffixes[-2:]:
        reading, counts = Reading("a CSV trace"), csv_import.Counts()
        return reading, _counted(_csv(path, options, counts), counts, reading, edge)
    if options != CsvOptions():
        raise UsageError(f"{path} is no CSV", fix="drop --preset, --columns, --types and --unit")
    try:
        if str(source) != "-":
            file_format(events_file(path))
    except FileError as error:
        fix = f"give {KINDS}; `wavebreak assess --query synapse` prints what exports a CSV"
        raise FileError(error.what, fix=fix) from None
    return Reading("a file of events"), io.read(source, edge)


def _csv(
    path: Path, options: CsvOptions, counts: csv_import.Counts
) -> Iterator[pa.RecordBatch]:  # fmt: skip
    if options.preset:
        known = csv_import.preset(options.preset)
        return csv_import.read_csv(
            path, types=known.types, unit=known.unit, several=known.several, counts=counts
        )
    return csv_import.read_csv(
        path, types=options.types or _TYPES, columns=options.columns or None, unit=options.unit,
        counts=counts,
    )  # fmt: skip


def _counted(
    wire: Iterator[pa.RecordBatch], counts: csv_import.Counts, reading: Reading, edge: Pseudonymizer
) -> Iterator[Batch]:
    """Yield wire batches as a file's; rows that were dropped count as refused."""
    for batch in wire:
        log, refused = edge.split(batch)
        share = (counts.events / counts.rows) if counts.rows else 1.0
        yield Batch(log, refused, batch.num_rows, min(share, 1.0))
    reading.refused.update(counts.dropped)
    reading.rows += sum(counts.dropped.values())


def _count(reading: Reading, batch: Batch) -> None:
    reading.rows += batch.read
    for refusal in batch.refused:
        reading.refused[refusal.cause] += 1
        if len(reading.examples) < SHOWN_REFUSALS:
            reading.examples.append(refusal.message)
    ts: Any = batch.log.column("ts").to_numpy()
    if not ts.size:
        return
    first, last = int(ts.min()), int(ts.max())
    reading.first_ms = first if reading.first_ms is None else min(reading.first_ms, first)
    reading.last_ms = last if reading.last_ms is None else max(reading.last_ms, last)
    days, counts = np.unique(ts // DAY_MS, return_counts=True)
    reading.days.update(dict(zip(days.tolist(), counts.tolist(), strict=True)))


def _known_profile(source: Path | str) -> coverage.Profile | None:
    """Return the profile that stands beside a file of events, if there is one."""
    path = Path(source)
    if str(source) == "-" or not (path.is_dir() or ".csv" not in path.suffixes[-2:]):
        return None
    if chat_servers.is_database(path):
        return None
    beside = coverage.sidecar_path(events_file(path))
    return coverage.load(beside) if beside.exists() else None


def _nothing_valid(source: Path | str, reading: Reading) -> FileError:
    if not reading.rows:
        return FileError(f"{source} holds no event", fix=f"give {KINDS}")
    causes = ", ".join(
        f"{cause.replace('_', ' ')} ({count:,})" for cause, count in reading.refused.most_common(3)
    )
    first = f"; first: {reading.examples[0]}" if reading.examples else ""
    return FileError(
        f"none of the {reading.rows:,} rows of {source} is a valid event: {causes}{first}",
        fix="write events by the schema wavebreak/policy/event.schema.json; of a CSV, name its "
        "headings, types and unit with --columns, --types and --unit",
    )
