"""Admission of new names: what keeps the state of accounts within the memory that it may use.

The state grows with each account, network, device and client that the log names for the first time.
Before events reach the log, those are refused that would make it outgrow its ceiling, one by one:
the rest of their batch goes on, and so do the accounts that are known. After the log nothing is
refused, so that the state stays a function of the log, and a replay under the same ceiling fits.

Each API key may besides bring a number of new names an hour. They are counted when the engine has
read them, by key, from the slots that it assigned: so that nothing is looked up for a key that has
not used up its share, while the state is far from its ceiling.

The log writer asks (`admit`), the engine thread reports (`read`, `measure`). Where a job on Flink
decides, the job counts new names as it reads the log (`count`); which names are known, the service
remembers of the newest ones alone (`RecentNames`), and a ceiling is the job's own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pyarrow as pa

from wavebreak.durations import HOUR_MS
from wavebreak.engine import Engine
from wavebreak.engine.state_ceiling import StateCeiling
from wavebreak.engine.state_size import ACCOUNT_BYTES, ENTITY_BYTES, EVENT_BYTES, state_bytes
from wavebreak.features.facts import EPOCH_MS, Segment, SlotAssigner, decode_events, locate_columns
from wavebreak.features.first_names import FirstNames
from wavebreak.features.interner import Interner, NameSpans
from wavebreak.io import log_rows
from wavebreak.schema.events import Refusal
from wavebreak_server.pipeline import pending_requests
from wavebreak_server.pipeline.admission import LABELED
from wavebreak_server.pipeline.request_decoder import DecodedBatch, DecodeResult

Group = tuple[list[pending_requests.PendingRequest], DecodedBatch]
Find = Callable[[pa.RecordBatch], tuple[Any, Any]]
"""Returns how many accounts, and how many entities, of each event are not known (`new_names`)."""

NO_MEMORY, TOO_MANY_NAMES = "no_memory", "too_many_new_names"
"""Causes of refused events: the state is at its ceiling; the key's share of the hour is used up."""
RETRY_FULL_S: Final = 60.0
MOST_SENDERS: Final = 1 << 17
"""Stretches of the log whose senders are remembered until a job has read them."""
RECENT_NAMES: Final = 1 << 20
"""Names of each of two generations: some 130 MB in all."""
_WORST_EVENT: Final = 2 * ACCOUNT_BYTES + 4 * ENTITY_BYTES + EVENT_BYTES
"""Bytes of an event all of whose names are new: account, peer, network, block, device, client."""
_EXEMPT: Final = frozenset({"", "backfill", "demo"})
"""Senders without a share: the operator's own commands."""
_FIXES = {
    NO_MEMORY: "known accounts go on; the operator can give more with --max-memory, or evict idle "
    "accounts",
    TOO_MANY_NAMES: "known accounts go on; retry in the next hour, or raise --new-names-per-hour",
}
_REASONS = {
    NO_MEMORY: "the memory for new accounts is used up",
    TOO_MANY_NAMES: "this API key has brought its new names of the hour",
}


class NoRoomError(pending_requests.BusyError):
    """No event of a body was accepted, since its new names have no room.

    `cause` is NO_MEMORY or TOO_MANY_NAMES, `events` how many events were refused for it.
    """

    status = 429

    def __init__(self, cause: str, events: int, *, retry_after_s: float) -> None:
        super().__init__(_REASONS[cause], retry_after_s=retry_after_s)
        self.fix = _FIXES[cause]
        self.cause, self.events = cause, events


@dataclass
class _Share:
    """What an API key has brought in an hour."""

    hour: int = -1
    names: int = 0


class _Unknown:
    """Assigns no slots: notes which of the names have none."""

    def __init__(self, names: Interner) -> None:
        self._names = names
        self.new: Any = np.zeros(0, np.bool_)

    def slots_of(self, names: NameSpans) -> Any:
        """Return zeros (uint32)."""
        self.new = (self._names.find_of(names) < 0) & (names.sizes >= 0)
        return np.zeros(names.sizes.size, np.uint32)


