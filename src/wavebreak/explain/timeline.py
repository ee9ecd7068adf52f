"""An account's own events, read again from the log: instants of each kind of thing it did."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from wavebreak.edge import Edge
from wavebreak.events import TYPES
from wavebreak.formats import read

Times = NDArray[np.int64]

KINDS = (
    "sends",
    "group_sends",
    "first_contacts",
    "stranger_sends",
    "replies",
    "received",
    "reports",
    "blocks",
    "undeliverable",
    "lookups",
    "groups_created",
    "members_added",
    "sessions",
    "registered",
    "challenges",
)
_FIELDS = ("id", "ts", "type", "account", "peer", "group", "count")
_PLAIN = {
    "contact.looked_up": "lookups",
    "group.created": "groups_created",
    "group.member_added": "members_added",
    "session.started": "sessions",
    "account.registered": "registered",
    "message.undeliverable": "undeliverable",
    "challenge.passed": "challenges",
    "challenge.failed": "challenges",
}
_SUFFERED = {"user.reported": "reports", "user.blocked": "blocks"}

# Account ids are not pseudonymised, so any key finds the account; nothing keyed is shown.
_KEY = b"explain" * 4


@dataclass(frozen=True)
class Timeline:
    """Instants (milliseconds, UTC, rising) of every kind in `KINDS`, recounted from the log.

    A first contact is a message to someone with whom no message was exchanged before, either
    way; a stranger send goes to someone who has not written to the account so far; a reply is
    the first answer of someone it wrote to first. Events are counted once by id, in log order,
    whether or not the platform would have refused them. `looked_up` are numbers looked up.
    """

    times: dict[str, Times]
    looked_up: int = 0

    def __getitem__(self, kind: str) -> Times:
        return self.times[kind]

    def between(self, kind: str, start: int | None, end: int | None) -> Times:
        """Give the instants of a kind from `start` to `end`, both included."""
        times = self.times[kind]
        low = 0 if start is None else int(np.searchsorted(times, start, side="left"))
        high = len(times) if end is None else int(np.searchsorted(times, end, side="right"))
        return times[low:high]

    @property
    def window(self) -> tuple[int, int] | None:
        """First and last instant of any event, or none."""
        some = [times for times in self.times.values() if len(times)]
        if not some:
            return None
        return min(int(t[0]) for t in some), max(int(t[-1]) for t in some)


def read_timeline(source: Path, account: str) -> Timeline:
    """Read the events in which an account acts or is acted on; memory holds those alone."""
    return of_events(_own(source, account), account)


def _own(source: Path, account: str) -> Iterator[dict[str, Any]]:
    for batch in read(source, Edge(_KEY, None)):
        log = batch.log
        mine = pc.equal(log.column("account"), account)
        theirs = pc.fill_null(pc.equal(log.column("peer"), account), False)
        yield from log.filter(pc.or_(mine, theirs)).select(list(_FIELDS)).to_pylist()


def of_events(events: Iterable[dict[str, Any]], account: str) -> Timeline:
    """Sort events (columns of the log, `type` a code) into the instants of each kind."""
    found: dict[str, list[int]] = {kind: [] for kind in KINDS}
    seen: set[str] = set()
    wrote_to: set[str] = set()
    wrote_back: set[str] = set()
    looked_up = 0
    for event in events:
        if event["id"] in seen:
            continue
        seen.add(event["id"])
        kind, ts = TYPES[event["type"]], event["ts"]
        if event["account"] != account:
            peer = event["account"]
            if kind == "message.sent":
                found["received"].append(ts)
                if peer in wrote_to and peer not in wrote_back:
                    found["replies"].append(ts)
                wrote_back.add(peer)
            elif kind in _SUFFERED:
                found[_SUFFERED[kind]].append(ts)
        elif kind == "message.sent":
            found["sends"].append(ts)
            peer = event["peer"]
            if peer is None:
                found["group_sends"].append(ts)
                continue
            if peer not in wrote_back:
                found["stranger_sends"].append(ts)
                if peer not in wrote_to:
                    found["first_contacts"].append(ts)
            wrote_to.add(peer)
        elif kind in _PLAIN:
            found[_PLAIN[kind]].append(ts)
            looked_up += (event["count"] or 1) if kind == "contact.looked_up" else 0
    times = {kind: np.sort(np.array(at, dtype=np.int64)) for kind, at in found.items()}
    return Timeline(times, looked_up)
