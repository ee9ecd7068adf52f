"""Files of logs: JSON Lines, JSON arrays, one payload a file; plain or gzip; with bounded memory.

A value is decoded alone, so that memory does not grow with the file. What cannot be decoded is
counted with its place, and the rest is read.
"""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NamedTuple

import msgspec

from wavebreak.errors import FileError
from wavebreak_business.identities import MANY_DIGITS
from wavebreak_business.providers import read_payload
from wavebreak_business.providers.values import instant_ms
from wavebreak_business.record_table import Kind, RecordTable

MAX_FILES = 100_000
MAX_VALUE = 4 << 20
"""Bytes of one payload; a longer one is counted and passed over."""
MAX_EXPANDED = 64 << 30
"""Bytes of one file when it is not compressed."""
MAX_PLACES = 20
"""Places of broken values that are kept; all are counted."""
SUFFIXES = (".json", ".jsonl", ".ndjson", ".log", ".txt")
_CHUNK = 1 << 18
_GZIP = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"
_SPACE = b" \t\r\n"
_OUTSIDE = re.compile(rb'["{}\[\],]')
_INSIDE = re.compile(rb'["\\]')


class Place(NamedTuple):
    """Where a value is that could not be read: its file, its line or entry, and why."""

    file: str
    unit: str
    number: int
    cause: str


@dataclass
class Reading:
    """What was read.

    Attributes:
        values: How many payloads, lists of them counted once.
        broken: What could not be decoded, by cause.
        places: Where, the first of them.
    """

    files: int = 0
    values: int = 0
    broken: Counter[str] = field(default_factory=Counter)
    places: list[Place] = field(default_factory=list)

    def add_broken(self, place: Place) -> None:
        """Count a value that could not be read."""
        self.broken[place.cause] += 1
        if len(self.places) < MAX_PLACES:
            self.places.append(place)


def log_paths(logs: Sequence[Path]) -> list[Path]:
    """Return the files of logs: of a directory those whose name ends as a log's, sorted.

    Raises:
        FileError: A path is missing, or there is no log, or there are too many.
    """
    found: list[Path] = []
    for path in logs:
        if path.is_dir():
            found += sorted(each for each in path.rglob("*") if _is_log(each))
        elif path.is_file():
            found.append(path)
        else:
            what = "is no file" if path.exists() else "does not exist"
            raise FileError(f"{path} {what}", fix="give files of logs, or a directory")
    if not found:
        suffixes = " ".join(SUFFIXES)
        raise FileError(
            "there is no log in the directory", fix=f"name files {suffixes}, also with .gz"
        )
    if len(found) > MAX_FILES:
        raise FileError(
            f"more than {MAX_FILES:,} files", fix="join them: cat DIR/*.json > logs.jsonl"
        )
    return found


def _is_log(path: Path) -> bool:
    name = path.name.lower().removesuffix(".gz")
    return name.endswith(SUFFIXES) and not path.name.startswith(".") and path.is_file()


def read_logs(
    logs: Sequence[Path],
    table: RecordTable,
    progress: Callable[[float, str], None] = lambda _share, _text: None,
) -> Reading:
    """Read logs into a table.

    Args:
        logs: Files and directories.
        table: What takes their records.
        progress: Is told the completed share and a short text.

    Raises:
        FileError: A file cannot be read, or a limit is passed.
    """
    reading, paths = Reading(), log_paths(logs)
    sizes = [path.stat().st_size for path in paths]
    total, done = max(1, sum(sizes)), 0
    for number, (path, size) in enumerate(zip(paths, sizes, strict=True), start=1):
        reading.files += 1
        name = shown_name(path.name, number)
        with path.open("rb") as raw:

            def show(raw: IO[bytes] = raw, done: int = done) -> None:
                # The place in the file as it lies on the disk, compressed or not.
                progress((done + raw.tell()) / total, f"{len(table):,}")

            try:
                _read_file(raw, name, table, reading, show)
            except (EOFError, zlib.error, gzip.BadGzipFile):
                reading.add_broken(Place(name, "entry", reading.values, "gzip_broken"))
        done += size
    return reading


def shown_name(name: str, number: int) -> str:
    """Return a file's name as it may be shown: some logs are named after a phone number.

    >>> shown_name("hooks.jsonl", 3), shown_name("15550100200.json", 3)
    ('hooks.jsonl', 'file 3')
    """
    return f"file {number}" if MANY_DIGITS.search(name) or len(name) > 80 else name


def _read_file(
    raw: IO[bytes], name: str, table: RecordTable, reading: Reading, show: Callable[[], None]
) -> None:
    start = raw.read(len(_GZIP))
    raw.seek(0)
    file: IO[bytes] = gzip.GzipFile(fileobj=raw) if start == _GZIP else raw  # type: ignore[assignment]
    decoder = msgspec.json.Decoder()
    unit, values = split_values(file)
    for number, value in enumerate(values, start=1):
        if number % 256 == 0:
            show()
        if value is None:
            reading.add_broken(Place(name, unit, number, "too_long"))
            continue
        if not value:
            continue
        try:
            payload = decoder.decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            reading.add_broken(Place(name, unit, number, "not_json"))
            continue
        reading.values += 1
        read_payload(payload, table)


