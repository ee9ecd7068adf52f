"""Bodies of requests to events: unpacked, brought to lines or columns, decoded many at once.

Small bodies cost the readers more by their number than by their events, so bodies that wait are
read together. Where one of them is in any doubt, each is read for itself: a broken body costs only
its sender.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from wavebreak.errors import EventError, FileError
from wavebreak.io.jsonl import decode_lines, decode_scanned
from wavebreak.io.line_splitter import LineBlock, split_bodies
from wavebreak.io.readers import ArrayItems, is_log
from wavebreak.io.validation import ValidatedBatch, validate_columns, validate_plain_batches
from wavebreak.privacy.pseudonymizer import Pseudonymizer, with_all_columns
from wavebreak.schema.events import LOG_SCHEMA, Refusal
from wavebreak.service import cloudevents
from wavebreak.service.settings import Limits

FORMS = ("json", "lines", "cloudevents", "cloudevents-batch", "arrow")
TOGETHER = 16 << 20
"""Bytes of unpacked bodies from which on no further one is read together with them."""
_BLANK = b" \t\r\n"


class TooLargeError(EventError):
    """A body unpacks to more bytes, or holds more events, than is taken at once."""


@dataclass(frozen=True, slots=True)
class Body:
    """A request's body: `form` is one of FORMS, `encoding` gzip, zstd or empty."""

    content: bytes
    form: str
    encoding: str = ""


@dataclass(frozen=True, slots=True)
class Read:
    """What one body came to: events taken, and those refused (`line` counts from 1)."""

    taken: int
    refused: tuple[Refusal, ...] = ()


@dataclass(frozen=True, slots=True)
class Decoded:
    """Bodies read together: their events in one batch of the log, and what each came to.

    A body that could not be read at all has its error in the place of a `Read`. `blob` are the
    events as a row of the log, where they have been packed.
    """

    log: pa.RecordBatch
    reads: tuple[Read | EventError, ...]
    blob: bytes = b""


