"""Outside lists of this service, and the convictions that an edge may publish.

A conviction is published while it stands: restricted or worse, by reactions of other people or by a
person here, once the holder was notified; never by a list, a score or a rule on doubt.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec
from django.db.models import Q

from wavebreak.engine import snapshot
from wavebreak.engine.outside_lists import ListTerms, Mode, OutsideLists
from wavebreak.outcomes import SILENCING
from wavebreak_server.pipeline.recovery import usable_snapshots
from wavebreak_server.pipeline.states import StateTerms, newest_number, state_of
from wavebreak_server.storage.authentic_rows import checked_decisions
from wavebreak_server.storage.models import Decision, EnforcementState, StateChange
from wavebreak_server.storage.row_macs import bound_key

MAX_PUBLISHED = 50_000
CACHE_MS = 5_000
"""Lifetime of a cached answer while no decision is made."""
BASES: Mapping[str, str] = {"evidence": "reactions", "person": "person"}
_CHUNK = 500
_HASHED = re.compile(r"sha256:([0-9a-f]{64})")


class Conviction(msgspec.Struct, frozen=True):
    """A conviction that stands: `hash` is SHA-256 of the account's id, `since_ms` its decision."""

    account: str
    hash: str
    since_ms: int
    basis: str


class OutsideList(msgspec.Struct, frozen=True, kw_only=True):
    """An outside list: its mode, the accounts and servers that it names, and its newest event."""

    name: str
    mode: Mode
    keeper: str
    accounts: int
    servers: int
    last_event_ms: int | None


def hash_of(account: str) -> str:
    """Return SHA-256 of an account's id as its server writes it, in hex.

    An edge that may not send an id as it is sends `sha256:` and this.

    >>> hash_of("sha256:" + "ab" * 32)[:6], hash_of("@spam:example.org")[:6]
    ('ababab', '12d2d5')
    """
    hashed = _HASHED.fullmatch(account)
    return hashed[1] if hashed else hashlib.sha256(account.encode()).hexdigest()


def overview(lists: OutsideLists, terms: Mapping[str, ListTerms]) -> list[OutsideList]:
    """Return every list that is configured or has sent events, by name."""
    overviews = []
    for name in sorted({*lists.lists, *terms}):
        entries, of_list = lists.lists.get(name, {}), terms.get(name, ListTerms())
        servers = sum(key.startswith("\0") for key in entries)
        overviews.append(
            OutsideList(
                name=name,
                mode=of_list.mode,
                keeper=of_list.keeper,
                accounts=len(entries) - servers,
                servers=servers,
                last_event_ms=lists.last_event_ms.get(name),
            )
        )
    return overviews


def stored_lists(home: Path) -> OutsideLists:
    """Return the lists as of the newest snapshot of a service's state; none without a snapshot."""
    lists = OutsideLists()
    for _, path in usable_snapshots(home):
        state = snapshot.read(path, bound_key("snapshot")).arrays.get("lists")
        if state is not None:
            lists.load(state)
        break
    return lists


def convictions(now_ms: int, terms: StateTerms) -> list[Conviction]:
    """Return the convictions that stand and of which the holder has been notified.

    Raises:
        ServiceError: A decision was changed since it was stored.
    """
    states = EnforcementState.objects.filter(outcome__in=SILENCING)
    states = states.filter(Q(until=None) | Q(until__gt=now_ms)).order_by("-decision")
    numbers = list(states.values_list("decision", flat=True)[:MAX_PUBLISHED])
    items = list[Conviction]()
    for start in range(0, len(numbers), _CHUNK):
        chunk = numbers[start : start + _CHUNK]
        for row in checked_decisions(Decision.objects.filter(number__in=chunk)):
            if (conviction := _conviction(row, now_ms, terms)) is not None:
                items.append(conviction)
    return sorted(items, key=lambda item: (item.since_ms, item.account))


def _conviction(row: Decision, now_ms: int, terms: StateTerms) -> Conviction | None:
    basis = BASES.get(msgspec.json.decode(bytes(row.body)).get("basis", ""))
    notified_ms = state_of(row, terms).notify_at_ms
    if basis is None or notified_ms is None or notified_ms > now_ms:
        return None
    return Conviction(row.account, hash_of(row.account), row.ts, basis)


def version_of(items: Iterable[Conviction]) -> str:
    """Return the version of a list of convictions: the same for the same ones."""
    return hashlib.sha256(msgspec.json.encode(list(items))).hexdigest()[:32]


class Published:
    """Cache of the convictions: renewed after a decision or a lift, and every few seconds."""

    def __init__(self) -> None:
        self._position: tuple[int, int] = (-1, -1)
        self._read_ms = 0
        self._items: list[Conviction] = []
        self._version = ""

    def read(self, now_ms: int, terms: StateTerms) -> tuple[list[Conviction], str]:
        """Return the convictions and their version.

        Raises:
            ServiceError: A decision was changed since it was stored.
        """
        changes = StateChange.objects.order_by("-number").values_list("number", flat=True)
        position = (newest_number(), changes.first() or 0)
        if position != self._position or not 0 <= now_ms - self._read_ms < CACHE_MS:
            self._items = convictions(now_ms, terms)
            self._version = version_of(self._items)
            self._position, self._read_ms = position, now_ms
        return self._items, self._version
