"""Outside lists: whom other people's lists name, and what their word is worth here.

A list's word makes no decision, no strike and no label: it is read where an answer is made, beside
what is in force (ADR 50). All that is kept follows from the log alone, in its order, and what a
hit leads to from the mode that an administrator gave the list. Live, in a replay and with any
number of workers it is the same: what reads accounts' records does so at an epoch's close.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any, Final, Literal, NamedTuple, Protocol

import msgspec
import numpy as np
import pyarrow as pa

from wavebreak.durations import DAY_MS
from wavebreak.engine.decision_record import Decision
from wavebreak.engine.list_modes import MODES, ListTerms, Mode
from wavebreak.features.facts import LABELLED, Fanout, Segment
from wavebreak.features.layout import BY_OTHERS, ROW
from wavebreak.features.listings import Listing, origin_key
from wavebreak.outcomes import RANKS, RESTRICT, SILENCING
from wavebreak.schema.events import LABELS

OBSERVE, DELAY, REFUSE = range(3)
"""Places in MODES."""

LEAST_RECORD: Final = 30
"""Hits that reactions settled before a list has a weight."""
GOOD_WEIGHT, BAD_WEIGHT = 0.5, 0.25
"""A list refuses from the first weight on; below the second it does nothing."""
HALVED_MS: Final = 30 * DAY_MS
"""A hit that reactions do not confirm is worth half after so long, and again."""
AWAY_MS: Final = 7 * DAY_MS
"""And one of a list whose source is silent; until then it stays as it is."""
FORGOTTEN: Final = 4
"""A hit that is halved so often is forgotten."""
ANSWERED_BY: Final = 3
"""People with whom messages went both ways, of an account that counts as answered."""
MOST_ANSWERED, LEAST_ANSWERED = 0.005, 3
"""Share of the answered accounts, and how many at least, above which a list is paused."""
MOST_GROWTH, LEAST_GROWTH = 0.2, 10
"""Share by which a list's hits may grow in a day, and hits by which they may in any case."""
ALIKE, LEAST_ALIKE = 0.8, 10
"""Share of common entries above which two lists count as one, and entries of each at least."""
MOST_HITS: Final = 50_000
"""Hits of one list that are kept; one that has more is paused."""
MOST_LISTS: Final = 64
SWEEP_EPOCHS: Final = 60
"""Epochs between two looks at every hit."""
_BENIGN: Final = LABELS.index("benign")
_SILENCING: Final = frozenset(SILENCING)

Pause = Literal["names too many answered accounts", "grew too fast", "too many hits"]


class Hit(msgspec.Struct):
    """Somebody whom a list names.

    Attributes:
        entries: Its entries, each with when it ends (ms; 0: not by itself).
        advice: The severest that the list says, an index of MODES.
        confirmed_ms: When reactions convicted it last, after it was named (0: never).
        checked: Whether an epoch has closed since, and with it the guards have looked.
        before: It was convicted before it was named: no merit of the list's.
        answered: How many answered accounts it is (of a server: how many it has).
    """

    since_ms: int
    entries: dict[str, int] = {}
    advice: int = OBSERVE
    confirmed_ms: int = 0
    checked: bool = False
    before: bool = False
    answered: int = 0


class ListRecord(msgspec.Struct):
    """A list: whom it names, and what became of those whom it named.

    Attributes:
        first_ms: Its first event.
        told_ms: Its newest event.
        hits: Whom it names.
        refused: Entries that name too many answered accounts.
        convicted: Of those whom it named, whom reactions convicted after that.
        answered: And whom people answer instead.
        day: The day (since 1970) of `begun`.
        begun: Hits at the begin of that day.
        many: Hits when an epoch closed last.
        pauses: Why it was paused, since when (ms), and how many it named then.
        copy_of: The older list of which it is a copy ("": of none).
    """

    first_ms: int
    told_ms: int = 0
    hits: dict[str, Hit] = {}
    refused: set[str] = set()
    convicted: int = 0
    answered: int = 0
    day: int = 0
    begun: int = 0
    many: int = 0
    pauses: dict[Pause, tuple[int, int]] = {}
    copy_of: str = ""

    @property
    def weight(self) -> float | None:
        """Share of the settled hits that reactions convicted; None before enough are settled."""
        settled = self.convicted + self.answered
        return self.convicted / settled if settled >= LEAST_RECORD else None

    def pause(self, why: Pause, count: int, now_ms: int) -> None:
        """Pause the list; again only where it has become a fifth worse since the last time."""
        if why not in self.pauses or count > self.pauses[why][1] * (1 + MOST_GROWTH):
            self.pauses[why] = (now_ms, count)

    def paused(self, resumed_ms: int = 0) -> Pause | None:
        """Return why the list is paused, unless somebody has let it act again since (None)."""
        # A copy: a scrape of the metrics reads while the engine writes.
        running = [(ms, why) for why, (ms, _) in list(self.pauses.items()) if ms > resumed_ms]
        return min(running)[1] if running else None


