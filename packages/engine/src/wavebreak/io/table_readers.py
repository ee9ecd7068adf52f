"""Readers of tables: the mapped columns of a file, an object or a chat server's database.

For each chat server (Synapse, Prosody, ejabberd) `queries` has one query of who wrote to whom. An
SQLite database is queried directly and read-only; of any other, an administrator runs the query and
imports its CSV. No query selects content.
"""

from __future__ import annotations

import csv
import io as byte_streams
import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from importlib.resources import files
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from wavebreak.errors import FileError, UsageError
from wavebreak.io import readers
from wavebreak.io.conversion import Conversion

CHUNK_ROWS = 200_000
"""Rows of a table that are converted together."""
SAMPLE_ROWS = 200
"""Rows at the beginning by which a mapping is guessed."""
CSV_SUFFIXES = (".csv", ".tsv", ".txt")
DELIMITERS = ",;\t|"
_NULLS = ["", "\\N", "NULL"]
_LINES = 50_000
_BYTES = "latin-1"
"""Every byte is a letter of it: no row stops the reader, and texts are decoded one by one."""


class Chunk(NamedTuple):
    """Rows of a table as they were read: columns by heading, and the number of each row."""

    columns: dict[str, pa.Array]
    rows: NDArray[np.int64]
    progress: float


def sample_rows(path: Path, rows: int = SAMPLE_ROWS) -> tuple[list[str], list[list[Any]]]:
    """Return a table file's headings and the values of the first rows.

    Raises:
        FileError: The file cannot be read, or has no row.
    """
    if is_csv(path):
        with closing(_open_text(path)) as file:
            head = file.read(1 << 20).decode("utf-8-sig", "replace")
        lines = list(islice(csv.reader(byte_streams.StringIO(head), delimiter=_delimiter(head)),
                            rows + 1))  # fmt: skip
        if not lines:
            raise FileError(f"{path} is empty", fix="give a table with a header")
        names = lines[0]
        return names, [row for row in lines[1:] if len(row) == len(names)]
    kind = readers.file_format(path)
    if kind.format in ("lines", "json"):
        _refuse_nested(path, kind)
        items = list[dict[str, Any]]()
        for text in islice(_json_lines(path, kind), rows):
            try:
                item = msgspec.json.decode(text)
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue
            if isinstance(item, dict):
                items.append(dict(_flat_items(item)))
        names = list(dict.fromkeys(name for item in items for name in item))
        return names, [[item.get(name) for name in names] for item in items]
    batch = next((b for b, _ in readers.columnar_batches(path, kind, rows)), None)
    if batch is None:
        raise FileError(f"{path} has no row", fix="give a table with rows")
    return rows_of_table(pa.Table.from_batches([batch]))


_NESTED_LIST = re.compile(rb'"([\w .-]{1,40})"\s*:\s*\[\s*\{')


def _refuse_nested(path: Path, kind: readers.FileFormat) -> None:
    """Raise FileError for one JSON object with the rows in a list, such as a chat export."""
    with closing(readers.InputFile(path, kind.codec)) as file:
        head = file.read(1 << 16).removeprefix(b"\xef\xbb\xbf").strip()
    rows = _NESTED_LIST.search(head)
    if not head.startswith(b"{") or rows is None:
        return
    line, _, rest = head.partition(b"\n")
    try:
        is_row = isinstance(msgspec.json.decode(line), dict) and (rest or kind.format == "lines")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # A broken line among others is refused by itself.
        is_row = line.rstrip().endswith(b"}")
    if not is_row:
        name = rows[1].decode("utf-8", "replace")
        raise FileError(
            f"{path} is one JSON object, which holds its rows in the list `{name}`",
            fix=f"write the list alone (jq .{name} {path.name} > rows.json); messages that name no "
            "recipient need the chat as `default_group` in the mapping",
        )


