"""Bodies of requests to events: unpacked, brought to lines or columns, decoded many at once.

Small bodies cost the readers more by their number than by their events, so bodies that wait are
read together. Where one of them is in any doubt, each is read for itself: a broken body costs only
its sender.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
import pyarrow as pa

from wavebreak.edge import Edge
from wavebreak.errors import EventError, FileError
from wavebreak.events import LOG_SCHEMA, Refusal
from wavebreak.formats.columns import Taken, take_columns
from wavebreak.formats.lines import take_lines, take_scanned
from wavebreak.formats.plain import Piece
from wavebreak.formats.streams import ArrayItems
from wavebreak.formats.tables import is_log
from wavebreak.service import cloudevents
from wavebreak.service.settings import Limits

FORMS = ("json", "lines", "cloudevents", "cloudevents-batch", "arrow")
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
    """Bodies read together: their events in one batch (LOG_SCHEMA), and what each came to.

    A body that could not be read at all has its error in the place of a `Read`. `blob` are the
    events as a row of the log, where they have been packed.
    """

    log: pa.RecordBatch
    reads: tuple[Read | EventError, ...]
    blob: bytes = b""


class Decoder:
    """Reads bodies over the privacy edge, within limits. For one thread."""

    def __init__(self, edge: Edge, limits: Limits) -> None:
        self.edge, self.limits = edge, limits

    def decode(self, bodies: Sequence[Body]) -> Decoded:
        """Read bodies, at best all at once; the events stand in the order of the bodies."""
        reads: list[Read | EventError | None] = [None] * len(bodies)
        texts: dict[int, _Text] = {}
        tables: dict[int, pa.RecordBatch] = {}
        for at, body in enumerate(bodies):
            try:
                content = unpacked(body, self.limits.unpacked)
                if body.form == "arrow":
                    tables[at] = _table(content, self.limits.events)
                else:
                    texts[at] = _text(content, body.form, self.limits.events)
            except EventError as error:
                reads[at] = error
        logs: dict[int, list[pa.RecordBatch]] = {}
        self._texts(texts, reads, logs)
        self._tables(tables, reads, logs)
        ordered = [log for at in sorted(logs) for log in logs[at]]
        made = tuple(Read(0) if read is None else read for read in reads)
        return Decoded(joined(ordered), made)

    def _texts(self, texts: dict[int, _Text], reads: Any, logs: Any) -> None:
        if whole := b"".join(text.lines for text in texts.values()):
            counts = [text.count for text in texts.values()]
            scanned = take_scanned(Piece.of(whole))
            arrays = any(text.array for text in texts.values())
            if scanned and scanned[1] == sum(counts) and not (arrays and _torn(scanned[0])):
                self._share(scanned[0], list(texts), counts, reads, logs)
                return
        for at, text in texts.items():
            lines = text.exact()
            if lines.count(b"\n") > self.limits.events:
                reads[at] = _too_many(self.limits.events)
            elif lines:
                taken, read = take_lines(Piece.of(lines))
                reads[at] = self._over_edge(taken, at, read, logs)

    def _tables(self, tables: dict[int, pa.RecordBatch], reads: Any, logs: Any) -> None:
        if len(tables) > 1:
            try:
                some = [pa.Table.from_batches([table]) for table in tables.values()]
                # A column that a body lacks is absent in its rows.
                whole = pa.concat_tables(some, promote_options="default").combine_chunks()
                taken = take_columns(whole.to_batches()[0], 1)
            except (FileError, pa.ArrowException, IndexError):
                taken = None
            if taken is not None:
                counts = [table.num_rows for table in tables.values()]
                self._share(taken, list(tables), counts, reads, logs)
                return
        for at, table in tables.items():
            try:
                reads[at] = self._over_edge(take_columns(table, 1), at, table.num_rows, logs)
            except FileError as error:
                reads[at] = EventError(error.what, fix=error.fix)

    def _over_edge(self, taken: Taken, at: int, read: int, logs: Any) -> Read:
        log, unparsed = self.edge.split(taken.wire, taken.lines)
        refused = sorted(taken.refused + unparsed, key=lambda r: r.line)
        logs.setdefault(at, []).append(log)
        return Read(read - len(refused), tuple(refused))

    def _share(
        self, taken: Taken, ats: list[int], counts: list[int], reads: Any, logs: Any
    ) -> None:
        """Tell each body what of the whole was its own."""
        log, unparsed = self.edge.split(taken.wire, taken.lines)
        ends = np.cumsum(counts)
        of_body: dict[int, list[Refusal]] = {}
        for refusal in sorted(taken.refused + unparsed, key=lambda r: r.line):
            k = int(np.searchsorted(ends, refusal.line))
            of_body.setdefault(k, []).append(_moved(refusal, int(ends[k]) - counts[k]))
        for k, at in enumerate(ats):
            own = tuple(of_body.get(k, ()))
            reads[at] = Read(counts[k] - len(own), own)
        logs.setdefault(ats[0], []).append(log)


def _torn(taken: Taken) -> bool:
    """Tell whether there are lines which may be halves of one."""
    return any(refusal.cause == "bad_json" for refusal in taken.refused)


def _moved(refusal: Refusal, by: int) -> Refusal:
    """A refusal with its line counted from its own body's first."""
    line = refusal.line - by
    message = refusal.message.replace(f"line {refusal.line}:", f"line {line}:", 1)
    return Refusal(line, refusal.cause, refusal.field, message)


