"""Hostile JSON Lines: valid events, events with planted content, and mutations of both.

Every line comes with whether it must be taken. Planted values stand only where they must never come
out: in content fields, in names, and in phone, ip and device.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from support.events import OF_LIST, of_one, without_stray_outcome
from wavebreak.io.field_limits import EITHER, LIMITS, Limit
from wavebreak.schema.events import TYPES

SECRET = "meet-me-at-the-old-mill"
PHONE, IP, DEVICE = "+972541234567", "203.0.113.77", "fingerprint-0451"
ORIGIN = "far-server.example"
PLANTED = (SECRET, PHONE, PHONE[1:], IP, DEVICE, ORIGIN)

BEGIN, STEP_MS, JITTER_MS = 1_772_366_400_000, 100, 2_000
"""Line n (from 0) is of BEGIN + n · STEP_MS, up to JITTER_MS earlier."""

_GIVEN = {"phone": PHONE, "ip": IP, "device": DEVICE, "origin": ORIGIN} | OF_LIST
_CONTENT = ("body", "text", "content", "caption", "url", "filename", "subject", "messageText")
_BYTES = b'{}[]":,\\0123456789eE+-.nulltruefalse \t\r\x00\x1f\x7f\x80\xc0\xed\xff'


def hostile(count: int, seed: int) -> Iterator[tuple[bytes, bool]]:
    """Make `count` lines (without newline), each with whether it is valid for certain."""
    draw = random.Random(seed)
    for number in range(count):
        item = _valid(draw, number)
        what = draw.random()
        if what < 0.4:
            yield _written(draw, item), True
        elif what < 0.5:
            yield _written(draw, _with_content(draw, item)), False
        elif what < 0.6:
            yield draw.choice(_MONSTERS)(draw, item), False
        else:
            if draw.random() < 0.3:
                item = _with_content(draw, item)
            yield _mutated(draw, _written(draw, item)), False


def _valid(draw: random.Random, number: int) -> dict[str, Any]:
    kind = draw.choice(TYPES)
    item: dict[str, Any] = {"type": kind, "id": f"event-{number}"}
    for name, limit in LIMITS[kind].items():
        either = kind in EITHER and name in ("peer", "group")
        if name != "id" and (limit.required or (not either and draw.random() < 0.5)):
            item[name] = _GIVEN.get(name) or _value(draw, limit, number)
    if kind in EITHER:
        item[draw.choice(("peer", "group"))] = f"p{draw.randrange(99)}"
    return without_stray_outcome(of_one(item))


def _value(draw: random.Random, limit: Limit, number: int) -> Any:
    match limit.kind:
        case "time":
            if draw.random() < 0.02:
                return draw.randint(0, limit.high)
            ts = BEGIN + number * STEP_MS - draw.randrange(JITTER_MS)
            told = datetime.fromtimestamp(ts / 1000, UTC).isoformat(timespec="milliseconds")
            return draw.choice((ts, told))
        case "integer":
            return draw.choice((limit.low, limit.high, draw.randint(limit.low, limit.high)))
        case "flag":
            return draw.random() < 0.5
        case "choice":
            return draw.choice(limit.values)
    return draw.choice(("ann", "x" * 128, "זֹהַר", 'quo"te', "back\\slash", "tab\t", "\u2028"))


def _written(draw: random.Random, item: dict[str, Any]) -> bytes:
    pairs = list(item.items())
    draw.shuffle(pairs)
    style = {"ensure_ascii": draw.random() < 0.5}
    separators = draw.choice(((",", ":"), (", ", ": "), (" ,\t", " : ")))
    return json.dumps(dict(pairs), separators=separators, **style).encode()  # type: ignore[arg-type]


def _with_content(draw: random.Random, item: dict[str, Any]) -> dict[str, Any]:
    name = draw.choice((*_CONTENT, SECRET, PHONE, f"{IP} ", "colour"))
    return {**item, name: draw.choice((SECRET, [SECRET], {"a": SECRET}, {SECRET: 1}))}


def _mutated(draw: random.Random, line: bytes) -> bytes:
    spoilt = bytearray(line)
    for _ in range(draw.randint(1, 3)):
        at = draw.randrange(len(spoilt)) if spoilt else 0
        byte = draw.choice(_BYTES) if draw.random() < 0.7 else draw.randrange(256)
        match draw.randrange(4):
            case 0 if spoilt:
                spoilt[at] = byte
            case 1:
                spoilt.insert(at, byte)
            case 2 if spoilt:
                del spoilt[at]
            case _:
                spoilt = spoilt[:at] if draw.random() < 0.2 else spoilt
    made = bytes(spoilt).replace(b"\n", b" ")
    # A name turned into that of an opaque field ("ip" to "id") makes the value one that is kept.
    return b"{" if _kept_by_name(made) or not made.strip() else made


def _kept_by_name(line: bytes) -> bool:
    try:
        item = json.loads(line)
    except (ValueError, RecursionError):
        return False
    kept = {n: v for n, v in item.items() if n not in _GIVEN} if isinstance(item, dict) else {}
    return any(planted in str(value) for value in kept.values() for planted in PLANTED)


_MONSTERS: tuple[Any, ...] = (
    lambda draw, item: json.dumps({n: v for n, v in item.items() if n != "account"}).encode(),
    lambda draw, item: json.dumps({**item, "type": "typing.started", "peer": None}).encode(),
    lambda draw, item: b'{"type":"message.sent","ts":1,"account":"a","peer":"b","group":"g"}',
    lambda draw, item: b'{"x":' + b"[" * draw.choice((10, 1000, 60_000)),
    lambda draw, item: b'{"a":' * draw.choice((10, 1000, 10_000)),
    lambda draw, item: (
        json.dumps({**item, "ts": 10 ** draw.choice((13, 30, 300, 4000))}).encode()
        if draw.random() < 0.5
        else json.dumps({**item, "account": SECRET * 9000}).encode()
    ),
    lambda draw, item: json.dumps({**item, "account": "\ud800"}).encode(),
    lambda draw, item: json.dumps({**item, "account": "\0" + SECRET}).encode(),
    lambda draw, item: json.dumps({**item, "attempts": float("nan")}).encode(),
    lambda draw, item: json.dumps({**item, "ts": draw.choice((-1, 1e300, True, [], "1"))}).encode(),
    lambda draw, item: json.dumps({**item, "phone": SECRET, "type": "account.registered"}).encode(),
    lambda draw, item: json.dumps([item]).encode(),
    lambda draw, item: json.dumps(item).encode()[:-1] + b',"account":"' + SECRET.encode() + b'"}',
    lambda draw, item: json.dumps(item).encode() * 2,
    lambda draw, item: json.dumps(item).encode("utf-16"),
    lambda draw, item: draw.randbytes(draw.randrange(1, 200)).replace(b"\n", b" ") + b"!",
)
