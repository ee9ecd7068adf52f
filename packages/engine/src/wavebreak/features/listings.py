"""Listings: what outside lists say of accounts and servers, read from a batch of the log.

They make no account event: nothing that a list says updates an account's record.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from wavebreak.schema.events import CODES, TYPES

LISTED: Final = TYPES.index("account.listed")
UNLISTED: Final = TYPES.index("account.unlisted")
ADVICE: Final = CODES["advice"]
_COLUMNS: Final = ("account", "origin", "list", "entry", "advice", "until_ms")


class Listing(NamedTuple):
    """One event of an outside list.

    Attributes:
        ts: Its time (ms).
        listed: Whether the list names somebody; else it does so no more.
        who: The account, or `origin_key` of a server.
        entry: SHA-256 of the list's entry ("": any).
        advice: What the list says, an index of ADVICE.
        until_ms: When the entry ends (0: it does not by itself).
    """

    ts: int
    listed: bool
    name: str
    who: str
    entry: str
    advice: int
    until_ms: int


def origin_key(origin: str) -> str:
    """Return the key of a server by its pseudonym; no account's name begins so.

    >>> origin_key("e2ff")[1:]
    'e2ff'
    """
    return f"\0{origin}"


def read_listings(log: pa.RecordBatch, events: Any) -> list[tuple[int, Listing]]:
    """Return the listings of a batch, each with its row; `events` are its records (EVENT)."""
    types = log.column("type").to_numpy()
    if not (types >= LISTED).any():
        return []
    rows = np.flatnonzero((types >= LISTED) & (types <= UNLISTED) & (events["drop"] == 0))
    known = [name for name in _COLUMNS if log.schema.get_field_index(name) >= 0]
    some = log.select(known).take(pa.array(rows)).to_pylist()
    return [
        (row, listing)
        for row, given in zip(rows.tolist(), some, strict=True)
        if (listing := _listing(events[row], given)) is not None
    ]


def _listing(event: Any, given: dict[str, Any]) -> Listing | None:
    name, origin = given.get("list"), given.get("origin")
    if not name:
        return None
    return Listing(
        ts=int(event["ts"]),
        listed=int(event["type"]) == LISTED,
        name=name,
        who=origin_key(origin) if origin else str(given["account"]),
        entry=given.get("entry") or "",
        advice=int(given.get("advice") or 0),
        until_ms=int(given.get("until_ms") or 0),
    )