def _flat_items(item: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in item.items():
        if isinstance(value, dict) and before.count(".") < 3:
            yield from _flat_items(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def rows_of_table(table: pa.Table) -> tuple[list[str], list[list[Any]]]:
    """Return a table's headings and rows."""
    names = flat_names(table.schema)
    columns = [_column_of(table, name).to_pylist() for name in names]
    return names, [list(row) for row in zip(*columns, strict=True)]


def flat_names(schema: pa.Schema) -> list[str]:
    """Return the names of columns, members of structures as `a.b`."""
    names = list[str]()
    for field in schema:
        if pa.types.is_struct(field.type):
            names += [
                f"{field.name}.{member}" for member in flat_names(pa.schema(list(field.type)))
            ]
        else:
            names.append(field.name)
    return names


def _column_of(table: pa.Table | pa.RecordBatch, heading: str) -> Any:
    """Return a column, or the member of a structure that a heading `a.b` names."""
    if heading in table.schema.names:
        return table.column(heading)
    name, _, rest = heading.partition(".")
    column = table.column(name)
    for member in rest.split("."):
        column = pc.struct_field(column, member)
    return column


def _has_column(schema: pa.Schema, heading: str) -> bool:
    return heading in schema.names or heading in flat_names(schema)


def is_csv(path: Path) -> bool:
    """Whether a file is a CSV by name: a table, never a file of events."""
    return any(suffix in CSV_SUFFIXES for suffix in map(str.lower, path.suffixes[-2:]))


def _open_text(path: Path) -> readers.InputFile:
    codec = {".gz": "gzip", ".zst": "zstd"}.get(path.suffix.lower())
    try:
        return readers.InputFile(path, codec)
    except (pa.ArrowException, OSError):
        fix = "give a CSV file, also as .gz or .zst"
        raise FileError(f"{path} cannot be read", fix=fix) from None


def _delimiter(head: str) -> str:
    first = head.partition("\n")[0]
    return max(DELIMITERS, key=first.count)


def file_chunks(path: Path, headings: list[str], conversion: Conversion) -> Iterator[Chunk]:
    """Yield a file's rows, of the given columns alone; `conversion` receives unreadable rows."""
    if is_csv(path):
        return _csv_chunks(path, headings, conversion)
    kind = readers.file_format(path)
    if kind.format in ("lines", "json"):
        return _json_chunks(path, kind, headings, conversion)
    return _columnar_chunks(path, kind, headings)


def _csv_chunks(path: Path, headings: list[str], conversion: Conversion) -> Iterator[Chunk]:
    """Read a CSV; rows with another number of columns are refused, but counted."""
    skipped = list[int]()
    faults = (pa.ArrowException, OSError, EOFError, UnicodeError)
    unreadable = FileError(f"{path} cannot be read as CSV",
                     fix="give a CSV file with a header, also as .gz or .zst")  # fmt: skip

    def skip(row: Any) -> str:
        skipped.append(row.number - 1)
        return "skip"

    try:
        with closing(_open_text(path)) as file:
            head = file.read(1 << 16).decode("utf-8-sig", "replace")
        names = next(csv.reader(byte_streams.StringIO(head), delimiter=_delimiter(head)), [])
        names_read = [n.encode().decode(_BYTES) for n in headings if n in names]
        if not names_read:
            # Without a name, the library reads every column.
            yield Chunk({}, np.zeros(0, np.int64), 0.0)
            return
        source = _open_text(path)
        table = pyarrow.csv.open_csv(
            source.stream,
            read_options=pyarrow.csv.ReadOptions(
                use_threads=False, block_size=16 << 20, encoding=_BYTES
            ),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=_delimiter(head), invalid_row_handler=skip, newlines_in_values=True
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(names_read, pa.string()),
                include_columns=names_read,
                null_values=_NULLS,
                strings_can_be_null=True,
            ),
        )
    except (*faults, csv.Error):
        raise unreadable from None
    next_row = 1
    while True:
        try:
            batch = table.read_next_batch()
        except StopIteration:
            break
        except faults:
            raise unreadable from None
        bad = np.array([row for row in skipped if row >= next_row], np.int64)
        numbers = np.setdiff1d(np.arange(next_row, next_row + batch.num_rows + len(bad)), bad)
        conversion.rows += len(bad)
        conversion.refuse(bad.tolist(), "bad_csv", "", "another number of columns than the header",
                          "quote values that hold the delimiter")  # fmt: skip
        next_row += batch.num_rows + len(bad)
        skipped.clear()
        columns, rows = _decode_text(batch, numbers, conversion)
        yield Chunk(columns, rows, source.progress())
    rest = [row for row in skipped if row >= next_row]
    conversion.rows += len(rest)
    conversion.refuse(rest, "bad_csv", "", "another number of columns than the header",
                      "quote values that hold the delimiter")  # fmt: skip


def _decode_text(
    batch: pa.RecordBatch, rows: NDArray[np.int64], conversion: Conversion
) -> tuple[dict[str, pa.Array], NDArray[np.int64]]:
    """Decode UTF-8 that was read as Latin-1; rows with another encoding are refused."""
    columns, bad = dict[str, pa.Array](), np.zeros(batch.num_rows, np.bool_)
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if pc.all(pc.string_is_ascii(column)).as_py() is False:
            decoded = pa.array([_utf8_or_none(text) for text in column.to_pylist()], pa.string())
            undecodable = pc.and_(column.is_valid(), decoded.is_null())
            bad |= undecodable.to_numpy(zero_copy_only=False)
            column = decoded
        columns[name.encode(_BYTES).decode("utf-8", "replace")] = column
    if not bad.any():
        return columns, rows
    conversion.refuse(rows[bad].tolist(), "bad_text", "", "not in UTF-8", "save the file as UTF-8")
    conversion.rows += int(bad.sum())
    keep = pa.array(~bad)
    return {name: column.filter(keep) for name, column in columns.items()}, rows[~bad]


def _utf8_or_none(text: str | None) -> str | None:
    try:
        return text if text is None or text.isascii() else text.encode(_BYTES).decode()
    except UnicodeDecodeError:
        return None


def _json_lines(path: Path, kind: readers.FileFormat) -> Iterator[bytes]:
    source = readers.InputFile(path, kind.codec)
    try:
        stream = readers.json_items(source) if kind.format == "json" else source
        for block in readers.line_blocks(stream, _LINES):
            yield from bytes(block.text).splitlines()
    finally:
        source.close()


def _json_chunks(
    path: Path, kind: readers.FileFormat, headings: list[str], conversion: Conversion
) -> Iterator[Chunk]:
    """Read JSON; members that are not mapped are skipped and never become values."""
    decoder = msgspec.json.Decoder(_row_type(headings))
    lines = enumerate(_json_lines(path, kind), start=1)
    while numbered := list(islice(lines, CHUNK_ROWS)):
        items, rows, bad = list[Any](), list[int](), list[int]()
        for number, text in numbered:
            try:
                items.append(decoder.decode(text))
                rows.append(number)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                if text.strip():
                    bad.append(number)
        conversion.rows += len(bad)
        conversion.refuse(bad, "bad_json", "", "not a JSON object in UTF-8",
                          "write one object a line")  # fmt: skip
        columns = {heading: column_of_values([_member(item, heading) for item in items])
                   for heading in headings}  # fmt: skip
        yield Chunk(columns, np.array(rows, np.int64), 0.0)


def _row_type(headings: list[str]) -> Any:
    """Return a type with the mapped members alone."""
    members = dict[str, list[str]]()
    for heading in headings:
        name, dot, rest = heading.partition(".")
        members.setdefault(name, []).extend([rest] if dot else [])
    fields_ = [
        (
            f"f{k}",
            Any if not rest else _row_type(rest) | None,
            msgspec.field(default=None, name=name),
        )
        for k, (name, rest) in enumerate(members.items())
    ]
    return msgspec.defstruct("Row", fields_)


def _member(item: Any, heading: str) -> Any:
    for name in heading.split("."):
        if item is None:
            return None
        encoded = type(item).__struct_encode_fields__
        item = getattr(item, type(item).__struct_fields__[encoded.index(name)])
    return item


def column_of_values(values: list[Any]) -> pa.Array:
    """Return values of JSON as a column; where their types differ, as text."""
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        if any(isinstance(value, list) for value in values):
            lists = [value if isinstance(value, list) else [value] for value in values]
            with suppress(pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
                return pa.array(lists)
        texts = [
            value if value is None or isinstance(value, str)
            else json.dumps(value) if isinstance(value, bool | int | float) else None
            for value in values
        ]  # fmt: skip
        return pa.array(texts, pa.string())


def _columnar_chunks(path: Path, kind: readers.FileFormat, headings: list[str]) -> Iterator[Chunk]:
    first = 1
    for batch, progress in _columnar_batches(path, kind, headings):
        columns = {h: _column_of(batch, h) for h in headings if _has_column(batch.schema, h)}
        yield Chunk(columns, np.arange(first, first + batch.num_rows), progress)
        first += batch.num_rows


def _columnar_batches(
    path: Path, kind: readers.FileFormat, headings: list[str]
) -> Iterator[tuple[pa.RecordBatch, float]]:
    if kind != readers.FileFormat("parquet", None):
        yield from readers.columnar_batches(path, kind, CHUNK_ROWS)
        return
    with readers.columnar_errors(path, kind):
        file = pq.ParquetFile(path, memory_map=True)
        names = set(file.schema_arrow.names)
        roots = list(dict.fromkeys(h if h in names else h.partition(".")[0] for h in headings))
        row_count, total = 0, max(file.metadata.num_rows, 1)
        for batch in file.iter_batches(CHUNK_ROWS, columns=[r for r in roots if r in names]):
            row_count += batch.num_rows
            yield batch, row_count / total


def table_of(data: Any) -> pa.Table:
    """Return a table of any object that holds one."""
    try:
        if isinstance(data, list | tuple):
            # Arrow takes the fields of the first row alone.
            names = dict.fromkeys(name for row in data for name in row)
            return pa.table({name: pa.array([row.get(name) for row in data]) for name in names})
        if isinstance(data, pa.RecordBatch):
            return pa.Table.from_batches([data])
        return pa.table(data)
    except (TypeError, AttributeError, pa.ArrowException) as error:
        raise UsageError(
            f"no table: {type(data).__name__}",
            fix="give a file, a list of dicts, or a table of pandas, polars, DuckDB or pyarrow",
        ) from error


def object_chunks(table: pa.Table, headings: list[str]) -> Iterator[Chunk]:
    """Yield the rows of a table in memory, of the given columns alone."""
    first = 1
    for batch in table.to_batches(CHUNK_ROWS):
        columns = {h: _column_of(batch, h) for h in headings if _has_column(batch.schema, h)}
        yield Chunk(columns, np.arange(first, first + batch.num_rows), first / table.num_rows)
        first += batch.num_rows


SERVERS: Final = {
    "synapse": ("events", "room_memberships", "users"),
    "prosody": ("prosodyarchive",),
    "ejabberd": ("archive", "archive_prefs"),
}
"""The tables that a server's query cannot do without, by the server's name."""
_MAY_LACK: Final = ("event_reports", "user_reports")
_SQLITE_MAGIC: Final = b"SQLite format 3\x00"
_PART: Final = "\nUNION ALL\n"
_END: Final = "\n)\nSELECT"
_FETCH_ROWS: Final = 10_000


def title_of(server: str) -> str:
    """Return a server's name with the article.

    >>> title_of("synapse"), title_of("ejabberd")
    ('a Synapse', 'an ejabberd')
    """
    return "an ejabberd" if server == "ejabberd" else f"a {server.capitalize()}"


def is_database(path: Path) -> bool:
    """Whether a file is a database of SQLite."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_SQLITE_MAGIC)) == _SQLITE_MAGIC


def query_of(server: str, *, find: str = "STRPOS") -> str:
    """Return the query of a server.

    Args:
        server: One of SERVERS.
        find: The function that finds a text in another: PostgreSQL's, or SQLite's INSTR.

    >>> "content" in query_of("prosody").partition("WITH")[2]
    False
    """
    text = (files("wavebreak.io") / "queries" / f"{server}.sql").read_text(encoding="utf-8")
    return text.format(find=find)


def server_of(path: Path) -> str:
    """Return which server a database is of.

    Raises:
        UsageError: The tables are of no known server.
        FileError: It cannot be read.
    """
    with closing(_open_database(path)) as database:
        return _server_of(_tables(database, path), path)


def read_columns(path: Path) -> dict[str, pa.Array]:
    """Read a server's database as columns of text by the event field that they give.

    Args:
        path: The file of SQLite, which is opened read-only.

    Raises:
        UsageError: The tables are of no server that is known.
        FileError: The database cannot be read.
    """
    with closing(_open_database(path)) as database:
        tables = _tables(database, path)
        query = _remove_parts(
            query_of(_server_of(tables, path), find="INSTR"), set(_MAY_LACK) - tables
        )
        try:
            # A large sort would else write names to a temporary file.
            database.execute("PRAGMA temp_store = MEMORY")
            rows = database.execute(query)
            names = [column[0] for column in rows.description]
            columns: dict[str, list[str | None]] = {name: [] for name in names}
            while chunk := rows.fetchmany(_FETCH_ROWS):
                for name, values in zip(names, zip(*chunk, strict=True), strict=True):
                    columns[name] += [None if value is None else str(value) for value in values]
        except sqlite3.Error as error:
            raise _unreadable(path, error) from None
    return {name: pa.array(values, pa.string()) for name, values in columns.items()}


def _remove_parts(query: str, absent: set[str]) -> str:
    """Return a query without the parts that read absent tables."""
    body, end, select = query.rpartition(_END)
    parts = [part for part in body.split(_PART) if not any(name in part for name in absent)]
    return _PART.join(parts) + end + select


def _open_database(path: Path) -> sqlite3.Connection:
    try:
        return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    except sqlite3.Error as error:
        raise _unreadable(path, error) from None


def _tables(database: sqlite3.Connection, path: Path) -> set[str]:
    try:
        return {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
    except sqlite3.Error as error:
        raise _unreadable(path, error) from None


def _server_of(tables: set[str], path: Path) -> str:
    for server, required in SERVERS.items():
        if tables.issuperset(required):
            return server
    servers = " or ".join(SERVERS)
    raise UsageError(
        f"{path} is a database, but of no server that is known ({servers})",
        fix="export a CSV with the columns ts,type,account,peer,group and give that",
    )


def _unreadable(path: Path, error: sqlite3.Error) -> FileError:
    fix = "stop the server or give a copy of the file (sqlite3 FILE '.backup COPY')"
    return FileError(f"the database {path} cannot be read: {error}", fix=fix)