class Decoder:
    """Reads bodies over the privacy edge, within limits. For one thread."""

    def __init__(self, edge: Pseudonymizer, limits: Limits) -> None:
        self.edge, self.limits = edge, limits

    def decode(self, bodies: Sequence[Body], *, narrow: bool = False) -> Decoded:
        """Read bodies, at best all at once; the events stand in the order of the bodies.

        A `narrow` log may lack columns in which nothing is given.
        """
        logs, reads = list[pa.RecordBatch](), list[Read | EventError]()
        for held in self._rounds(bodies):
            some, parts = self._together(held)
            logs += _ordered(parts, some)
            reads += some
        whole = joined(logs)
        return Decoded(whole if narrow else with_all_columns(whole), tuple(reads))

    def _rounds(self, bodies: Sequence[Body]) -> Iterator[list[_Opened]]:
        """Unpack bodies, so many at a time that what they unpack to stays within bounds."""
        held, size = list[_Opened](), 0
        for body in bodies:
            try:
                content = unpacked(body, self.limits.unpacked)
                size += len(content)
                if body.form == "arrow":
                    held.append(_batches(content, self.limits.events))
                else:
                    held.append(_text(content, body.form))
            except EventError as error:
                held.append(error)
            if size >= TOGETHER:
                yield held
                held, size = [], 0
        yield held

    def _together(self, held: list[_Opened]) -> tuple[list[Read | EventError], list[_Part]]:
        """What each body came to, and their events, together where nothing speaks against it."""
        reads = [one if isinstance(one, EventError) else Read(0) for one in held]
        texts = {at: one for at, one in enumerate(held) if isinstance(one, _Text) and one.lines}
        tables = {at: one for at, one in enumerate(held) if isinstance(one, list)}
        parts = [*self._texts(texts, reads), *self._tables(tables, reads)]
        return reads, parts

    def _texts(
        self, texts: dict[int, _Text], reads: list[Read | EventError]
    ) -> Iterator[_Part]:  # fmt: skip
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
        if scanned and scanned[1] == sum(counts) and not (arrays and _torn(scanned[0])):
            yield self._shared(scanned[0], list(texts), counts, reads)
            return
        for at, text in texts.items():
            lines = text.exact()
            if lines.count(b"\n") > self.limits.events:
                reads[at] = _too_many(self.limits.events)
            elif lines:
                taken, read = decode_lines(LineBlock.of(lines))
                yield self._shared(taken, [at], [read], reads)

    def _tables(
        self, tables: dict[int, list[pa.RecordBatch]], reads: list[Read | EventError]
    ) -> Iterator[_Part]:
        if not tables:
            return
        taken = validate_plain_batches([batch for some in tables.values() for batch in some], 1)
        if taken is None and len(tables) > 1:
            # In one of them, perhaps, is what stands in the way.
            ats = list(tables)
            for half in ats[: len(ats) // 2], ats[len(ats) // 2 :]:
                yield from self._tables({at: tables[at] for at in half}, reads)
            return
        if taken is None:
            ((at, some),) = tables.items()
            try:
                taken = validate_columns(_whole(some), 1)
            except FileError as error:
                reads[at] = EventError(error.what, fix=error.fix)
                return
            except EventError as error:
                reads[at] = error
                return
        counts = [sum(batch.num_rows for batch in some) for some in tables.values()]
        yield self._shared(taken, list(tables), counts, reads)

    def _shared(
        self,
        taken: ValidatedBatch,
        ats: list[int],
        counts: list[int],
        reads: list[Read | EventError],
    ) -> _Part:
        """Take events over the edge, and tell each body what of them was its own."""
        log, unparsed = self.edge.split(taken.wire, taken.lines, narrow=True)
        ends = np.cumsum(counts)
        of_body: dict[int, list[Refusal]] = {}
        for refusal in sorted(taken.refused + unparsed, key=lambda r: r.line):
            k = int(np.searchsorted(ends[:-1], refusal.line))
            of_body.setdefault(k, []).append(_moved(refusal, int(ends[k]) - counts[k]))
        for k, at in enumerate(ats):
            own = tuple(of_body.get(k, ()))
            reads[at] = Read(counts[k] - len(own), own)
        return _Part(ats, log)


class _Part(NamedTuple):
    """Events that were read together: those of the bodies at `ats`, in that order."""

    ats: list[int]
    log: pa.RecordBatch


def _ordered(parts: list[_Part], reads: Sequence[Read | EventError]) -> list[pa.RecordBatch]:
    """Give the events in the order of their bodies, those of a body cut out where need be."""
    parts = sorted((part for part in parts if part.log.num_rows), key=lambda part: part.ats[0])
    if all(part.ats[-1] < other.ats[0] for part, other in pairwise(parts)):
        return [part.log for part in parts]
    own: dict[int, pa.RecordBatch] = {}
    for ats, log in parts:
        begin = 0
        for at in ats:
            read = reads[at]
            own[at] = log[begin : begin + (read.taken if isinstance(read, Read) else 0)]
            begin += own[at].num_rows
    return [own[at] for at in sorted(own)]


def _torn(taken: ValidatedBatch) -> bool:
    """Tell whether there are lines which may be halves of one."""
    return any(refusal.cause == "bad_json" for refusal in taken.refused)


def _moved(refusal: Refusal, by: int) -> Refusal:
    """A refusal with its line counted from its own body's first."""
    line = refusal.line - by
    message = refusal.message.replace(f"line {refusal.line}:", f"line {line}:", 1)
    return Refusal(line, refusal.cause, refusal.field, message)


def joined(logs: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    """Put batches of the log together, in their order; narrow where all lack the same columns."""
    if not logs:
        return pa.RecordBatch.from_pylist([], schema=LOG_SCHEMA)
    if not all(log.schema.equals(logs[0].schema) for log in logs[1:]):
        logs = [with_all_columns(log) for log in logs]
    return logs[0] if len(logs) == 1 else pa.concat_batches(logs)


def unpacked(body: Body, at_most: int) -> bytes:
    """Give the body's bytes uncompressed.

    Raises TooLargeError where they are more than `at_most`, EventError where they are damaged.
    """
    if not body.encoding:
        return body.content
    parts, size = [], 0
    try:
        stream = pa.CompressedInputStream(pa.BufferReader(body.content), body.encoding)
        while block := stream.read(min(1 << 20, at_most + 1 - size)):
            parts.append(block)
            size += len(block)
            if size > at_most:
                raise TooLargeError(
                    f"the body unpacks to more than {at_most} bytes", fix="send it in parts"
                )
    except (OSError, EOFError, pa.ArrowException):
        raise EventError(
            f"the body is not valid {body.encoding}", fix="compress it again, or send it plain"
        ) from None
    return b"".join(parts)


@dataclass(frozen=True, slots=True)
class _Text:
    """A text body as lines, an event each; or an array that is `whole`, to be cut with others.

    Where `array` holds a JSON array, the lines are cut at what looks like the end of an object. An
    event holds no object: what looks so within a text leaves two halves that are not JSON, and
    `exact` is asked.
    """

    lines: bytes
    array: bytes = b""
    whole: bool = False

    def exact(self) -> bytes:
        """Give the lines, an array cut into its items by strings and brackets."""
        if not self.array:
            return self.lines
        items, parts = ArrayItems(BytesIO(self.array)), []
        while part := items.read(1 << 22):
            parts.append(part)
        return _ended(b"".join(parts).strip(_BLANK))


_Opened = _Text | list[pa.RecordBatch] | EventError


def _text(content: bytes, form: str) -> _Text:
    """Bring a text body to one event a line."""
    content, array = content.removeprefix(b"\xef\xbb\xbf"), b""
    if form.startswith("cloudevents"):
        content = cloudevents.lines(content, batch=form.endswith("batch"))
    elif form == "json":
        content = content.strip(_BLANK)
        if content.startswith(b"["):
            array = content
        if content.startswith(b"[{") and content.endswith(b"}]") and b"\n" not in content:
            return _Text(content, array, whole=True)
        content = content.replace(b"\n", b" ")
        if array.endswith(b"]"):
            content = content[1:-1].strip(_BLANK).replace(b"},{", b"}\n{")
            content = content.replace(b"}, {", b"}\n{")
    return _Text(_ended(content), array)


def _too_many(at_most: int) -> TooLargeError:
    return TooLargeError(f"more than {at_most} events in one body", fix="send it in parts")


def _ended(lines: bytes) -> bytes:
    return lines + b"\n" if lines and not lines.endswith(b"\n") else lines


def _batches(content: bytes, at_most: int) -> list[pa.RecordBatch]:
    """Read an Arrow IPC stream, without a look at its values.

    Raises EventError where it is none, or is a log of ours.
    """
    try:
        reader = pa.ipc.open_stream(content)
        if is_log(reader.schema):
            raise EventError("the columns are those of a log", fix="send events as they arrived")
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


def _whole(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    """Give a body's columns in one piece; raises EventError where they are damaged."""
    try:
        for batch in batches:
            batch.validate(full=True)
        whole = pa.Table.from_batches(batches).combine_chunks().to_batches()
    except _UNREADABLE:
        raise _unreadable() from None
    return whole[0] if whole else batches[0]


_UNREADABLE = (pa.ArrowException, OSError, ValueError, KeyError, FileError)


def _unreadable() -> EventError:
    return EventError(
        "the body cannot be read as an Arrow IPC stream", fix="write the stream again"
    )
