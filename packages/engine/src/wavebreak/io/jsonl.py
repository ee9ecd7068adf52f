"""JSON Lines decoder: scanned in whole blocks, and by a JSON library where a line is unusual."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from wavebreak.io import jsonl_scanner, validation
from wavebreak.io.arrow_columns import wire_batch
from wavebreak.io.field_limits import refusal, validate_event
from wavebreak.io.line_splitter import (
    MAX_LINE,
    LineBlock,
    count_members,
    has_one_event_per_line,
    is_utf8,
)
from wavebreak.schema.events import AnyEvent, Event, Refusal, safe_field_name

# Decoded events of so many lines stay in a processor's cache until they are columns.
_CACHED = 4096
# Of so many lines, and of each so many, one may be odd; where more are, a JSON library reads all.
_MAX_ODD_LINES, _LINES_PER_ODD_LINE = 8, 64
_DECODER = msgspec.json.Decoder(AnyEvent)


def decode_lines(piece: LineBlock) -> tuple[validation.ValidatedBatch, int]:
    """Decode and validate a block; also returns the number of events, including refused ones."""
    scanned = decode_scanned(piece)
    if scanned is not None:
        return scanned
    if len(piece.ends) <= _CACHED:
        validated = _decode_together(piece)
        return _decode_one_by_one(piece) if validated is None else (validated, len(piece.ends))
    starts = range(0, len(piece.ends), _CACHED)
    parts = [decode_lines(piece.part(s, min(s + _CACHED, len(piece.ends)))) for s in starts]
    return validation.merge_batches([validated for validated, _ in parts]), sum(
        count for _, count in parts
    )


def warm() -> None:
    """Read one line, so that the compiled code of the reader is compiled and cached."""
    validated, _ = decode_lines(LineBlock.of(b'{"type":"account.deleted","ts":0,"account":"a"}\n'))
    validation.decode_wire_batch(validated.wire)


def decode_scanned(piece: LineBlock) -> tuple[validation.ValidatedBatch, int] | None:
    """Decode a block of plain lines, odd ones line by line; None where many are odd."""
    if len(piece.text) > jsonl_scanner.MOST or not is_utf8(piece.text):
        return None
    scanned, rows = jsonl_scanner.scan(piece.text, piece.ends, MAX_LINE), len(piece.ends)
    if np.count_nonzero(scanned.odd) > _MAX_ODD_LINES + rows // _LINES_PER_ODD_LINE:
        return None
    wire, doubt = validation.check_columns(scanned.laid)
    lines = np.arange(piece.first, piece.first + rows)
    if not doubt.any():
        return validation.ValidatedBatch(wire, lines, []), rows
    plain = validation.ValidatedBatch(wire.filter(pa.array(~doubt)), lines[~doubt], [])
    odd, odd_count = _decode_one_by_one(piece, np.flatnonzero(doubt).tolist())
    return validation.merge_batches([plain, odd]), len(plain.lines) + odd_count


def _decode_together(piece: LineBlock) -> validation.ValidatedBatch | None:
    """Decode a block with one event per line, also with times in RFC 3339; else None."""
    if not has_one_event_per_line(piece):
        return None
    count = len(piece.ends)
    try:
        events: list[Event] = _DECODER.decode_lines(piece.text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError):
        return None
    if len(events) != count:
        return None
    members = count_members(piece.text)
    wire = wire_batch(events, members)
    if sum(count - column.null_count for column in wire.columns) != members:
        return None
    lines = np.arange(piece.first, piece.first + count)
    wire, doubt = validation.check_columns(validation.decode_wire_batch(wire))
    if not doubt.any():
        return validation.ValidatedBatch(wire, lines, [])
    return validation.validate_doubtful_rows(
        wire, lines, doubt, [_item(events[i]) for i in np.flatnonzero(doubt)]
    )


def _item(event: Event) -> dict[str, Any]:
    fields = msgspec.structs.asdict(event)
    return {
        "type": event.__struct_config__.tag,
        **{k: v for k, v in fields.items() if v is not None},
    }


def _decode_one_by_one(
    piece: LineBlock, rows: Iterable[int] | None = None
) -> tuple[validation.ValidatedBatch, int]:
    """Decode the lines of a block, or the given rows, one by one."""
    good: list[Event] = []
    lines: list[int] = []
    refusals: list[Refusal] = []
    count = 0
    starts, ends = piece.starts().tolist(), piece.ends.tolist()
    for row in range(len(ends)) if rows is None else rows:
        text, line = bytes(piece.text[starts[row] : ends[row]]), piece.first + row
        if len(text) <= MAX_LINE and (not text or text.isspace()):
            continue
        count += 1
        verdict = _decode_line(line, text)
        if isinstance(verdict, Refusal):
            refusals.append(verdict)
        else:
            good.append(verdict)
            lines.append(line)
    return _validate_decoded(validation.batch_of_events(good, lines), good, refusals), count


def _validate_decoded(
    decoded: validation.ValidatedBatch, events: list[Event], refusals: list[Refusal]
) -> validation.ValidatedBatch:
    wire, doubt = validation.check_columns(validation.decode_wire_batch(decoded.wire))
    settled = decoded
    if doubt.any():
        items = [_item(events[i]) for i in np.flatnonzero(doubt)]
        settled = validation.validate_doubtful_rows(wire, decoded.lines, doubt, items)
    return validation.merge_batches([settled._replace(refused=settled.refused + refusals)])


def decode_event(text: bytes) -> Event | Refusal:
    """Decode one event in JSON; returns the event or a refusal (as line 1)."""
    item = _item_of(1, text)
    return item if isinstance(item, Refusal) else validate_event(1, item)


def _decode_line(line: int, text: bytes) -> Event | Refusal:
    item = _item_of(line, text)
    if isinstance(item, Refusal):
        return item
    try:
        event: Event = _DECODER.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError):
        return validate_event(line, item)
    return event


def _item_of(line: int, text: bytes) -> Any:
    """Decode a line as strict JSON; returns the value or a refusal."""
    if len(text) > MAX_LINE:
        problem = f"longer than {MAX_LINE} bytes"
        return refusal(
            line, "too_long", "", problem, "an event is short; send it without other content"
        )
    try:
        # As text: of bytes, the standard library would also take UTF-16.
        return json.loads(text.decode(), **_STRICT)
    except _RepeatedError as e:
        problem, fix = "the field is given twice", "give it once"
        return refusal(line, "duplicate_field", safe_field_name(e.args[0]), problem, fix)
    except (ValueError, RecursionError):
        problem, fix = "not valid JSON in UTF-8", "write one JSON object a line"
        return refusal(line, "bad_json", "", problem, fix)


class _RepeatedError(Exception):
    """An object has two members of one name."""


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        names: set[str] = set()
        raise _RepeatedError(next(n for n, _ in pairs if n in names or names.add(n)))  # type: ignore[func-returns-value]
    return members


def _parse_integer(digits: str) -> int:
    # Python refuses to read thousands of digits; past 64 bits all are out of every range alike.
    return int(digits[:20])


def _no_constant(_: str) -> Any:
    raise ValueError


_STRICT: dict[str, Any] = {
    "object_pairs_hook": _unique_members,
    "parse_int": _parse_integer,
    "parse_constant": _no_constant,
}
