"""Streams for benchmarks: messages between accounts of Zipf activity, as batches and as files.

Activity follows Zipf's law (exponent 1.0). Each account has 24 contacts of decreasing frequency;
half of the messages are replies, and one in fifty goes to anyone. Nearly a quarter of the events
are typing, delivered and read, each for a message of the stream; half a percent are registrations,
sessions, groups and reports. All messages are one to one: they make two account events each, the
most expensive kind.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wavebreak import io
from wavebreak.schema.events import LOG_SCHEMA, MEDIA, TYPES, VERIFICATIONS, WIRE_SCHEMA

START_MS = 1_767_225_600_000
RATE = 2_000
"""Events a second of event time: about 170 a day from each of a million accounts."""
CONTACTS = 24
STRANGERS = 0.02
_BESIDE = (
    ("typing.started", 0.09, -6_000, -500), ("message.delivered", 0.075, 100, 2_000),
    ("message.read", 0.075, 2_000, 30_000),
)  # fmt: skip
_SELDOM = (
    ("session.started", 0.003), ("account.registered", 0.001), ("user.reported", 0.0003),
    ("group.member_added", 0.0005), ("group.created", 0.0002),
)  # fmt: skip
_SENT = TYPES.index("message.sent")
_WITH_PEER = [
    TYPES.index(t)
    for t in ("message.sent", "message.delivered", "message.read", "typing.started",
              "user.reported", "group.member_added")
]  # fmt: skip
_WITH_GROUP = [TYPES.index(t) for t in ("group.created", "group.member_added")]
_WITH_DEVICE = [TYPES.index(t) for t in ("session.started", "account.registered")]


@dataclass(frozen=True)
class Traffic:
    """Events as numbers: times (ms), type codes, account and peer numbers; `seed` marks the ids."""

    ts: Any
    type: Any
    account: Any
    peer: Any
    seed: int

    def is_of(self, types: list[int]) -> Any:
        """Whether each event is of one of the types."""
        return np.isin(self.type, types)

    def random(self) -> Any:
        """Random numbers for the details of these events."""
        return np.random.default_rng(self.seed + 1_000_000)


@lru_cache(maxsize=2)
def _ranks(accounts: int) -> Any:
    weights = np.cumsum(1.0 / np.arange(1, accounts + 1))
    return weights / weights[-1]


def everyone(accounts: int, *, start_ms: int = START_MS, rate: int = RATE) -> Traffic:
    """Make every account known: half of them write to the other half, in random order."""
    order = np.random.default_rng(0).permutation(accounts // 2 * 2).astype(np.int64)
    n = order.size // 2
    ts = start_ms + np.arange(n) * 1000 // rate
    return Traffic(ts, np.full(n, _SENT, np.uint8), order[:n], order[n:], 0)


def zipf(
    events: int, accounts: int, seed: int, *, start_ms: int = START_MS, rate: int = RATE,
    strangers: float = STRANGERS,
) -> Traffic:  # fmt: skip
    """Make a stretch of traffic; the next stretch starts `events / rate` seconds later.

    `strangers` is the share of messages that go to anyone at all.
    """
    rng = np.random.default_rng(seed)
    counts = {name: round(events * share) for name, share, *_ in (*_BESIDE, *_SELDOM)}
    n = events - sum(counts.values())
    a, b = _pairs(rng, n, accounts, strangers)
    ts = start_ms + np.sort(rng.integers(0, max(1, events * 1000 // rate), n))
    parts = [(ts, _SENT, a, b)]
    for name, _, low, high in _BESIDE:
        of = rng.integers(0, n, counts[name])
        writer, reader = (a, b) if name == "typing.started" else (b, a)
        at = ts[of] + rng.integers(low, high, of.size)
        parts.append((at, TYPES.index(name), writer[of], reader[of]))
    for name, _ in _SELDOM:
        of = rng.integers(0, n, counts[name])
        who = a[of]
        if name == "account.registered":
            who = accounts + seed * 1_000_000 + np.arange(of.size)
        elif name == "user.reported":
            who, of = b[of], of
        other = a[of] if name == "user.reported" else b[of]
        parts.append((ts[of], TYPES.index(name), who, other))
    return _in_order(parts, seed)


def _pairs(rng: Any, n: int, accounts: int, strangers: float) -> tuple[Any, Any]:
    a = np.searchsorted(_ranks(accounts), rng.random(n))
    b = (a * 7919 + rng.zipf(1.6, n) % CONTACTS + 1) % accounts
    anyone = rng.random(n) < strangers
    b[anyone] = rng.integers(0, accounts, int(anyone.sum()))
    other_way = rng.random(n) < 0.5
    a, b = np.where(other_way, b, a), np.where(other_way, a, b)
    # A rank is not an account's number: activity lies anywhere in memory.
    return a * 1_000_003 % accounts, b * 1_000_003 % accounts


def _in_order(parts: list[tuple[Any, int, Any, Any]], seed: int) -> Traffic:
    ts = np.concatenate([p[0] for p in parts])
    order = np.argsort(ts, kind="stable")
    types = np.concatenate([np.full(p[0].size, p[1], np.uint8) for p in parts])
    account, peer = (np.concatenate([p[k] for p in parts])[order] for k in (2, 3))
    return Traffic(ts[order], types[order], account, peer, seed)


def _named(prefix: str, numbers: Any, width: int = 0, there: Any = None) -> pa.Array:
    """Names from numbers, null where not `there`."""
    mask = None if there is None else ~there
    digits = pa.array(numbers, pa.int64(), mask=mask).cast(pa.string())
    return pc.binary_join_element_wise(prefix, pc.utf8_lpad(digits, width, "0"), "")


def account_names(numbers: Any, there: Any = None) -> pa.Array:
    """Account ids of thirteen bytes, as long as a phone number."""
    return _named("u", numbers, 12, there)


def _shared(t: Traffic) -> dict[str, pa.Array]:
    """Columns that a log and a wire batch have alike."""
    rng, n = t.random(), t.ts.size
    sent, joined = t.type == _SENT, t.type == TYPES.index("account.registered")
    at_device = t.is_of(_WITH_DEVICE)
    return {
        "id": _named(f"e{t.seed}-", np.arange(n)),
        "ts": pa.array(t.ts, pa.int64()),
        "account": account_names(t.account),
        "peer": account_names(t.peer, t.is_of(_WITH_PEER)),
        "group": _named("g", t.account, 12, t.is_of(_WITH_GROUP)),
        "size": pa.array(rng.integers(20, 400, n), pa.int64(), mask=~sent),
        "in_contacts": pa.array(rng.random(n) < 0.9, mask=~sent),
        "client": _named("android/2.", rng.integers(10, 60, n), 0, at_device),
        "attested": pa.array(rng.random(n) < 0.95, mask=~joined),
        "attempts": pa.array(rng.integers(1, 4, n), pa.int32(), mask=~joined),
    }


def _surroundings(t: Traffic) -> tuple[Any, Any, Any]:
    """Network, device and phone numbers of each event's account."""
    return t.account * 31 % 20_011, t.account, t.account % 10_000_000