def split_values(file: IO[bytes]) -> tuple[str, Iterator[bytes | None]]:
    """Return what a file's values are counted by, and the values.

    A line is a value where the first line is one. Else the file is one value, or a list whose
    entries are the values. An empty line is an empty value; one that is too long is None.
    """
    head = file.read(MAX_VALUE + 1)
    body = head.removeprefix(_BOM).lstrip(_SPACE)
    first = body.partition(b"\n")[0]
    if _is_json(first) and not (body.startswith(b"[") and not body[len(first) :].strip(_SPACE)):
        return "line", _lines(_Rest(head.removeprefix(_BOM), file))
    if body.startswith(b"["):
        return "entry", _entries(_Rest(body[1:], file))
    if len(head) <= MAX_VALUE and _is_json(body):
        return "file", iter([body])
    return "line", _lines(_Rest(head.removeprefix(_BOM), file))


def _is_json(value: bytes) -> bool:
    try:
        msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


class _Rest:
    """A file whose first bytes have been read, in chunks; ends where it grows beyond all bounds."""

    def __init__(self, head: bytes, file: IO[bytes]) -> None:
        self._head, self._file, self._read = head, file, 0

    def chunk(self) -> bytes:
        """Return the next bytes; none at the end."""
        if self._head:
            taken, self._head = self._head[:_CHUNK], self._head[_CHUNK:]
        else:
            taken = self._file.read(_CHUNK)
        self._read += len(taken)
        if self._read > MAX_EXPANDED:
            raise FileError(
                f"a file expands to more than {MAX_EXPANDED >> 30} GiB", fix="split the file"
            )
        return taken


def _lines(rest: _Rest) -> Iterator[bytes | None]:
    """Yield the lines of a file; None for one that is too long."""
    value = _Value()
    while chunk := rest.chunk():
        *ended, last = chunk.split(b"\n")
        for piece in ended:
            value.add(piece)
            yield value.take()
        value.add(last)
    if value.length:
        yield value.take()


class _Value:
    """The bytes of one value, as they come in; of one that is too long none are kept."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self.length = 0

    def add(self, piece: bytes) -> None:
        """Take more bytes."""
        self.length += len(piece)
        if self.length <= MAX_VALUE:
            self._parts.append(piece)

    def take(self) -> bytes | None:
        """Return the value, None where it is too long, and begin the next one."""
        value = b"".join(self._parts).strip(_SPACE) if self.length <= MAX_VALUE else None
        self._parts, self.length = [], 0
        return value


class _ListScanner:
    """Finds where the entries of a list end: at a comma, or the bracket, outside all others."""

    def __init__(self) -> None:
        self._depth, self._in_string, self._escaped = 0, False, False
        self.ended = False

    def ends(self, chunk: bytes) -> Iterator[int]:
        """Yield the places in a chunk behind which an entry ends, up to the end of the list."""
        at = 0
        while at < len(chunk) and not self.ended:
            if self._escaped:
                self._escaped, at = False, at + 1
                continue
            mark = (_INSIDE if self._in_string else _OUTSIDE).search(chunk, at)
            if mark is None:
                return
            at = mark.end()
            if self._is_end(mark[0]):
                yield mark.start()

    def _is_end(self, sign: bytes) -> bool:
        if sign == b"\\":
            self._escaped = True
        elif sign == b'"':
            self._in_string = not self._in_string
        elif sign in b"{[":
            self._depth += 1
        elif sign == b"," or not self._depth:
            self.ended = sign != b"," and not self._depth
            return not self._depth
        else:
            self._depth -= 1
        return False


def _entries(rest: _Rest) -> Iterator[bytes | None]:
    """Yield the entries of a list, whose opening bracket has been read."""
    value, scanner = _Value(), _ListScanner()
    while chunk := rest.chunk():
        start = 0
        for end in scanner.ends(chunk):
            value.add(chunk[start:end])
            yield value.take()
            start = end + 1
        if scanner.ended:
            return
        value.add(chunk[start:])
    # The list has no end: what is left is no value, also where it looks like one.
    if value.length:
        yield (value.take() or b"") + b"\0"


def read_consent(path: Path, table: RecordTable) -> int:
    """Read records of consent, a CSV file with a header `person,at`; returns how many there are.

    Args:
        path: The file; `person` is a phone number or user id, `at` a time (ISO 8601, or seconds).
        table: What takes the records.

    Raises:
        FileError: The file is no such table; the message names the row and quotes nothing.
    """
    fix = "write a header person,at and a time such as 2026-11-01T10:00:00Z in each row"
    count = 0
    with path.open(encoding="utf-8-sig", newline="") as file:
        try:
            rows = csv.DictReader(file)
            if not {"person", "at"} <= set(rows.fieldnames or ()):
                raise FileError(f"{path.name}: no columns person and at", fix=fix)
            for count, row in enumerate(rows, start=1):
                at_ms = instant_ms(row["at"])
                if at_ms is None or not row["person"]:
                    raise FileError(f"{path.name}: row {count} has no person or no time", fix=fix)
                table.add(Kind.CONSENT, at_ms, provider="", person=row["person"])
        except (UnicodeDecodeError, csv.Error):
            raise FileError(f"{path.name} is no CSV in UTF-8", fix=fix) from None
    return count
