"""Two weeks of a platform: senders whom strangers complain of, people whom they answer."""

from __future__ import annotations

import random
from collections.abc import Iterable
from functools import cache
from typing import Any

import pyarrow as pa

from wavebreak.engine import Engine
from wavebreak.evaluation.home_learning import HomeDays, record_days
from wavebreak.privacy.pseudonymizer import Pseudonymizer, with_all_columns
from wavebreak.rules import load_policy
from wavebreak.schema.events import WIRE_SCHEMA

START = 1_772_323_200_000
SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
Row = dict[str, Any]


def events(
    senders: int = 24, people: int = 70, *, seed: int = 3, first: int = 0, start: int = START
) -> list[Row]:
    """Return events in order: of each kind so many accounts, numbered from `first` on.

    A sender writes the same to thirty strangers within minutes: nine block it, one answers. A
    person writes to twelve in a day: seven answer, and one of every ninth person's blocks it.
    """
    rng, rows = random.Random(seed), list[Row]()
    for n in range(first, first + senders):
        account, at = f"bad{n}", start + rng.randrange(6 * DAY)
        rows.append(registration(account, at, f"198.51.{n % 250}.7"))
        for k in range(30):
            at += rng.randrange(5 * SECOND, 40 * SECOND)
            peer = f"{account}-p{k}"
            rows.append(message(account, peer, at, 120))
            if k % 10 in (1, 4, 7):
                rows.append(complaint(peer, account, at + rng.randrange(5 * SECOND, MINUTE)))
            elif k == 5:
                rows.append(message(peer, account, at + 5 * MINUTE, 12))
    for n in range(first, first + people):
        account, at = f"good{n}", start + rng.randrange(6 * DAY)
        rows.append(registration(account, at - 2 * DAY, f"203.0.{n % 250}.9"))
        for k in range(12):
            at += rng.randrange(20 * MINUTE, 3 * HOUR)
            peer = f"{account}-p{k}"
            rows.append(message(account, peer, at, rng.randrange(5, 300)))
            if k % 12 in (0, 2, 3, 5, 7, 8, 10):
                rows.append(message(peer, account, at + rng.randrange(MINUTE, HOUR), 30))
            elif k == 6 and n % 9 == 0:
                rows.append(complaint(peer, account, at + 10 * MINUTE))
    return in_order(rows)


def registration(account: str, ts: int, ip: str) -> Row:
    """Return the registration of an account."""
    return {"ts": ts, "type": "account.registered", "account": account, "ip": ip}


def message(account: str, peer: str, ts: int, size: int) -> Row:
    """Return a message to somebody who does not have the sender in contacts."""
    return {
        "ts": ts, "type": "message.sent", "account": account, "peer": peer, "size": size,
        "in_contacts": False,
    }  # fmt: skip


def complaint(by: str, account: str, ts: int) -> Row:
    """Return a block."""
    return {"ts": ts, "type": "user.blocked", "account": by, "peer": account}


def label(account: str, value: str, source: str, ts: int) -> Row:
    """Return what a person says of an account."""
    return {
        "ts": ts,
        "type": "label.assigned",
        "account": account,
        "label": value,
        "source": source,
    }


def in_order(rows: Iterable[Row]) -> list[Row]:
    """Return events by time, each with an id."""
    ordered = sorted(rows, key=lambda row: row["ts"])
    return [row | {"id": f"e{n}"} for n, row in enumerate(ordered)]


def recorded(rows: Iterable[Row], traps: Iterable[str] = ()) -> HomeDays:
    """Return the days of a stream, as `wavebreak learn` records them."""
    key = b"a key for tests only"
    edge = Pseudonymizer(key, traps=frozenset(map(Pseudonymizer(key).trap_pseudonym, traps)))
    log = with_all_columns(edge.apply(pa.RecordBatch.from_pylist(list(rows), WIRE_SCHEMA)))
    return record_days(Engine(load_policy(), record=True, accounts=8192), [log])


@cache
def days() -> HomeDays:
    """Return the days of the plain stream."""
    return recorded(events())