def log_batch(t: Traffic) -> pa.RecordBatch:
    """Traffic as the engine reads it (LOG_SCHEMA), pseudonyms in the place of personal fields."""
    rng, n = t.random(), t.ts.size
    at_device, joined = t.is_of(_WITH_DEVICE), t.type == TYPES.index("account.registered")
    network, device, phone = _surroundings(t)
    columns = _shared(t) | {
        "type": pa.array(t.type),
        "media": pa.array(rng.integers(0, 2, n).astype(np.uint8), mask=t.type != _SENT),
        "verification": pa.array(np.zeros(n, np.uint8), mask=~joined),
        "network": _named("203.0.", network, 0, at_device),
        "device": _named("d", device, 16, at_device),
        "number": _named("p", phone, 16, joined),
        "block": _named("+1-201", phone // 1000, 5, joined),
    }
    return _whole(columns, LOG_SCHEMA, n)


def wire_batch(t: Traffic) -> pa.RecordBatch:
    """Traffic as a deployment sends it (WIRE_SCHEMA), phone numbers and IP addresses included."""
    rng, n = t.random(), t.ts.size
    at_device, joined = t.is_of(_WITH_DEVICE), t.type == TYPES.index("account.registered")
    network, device, phone = _surroundings(t)
    media = pa.array(MEDIA[:2]).take(pa.array(rng.integers(0, 2, n), mask=t.type != _SENT))
    ip = pc.binary_join_element_wise(
        _named("81.", network // 250, 0, at_device), pa.array((network % 250).astype(str)),
        pa.array((device % 250).astype(str)), ".",
    )  # fmt: skip
    columns = _shared(t) | {
        "type": pa.array(TYPES).take(pa.array(t.type)),
        "media": media,
        "verification": pa.array(np.full(n, VERIFICATIONS[0]), pa.string(), mask=~joined),
        "ip": ip,
        "device": _named("device-", device, 0, at_device),
        "phone": _named("+1201", phone, 7, joined),
    }
    return _whole(columns, WIRE_SCHEMA, n)


def _whole(columns: dict[str, pa.Array], schema: pa.Schema, n: int) -> pa.RecordBatch:
    given = [columns.get(f.name, pa.nulls(n, f.type)) for f in schema]
    return pa.RecordBatch.from_arrays(given, schema=schema)


def stretches(
    events: int, accounts: int, *, each: int = 500_000, seed: int = 1, rate: int = RATE
) -> Iterator[Traffic]:
    """Traffic in consecutive stretches of at most `each` events, `rate` a second of log time."""
    for k in range(-(-events // each)):
        size = min(each, events - k * each)
        start_ms = START_MS + k * each * 1000 // rate
        yield zipf(size, accounts, seed + k, start_ms=start_ms, rate=rate)


def write(path: Path, events: int, accounts: int) -> int:
    """Write a file of wire events in the format that its name tells; gives its size in bytes."""
    io.write(path, (wire_batch(t) for t in stretches(events, accounts)))
    return path.stat().st_size