def new_names(engine: Engine, log: pa.RecordBatch) -> tuple[Any, Any]:
    """Return how many accounts and how many entities of each event have no slot yet (int64)."""
    accounts, entities = _unknown(log, engine.fanout.accounts, engine.fanout.entities)
    rows = log.num_rows
    fresh, places = (
        new.reshape(rows, -1).sum(axis=1, dtype=np.int64) for new in (accounts, entities)
    )
    return fresh, places


def _unknown(log: pa.RecordBatch, accounts: Interner, entities: Interner) -> tuple[Any, Any]:
    """Return which names of the accounts of events, and of all else, have no slot (bool)."""
    people, places = _Unknown(accounts), _Unknown(entities)
    _name(log, people, places)
    return people.new, places.new


def _name(log: pa.RecordBatch, accounts: SlotAssigner, entities: SlotAssigner) -> None:
    """Have the names of events numbered."""
    rows = log.num_rows
    decode_events(
        locate_columns(log), np.zeros(rows, np.int64), np.zeros(rows, np.uint8), accounts, entities
    )


class RecentNames:
    """The names of the newest events of a log, of which no state is here.

    Two generations: where the newer one is full, the older one is forgotten.
    """

    def __init__(self, most: int = RECENT_NAMES) -> None:
        self._most = most
        self._newer = self._older = (Interner(), Interner())

    def note(self, log: pa.RecordBatch) -> None:
        """Remember the names of events."""
        _name(log, *self._newer)
        if sum(map(len, self._newer)) >= self._most:
            self._older, self._newer = self._newer, (Interner(), Interner())

    def new(self, log: pa.RecordBatch) -> tuple[Any, Any]:
        """Return how many accounts, and how many entities, of each event are not remembered."""
        rows = log.num_rows
        fresh, places = (
            (newer & older).reshape(rows, -1).sum(axis=1, dtype=np.int64)
            for newer, older in zip(
                _unknown(log, *self._newer), _unknown(log, *self._older), strict=True
            )
        )
        return fresh, places