def joined(logs: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    """Put batches of the log together, in their order."""
    if len(logs) == 1:
        return logs[0]
    return pa.concat_batches(logs) if logs else pa.RecordBatch.from_pylist([], schema=LOG_SCHEMA)


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
    """A text body as lines, an event each, `count` of them.

    Where `array` holds a JSON array, the lines are cut at what looks like the end of an object. An
    event holds no object: what looks so within a text leaves two halves that are not JSON, and
    `exact` is asked.
    """

    lines: bytes
    count: int
    array: bytes = b""

    def exact(self) -> bytes:
        """Give the lines, an array cut into its items by strings and brackets."""
        if not self.array:
            return self.lines
        items, parts = ArrayItems(BytesIO(self.array)), []
        while part := items.read(1 << 22):
            parts.append(part)
        return _ended(b"".join(parts).strip(_BLANK))


def _text(content: bytes, form: str, at_most: int) -> _Text:
    """Bring a text body to one event a line; raises TooLargeError for more than `at_most`."""
    content, array = content.removeprefix(b"\xef\xbb\xbf"), b""
    if form.startswith("cloudevents"):
        content = cloudevents.lines(content, batch=form.endswith("batch"))
    elif form == "json":
        content = content.strip(_BLANK)
        if content.startswith(b"["):
            array = content
        content = content.replace(b"\n", b" ")
        if array.endswith(b"]"):
            content = content[1:-1].strip(_BLANK).replace(b"},{", b"}\n{")
            content = content.replace(b"}, {", b"}\n{")
    lines = _ended(content)
    made = _Text(lines, lines.count(b"\n"), array)
    if made.count > at_most:
        raise _too_many(at_most)
    return made


def _too_many(at_most: int) -> TooLargeError:
    return TooLargeError(f"more than {at_most} events in one body", fix="send it in parts")


def _ended(lines: bytes) -> bytes:
    return lines + b"\n" if lines and not lines.endswith(b"\n") else lines


def _table(content: bytes, at_most: int) -> pa.RecordBatch:
    """Read an Arrow IPC stream; raises EventError where it is none, or is a log of ours."""
    try:
        reader = pa.ipc.open_stream(content)
        if is_log(reader.schema):
            raise EventError("the columns are those of a log", fix="send events as they arrived")
        batches, rows = [], 0
        for batch in reader:
            rows += batch.num_rows
            if rows > at_most:
                raise _too_many(at_most)
            batches.append(batch)
        whole = pa.Table.from_batches(batches, schema=reader.schema).combine_chunks()
        whole.validate(full=True)
        return whole.to_batches()[0] if rows else pa.RecordBatch.from_pylist([], reader.schema)
    except (pa.ArrowException, OSError, ValueError, KeyError, FileError):
        raise EventError(
            "the body cannot be read as an Arrow IPC stream", fix="write the stream again"
        ) from None