class _State(msgspec.Struct):
    """What a snapshot holds."""

    lists: dict[str, ListRecord] = {}
    overridden: set[str] = set()
    waiting: list[tuple[str, int, int]] = []
    swept: int = 0


class Named(NamedTuple):
    """What lists say of an account: the severest that a hit does, and the lists that say so."""

    effect: Mode = "observe"
    lists: tuple[str, ...] = ()


UNNAMED: Final = Named()

_READ: Final = ("origin", "mutual", "worst")
LISTED_ROW: Final = np.dtype([(name, ROW[name]) for name in _READ])
"""The fields of an account's row that lists read."""


class ListedRows(Protocol):
    """The rows of all accounts, as lists read them at an epoch's close."""

    def listed(self, slots: Any) -> Any:
        """Return what lists read of accounts (dtype LISTED_ROW; zeros for one without a row)."""
        ...

    def answered(self, server: int = 0) -> int:
        """Return how many accounts people answer: all, or those of a server (entity + 1)."""
        ...


class OutsideLists:
    """Every list's hits and record.

    Attributes:
        overridden: Accounts of which a person said that they are benign: no list counts for them.
    """

    def __init__(self) -> None:
        self._state = _State()
        self._slots = dict[str, int]()

    @property
    def lists(self) -> Mapping[str, ListRecord]:
        """The lists by name."""
        return self._state.lists

    @property
    def overridden(self) -> frozenset[str]:
        """Accounts that a person cleared: for them no list counts, for good."""
        return frozenset(self._state.overridden)

    # From the log

    def note(self, segment: Segment, fanout: Fanout) -> None:
        """Note what lists and persons say in a segment."""
        for listing in segment.listings:
            self._note(listing)
        events = segment.events
        rows = np.flatnonzero(events["type"] == LABELLED)
        if not rows.size:
            return
        said = events[rows]
        cleared = (
            (said["drop"] == 0) & (said["label"] == _BENIGN) & (said["flags"] & BY_OTHERS == 0)
        )
        slots = said["account"][cleared].tolist()
        self._state.overridden.update(fanout.accounts.texts(slots).to_pylist() if slots else ())

    def _note(self, listing: Listing) -> None:
        held = self._state.lists.get(listing.name)
        if held is None:
            if not listing.listed or len(self._state.lists) >= MOST_LISTS:
                return
            held = self._state.lists[listing.name] = ListRecord(listing.ts)
        held.told_ms = max(held.told_ms, listing.ts)
        if not listing.listed:
            self._withdraw(held, listing)
            return
        if listing.entry in held.refused:
            return
        hit = held.hits.get(listing.who)
        if hit is None:
            if len(held.hits) >= MOST_HITS:
                held.pause("too many hits", MOST_HITS, listing.ts)
                return
            hit = held.hits[listing.who] = Hit(listing.ts)
        hit.entries[listing.entry] = listing.until_ms
        hit.advice = max(hit.advice, listing.advice) if len(hit.entries) > 1 else listing.advice
        self._slots[listing.who] = listing.slot

    def _withdraw(self, held: ListRecord, listing: Listing) -> None:
        hit = held.hits.get(listing.who)
        if hit is None:
            return
        if listing.entry:
            hit.entries.pop(listing.entry, None)
        else:
            hit.entries.clear()
        if not hit.entries:
            del held.hits[listing.who]

    def note_decision(self, decision: Decision, slot: int) -> None:
        """Note a conviction by reactions, to be counted when the epoch closes."""
        if self._state.lists and decision.basis == "evidence" and decision.outcome in _SILENCING:
            self._state.waiting.append((decision.account, slot, decision.ts))

    def close(self, epoch: int, rows: ListedRows) -> None:
        """Count what an epoch brought, and let the guards look; the epoch is closed by now."""
        state = self._state
        if not state.lists:
            return
        now_ms = (epoch + 1) * 60_000
        sweep = epoch - state.swept >= SWEEP_EPOCHS
        fresh = [
            (held, who, hit)
            for held in state.lists.values()
            for who, hit in held.hits.items()
            if sweep or not hit.checked
        ]
        if state.waiting:
            self._count_convictions(rows)
        if sweep:
            state.swept = epoch
            self._forget(now_ms)
        if fresh:
            self._check(fresh, rows)
            self._guard(rows, now_ms)
        for held in state.lists.values():
            _check_growth(held, now_ms)
        if sweep or fresh:
            self._find_copies()

    def _count_convictions(self, rows: ListedRows) -> None:
        slots = np.array([slot for _, slot, _ in self._state.waiting], np.int64)
        servers = rows.listed(slots)["origin"].tolist()
        for (account, _, ts), server in zip(self._state.waiting, servers, strict=True):
            for held in self._state.lists.values():
                for who, hit in self._hits_of(held, account, server):
                    if ts < hit.since_ms:
                        continue
                    self._confirm(held, hit, ts, is_server=who.startswith("\0"))
        self._state.waiting.clear()

    def _confirm(self, held: ListRecord, hit: Hit, ts: int, *, is_server: bool) -> None:
        # One convicted account says nothing for whoever lists a server that people answer.
        if not (hit.confirmed_ms or hit.before or (is_server and hit.answered)):
            held.convicted += 1
            held.answered -= hit.answered
        hit.confirmed_ms = ts

    def _hits_of(self, held: ListRecord, account: str, server: int) -> list[tuple[str, Hit]]:
        found = [(account, held.hits[account])] if account in held.hits else []
        if server:
            found += [
                (who, hit)
                for who, hit in held.hits.items()
                if who.startswith("\0") and self._slots.get(who) == server
            ]
        return found

    def _check(self, fresh: Sequence[tuple[ListRecord, str, Hit]], rows: ListedRows) -> None:
        """Look at the records of accounts that lists name, and at the accounts of servers."""
        servers = dict[int, int]()
        slots = [self._slots.get(who, -1) for _, who, _ in fresh]
        # A server's number is no account's slot.
        known = zip(fresh, slots, strict=True)
        asked = [-1 if who.startswith("\0") else slot for (_, who, _), slot in known]
        found = rows.listed(np.array(asked, np.int64))
        for (held, who, hit), slot, row in zip(fresh, slots, found, strict=True):
            if who.startswith("\0"):
                if slot > 0 and slot not in servers:
                    servers[slot] = rows.answered(slot)
                many = servers.get(slot, 0)
                if many and not hit.answered:
                    held.answered += 1
                    held.convicted -= hit.confirmed_ms > 0
                hit.answered, hit.checked = max(hit.answered, many), True
                continue
            answered, silenced = is_answered(row), RANKS[int(row["worst"])] >= RANKS[RESTRICT]
            if not hit.checked and silenced and not hit.confirmed_ms:
                hit.before = True
            if answered and not hit.answered and not hit.confirmed_ms:
                held.answered += 1
            hit.answered, hit.checked = max(hit.answered, int(answered)), True

    def _guard(self, rows: ListedRows, now_ms: int) -> None:
        """Drop entries, then pause lists, that name too many of the accounts that people answer."""
        if not any(
            hit.answered for held in self._state.lists.values() for hit in held.hits.values()
        ):
            return
        most = max(LEAST_ANSWERED - 1, int(MOST_ANSWERED * rows.answered()))
        for held in self._state.lists.values():
            by_entry = dict[str, int]()
            for hit in held.hits.values():
                for entry in hit.entries:
                    by_entry[entry] = by_entry.get(entry, 0) + hit.answered
            broad = {entry for entry, count in by_entry.items() if count > most}
            for who in [who for who, hit in held.hits.items() if broad & hit.entries.keys()]:
                hit = held.hits[who]
                hit.entries = {e: end for e, end in hit.entries.items() if e not in broad}
                if not hit.entries:
                    del held.hits[who]
            held.refused |= broad
            named = sum(hit.answered for hit in held.hits.values())
            if named > most:
                held.pause("names too many answered accounts", named, now_ms)

    def _find_copies(self) -> None:
        entries = {
            name: {entry for hit in held.hits.values() for entry in hit.entries}
            for name, held in self._state.lists.items()
        }
        for held in self._state.lists.values():
            held.copy_of = ""
        named = sorted(self._state.lists, key=lambda name: (self._state.lists[name].first_ms, name))
        for older, younger in combinations(named, 2):
            one, other = entries[older], entries[younger]
            if min(len(one), len(other)) < LEAST_ALIKE or self._state.lists[younger].copy_of:
                continue
            if len(one & other) > ALIKE * len(one | other):
                self._state.lists[younger].copy_of = older

    def _forget(self, now_ms: int) -> None:
        """Forget hits that have ended, or are halved away."""
        for held in self._state.lists.values():
            for who, hit in list(held.hits.items()):
                hit.entries = {e: end for e, end in hit.entries.items() if not 0 < end <= now_ms}
                if not hit.entries or halvings(held, hit, now_ms) >= FORGOTTEN:
                    del held.hits[who]
        named = {who for held in self._state.lists.values() for who in held.hits}
        self._slots = {who: slot for who, slot in self._slots.items() if who in named}

    # For answers

    def named(
        self,
        account: str,
        origins: Iterable[str],
        now_ms: int,
        terms: Mapping[str, ListTerms],
        *,
        answered: bool,
    ) -> Named:
        """Return what lists do to an account's acts towards strangers.

        Args:
            account: The account.
            origins: Pseudonyms of the servers that it is on.
            now_ms: The log's time.
            terms: What the administrator says of each list; of others: observe.
            answered: Whether it is an account that people answer here.
        """
        if account in self._state.overridden:
            return UNNAMED
        effects = dict[str, int]()
        keys = (account, *map(origin_key, origins))
        for name, held in self._state.lists.items():
            of_list = terms.get(name)
            if of_list is None or of_list.mode == "observe":
                continue
            for key in keys:
                if (hit := held.hits.get(key)) is not None:
                    effect = _effect(held, hit, of_list, now_ms, answered=answered)
                    effects[name] = max(effect, effects.get(name, OBSERVE))
        most = max(effects.values(), default=OBSERVE)
        if most == OBSERVE:
            return UNNAMED
        return Named(
            MODES[most], tuple(sorted(n for n, effect in effects.items() if effect == most))
        )

    # Snapshots

    def dump(self) -> Any:
        """Return the state as bytes (uint8); empty where there is none."""
        if not self._state.lists and not self._state.overridden:
            return np.zeros(0, np.uint8)
        return np.frombuffer(msgspec.json.encode(self._state, order="sorted"), np.uint8)

    def load(self, held: Any, fanout: Fanout) -> None:
        """Restore the state; raises ValueError where it is damaged."""
        self._state = _read(held)
        every = {who for each in self._state.lists.values() for who in each.hits}
        accounts = sorted(who for who in every if not who.startswith("\0"))
        servers = sorted(every - set(accounts))
        found = fanout.accounts.find(pa.array(accounts, pa.string())).tolist()
        places = [f"o:{who[1:]}" for who in servers]
        origins = fanout.entities.find(pa.array(places, pa.string())).tolist()
        self._slots = dict(zip(accounts, found, strict=True))
        self._slots |= {who: slot + 1 for who, slot in zip(servers, origins, strict=True)}


