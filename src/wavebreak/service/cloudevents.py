"""CloudEvents 1.0 to lines of events: structured, batched and binary.

`type` is `wavebreak.` and the event's type, `subject` the account, `data` the rest. The time is
that of `data.ts`, else the attribute `time`. Attributes that are not of the contract are left out
and stored nowhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from wavebreak.errors import EventError

PREFIX = "wavebreak."
_FIX = "see CloudEvents 1.0: id, source, specversion, type, and data as a JSON object"


class Envelope(msgspec.Struct, gc=False):
    """The attributes of a CloudEvent that the contract has a place for, and its data as JSON."""

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
    """Give structured CloudEvents (one, or a JSON array of them) as one event a line.

    Raises EventError where the body is not what it says it is. What an event holds is for the
    reader of lines to judge.
    """
    try:
        envelopes = _MANY.decode(content) if batch else [_ONE.decode(content)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise EventError("the body is not CloudEvents in JSON", fix=_FIX) from None
    return b"".join(map(_line, envelopes))


def binary_to_line(headers: Mapping[bytes, bytes], content: bytes) -> bytes:
    """Give a binary CloudEvent (attributes as `ce-` headers) as one event a line."""
    given = {
        name: headers.get(f"ce-{name}".encode(), b"").decode("utf-8", "replace")
        for name in ("id", "source", "specversion", "type", "subject", "time")
    }
    if not all(given[name] for name in ("id", "source", "specversion", "type")):
        raise EventError("a binary CloudEvent lacks a header", fix=_FIX)
    return _line(Envelope(**given, data=msgspec.Raw(content.strip() or b"{}")))


def _line(one: Envelope) -> bytes:
    if one.specversion != "1.0" or one.data_base64 or not one.type.startswith(PREFIX):
        # A line that is no event: it is refused by its number, with the others taken.
        return b"{}\n" if one.specversion == "1.0" else b"[]\n"
    data = bytes(one.data).strip()
    if not data.startswith(b"{") or not data.endswith(b"}"):
        return b"[]\n"
    attributes = {"id": one.id, "type": one.type.removeprefix(PREFIX), "account": one.subject}
    if one.time and not _HAS_TS.search(data):
        attributes["ts"] = one.time
    head = msgspec.json.encode({name: value for name, value in attributes.items() if value})
    rest = data[1:-1].strip()
    # A field that is given twice, as an attribute and in `data`, is refused as such.
    line = head[:-1] + (b"," + rest if rest else b"") + b"}\n"
    return line[:-1].replace(b"\n", b" ") + b"\n"
