"""Tables: any table as events, through a mapping, with the same rules for every format.

A table is a file (CSV, JSON Lines, a JSON array, Parquet, Arrow), the database of a chat server, or
an object with Arrow's PyCapsule interface. Rows are read as a stream and kept in a compact form
(about 60 bytes a row), because events are decided in the order of their times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from wavebreak.errors import UsageError
from wavebreak.io import table_readers
from wavebreak.io.conversion import Conversion, convert_rows
from wavebreak.io.field_limits import LIMITS
from wavebreak.io.mapping import (
    ISO,
    MAX_HEADING,
    MAX_HEADINGS,
    Mapping,
    Proposal,
    guess_columns,
    guess_mapping,
    identity_mapping,
)
from wavebreak.io.table_readers import SAMPLE_ROWS, Chunk
from wavebreak.privacy.phone_numbers import Spellings
from wavebreak.schema.distinct_values import encode_distinct
from wavebreak.schema.events import WIRE_SCHEMA

BATCH_ROWS = 50_000
ROW = "row"
"""Column of the compact form with the number of each row."""
_MERGED = ("type", "account", "ts", "peer")


class Table:
    """A table whose rows are events through a mapping.

    Args:
        data: A file, or an object with `__arrow_c_stream__` (pandas, polars, DuckDB, pyarrow), a
            list of dicts, or a dict of columns.
        mapping: The mapping (None: the columns have the names of the event schema).
        name: Prefix of the ids of events, if no column gives ids (default: the file's name).

    Raises:
        UsageError: The object is no table.
        FileError: The file cannot be read.
    """

    def __init__(self, data: Any, mapping: Mapping | None = None, name: str = "") -> None:
        self.path = Path(data) if isinstance(data, str | Path) else None
        self.name = name or (self.path.name.partition(".")[0] if self.path else "table")
        self._data = None if self.path else table_readers.table_of(data)
        self._conversion: Conversion | None = None
        self._compact: pa.Table | None = None
        self.is_database = bool(self.path and table_readers.is_database(self.path))
        self._mapping = mapping

    @cached_property
    def mapping(self) -> Mapping:
        """The mapping; columns with the names of the event schema need none."""
        if self._mapping is not None:
            return self._mapping
        if self.is_database:
            return identity_mapping(self._database_columns, time="s")
        return identity_mapping(self.names, **({"time": ISO} if self._has_text_times() else {}))

    def _has_text_times(self) -> bool:
        """Whether the column `ts` of a table in memory holds texts."""
        if self._data is None or "ts" not in self._data.schema.names:
            return False
        kind = self._data.schema.field("ts").type
        return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))

    @cached_property
    def names(self) -> list[str]:
        """The table's headings; members of structures as `a.b`."""
        if self._data is not None:
            return table_readers.flat_names(self._data.schema)
        return self._sample[0]

    @cached_property
    def _database_columns(self) -> dict[str, pa.Array]:
        assert self.path is not None  # noqa: S101
        return table_readers.read_columns(self.path)

    @cached_property
    def _sample(self) -> tuple[list[str], list[list[Any]]]:
        return self.first_rows(SAMPLE_ROWS)

    def first_rows(self, rows: int) -> tuple[list[str], list[list[Any]]]:
        """Return the headings, and the values of the first rows."""
        if self.path is None:
            assert self._data is not None  # noqa: S101
            return table_readers.rows_of_table(self._data.slice(0, rows))
        return table_readers.sample_rows(self.path, rows)

    def guess(self, **given: Any) -> Proposal:
        """Propose a mapping; `given` are attributes of Mapping that are declared."""
        return guess_mapping(*self._sample, given)

    def load(self, progress: Callable[[float], None] = lambda _: None) -> Conversion:
        """Read the table once, and return the result of the conversion.

        Args:
            progress: Called with the share that was read.

        Raises:
            UsageError: The table lacks a column of the mapping, or the times need a zone.
            FileError: It cannot be read.
        """
        if self._conversion is None:
            conversion, parts = Conversion(), list[pa.RecordBatch]()
            spellings = Spellings(self.mapping.country, numbers=self.mapping.numbers)
            for chunk in self._chunks(conversion):
                converted = convert_rows(
                    chunk.columns, chunk.rows, self.mapping, self.name, conversion, spellings
                )
                if converted is not None and converted[0].num_rows:
                    parts.append(_compact(*converted))
                progress(chunk.progress)
            self._compact = _sorted(parts)
            if self.mapping.merge_recipients:
                self._compact = _merge_recipients(self._compact, conversion)
            if extra := conversion.extra_recipients:
                conversion.notes.append(f"further recipients of rows, an event for each: {extra:,}")
            conversion.notes += [*spellings.notes(), *_useless_columns(self.mapping, self._compact)]
            self._conversion = conversion
        return self._conversion

    def wire_batches(self, rows: int = BATCH_ROWS) -> Iterator[tuple[pa.RecordBatch, pa.Array]]:
        """Yield the events in the order of their times, and the number of each row.

        A batch has the columns of WIRE_SCHEMA that have values. Phone numbers, addresses and
        devices are unchanged, and stay in memory.
        """
        self.load()
        assert self._compact is not None  # noqa: S101
        for start in range(0, self._compact.num_rows, rows):
            part = self._compact.slice(start, rows).combine_chunks().to_batches()[0]
            columns = {
                name: column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
                for name, column in zip(part.schema.names, part.columns, strict=True)
            }
            numbers = columns.pop(ROW)
            yield pa.RecordBatch.from_pydict(columns), numbers

    def _chunks(self, conversion: Conversion) -> Iterator[Chunk]:
        headings = list(dict.fromkeys(self.mapping.columns.values()))
        if self.is_database:
            columns = self._database_columns
            chunks = iter([Chunk(columns, np.arange(1, 1 + len(columns["ts"])), 1.0)])
        elif self.path is not None:
            chunks = table_readers.file_chunks(self.path, headings, conversion)
        else:
            chunks = table_readers.object_chunks(self._data, headings)
        for chunk in chunks:
            conversion.rows += len(chunk.rows)
            self._check_headings(chunk)
            yield chunk

    def _check_headings(self, chunk: Chunk) -> None:
        required = set(self.mapping.columns.values())
        if missing := sorted(required - chunk.columns.keys()):
            raise lacks_fields(self.path or Path(self.name), missing, self.names)


def lacks_fields(path: Path, missing: list[str], names: list[str]) -> UsageError:
    """Return the error for a table that lacks columns; headings that may be data are not shown."""
    lacks = f"{path} has no column for {', '.join(missing)}"
    plain = all(
        len(n) <= MAX_HEADING and not set(n) & set("0123456789@") and n.isprintable() for n in names
    )
    if not plain or not names or len(names) > MAX_HEADINGS:
        return UsageError(lacks, fix="give a table with a header, and --columns with its headings")
    columns = dict.fromkeys(("ts", "account", "peer"), "HEADING") | guess_columns(names)
    pairs = ",".join(f"{name}={heading}" for name, heading in columns.items())
    return UsageError(f"{lacks}; it has {', '.join(names)}", fix=f'say --columns "{pairs}"')


def _useless_columns(mapping: Mapping, table: pa.Table) -> list[str]:
    """Say which mapped columns no event type of the table has a field for."""
    if not table.num_rows:
        return []
    kinds = sorted(set(pc.unique(table.column("type").cast(pa.string())).to_pylist()))
    return [
        f"column {heading} is not used: {', '.join(kinds)} has no field `{name}`"
        for name, heading in mapping.columns.items()
        if name != "type" and not any(name in LIMITS[kind] for kind in kinds)
    ]


def _compact(wire: pa.RecordBatch, rows: NDArray[np.int64]) -> pa.RecordBatch:
    """Return events with their texts as codes, and the number of each row."""
    columns = {ROW: pa.array(rows)}
    for name, column in zip(wire.schema.names, wire.columns, strict=True):
        if pa.types.is_dictionary(column.type):
            indices = column.indices.cast(pa.int32())
            column = pa.DictionaryArray.from_arrays(indices, column.dictionary)
        elif name != "id" and pa.types.is_string(column.type):
            column = encode_distinct(column)
        columns[name] = column
    return pa.RecordBatch.from_pydict(columns)


def _sorted(parts: list[pa.RecordBatch]) -> pa.Table:
    """Return batches as one table in the order of their times; equal times keep their order."""
    if not parts:
        names = ("ts", "type", "account", "id")
        empty = {name: pa.array([], WIRE_SCHEMA.field(name).type) for name in names}
        return pa.table(empty | {ROW: pa.array([], pa.int64())})
    table = pa.concat_tables(
        [pa.Table.from_batches([part]) for part in parts], promote_options="permissive"
    ).unify_dictionaries()
    parts.clear()
    ts = table.column("ts").to_numpy()
    if np.all(ts[1:] >= ts[:-1]):
        return table
    return table.combine_chunks().take(pa.array(np.argsort(ts, kind="stable")))


def _merge_recipients(table: pa.Table, conversion: Conversion) -> pa.Table:
    """Make sends of one account at one time one send to several; repeated ones are dropped."""
    if not table.num_rows or "peer" not in table.column_names:
        return table
    table = table.combine_chunks()
    plain = {name: table.column(name).chunk(0) for name in _MERGED}
    codes = {n: c.indices if pa.types.is_dictionary(c.type) else c for n, c in plain.items()}
    keys = [pc.fill_null(pc.rank(c, tiebreaker="dense"), 0).to_numpy() for c in codes.values()]
    is_send = pc.equal(plain["type"].cast(pa.string()), "message.sent")
    single = pc.and_(is_send, plain["peer"].is_valid()).to_numpy(zero_copy_only=False)
    pairs = np.stack([*keys, np.where(single, 0, 1 + np.arange(table.num_rows))], axis=1)
    _, firsts = np.unique(pairs, axis=0, return_index=True)
    if repeated := table.num_rows - len(firsts):
        conversion.causes["repeated"] = repeated
    keep = np.sort(firsts)
    table, single, sends = table.take(pa.array(keep)), single[keep], pairs[keep][:, :3]
    _, group, sizes = np.unique(sends, axis=0, return_inverse=True, return_counts=True)
    recipients = sizes[group.reshape(-1)]
    is_single = ~single | (recipients < 2)
    table = table.append_column("recipients", pa.array(recipients.astype(np.int32), mask=is_single))
    return table.append_column("broadcast", pa.array(np.ones(len(keep), np.bool_), mask=is_single))
