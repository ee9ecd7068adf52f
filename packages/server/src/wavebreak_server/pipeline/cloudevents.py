"""CloudEvents 1.0 as JSON Lines of events: structured, batched and binary.

`type` is `wavebreak.` followed by the event's type, `subject` the account, `data` the other fields.
The time is `data.ts`, else the attribute `time`. Attributes outside the event schema are dropped.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from wavebreak.errors import EventError

PREFIX = "wavebreak."
_FIX = "see CloudEvents 1.0: id, source, specversion, type, and data as a JSON object"


class Envelope(msgspec.Struct, gc=False):
    """The attributes of a CloudEvent that the event schema knows, and its data as JSON."""

    id: str
    source: str
    specversion: str
    type: str
    subject: str = ""
    time: str = ""
    data: msgspec.Raw = msgspec.Raw(b"{}")
    data_base64: str = ""


_HAS_TS = re.compile(rb'"ts"\s*:')
_ONE = msgspec.json.Decoder(Envelope)
_MANY = msgspec.json.Decoder(list[Envelope])


def structured_to_lines(content: bytes, *, batch: bool) -> bytes:
    """Convert structured CloudEvents (one, or a JSON array) to one event per line.

    Raises EventError if the body is not CloudEvents; the events are validated later.
    """
    try:
        envelopes = _MANY.decode(content) if batch else [_ONE.decode(content)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise EventError("the body is not CloudEvents in JSON", fix=_FIX) from None
    return b"".join(map(_line, envelopes))


def binary_to_line(headers: Mapping[bytes, bytes], content: bytes) -> bytes:
    """Convert a binary CloudEvent (attributes as `ce-` headers) to a line."""
    attributes = {
        name: headers.get(f"ce-{name}".encode(), b"").decode("utf-8", "replace")
        for name in ("id", "source", "specversion", "type", "subject", "time")
    }
    if not all(attributes[name] for name in ("id", "source", "specversion", "type")):
        raise EventError("a binary CloudEvent lacks a required header", fix=_FIX)
    return _line(Envelope(**attributes, data=msgspec.Raw(content.strip() or b"{}")))


def _line(one: Envelope) -> bytes:
    if one.specversion != "1.0" or one.data_base64 or not one.type.startswith(PREFIX):
        # An invalid line: it is rejected by its number while the others are accepted.
        return b"{}\n" if one.specversion == "1.0" else b"[]\n"
    data = bytes(one.data).strip()
    if not data.startswith(b"{") or not data.endswith(b"}"):
        return b"[]\n"
    attributes = {"id": one.id, "type": one.type.removeprefix(PREFIX), "account": one.subject}
    if one.time and not _HAS_TS.search(data):
        attributes["ts"] = one.time
    head = msgspec.json.encode({name: value for name, value in attributes.items() if value})
    rest = data[1:-1].strip()
    # A field that is both an attribute and in `data` is rejected as a duplicate.
    line = head[:-1] + (b"," + rest if rest else b"") + b"}\n"
    return line[:-1].replace(b"\n", b" ") + b"\n"
