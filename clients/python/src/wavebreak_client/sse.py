"""A reader of server-sent events, from bytes as they arrive."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_END = re.compile(rb"\r\n|\n|\r(?!\Z)")
_LONGEST = 1 << 20


@dataclass(frozen=True)
class Message:
    """One message of a stream."""

    event: str
    data: str
    id: str


class EventStreamReader:
    r"""Splits a stream into messages; a comment counts as a sign of life, no more.

    >>> reader = EventStreamReader()
    >>> list(reader.feed(b': quiet\n\nid: 7\nevent: state\nda'))
    []
    >>> list(reader.feed(b'ta: {}\n\n'))
    [Message(event='state', data='{}', id='7')]

    """

    def __init__(self) -> None:
        self._rest = b""
        self._event, self._data, self._id = "", list[str](), ""
        self.retry_ms: int | None = None

    def feed(self, received: bytes) -> Iterator[Message]:
        """Take bytes, and return the messages that they complete.

        Raises:
            ValueError: Where a line is longer than a mebibyte.

        """
        lines = _END.split(self._rest + received)
        self._rest = lines.pop()
        if len(self._rest) > _LONGEST:
            raise ValueError("a line of the stream is too long")
        for line in lines:
            yield from self._line(line.decode("utf-8", "replace"))

    def _line(self, line: str) -> Iterator[Message]:
        if not line:
            if self._data:
                yield Message(self._event or "message", "\n".join(self._data), self._id)
            self._event, self._data = "", []
            return
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._event = value
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self.retry_ms = int(value)
