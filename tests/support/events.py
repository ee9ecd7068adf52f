"""Events to test with: valid ones of every type, spoilt ones, and ways to read both."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from wavebreak import io
from wavebreak.io.field_limits import EITHER, LIMITS, OF_LISTS, Limit
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.schema.events import TYPES, WIRE_SCHEMA, Refusal

KEY = bytes(range(32))
NOON = 1_772_366_400_000

PHONES = ("+972541234567", "+12125550123", "+447911123456", "+5511987654321", "+8613812345678")
UNKNOWN_PHONE = "+999123456789"
IPS = ("203.0.113.77", "198.51.100.4", "2001:db8:1:2::3", "::ffff:203.0.113.77")

ORIGINS = ("far.example", "xn--4dbcagdahymbxekheh6e0a7fei0b.example", "127.0.0.1:8448", "[::1]")

Item = dict[str, Any]


def edge() -> Pseudonymizer:
    """Give an edge with a key that is always the same."""
    return Pseudonymizer(KEY)


def sent(**fields: Any) -> Item:
    """Give a valid message.sent, with fields added or (given as None) left out."""
    item = {"type": "message.sent", "ts": NOON, "account": "ann", "peer": "bob", **fields}
    return {name: value for name, value in item.items() if value is not None}


def labelled(label: str, **fields: Any) -> Item:
    """Give a label.assigned, with fields added."""
    return {
        "type": "label.assigned", "ts": NOON, "account": "ann", "label": label, "source": "analyst",
    } | fields  # fmt: skip


def without_stray_outcome(item: Item) -> Item:
    """Leave out an outcome that the label does not set, and a hold that no outcome has."""
    stray = {"outcome", "hold_s"} if item.get("label") != "undetermined" else set()
    stray |= {"hold_s"} if item.get("outcome", "allow") == "allow" else set()
    return {name: value for name, value in item.items() if name not in stray}


def of_one(item: Item) -> Item:
    """Let a listing name one account or one server, not both and not neither."""
    if item["type"] in OF_LISTS and "origin" in item:
        item.pop("account", None)
    return item if item["type"] not in OF_LISTS or "origin" in item else {"account": "ann"} | item


OF_LIST = {"list": "cme", "entry": "0f" * 32}
"""Values of fields with a pattern."""

_NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=30)


def _value(name: str, limit: Limit) -> st.SearchStrategy[Any]:
    if name == "phone":
        return st.sampled_from(PHONES)
    if name == "ip":
        return st.sampled_from(IPS)
    if name == "origin":
        return st.sampled_from(ORIGINS)
    if name in OF_LIST:
        return st.just(OF_LIST[name])
    match limit.kind:
        case "time":
            return st.integers(0, limit.high)
        case "integer":
            return st.integers(limit.low, limit.high)
        case "flag":
            return st.booleans()
        case "choice":
            return st.sampled_from(limit.values)
    return _NAMES


@st.composite
def valid(draw: st.DrawFn) -> Item:
    """Draw one valid event."""
    kind = draw(st.sampled_from(TYPES))
    item: Item = {"type": kind}
    for name, limit in LIMITS[kind].items():
        either = kind in EITHER and name in ("peer", "group")
        if limit.required or (not either and draw(st.booleans())):
            item[name] = draw(_value(name, limit))
    if kind in EITHER:
        item[draw(st.sampled_from(["peer", "group"]))] = draw(_NAMES)
    return without_stray_outcome(of_one(item))


_SPOILS: tuple[Item, ...] = (
    {"body": "hello"},
    {"url": "x"},
    {"message": "hello"},
    {"colour": "red"},
    {"type": "message.eaten"},
    {"ts": -1},
    {"ts": 4_102_444_800_000},
    {"account": ""},
    {"account": "a" * 256},
    {"account": "é" * 128},
    {"peer": "a\0b"},
    {"peer": "p", "group": "g"},
    {"size": -1},
    {"recipients": 2**31},
    {"media": "smell"},
    {"reason": "spam"},
    {"reason": "blocked"},
    {"kind": "riddle"},
    {"phone": "0541234567"},
    {"phone": UNKNOWN_PHONE},
    {"ip": "1.2.3"},
    {"ip": "1.2.3.4:80"},
    {"linked": True},
    {"outcome": "ban"},
    {"hold_s": 60},
    {"via": "pigeon"},
    {"via": "phone"},
    {"via": "roster"},
    {"origin": "Far.example"},
    {"list": "No List"},
    {"entry": "@spam:*"},
    {"advice": "ban"},
    {"origin": "ann@far.example"},
    {"size": 2**40 + 1},
    {"label": "undetermined", "outcome": "limit", "hold_s": 60},
)


@st.composite
def spoilt(draw: st.DrawFn) -> Item:
    """Draw an event with a field added, changed or taken away; it may still be valid."""
    item = dict(draw(valid()))
    if draw(st.booleans()):
        item.pop(draw(st.sampled_from(sorted(item))))
    return {**item, **draw(st.sampled_from(_SPOILS))} if draw(st.booleans()) else item


def streams() -> st.SearchStrategy[list[Item]]:
    """Draw a short stream of valid and spoilt events."""
    return st.lists(st.one_of(valid(), spoilt()), min_size=1, max_size=12)


def lines(items: Iterable[Any]) -> bytes:
    """Give items as JSON Lines."""
    return b"".join(json.dumps(item).encode() + b"\n" for item in items)


def table(items: list[Item], **types: pa.DataType) -> pa.Table:
    """Give items as columns: the contract's types (integers wide), text for any other field."""
    kinds = {f.name: pa.int64() if pa.types.is_integer(f.type) else f.type for f in WIRE_SCHEMA}
    kinds.update(types)
    names = sorted({name for item in items for name in item})
    columns = {
        name: pa.array([item.get(name) for item in items], kinds.get(name, pa.string()))
        for name in names
    }
    return pa.table(columns)


class Seen:
    """All of a file's batches together."""

    def __init__(self, path: Path, batch: int = 50_000) -> None:
        self.batches = list(io.read(path, edge(), batch=batch))
        self.read = sum(b.read for b in self.batches)
        self.refused: list[Refusal] = [r for b in self.batches for r in b.refused]
        self.rows: list[Item] = [row for b in self.batches for row in b.log.to_pylist()]

    @property
    def causes(self) -> list[tuple[int, str, str]]:
        """Give line, cause and field of each refusal."""
        return [(r.line, r.cause, r.field) for r in self.refused]


def see(directory: Path, content: bytes, name: str = "events.jsonl", batch: int = 50_000) -> Seen:
    """Write bytes to a file and read it."""
    path = directory / name
    path.write_bytes(content)
    return Seen(path, batch)
