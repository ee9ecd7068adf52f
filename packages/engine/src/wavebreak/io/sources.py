"""Sources: a name as a file of events, or as a table with a mapping.

A table's mapping is declared: in Python, on the command line, or in `NAME.mapping.toml` beside the
table. Without a mapping one is guessed; an uncertain guess is settled by a person or refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from collections.abc import Mapping as Declared
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from wavebreak.errors import FileError, UsageError
from wavebreak.io import readers, table_readers, tables, writers
from wavebreak.io.conversion import Conversion
from wavebreak.io.mapping import Mapping, Proposal, encode_mapping, load_mapping
from wavebreak.privacy.names import Names
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.schema import coverage
from wavebreak.schema.events import LOG_SCHEMA, TYPES

Choose = Callable[[tables.Table, Proposal], Mapping]


def open_source(
    source: Path | str | tables.Table,
    mapping: Mapping | None = None,
    declared: Declared[str, Any] | None = None,
    choose: Choose | None = None,
) -> Path | str | tables.Table:
    """Return a file of events (a path or `-`), or a table with a mapping.

    Args:
        source: A file, a directory with one `events.*`, `-`, or a table.
        mapping: How a table is read; a file of events with one is read as a table.
        declared: Attributes of Mapping that are declared; the others are guessed.
        choose: Settles a guess that is not certain (None: raise an error).

    Raises:
        UsageError: The mapping does not fit, or is not certain.
        FileError: The file is absent, or of an unknown format.
    """
    declared = {name: value for name, value in (declared or {}).items() if value}
    if isinstance(source, tables.Table):
        return source
    if str(source) == "-":
        if mapping or declared:
            raise UsageError(
                "standard input is events, not a table", fix="write it to a file first"
            )
        return "-"
    path = readers.events_file(Path(source))
    table = tables.Table(path, mapping)
    if table.is_database or mapping is not None:
        return table
    sidecar = mapping_path(path)
    if not declared and sidecar.exists():
        return tables.Table(path, load_mapping(sidecar))
    if not declared and not table_readers.is_csv(path) and has_events(path):
        return Path(source)
    return tables.Table(path, (choose or require_certain)(table, table.guess(**declared)))


def mapping_path(path: Path) -> Path:
    """Return where a table's mapping is kept.

    >>> mapping_path(Path("in/chats.csv.gz")).name
    'chats.mapping.toml'
    """
    return path.with_name(f"{path.name.partition('.')[0]}.mapping.toml")


def has_events(path: Path) -> bool:
    """Whether a file holds events as they are: known types, with a time or an account.

    Raises:
        FileError: The file cannot be read, or the name gives no format.
    """
    kind = readers.file_format(path)
    if kind.format not in ("lines", "json") and is_log_file(path, kind):
        return True
    names, rows = table_readers.sample_rows(path)
    types = [row[names.index("type")] for row in rows] if "type" in names else []
    event_count = sum(isinstance(name, str) and name in TYPES for name in types)
    # A file without a readable row is refused by whoever reads all of it, row by row.
    return not rows or (2 * event_count > len(rows) and not {"ts", "account"}.isdisjoint(names))


def is_log_file(path: Path, kind: readers.FileFormat) -> bool:
    """Whether a columnar file is a log of Wavebreak, with codes and pseudonyms."""
    if kind == readers.FileFormat("parquet", None):
        with readers.columnar_errors(path, kind):
            return readers.is_log(pq.read_schema(path))
    first = next((batch for batch, _ in readers.columnar_batches(path, kind, 1)), None)
    return first is None or readers.is_log(first.schema)


def require_certain(table: tables.Table, proposal: Proposal) -> Mapping:
    """Return a proposed mapping without unsure parts.

    Raises:
        UsageError: The mapping is unsure; the fix names the missing declarations.
    """
    name = table.path or table.name
    if proposal.mapping is None:
        raise unmapped(table, proposal)
    if proposal.unsure:
        raise UsageError(
            f"how {name} is to be read is not certain: {'; '.join(proposal.unsure)}",
            fix=f"say it, or write {mapping_path(Path(name)).name} beside it:\n"
            f"{encode_mapping(proposal.mapping)}",
        )
    return proposal.mapping


def unmapped(table: tables.Table, proposal: Proposal) -> UsageError | FileError:
    """Return the error for a table in which no time or no sender was recognized."""
    if not table.first_rows(1)[1]:
        return FileError(f"{table.path or table.name} has no rows", fix="give a table with events")
    missing = [f"`{name}`" if name in ("ts", "account") else name for name in proposal.missing]
    return tables.lacks_fields(table.path or Path(table.name), missing, table.names)


def preview(
    table: tables.Table, mapping: Mapping, rows: int = 2_000
) -> tuple[pa.Table, Conversion]:
    """Return how a table's first rows are read with a mapping, and which are refused.

    Args:
        table: The table.
        mapping: The mapping.
        rows: Rows that are tried.
    """
    names, values = table.first_rows(rows)
    columns = {name: [row[k] for row in values] for k, name in enumerate(names)}
    head = tables.Table(
        {name: table_readers.column_of_values(v) for name, v in columns.items()}, mapping
    )
    conversion = head.load()
    batches = [batch for batch, _ in head.wire_batches()]
    return (pa.Table.from_batches(batches) if batches else pa.table({})), conversion


PERSONAL = frozenset(("phone", "ip", "device", "origin"))
"""Fields that never reach the disk as they are."""


def write_table(table: tables.Table, out: Path, key: bytes) -> int:
    """Write a table's events and a profile as files; returns the number of events.

    A table with phone numbers, addresses or devices is written as a log, which has pseudonyms in
    their place, and accounts that are phone numbers get pseudonyms too.

    Args:
        table: The table.
        out: The file, with a name that gives the format, or a directory for `events.parquet`.
        key: The secret key of pseudonyms.

    Raises:
        UsageError: The table has personal fields, and the format cannot hold a log.
        FileError: The file cannot be written.
    """
    if out.is_dir() or not out.suffix:
        out.mkdir(parents=True, exist_ok=True)
        out = out / "events.parquet"
    personal = table.mapping.numbers or PERSONAL & table.mapping.columns.keys()
    if personal and readers.file_format(out).format in ("lines", "json"):
        raise UsageError(
            "phone numbers, addresses and devices are not written as they are",
            fix=f"give {out.with_suffix('.parquet').name}, which has pseudonyms in their place",
        )
    edge = Pseudonymizer(key)
    names = Names(key) if table.mapping.numbers else None

    def logs() -> Iterator[pa.RecordBatch]:
        for wire, rows in table.wire_batches():
            log = edge.split(wire, rows.to_numpy())[0]
            yield names.replace(log) if names else log

    if personal:
        events = writers.write(out, logs(), LOG_SCHEMA)
    else:
        events = writers.write(out, (wire for wire, _ in table.wire_batches()))
    coverage.save(coverage.measure(logs()), coverage.sidecar_path(out))
    return events
