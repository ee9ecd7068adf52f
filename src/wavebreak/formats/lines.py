"""JSON Lines to columns: whole pieces through msgspec, line by line only where one fails."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from wavebreak.events import AnyEvent, Event, Refusal, shown
from wavebreak.formats.columns import Taken, doubtful, merged, settle, taken_events
from wavebreak.formats.limits import judge, refusal
from wavebreak.formats.structs import wire_of

MAX_LINE = 1 << 16
"""Longest line (or array item) in bytes; a longer one is refused without being kept."""

# Decoded events of so many lines stay in a processor's cache until they are columns.
_CACHED = 4096
_DECODER = msgspec.json.Decoder(AnyEvent)
_BRACE, _QUOTE, _COLON, _SPACE = map(ord, '{": ')


class Piece(NamedTuple):
    """Whole lines of a file: `text` ends in a newline, `first` is its first line's number."""

    first: int
    text: memoryview
    ends: NDArray[np.int64]

    def part(self, start: int, stop: int) -> Piece:
        """Cut out lines, counted from 0 within the piece."""
        begin = int(self.ends[start - 1]) + 1 if start else 0
        text = self.text[begin : int(self.ends[stop - 1]) + 1]
        return Piece(self.first + start, text, self.ends[start:stop] - begin)


def take_lines(piece: Piece) -> tuple[Taken, int]:
    """Decode and check a piece; also gives how many events it held, refused ones included."""
    if len(piece.ends) <= _CACHED:
        taken = _take_at_once(piece)
        return _take_one_by_one(piece) if taken is None else (taken, len(piece.ends))
    starts = range(0, len(piece.ends), _CACHED)
    parts = [take_lines(piece.part(s, min(s + _CACHED, len(piece.ends)))) for s in starts]
    return merged([taken for taken, _ in parts]), sum(read for _, read in parts)


def _take_at_once(piece: Piece) -> Taken | None:
    """Take a piece whose every line is one event in plain sight, else None."""
    count = len(piece.ends)
    starts = np.concatenate(([0], piece.ends[:-1] + 1))
    # Every line opens with a brace, and events hold no second one: as many events as lines means
    # that none spans two lines and no line holds two.
    opens = np.frombuffer(piece.text, np.uint8)[starts]
    if not (opens == _BRACE).all() or (piece.ends - starts).max(initial=0) > MAX_LINE:
        return None
    try:
        events: list[Event] = _DECODER.decode_lines(piece.text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError):
        return None
    if len(events) != count:
        return None
    members = _members(piece.text)
    wire = wire_of(events, members)
    if sum(count - column.null_count for column in wire.columns) != members:
        return None
    lines = np.arange(piece.first, piece.first + count)
    doubt = doubtful(wire, typed=True)
    if not doubt.any():
        return Taken(wire, lines, [])
    return settle(wire, lines, doubt, [_item(events[i]) for i in np.flatnonzero(doubt)])


def _members(text: memoryview) -> int:
    """Count the members of all objects; -1 where blanks or escapes hide them.

    A repeated name shows as one member more than the event has fields.
    """
    letters = np.frombuffer(text, np.uint8)
    quotes, following = letters[:-1] == _QUOTE, letters[1:]
    if (quotes & (following <= _SPACE)).any():
        return -1
    return int(np.count_nonzero(quotes & (following == _COLON)))


def _item(event: Event) -> dict[str, Any]:
    fields = msgspec.structs.asdict(event)
    return {
        "type": event.__struct_config__.tag,
        **{k: v for k, v in fields.items() if v is not None},
    }


def _take_one_by_one(piece: Piece) -> tuple[Taken, int]:
    good: list[Event] = []
    lines: list[int] = []
    refused: list[Refusal] = []
    start, read = 0, 0
    for line, end in enumerate(piece.ends.tolist(), piece.first):
        text, start = bytes(piece.text[start:end]), end + 1
        if len(text) <= MAX_LINE and (not text or text.isspace()):
            continue
        read += 1
        verdict = _take_line(line, text)
        if isinstance(verdict, Refusal):
            refused.append(verdict)
        else:
            good.append(verdict)
            lines.append(line)
    return _checked(taken_events(good, lines), good, refused), read


def _checked(taken: Taken, events: list[Event], refused: list[Refusal]) -> Taken:
    doubt = doubtful(taken.wire, typed=True)
    settled = taken
    if doubt.any():
        items = [_item(events[i]) for i in np.flatnonzero(doubt)]
        settled = settle(taken.wire, taken.lines, doubt, items)
    return merged([settled._replace(refused=settled.refused + refused)])


def _take_line(line: int, text: bytes) -> Event | Refusal:
    if len(text) > MAX_LINE:
        what = f"longer than {MAX_LINE} bytes"
        return refusal(
            line, "too_long", "", what, "an event is short; send it without other content"
        )
    try:
        event: Event | None = _DECODER.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError):
        event = None
    try:
        # As text: of bytes, the standard library would also take UTF-16.
        item = json.loads(text.decode(), **_STRICT)
    except _RepeatedError as e:
        what, fix = "the field is given twice", "give it once"
        return refusal(line, "duplicate_field", shown(e.args[0]), what, fix)
    except (ValueError, RecursionError):
        what, fix = "not valid JSON in UTF-8", "write one JSON object a line"
        return refusal(line, "bad_json", "", what, fix)
    return judge(line, item) if event is None else event


class _RepeatedError(Exception):
    """A name stands twice in one object."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        seen: set[str] = set()
        raise _RepeatedError(next(n for n, _ in pairs if n in seen or seen.add(n)))  # type: ignore[func-returns-value]
    return made


def _whole(digits: str) -> int:
    # Python refuses to read thousands of digits; past 64 bits all are out of every range alike.
    return int(digits[:20])


def _no_constant(_: str) -> Any:
    raise ValueError


_STRICT: dict[str, Any] = {
    "object_pairs_hook": _once,
    "parse_int": _whole,
    "parse_constant": _no_constant,
}