def read_records(held: Any) -> Mapping[str, ListRecord]:
    """Return the lists of a dump (uint8); raises ValueError where it is damaged."""
    return _read(held).lists


def _read(held: Any) -> _State:
    try:
        return msgspec.json.decode(held.tobytes(), type=_State) if held.size else _State()
    except msgspec.DecodeError as error:
        raise ValueError(f"lists cannot be read: {error}") from error


def is_answered(row: Any) -> bool:
    """Whether people answer an account, by its record."""
    return int(row["mutual"]) >= ANSWERED_BY


def halvings(held: ListRecord, hit: Hit, now_ms: int) -> int:
    """Return how often a hit is halved: unconfirmed for long, or its list silent for long."""
    unconfirmed = max(0, now_ms - max(hit.since_ms, hit.confirmed_ms)) // HALVED_MS
    return int(unconfirmed + max(0, now_ms - held.told_ms) // AWAY_MS)


def _effect(held: ListRecord, hit: Hit, terms: ListTerms, now_ms: int, *, answered: bool) -> int:
    """Return what a hit does: its list's mode, or less where its word is worth less."""
    weight, half = held.weight, halvings(held, hit, now_ms)
    paused = held.paused(terms.resumed_ms) is not None
    running = any(not 0 < end <= now_ms for end in hit.entries.values())
    bad = weight is not None and weight < BAD_WEIGHT
    if paused or bad or half >= 2 or not running:
        return OBSERVE
    known = weight is not None and weight >= GOOD_WEIGHT and not held.copy_of
    most = REFUSE if known and half == 0 and hit.checked and not answered else DELAY
    return min(most, hit.advice, MODES.index(terms.mode))


def _check_growth(held: ListRecord, now_ms: int) -> None:
    day, many = now_ms // DAY_MS, len(held.hits)
    if day != held.day:
        held.day, held.begun = day, held.many
    held.many, grown = many, many - held.begun
    if held.begun >= LEAST_RECORD and grown > max(LEAST_GROWTH, MOST_GROWTH * held.begun):
        held.pause("grew too fast", many, now_ms)
