"""Request decoding: bodies decompressed, converted to lines or columns, and decoded together.

Small bodies cost more by their number than by their events, so waiting bodies are decoded together.
If one of them is doubtful, each is decoded by itself: a broken body affects only its sender.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO
from itertools import pairwise
from typing import NamedTuple

import msgspec
import numpy as np
import pyarrow as pa

from wavebreak.errors import EventError, FileError
from wavebreak.io.arrow_bounds import StreamSize, stream_size
from wavebreak.io.field_limits import refusal
from wavebreak.io.jsonl import decode_lines, decode_scanned
from wavebreak.io.line_splitter import LineBlock, split_bodies
from wavebreak.io.readers import ArrayItems, is_log
from wavebreak.io.validation import (
    ValidatedBatch,
    merge_batches,
    validate_columns,
    validate_plain_batches,
)
from wavebreak.privacy.pseudonymizer import Pseudonymizer, with_all_columns
from wavebreak.schema.events import LOG_SCHEMA, Refusal
from wavebreak_server.pipeline.admission import NO_RIGHTS, Admission, LabelRecord, admit
from wavebreak_server.settings import Limits

FORMS = ("json", "lines", "arrow")
MAX_COLUMNS = 64
"""Values of an Arrow stream for each event that a body may hold; an event has fewer fields."""
MAX_JOINT_BYTES = 16 << 20
"""Decompressed bodies of this many bytes take no further one into their batch."""
_BLANK = b" \t\r\n"


SMALL_BYTES = 1 << 20
"""A body that decompresses to more bytes is decoded apart from others."""
SMALL_EVENTS = 5_000
"""A body that seems to hold more events is decoded apart from others."""
_PACKING = 8
_EVENT_BYTES = 2048


class TooLargeError(EventError):
    """A body decompresses to more bytes, or holds more events, than the limits allow."""

    status = 413


@dataclass(frozen=True, slots=True)
class Body:
    """A request's body: `form` is one of FORMS, `encoding` gzip, zstd or empty.

    `admission` says what its sender may send.
    """

    content: bytes
    form: str
    encoding: str = ""
    admission: Admission = NO_RIGHTS


@dataclass(frozen=True, slots=True)
class DecodeResult:
    """The result of one body: events accepted, and those rejected (`line` counts from 1).

    The first refusals are listed, the others counted in `unlisted`, by cause. `labels` are the
    accepted events that label an account; `unpacked` is the size of the decompressed body. `unit`
    is what the positions of events count: line, item or row (empty: there is one event).
    """

    taken: int
    refused: tuple[Refusal, ...] = ()
    labels: tuple[LabelRecord, ...] = ()
    unlisted: tuple[tuple[str, int], ...] = ()
    unpacked: int = field(default=0, compare=False)
    unit: str = field(default="line", compare=False)


@dataclass(frozen=True, slots=True)
class DecodedBatch:
    """Bodies decoded together: their events in one batch, and the result of each.

    A body that cannot be decoded at all has an error as its result. `blob` is the batch encoded as
    a row of the log, if it has been encoded.
    """

    log: pa.RecordBatch
    reads: tuple[BodyResult, ...]
    blob: bytes = b""


@dataclass(frozen=True, slots=True)
class Postponed:
    """The result of a body that was not decoded, so that it delays no small one.

    `large`: by itself; otherwise those before it were as much as is decoded at once.
    """

    large: bool


def seems_large(body: Body) -> bool:
    """Return whether a body may be large: by its size, as compression goes."""
    return len(body.content) * (_PACKING if body.encoding else 1) > SMALL_BYTES


class RequestDecoder:
    """Decodes and pseudonymizes bodies, within limits. For one thread."""

    def __init__(self, pseudonymizer: Pseudonymizer, limits: Limits) -> None:
        self.pseudonymizer, self.limits = pseudonymizer, limits
        self._admissions: list[Admission] = []
        self._units: list[str] = []

    def decode(
        self, bodies: Sequence[Body], *, narrow: bool = False, small: bool = False
    ) -> DecodedBatch:
        """Decode bodies, together if possible; the events keep the order of the bodies.

        Args:
            bodies: The bodies.
            narrow: Whether the log may lack columns without values.
            small: Whether large bodies are postponed, and those that come after as many small ones
                as are decoded at once.
        """
        logs, reads = list[pa.RecordBatch](), list[BodyResult]()
        for unpacked, sizes in self._rounds(bodies, small=small):
            admitted = bodies[len(reads) : len(reads) + len(unpacked)]
            self._admissions = [body.admission for body in admitted]
            some, parts = self._together(unpacked)
            logs += _in_body_order(parts, some)
            reads += [
                replace(read, unpacked=size) if isinstance(read, DecodeResult) else read
                for read, size in zip(some, sizes, strict=True)
            ]
        whole = concat_batches(logs)
        return DecodedBatch(whole if narrow else with_all_columns(whole), tuple(reads))

    def _rounds(
        self, bodies: Sequence[Body], *, small: bool
    ) -> Iterator[tuple[list[_Unpacked], list[int]]]:
        """Decompress bodies in groups of bounded size; also yields the size of each body."""
        unpacked, sizes, size = list[_Unpacked](), list[int](), 0
        whole = events = 0
        for body in bodies:
            before = size
            if small and (whole > 2 * SMALL_BYTES or events > 2 * SMALL_EVENTS):
                unpacked.append(Postponed(large=False))
                sizes.append(0)
                continue
            try:
                one, own, many = self._unpacked(body, small=small)
                unpacked.append(one)
                size, whole, events = size + own, whole + own, events + many
            except EventError as error:
                unpacked.append(error)
            sizes.append(size - before)
            if size >= MAX_JOINT_BYTES:
                yield unpacked, sizes
                unpacked, sizes, size = [], [], 0
        yield unpacked, sizes

    def _unpacked(self, body: Body, *, small: bool) -> tuple[_Unpacked, int, int]:
        """Return an unpacked body, its size, and its events, about; Postponed if too large."""
        limit = self.limits.unpacked
        content = decompress(body, min(SMALL_BYTES, limit) if small else limit, small=small)
        if content is None:
            return Postponed(large=True), SMALL_BYTES, 0
        if body.form == "arrow":
            size = check_stream(content, self.limits)
            if small and (size.unpacked > SMALL_BYTES or size.rows > SMALL_EVENTS):
                return Postponed(large=True), 0, 0
            batches = _read_arrow(content, self.limits.events)
            return batches, max(size.unpacked, len(content)), size.rows
        lines = _as_lines(content, body.form, body.admission.arrival_ms)
        many = _about(lines)
        if small and many > SMALL_EVENTS:
            return Postponed(large=True), len(content), 0
        return lines, len(content), many

    def _together(self, unpacked: list[_Unpacked]) -> tuple[list[BodyResult], list[_Part]]:
        """Return the result of each body, and the events, decoded together if possible."""
        reads: list[BodyResult] = [
            one if isinstance(one, EventError | Postponed) else DecodeResult(0) for one in unpacked
        ]
        self._units = [one.unit if isinstance(one, _TextBody) else "row" for one in unpacked]
        texts = {
            at: one for at, one in enumerate(unpacked) if isinstance(one, _TextBody) and one.lines
        }
        tables = {at: one for at, one in enumerate(unpacked) if isinstance(one, list)}
        parts = [*self._texts(texts, reads), *self._tables(tables, reads)]
        return reads, parts

    def _texts(self, texts: dict[int, _TextBody], reads: list[BodyResult]) -> Iterator[_Part]:
        if not texts:
            return
        piece, counts = split_bodies(
            [text.lines for text in texts.values()], [text.whole for text in texts.values()]
        )
        many = [at for at, count in zip(texts, counts, strict=True) if count > self.limits.events]
        if many:
            for at in many:
                reads[at] = _too_many(self.limits.events)
            yield from self._texts({at: texts[at] for at in texts if at not in many}, reads)
            return
        scanned = decode_scanned(piece)
        arrays = any(text.array for text in texts.values())
        if (
            scanned
            and scanned[1] == sum(counts)
            # Lines of an array that do not parse may be two halves of one event.
            and not (arrays and any(one.cause == "bad_json" for one in scanned[0].refused))
        ):
            taken = self._dated(scanned[0], piece, list(texts), counts)
            yield self._shared(taken, list(texts), counts, reads)
            return
        for at, text in texts.items():
            if text.array and not _is_json(text.array):
                reads[at] = DecodeResult(0, (_NO_ARRAY,))
                continue
            lines = text.exact()
            if lines.count(b"\n") > self.limits.events:
                reads[at] = _too_many(self.limits.events)
            elif lines:
                block = LineBlock.of(lines)
                taken, read = decode_lines(block)
                taken = self._dated(taken, block, [at], [len(block.ends)])
                yield self._shared(taken, [at], [read], reads)

    def _dated(
        self, taken: ValidatedBatch, block: LineBlock, ats: list[int], counts: list[int]
    ) -> ValidatedBatch:
        """Decode the lines again that lack only a time, with that of their body's arrival."""
        lines = [one.line for one in taken.refused if _lacks_time(one)]
        if not lines:
            return taken
        bodies = np.searchsorted(np.cumsum(counts)[:-1], lines).tolist()
        arrivals = [self._admissions[ats[k]].arrival_ms for k in bodies]
        dated = {
            line: _with_times(_line_of(block, line - block.first), arrival)
            for line, arrival in zip(lines, arrivals, strict=True)
            if arrival
        }
        if not dated:
            return taken
        again, _ = decode_lines(LineBlock.of(b"".join(dated.values())))
        numbers = np.array(list(dated), np.int64)
        others = ValidatedBatch(
            again.wire,
            numbers[again.lines - 1],
            [_moved(one, int(numbers[one.line - 1])) for one in again.refused],
        )
        refused = [one for one in taken.refused if one.line not in dated]
        return merge_batches([taken._replace(refused=refused), others])

    def _tables(
        self, tables: dict[int, list[pa.RecordBatch]], reads: list[BodyResult]
    ) -> Iterator[_Part]:
        if not tables:
            return
        taken = validate_plain_batches([batch for some in tables.values() for batch in some], 1)
        if taken is None and len(tables) > 1:
            # One of them may prevent joint decoding: try halves.
            ats = list(tables)
            for half in ats[: len(ats) // 2], ats[len(ats) // 2 :]:
                yield from self._tables({at: tables[at] for at in half}, reads)
            return
        if taken is None:
            ((at, some),) = tables.items()
            try:
                taken = validate_columns(_combine_columns(some), 1)
            except FileError as error:
                reads[at] = EventError(error.what, fix=error.fix)
                return
            except EventError as error:
                reads[at] = error
                return
        counts = [sum(batch.num_rows for batch in some) for some in tables.values()]
        yield self._shared(taken, list(tables), counts, reads)

    def _shared(
        self, taken: ValidatedBatch, ats: list[int], counts: list[int], reads: list[BodyResult]
    ) -> _Part:
        """Pseudonymize what is admitted, and set the result of each body."""
        ends = np.cumsum(counts)
        taken, found = admit(taken, ends, [self._admissions[at] for at in ats])
        log, unparsed = self.pseudonymizer.split(taken.wire, taken.lines, narrow=True)
        labels: dict[int, list[LabelRecord]] = {}
        for line, label in found:
            labels.setdefault(int(np.searchsorted(ends[:-1], line)), []).append(label)
        of_body: dict[int, list[Refusal]] = {}
        for one in sorted(taken.refused + unparsed, key=lambda r: r.line):
            k = int(np.searchsorted(ends[:-1], one.line))
            of_body.setdefault(k, []).append(one)
        most = self.limits.refusals
        for k, at in enumerate(ats):
            own = of_body.get(k, [])
            unlisted = Counter(one.cause for one in own[most:])
            before, unit = int(ends[k]) - counts[k], self._units[at]
            listed = tuple(_renumbered(one, before, unit) for one in own[:most])
            reads[at] = DecodeResult(
                counts[k] - len(own),
                listed,
                tuple(labels.get(k, ())),
                tuple(unlisted.items()),
                unit=unit,
            )
        taken_of = [counts[k] - len(of_body.get(k, ())) for k in range(len(ats))]
        sources = [self._admissions[at].source for at in ats]
        return _Part(ats, with_sources(log, sources, taken_of))


class _Part(NamedTuple):
    """Events that were decoded together: those of the bodies at `ats`, in that order."""

    ats: list[int]
    log: pa.RecordBatch


def with_sources(
    log: pa.RecordBatch, sources: Sequence[str], counts: Sequence[int]
) -> pa.RecordBatch:
    """Return a batch that names who sent its events: so many of each source, in order.

    Args:
        log: Events without sources.
        sources: Names ("": the key belongs to no source).
        counts: The number of events of each.
    """
    if not any(sources):
        return log
    named = [pa.scalar(name or None, pa.string()) for name in sources]
    column = pa.concat_arrays([pa.repeat(*each) for each in zip(named, counts, strict=True)])
    schema = log.schema.append(LOG_SCHEMA.field("stream_source"))
    return pa.RecordBatch.from_arrays([*log.columns, column], schema=schema)


def _in_body_order(parts: list[_Part], reads: Sequence[BodyResult]) -> list[pa.RecordBatch]:
    """Return the events in the order of their bodies, split by body if necessary."""
    parts = sorted((part for part in parts if part.log.num_rows), key=lambda part: part.ats[0])
    if all(part.ats[-1] < other.ats[0] for part, other in pairwise(parts)):
        return [part.log for part in parts]
    own: dict[int, pa.RecordBatch] = {}
    for ats, log in parts:
        begin = 0
        for at in ats:
            read = reads[at]
            own[at] = log[begin : begin + (read.taken if isinstance(read, DecodeResult) else 0)]
            begin += own[at].num_rows
    return [own[at] for at in sorted(own)]


def _renumbered(one: Refusal, by: int, unit: str) -> Refusal:
    """Return a refusal with its position counted from the start of its body."""
    line = one.line - by
    where = f"{unit} {line}: " if unit else ""
    message = one.message.replace(f"line {one.line}: ", where, 1)
    return Refusal(line, one.cause, one.field, message)


def _moved(one: Refusal, line: int) -> Refusal:
    message = one.message.replace(f"line {one.line}: ", f"line {line}: ", 1)
    return Refusal(line, one.cause, one.field, message)


def _lacks_time(one: Refusal) -> bool:
    return one.cause == "missing_field" and one.field == "ts"


def _line_of(block: LineBlock, row: int) -> bytes:
    begin = int(block.ends[row - 1]) + 1 if row else 0
    return bytes(block.text[begin : int(block.ends[row]) + 1])


_OPENS = re.compile(rb"^([ \t\r]*)\{", re.MULTILINE)
_TIME = b'"ts"'


def _with_times(lines: bytes, arrival_ms: int) -> bytes:
    r"""Return lines of one event each with a time; no line has one.

    >>> _with_times(b'{"account":"a"}\n {}\n', 7)
    b'{"ts":7,"account":"a"}\n {"ts":7}\n'
    """
    head = b'{"ts":%d,' % arrival_ms
    return _OPENS.sub(rb"\1" + head, lines).replace(head + b"}", head[:-1] + b"}")


def date_event(content: bytes, arrival_ms: int) -> bytes:
    """Return an event in JSON with a time, that of its arrival where it has none."""
    return content if _TIME in content else _with_times(content, arrival_ms)


def concat_batches(logs: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    """Concatenate batches of the log; the result is narrow if all lack the same columns."""
    if not logs:
        return pa.RecordBatch.from_pylist([], schema=LOG_SCHEMA)
    if not all(log.schema.equals(logs[0].schema) for log in logs[1:]):
        logs = [with_all_columns(log) for log in logs]
    return logs[0] if len(logs) == 1 else pa.concat_batches(logs)


def decompress(body: Body, at_most: int, *, small: bool = False) -> bytes | None:
    """Decompress a body; None if only a `small` one is wanted and it exceeds `at_most` bytes.

    Raises TooLargeError if it exceeds `at_most` bytes, EventError if it is damaged.
    """
    if not body.encoding:
        return body.content
    parts, size = [], 0
    try:
        stream = pa.CompressedInputStream(pa.BufferReader(body.content), body.encoding)
        while block := stream.read(min(1 << 20, at_most + 1 - size)):
            parts.append(block)
            size += len(block)
            if size > at_most and small:
                return None
            if size > at_most:
                raise TooLargeError(
                    f"the body decompresses to more than {at_most} bytes", fix="split the batch"
                )
    except (OSError, EOFError, pa.ArrowException):
        raise EventError(
            f"the body is not valid {body.encoding}", fix="compress it again, or not at all"
        ) from None
    return b"".join(parts)


@dataclass(frozen=True, slots=True)
class _TextBody:
    """A text body as lines, one event each; or a `whole` array, to be split together with others.

    If `array` holds a JSON array, the lines are split at what looks like the end of an object.
    Events hold no objects: if a string looks like one, the halves are not JSON, and `exact` is
    used instead.
    """

    lines: bytes
    array: bytes = b""
    whole: bool = False
    unit: str = "line"

    def exact(self) -> bytes:
        """Return the lines, an array split into its items by parsing strings and brackets."""
        if not self.array:
            return self.lines
        items, parts = ArrayItems(BytesIO(self.array)), []
        while part := items.read(1 << 22):
            parts.append(part)
        return _with_final_newline(b"".join(parts).strip(_BLANK))


_Unpacked = _TextBody | list[pa.RecordBatch] | EventError | Postponed
BodyResult = DecodeResult | EventError | Postponed


_ANY = msgspec.json.Decoder(msgspec.Raw)
_NO_ARRAY = refusal(
    1, "bad_json", "", "the array is not valid JSON", "send a JSON array, or one object a line"
)


def _is_json(text: bytes) -> bool:
    """Return whether a text is one JSON value; of a truncated array, no item is taken."""
    try:
        _ANY.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def _about(text: _TextBody) -> int:
    """Return about how many events a text holds; an array without objects counts by its commas."""
    if not text.array:
        return text.lines.count(b"\n")
    objects = text.lines.count(b"}")
    sparse = objects * _EVENT_BYTES < len(text.array)
    return max(objects, text.array.count(b",") if sparse else 0)


def _as_lines(content: bytes, form: str, arrival_ms: int = 0) -> _TextBody:
    """Convert a text body to one event per line, with the time of arrival where none has one."""
    content, array, unit = content.removeprefix(b"\xef\xbb\xbf"), b"", "line"
    if form == "json":
        content, unit = content.strip(_BLANK), ""
        if content.startswith(b"["):
            array, unit = content, "item"
        if content.startswith(b"[{") and content.endswith(b"}]") and b"\n" not in content:
            if arrival_ms and _TIME not in content:
                return _TextBody(_with_times_in_array(content, arrival_ms), array, True, unit)
            return _TextBody(content, array, whole=True, unit=unit)
        content = content.replace(b"\n", b" ")
        if array.endswith(b"]"):
            content = content[1:-1].strip(_BLANK).replace(b"},{", b"}\n{")
            content = content.replace(b"}, {", b"}\n{")
    if arrival_ms and _TIME not in content:
        content = _with_times(content, arrival_ms)
    return _TextBody(_with_final_newline(content), array, unit=unit)


def _with_times_in_array(content: bytes, arrival_ms: int) -> bytes:
    """Return an array of events with times; where a text looks like two events, `exact` counts."""
    head = b'{"ts":%d,' % arrival_ms
    content = b"[" + head + content[2:].replace(b"},{", b"}," + head)
    return content.replace(b"}, {", b"}, " + head).replace(head + b"}", head[:-1] + b"}")


def _too_many(at_most: int) -> TooLargeError:
    return TooLargeError(f"more than {at_most} events in one body", fix="split the batch")


def _with_final_newline(lines: bytes) -> bytes:
    return lines + b"\n" if lines and not lines.endswith(b"\n") else lines


def check_stream(content: bytes, limits: Limits) -> StreamSize:
    """Return what an Arrow IPC stream holds.

    Raises TooLargeError if it unpacks to more than the limits, EventError if it is damaged.
    """
    try:
        size = stream_size(content)
    except _UNREADABLE:
        raise _unreadable() from None
    if size.rows > limits.events:
        raise _too_many(limits.events)
    if size.unpacked > limits.unpacked:
        raise TooLargeError(
            f"the columns decompress to more than {limits.unpacked} bytes", fix="split the batch"
        )
    if size.values > MAX_COLUMNS * limits.events:
        raise TooLargeError(
            "the columns hold too many values", fix="send fewer columns, or fewer rows"
        )
    return size


def _read_arrow(content: bytes, at_most: int) -> list[pa.RecordBatch]:
    """Read an Arrow IPC stream without validating its values.

    Raises EventError if it is not one, or is a Wavebreak log.
    """
    try:
        reader = pa.ipc.open_stream(content)
        if is_log(reader.schema):
            raise EventError(
                "the columns are those of a Wavebreak log", fix="send the original events"
            )
        batches, rows = [], 0
        for batch in reader:
            rows += batch.num_rows
            if rows > at_most:
                raise _too_many(at_most)
            if batch.num_rows:
                batches.append(batch)
        return batches or [pa.RecordBatch.from_pylist([], reader.schema)]
    except _UNREADABLE:
        raise _unreadable() from None


def _combine_columns(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    """Combine a body's batches into one; raises EventError if they are damaged."""
    try:
        for batch in batches:
            batch.validate(full=True)
        whole = pa.Table.from_batches(batches).combine_chunks().to_batches()
    except _UNREADABLE:
        raise _unreadable() from None
    return whole[0] if whole else batches[0]


_UNREADABLE = (pa.ArrowException, OSError, ValueError, KeyError, FileError)


def _unreadable() -> EventError:
    return EventError("the body is not a valid Arrow IPC stream", fix="encode the stream again")