class NewNames:
    """Refuses events whose new names have no room, before they reach the log.

    Args:
        ceiling: The state's ceiling (None: none).
        per_hour: New names that a sender may bring in an hour of the clock.
        clock: Returns milliseconds.
        find: Returns which names of events are not known.
        report: Called with messages for the operator.

    Attributes:
        held: Bytes of the state when it was last measured.
    """

    def __init__(
        self,
        ceiling: StateCeiling | None,
        per_hour: int,
        clock: Callable[[], int],
        find: Find,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.ceiling, self.per_hour = ceiling, per_hour
        self.held = 0
        self._clock, self._find, self._report = clock, find, report
        self._measured = (0, 0, -1)
        self._charges: deque[tuple[int, int]] = deque()
        self._senders: deque[tuple[int, str]] = deque(maxlen=MOST_SENDERS)
        self._shares: dict[str, _Share] = {}
        self._first: FirstNames | None = None
        self._reported = False

    # Engine thread

    def measure(self, engine: Engine, position: int) -> None:
        """Note the size of the state at a position."""
        if self.ceiling is not None:
            self.held = state_bytes(engine)
            self._measured = (position, self.held, engine.core.epoch)

    def begin(self, engine: Engine) -> None:
        """Note the names that an engine has at the start."""
        self._first = FirstNames(engine.fanout)
        self.measure(engine, engine.fanout.position)

    def read(self, segment: Segment) -> None:
        """Count the new names of a segment by the key that sent them."""
        assert self._first is not None  # noqa: S101 - `begin` comes first
        at, names = self._first.count(segment.events)
        self.count(segment.base + at, names, segment.base + segment.events.size)

    def count(self, positions: Any, names: Any, end: int) -> None:
        """Count new names of the events at some positions (rising) of the log, read up to an end.

        By the thread of what decides.
        """
        if len(positions):
            self._charge(positions, names)
        while self._senders and self._senders[0][0] <= end:
            self._senders.popleft()

    def _charge(self, positions: Any, names: Any) -> None:
        """Charge the senders of the events at some positions (rising) with their new names."""
        begin = 0
        for end, sender in tuple(self._senders):
            stop = int(np.searchsorted(positions, end))
            if stop > begin:
                share, hour = self._shares.setdefault(sender, _Share()), self._clock() // HOUR_MS
                if share.hour != hour:
                    share.hour, share.names = hour, 0
                share.names += int(names[begin:stop].sum())
                begin = stop
            if begin == positions.size:
                return

    # Log writer

    def logged(self, batch: pending_requests.LoggedBatch) -> None:
        """Note whose events a committed batch holds."""
        end = batch.first
        for sender, events in batch.senders:
            end += events
            self._senders.append((end, sender))

    def admit(self, groups: list[Group], end: int) -> list[Group]:
        """Return bodies without the events that have no room; `end` is that of the log.

        A request of which nothing is left is answered with NoRoomError.
        """
        left = list[Group]()
        for waiting, decoded in groups:
            spent = {w.sender for w in waiting if self._has_spent(w)}
            rows = decoded.log.num_rows
            if self._has_room(rows) and not spent:
                end += rows
                self._note_charge(end, rows * _WORST_EVENT)
                left.append((waiting, decoded))
                continue
            causes, charge = self._causes(waiting, decoded, spent)
            kept = self._without(waiting, decoded, causes)
            end += kept[1].log.num_rows
            self._note_charge(end, charge)
            if kept[0]:
                left.append(kept)
        return left

    def _has_spent(self, request: pending_requests.PendingRequest) -> bool:
        share = self._shares.get(request.sender)
        if share is None or request.sender in _EXEMPT:
            return False
        return share.names >= self.per_hour and share.hour == self._clock() // HOUR_MS

    def _note_charge(self, end: int, charge: int) -> None:
        if self.ceiling is not None:
            self._charges.append((end, charge))

    def _spoken_for(self) -> int:
        """Bytes of the state, and of what it will need for events that it has not taken yet."""
        position, held, _ = self._measured
        while self._charges and self._charges[0][0] <= position:
            self._charges.popleft()
        return held + sum(charge for _, charge in self._charges)

    def _has_room(self, rows: int) -> bool:
        """Whether so many events fit, whatever their names are."""
        if self.ceiling is None:
            return True
        return self._spoken_for() + rows * _WORST_EVENT <= self.ceiling.accounts

    def _causes(
        self, waiting: list[pending_requests.PendingRequest], decoded: DecodedBatch, spent: set[str]
    ) -> tuple[Any, int]:
        """Return why each event is refused (0: it is not), and bytes that the others may need."""
        log = decoded.log
        accounts, entities = self._find(log)
        causes = np.zeros(log.num_rows, np.int8)
        counts = [read.taken for read in decoded.reads if isinstance(read, DecodeResult)]
        stops = np.cumsum(counts)
        # A person's label or override acts also where there is no room.
        exempt = log.column("type").to_numpy() == LABELED
        named = (accounts + entities > 0) & ~exempt
        for request, stop, count in zip(waiting, stops.tolist(), counts, strict=True):
            if request.sender in spent:
                causes[stop - count : stop][named[stop - count : stop]] = 2
        if self.ceiling is not None:
            self._without_memory(log, accounts, entities, exempt, causes)
        taken = causes == 0
        charge = int(accounts[taken].sum()) * ACCOUNT_BYTES
        charge += int(entities[taken].sum()) * ENTITY_BYTES + int(taken.sum()) * EVENT_BYTES
        return causes, charge

    def _without_memory(
        self, log: pa.RecordBatch, accounts: Any, entities: Any, exempt: Any, causes: Any
    ) -> None:
        """Mark the events for which there is no memory."""
        assert self.ceiling is not None  # noqa: S101 - the caller has seen it
        spoken, free = self._spoken_for(), (causes == 0) & ~exempt
        needs = np.where(free, accounts * ACCOUNT_BYTES, 0)
        full = (needs > 0) & (spoken + np.cumsum(needs) > self.ceiling.accounts)
        causes[full] = 1
        needs = np.where(free & ~full, entities * ENTITY_BYTES + accounts * ACCOUNT_BYTES, 0)
        full = (needs > 0) & (spoken + np.cumsum(needs) > self.ceiling.entities)
        causes[full] = 1
        needs = np.where(causes == 0, needs + EVENT_BYTES, 0)
        full = spoken + np.cumsum(needs) > self.ceiling.bytes
        if full.any() and not self._ends_epoch(log):
            causes[full & ~exempt] = 1

    def _ends_epoch(self, log: pa.RecordBatch) -> bool:
        """Whether a batch ends the open epoch, and with it what is kept for that; one at a time."""
        later = log.column("ts").to_numpy() // EPOCH_MS > self._measured[2]
        return bool(later.any()) and not self._charges

    def _without(
        self, waiting: list[pending_requests.PendingRequest], decoded: DecodedBatch, causes: Any
    ) -> Group:
        """Return a group without the refused events, and answer requests of which none is left."""
        if not causes.any():
            return waiting, decoded
        kept, reads, begin = list[pending_requests.PendingRequest](), list[DecodeResult](), 0
        for request, read in zip(waiting, decoded.reads, strict=True):
            assert isinstance(read, DecodeResult)  # noqa: S101 - others have been answered
            own = causes[begin : begin + read.taken]
            begin += read.taken
            left = _refusing(read, own)
            if left.taken or not own.any():
                kept.append(request)
                reads.append(left)
            else:
                pending_requests.resolve_futures([(request, self._error(int(own.max()), own.size))])
        self._report_once(causes)
        log = decoded.log.filter(pa.array(causes == 0))
        blob = bytes(log_rows.encode_row(log)) if kept else b""
        return kept, replace(decoded, log=log, reads=tuple(reads), blob=blob)

    def _error(self, code: int, events: int) -> NoRoomError:
        if code == 1:
            return NoRoomError(NO_MEMORY, events, retry_after_s=RETRY_FULL_S)
        left = HOUR_MS - self._clock() % HOUR_MS
        return NoRoomError(TOO_MANY_NAMES, events, retry_after_s=left / 1000)

    def _report_once(self, causes: Any) -> None:
        """Report that memory has run out, once."""
        if self._reported or not (causes == 1).any() or self.ceiling is None:
            return
        self._reported = True
        self._report(
            f"the state of accounts has {self.held >> 20:,} of {self.ceiling.bytes >> 20:,} MiB: "
            f"events of new accounts are refused; {_FIXES[NO_MEMORY]}"
        )


def _refusing(read: DecodeResult, causes: Any) -> DecodeResult:
    """Return the result of a body whose events with a cause are refused too."""
    at = np.flatnonzero(causes)
    if not at.size:
        return read
    lines = np.arange(1, read.taken + len(read.refused) + 1)
    others = np.array([refusal.line for refusal in read.refused], np.int64)
    lines = lines[~np.isin(lines, others)]
    refused = list(read.refused)
    for k in at.tolist():
        line, cause = int(lines[k]), NO_MEMORY if causes[k] == 1 else TOO_MANY_NAMES
        where = f"{read.unit} {line}: " if read.unit else ""
        message = f"{where}{_REASONS[cause]} — fix: {_FIXES[cause]}"
        refused.append(Refusal(line, cause, "account", message))
    refused.sort(key=lambda refusal: refusal.line)
    return replace(read, taken=read.taken - at.size, refused=tuple(refused))
