"""Outside lists: dated entries of other parties' lists, for accounts and for servers.

A list decides nothing: its entries are read where an answer is given or a person looks, beside the
outcome in force (ADR 50). The entries follow from the log alone, in its order, so a replay and any
number of workers hold the same ones. An administrator's mode says what an entry may do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, NamedTuple, get_args

import msgspec
import numpy as np

from wavebreak.durations import DAY_MS
from wavebreak.features.facts import LABELLED, Fanout, Segment
from wavebreak.features.layout import BY_OTHERS
from wavebreak.features.listings import ADVICE, Listing, origin_key
from wavebreak.schema.events import LABELS

Mode = Literal["off", "observe", "delay"]
MODES: tuple[Mode, ...] = get_args(Mode)
"""The switch of a list: ignored; shown to reviewers; first messages also arrive as requests."""


class ListTerms(NamedTuple):
    """An administrator's terms of a list: its mode, and the contact of its keeper ("": unknown)."""

    mode: Mode = "observe"
    keeper: str = ""


ENTRY_LIFETIME_MS: Final = 30 * DAY_MS
"""An entry ends so long after its list named it last; adapters repeat an entry every day."""
MAX_NAMED: Final = 50_000
"""Accounts and servers that one list may name."""
MAX_LISTS: Final = 64
_BENIGN: Final = LABELS.index("benign")
_OBSERVE: Final = ADVICE.index("observe")


class Entry(msgspec.Struct, array_like=True):
    """An entry of a list: when it was added, when it ends (both ms), and its advice."""

    since_ms: int
    until_ms: int
    advice: int


Entries = dict[str, dict[str, Entry]]
"""Entries of a list by account or server (`origin_key`), then by digest."""


class ListedEntry(NamedTuple):
    """A list that names an account: its name, since when, and whether it asks for a delay."""

    name: str
    since_ms: int
    advises_delay: bool


class _State(msgspec.Struct):
    """The state in a snapshot: entries, each list's newest event, and cleared accounts."""

    lists: dict[str, Entries] = {}
    last_event_ms: dict[str, int] = {}
    overridden: set[str] = set()


class OutsideLists:
    """The entries of every list, and the accounts that a person cleared."""

    def __init__(self) -> None:
        self._state = _State()

    @property
    def lists(self) -> Mapping[str, Entries]:
        """The entries by list."""
        return self._state.lists

    @property
    def last_event_ms(self) -> Mapping[str, int]:
        """The time of the newest event by list."""
        return self._state.last_event_ms

    @property
    def overridden(self) -> frozenset[str]:
        """Accounts that a person cleared: for them no list counts, for good."""
        return frozenset(self._state.overridden)

    def note(self, segment: Segment, fanout: Fanout) -> None:
        """Note the listings and the verdicts of persons in a segment."""
        for listing in segment.listings:
            self._note(listing)
        events = segment.events
        rows = np.flatnonzero(events["type"] == LABELLED)
        if not rows.size:
            return
        labels = events[rows]
        by_person = labels["flags"] & BY_OTHERS == 0
        cleared = (labels["drop"] == 0) & (labels["label"] == _BENIGN) & by_person
        slots = labels["account"][cleared].tolist()
        self._state.overridden.update(fanout.accounts.texts(slots).to_pylist() if slots else ())

    def _note(self, listing: Listing) -> None:
        state, name = self._state, listing.name
        if name not in state.lists:
            if not listing.listed or len(state.lists) >= MAX_LISTS:
                return
            state.lists[name] = {}
        entries = state.lists[name]
        state.last_event_ms[name] = max(state.last_event_ms.get(name, 0), listing.ts)
        if listing.listed:
            if listing.who not in entries and len(entries) >= MAX_NAMED:
                _remove_ended(entries, listing.ts)
                if len(entries) >= MAX_NAMED:
                    return
            of_account = entries.setdefault(listing.who, {})
            earlier = of_account.get(listing.entry)
            since_ms = listing.ts if earlier is None else earlier.since_ms
            end_ms = listing.ts + ENTRY_LIFETIME_MS
            if listing.until_ms:
                end_ms = min(end_ms, listing.until_ms)
            of_account[listing.entry] = Entry(since_ms, end_ms, listing.advice)
        elif listing.who in entries:
            if listing.entry:
                entries[listing.who].pop(listing.entry, None)
            if not (listing.entry and entries[listing.who]):
                del entries[listing.who]

    def entries_of(self, account: str, origins: Iterable[str], now_ms: int) -> list[ListedEntry]:
        """Return the lists that name an account or its servers, by name; none once cleared.

        Args:
            account: The account.
            origins: Pseudonyms of the servers that it is on.
            now_ms: The log's time.
        """
        if account in self._state.overridden:
            return []
        keys = (account, *map(origin_key, origins))
        listed = []
        for name, entries in sorted(self._state.lists.items()):
            running = [
                entry
                for key in keys
                for entry in entries.get(key, {}).values()
                if entry.until_ms > now_ms
            ]
            if running:
                since_ms = min(entry.since_ms for entry in running)
                delays = any(entry.advice > _OBSERVE for entry in running)
                listed.append(ListedEntry(name, since_ms, delays))
        return listed

    def dump(self) -> Any:
        """Return the state as bytes (uint8); empty where there is none."""
        if not self._state.lists and not self._state.overridden:
            return np.zeros(0, np.uint8)
        return np.frombuffer(msgspec.json.encode(self._state, order="sorted"), np.uint8)

    def load(self, state: Any) -> None:
        """Restore the state from a dump; raises ValueError where it is damaged."""
        try:
            self._state = (
                msgspec.json.decode(state.tobytes(), type=_State) if state.size else _State()
            )
        except msgspec.DecodeError as error:
            raise ValueError(f"lists cannot be read: {error}") from error


def delaying_lists(
    listed: Iterable[ListedEntry], terms: Mapping[str, ListTerms]
) -> tuple[str, ...]:
    """Return the lists for which an account's first messages to strangers arrive as requests."""
    return tuple(
        entry.name
        for entry in listed
        if entry.advises_delay and entry.name in terms and terms[entry.name].mode == "delay"
    )


def shown_lists(listed: Iterable[ListedEntry], terms: Mapping[str, ListTerms]) -> list[ListedEntry]:
    """Return the lists that reviewers see: all but those that are off."""
    return [entry for entry in listed if terms.get(entry.name, ListTerms()).mode != "off"]


def _remove_ended(entries: Entries, now_ms: int) -> None:
    for key, of_account in list(entries.items()):
        running = {digest: e for digest, e in of_account.items() if e.until_ms > now_ms}
        if running:
            entries[key] = running
        else:
            del entries[key]
