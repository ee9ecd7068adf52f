"""CSV import: traces of other systems (also .gz or .zst) converted to events.

A trace is read whole, since events are written in the order of (`ts`, `id`): about 200 bytes of
memory per row.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from numpy.typing import NDArray

from wavebreak import io
from wavebreak.errors import FileError, UsageError
from wavebreak.io.field_limits import EITHER, LIMITS
from wavebreak.io.validation import validate_columns, with_all_columns
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.schema import coverage
from wavebreak.schema.events import TYPES, WIRE_SCHEMA

ROWS = 50_000
"""Events per batch."""

COLUMNS = (
    "ts", "type", "account", "peer", "group", "size", "via", "origin", "attempted", "seconds",
)  # fmt: skip
"""Event fields that a CSV column may provide."""

PUBLIC = "public"
"""Group of a `post` without peer and group."""

USUAL = {
    "ts": ("time", "timestamp", "date", "datetime", "sent at", "created at", "when"),
    "account": ("from", "sender", "sender id", "sender name", "source", "user", "user id", "who"),
    "peer": ("to", "receiver", "recipient", "recipient id", "receiver id", "target", "destination"),
    "group": ("room", "room id", "chat", "chat id", "channel", "group id"),
}
"""Headings by which files often call a field, without case and underscores."""
DIVIDERS = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}
LONGEST_HEADING, MOST_HEADINGS = 32, 24

UNITS = {"s": 1000, "ms": 1}

# Every byte is a letter of it: no row stops the reader, and text is decoded value by value.
_ANY = "latin-1"

_SENT = "message.sent"
_POST = "post"
_YES, _NO = ("true", "yes", "1"), ("false", "no", "0")
_NUMBER = r"^\s*-?[0-9]{1,15}(\.[0-9]{1,9})?\s*$"


class Preset(NamedTuple):
    """Settings of a known trace: its types mapped to event types, and the unit of its times.

    `several`: sends of one account at one time are one send to several recipients (mail). Other
    types (calls) are not messages; they are omitted and counted as `type_not_taken`.
    """

    types: Mapping[str, str]
    unit: str = "s"
    several: bool = False


PRESETS: dict[str, Preset] = {
    "collegemsg": Preset({"message": _SENT}),
    "copenhagen": Preset({"message": _SENT}),
    "email_eu": Preset({"message": _SENT}, several=True),
    "fb_forum": Preset({"group_message": _SENT}),
    "irc_ubuntu": Preset(
        {"group_message": _SENT, "group_join": "group.joined", "group_leave": "group.left"}
    ),
    "botornot": Preset({_POST: _SENT}),
}


def preset(name: str) -> Preset:
    """Return the settings of a known trace; raises UsageError for an unknown one."""
    if name not in PRESETS:
        raise UsageError("--preset is unknown", fix=f"choose one of {', '.join(PRESETS)}")
    return PRESETS[name]


@dataclass
class Counts:
    """Counts of an import: `rows` read, `events` written, rows `dropped` by cause."""

    rows: int = 0
    events: int = 0
    dropped: dict[str, int] = field(default_factory=dict)

    def drop(self, cause: str, rows: int = 1) -> None:
        """Count omitted rows."""
        if rows:
            self.dropped[cause] = self.dropped.get(cause, 0) + rows


def read_csv(
    path: Path,
    *,
    types: Mapping[str, str],
    columns: Mapping[str, str] | None = None,
    unit: str = "s",
    several: bool = False,
    counts: Counts | None = None,
) -> Iterator[pa.RecordBatch]:
    """Read a CSV trace as wire batches in the order of (`ts`, `id`).

    Ids consist of the file name and the row number. A message.sent with peer and group goes to the
    group; values for which a type has no field are omitted.

    Args:
        path: The CSV file.
        types: The trace's types mapped to event types; without a type column every row is a
            message.sent.
        columns: Event fields (COLUMNS) mapped to headings; equal by default.
        unit: Unit of times, s or ms.
        several: Sends of one account at one time become one send to several: each with `broadcast`
            and the number of `recipients`.
        counts: Receives the counts; invalid rows by cause and field.

    Raises:
        UsageError: The options do not match the file.
        FileError: The file cannot be read.
    """
    counts = Counts() if counts is None else counts
    headings = _headings(columns, types, unit)
    needed = set(headings.values()) if columns else {"ts", "account"}
    texts = _table(path, headings, needed, counts)
    stem = path.name.partition(".")[0]
    yield from _wire_batches(texts, types, stem, counts, unit=unit, several=several)


def read_rows(
    texts: Mapping[str, pa.Array], *, name: str, types: Mapping[str, str], counts: Counts
) -> Iterator[pa.RecordBatch]:
    """Return rows that are in memory as wire batches, as `read_csv` does those of a file.

    Args:
        texts: Columns of text by the event field that they provide (COLUMNS); times in seconds.
        name: Begins the events' ids.
        types: The rows' types mapped to event types.
        counts: Receives the counts.
    """
    counts.rows += len(texts["ts"])
    yield from _wire_batches(dict(texts), types, name, counts)


def _wire_batches(
    texts: dict[str, pa.Array], types: Mapping[str, str], stem: str, counts: Counts, *,
    unit: str = "s", several: bool = False,
) -> Iterator[pa.RecordBatch]:  # fmt: skip
    table = _events(texts, dict(types), UNITS[unit], stem, counts)
    if several:
        table = _sent_to_several(table, counts)
    taken = validate_columns(table.combine_chunks().to_batches()[0], 1) if table.num_rows else None
    if taken is None:
        return
    for refused in taken.refused:
        counts.drop(f"{refused.cause}: {refused.field}" if refused.field else refused.cause)
    wire = with_all_columns(taken.wire)
    order = pc.sort_indices(wire, sort_keys=[("ts", "ascending"), ("id", "ascending")])
    wire = wire.take(order)
    for start in range(0, wire.num_rows, ROWS):
        part = wire.slice(start, ROWS)
        counts.events += part.num_rows
        yield part


def convert(
    path: Path,
    out: Path,
    *,
    types: Mapping[str, str],
    columns: Mapping[str, str] | None = None,
    unit: str = "s",
    several: bool = False,
) -> Counts:
    """Convert a CSV trace to an events file with a coverage profile.

    `out` is the file (its name gives the format) or a directory for events.parquet. Options and
    errors are those of `read_csv`.
    """
    if out.is_dir() or not out.suffix:
        out.mkdir(parents=True, exist_ok=True)
        out = out / "events.parquet"
    counts = Counts()
    batches = list(
        read_csv(path, types=types, columns=columns, unit=unit, several=several, counts=counts)
    )
    io.write(out, batches)
    # A profile counts fields: the key does not matter.
    pseudonymizer = Pseudonymizer(secrets.token_bytes(32))
    coverage.save(coverage.measure(map(pseudonymizer.apply, batches)), coverage.sidecar_path(out))
    return counts


def _headings(
    columns: Mapping[str, str] | None, types: Mapping[str, str], unit: str
) -> dict[str, str]:
    headings = dict(columns) if columns else {name: name for name in COLUMNS}
    known = ", ".join(COLUMNS)
    if unknown := sorted(set(headings) - set(COLUMNS)):
        raise UsageError(f"unknown fields: {', '.join(unknown)}", fix=f"use {known}")
    if not {"ts", "account"} <= set(headings):
        raise UsageError("the columns ts and account are missing", fix="name them, ts=HEADING,…")
    if unit not in UNITS:
        raise UsageError(f"unknown unit: {unit}", fix="use s or ms")
    if wrong := sorted(set(types.values()) - set(TYPES)):
        raise UsageError(f"unknown event types: {', '.join(wrong)}", fix="use " + ", ".join(TYPES))
    return headings


def _without(path: Path, missing: Sequence[str], names: Sequence[str]) -> UsageError:
    """Return the error for a file that lacks columns: what it has, and what to say instead.

    A first line that may be people's data, and no header, is not shown.
    """
    lacks = f"{path} has no column {', '.join(missing)}"
    divider = next((d for d in DIVIDERS if d in names[0]), "") if len(names) == 1 else ""
    if divider:
        return UsageError(
            f"{lacks}: its columns are divided by {DIVIDERS[divider]}",
            fix="save it with commas between its columns",
        )
    texts = [name.encode(_ANY, "replace").decode("utf-8", "replace") for name in names]
    letters = all(len(t) <= LONGEST_HEADING and not set(t) & set("0123456789@") for t in texts)
    if not letters or len(texts) > MOST_HEADINGS or not all(map(str.isprintable, texts)):
        return UsageError(lacks, fix="give a file with a header, and --columns with its headings")
    known = {
        field: text
        for field, words in USUAL.items()
        for text in texts
        if text.lower().replace("_", " ").strip() in words
    }
    given = ",".join(f"{field}={heading}" for field, heading in known.items())
    if not {"ts", "account"} <= known.keys():
        given = "ts=HEADING,account=HEADING,peer=HEADING"
    return UsageError(f"{lacks}; it has {', '.join(texts)}", fix=f'say --columns "{given}"')


def _table(
    path: Path, headings: Mapping[str, str], needed: set[str], counts: Counts
) -> dict[str, pa.Array]:
    """Read the requested columns as text; rows that are not CSV or UTF-8 are dropped."""

    def skip(_: Any) -> str:
        counts.rows += 1
        counts.drop("bad_csv")
        return "skip"

    try:
        table = pyarrow.csv.read_csv(
            path,
            read_options=pyarrow.csv.ReadOptions(use_threads=False, encoding=_ANY),
            parse_options=pyarrow.csv.ParseOptions(invalid_row_handler=skip),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(map(_as_read, headings.values()), pa.string()),
                null_values=[""],
                strings_can_be_null=True,
            ),
        ).combine_chunks()
    except (pa.ArrowException, OSError, EOFError):
        fix = "give a CSV file with a header, also as .gz or .zst"
        raise FileError(f"{path} cannot be read as CSV", fix=fix) from None
    counts.rows += table.num_rows
    headings = {name: _as_read(heading) for name, heading in headings.items()}
    missing = sorted(h for h in needed if _as_read(h) not in table.column_names)
    if missing:
        raise _without(path, missing, table.column_names)
    good = np.ones(table.num_rows, np.bool_)
    texts = {}
    for name, heading in headings.items():
        if heading in table.column_names:
            texts[name], in_utf8 = _decoded(table.column(heading).combine_chunks())
            good &= in_utf8
    counts.drop("bad_text", int(np.count_nonzero(~good)))
    return {name: column.filter(pa.array(good)) for name, column in texts.items()}


def _as_read(heading: str) -> str:
    return heading.encode().decode(_ANY)


def _decoded(column: pa.Array) -> tuple[pa.Array, NDArray[np.bool_]]:
    """Decode text that was read as bytes; also returns which rows are UTF-8 (others: null)."""
    if pc.all(pc.string_is_ascii(column)).as_py() is not False:
        return column, np.ones(len(column), np.bool_)
    texts = [v if v is None or v.isascii() else _text(v.encode(_ANY)) for v in column.to_pylist()]
    decoded = pa.array(texts, pa.string())
    lost = pc.and_(column.is_valid(), decoded.is_null())
    return decoded, ~lost.to_numpy(zero_copy_only=False)


def _text(raw: bytes) -> str | None:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return None


def _events(
    texts: dict[str, pa.Array], types: dict[str, str], scale: int, stem: str, counts: Counts
) -> pa.Table:
    rows = len(texts["ts"])
    none = pa.nulls(rows, pa.string())
    foreign = texts.get("type", pa.array([_SENT] * rows, pa.string()))
    types = types if "type" in texts else {_SENT: _SENT}
    ours = pa.array(list(types.values()), pa.string()).take(
        pc.index_in(foreign, value_set=pa.array(list(types), pa.string()))
    )
    columns = {n: texts.get(n, none) for n in ("account", "peer", "group", "via")}
    # Names of domains are alike in upper and lower case; the contract has the latter.
    columns["origin"] = pc.utf8_lower(texts.get("origin", none))
    columns["type"] = ours
    # Numbered with leading zeros: ids sort as the rows do.
    columns["id"] = pa.array([f"{stem}-{row:09d}" for row in range(1, rows + 1)], pa.string())
    columns["ts"], bad_ts = _numbers(texts.get("ts", none), scale)
    columns["size"], bad_size = _numbers(texts.get("size", none), 1)
    columns["attempted"], bad_flag = _flags(texts.get("attempted", none))
    columns["seconds"], bad_seconds = _numbers(texts.get("seconds", none), 1)
    wrong = bad_ts | bad_size | bad_seconds | bad_flag
    _address(columns, foreign)
    unmapped = ours.is_null().to_numpy(zero_copy_only=False)
    counts.drop("type_not_taken", int(np.count_nonzero(unmapped)))
    counts.drop("wrong_type", int(np.count_nonzero(~unmapped & wrong)))
    keep = pa.array(~unmapped & ~wrong)
    names = [name for name in WIRE_SCHEMA.names if name in columns]
    return pa.table({name: columns[name] for name in names}).filter(keep)


def _address(columns: dict[str, pa.Array], foreign: pa.Array) -> None:
    """Remove peer, group, size, via and seconds where the event type has no such field."""
    either = pc.is_in(columns["type"], value_set=pa.array(sorted(EITHER)))
    public = pc.and_(
        pc.fill_null(pc.equal(foreign, _POST), False),
        pc.and_(columns["group"].is_null(), columns["peer"].is_null()),
    )
    columns["group"] = pc.if_else(pc.and_(public, either), PUBLIC, columns["group"])
    to_group = pc.and_(either, columns["group"].is_valid())
    columns["peer"] = pc.if_else(to_group, None, columns["peer"])
    for name in ("peer", "group", "size", "via", "seconds"):
        have = pa.array([t for t in TYPES if name in LIMITS[t]])
        column = columns[name]
        columns[name] = pc.if_else(
            pc.is_in(columns["type"], value_set=have), column, pa.scalar(None, column.type)
        )


def _numbers(texts: pa.Array, scale: int) -> tuple[pa.Array, NDArray[np.bool_]]:
    """Parse decimal texts as integers times `scale`; also returns which are not numbers."""
    numeric = pc.fill_null(pc.match_substring_regex(texts, _NUMBER), False)
    bad = pc.and_(texts.is_valid(), pc.invert(numeric)).to_numpy(zero_copy_only=False)
    trimmed = pc.utf8_trim_whitespace(pc.if_else(numeric, texts, None))
    values = pc.round(pc.multiply(trimmed.cast(pa.float64()), float(scale)))
    return values.cast(pa.int64()), bad


def _flags(texts: pa.Array) -> tuple[pa.Array, NDArray[np.bool_]]:
    """Parse true and false (also yes and no, 1 and 0); also returns which are neither."""
    words = pc.utf8_lower(pc.utf8_trim_whitespace(texts))
    yes, no = (pc.is_in(words, value_set=pa.array(known)) for known in (_YES, _NO))
    bad = pc.and_(texts.is_valid(), pc.invert(pc.or_(yes, no)))
    # What did not say so was not refused before it happened: the contract leaves it out.
    return pc.if_else(yes, True, pa.scalar(None, pa.bool_())), bad.to_numpy(zero_copy_only=False)


def _sent_to_several(table: pa.Table, counts: Counts) -> pa.Table:
    """Merge sends of one account at one time into one send to several; duplicates are dropped."""
    keys = [table.column(n).combine_chunks() for n in ("type", "account", "ts", "peer")]
    codes = [pc.fill_null(pc.rank(k, tiebreaker="dense"), 0).to_numpy() for k in keys]
    single = pc.and_(pc.equal(keys[0], _SENT), keys[3].is_valid()).to_numpy(zero_copy_only=False)
    pairs = np.stack([*codes, np.where(single, 0, 1 + np.arange(table.num_rows))], axis=1)
    _, firsts = np.unique(pairs, axis=0, return_index=True)
    counts.drop("repeated", table.num_rows - len(firsts))
    keep = np.sort(firsts)
    table, single, sends = table.take(pa.array(keep)), single[keep], pairs[keep][:, :3]
    _, group, sizes = np.unique(sends, axis=0, return_inverse=True, return_counts=True)
    recipients = sizes[group.reshape(-1)]
    alone = ~single | (recipients < 2)
    table = table.append_column("recipients", pa.array(recipients.astype(np.int32), mask=alone))
    return table.append_column("broadcast", pa.array(np.ones(len(keep), np.bool_), mask=alone))
