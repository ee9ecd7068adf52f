"""Traps of a service: which are declared, who writes to them by its log, and which are retired.

The file of traps holds pseudonyms; what is asked of the log is matched by them too. A service reads
the file at its start. Nothing here names a trap.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from wavebreak.durations import DAY_MS
from wavebreak.errors import UsageError
from wavebreak.io.field_limits import LIMITS
from wavebreak.privacy import traps
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.privacy.traps import TrapSet
from wavebreak.reports.tables import count_of
from wavebreak.schema.events import TYPES
from wavebreak.schema.identifiers import fault
from wavebreak_server.http.app_context import write_audit_entry
from wavebreak_server.storage import event_log

MAX_SENDERS = 20
"""Accounts that write to a trap until it is retired: so many know the number by then."""
MAX_AGE_MS = 365 * DAY_MS
"""Age at which a trap is retired: numbers are assigned anew."""
QUIET_MS = 180 * DAY_MS
"""An account that did something within this time is in use, and no trap."""
AUDIT_OBJECT = "traps"
_MAX_BYTES = LIMITS["message.sent"]["peer"].max_bytes
_ACTS = pa.array(
    [
        TYPES.index(t)
        for t in (
            "account.registered", "session.started", "typing.started", "message.sent",
            "message.read", "contact.requested", "contact.accepted", "call.started",
        )
    ],
    pa.uint8(),
)  # fmt: skip


class TrapUse(msgspec.Struct, frozen=True):
    """Use of traps by the log: accounts that wrote to each, and traps whose account did something.

    Traps are named by their pseudonyms.
    """

    senders: dict[str, set[str]]
    active: set[str]


class SetOverview(msgspec.Struct, frozen=True, kw_only=True):
    """Traps that were added together: when, how many; those written to, and by how many."""

    added_at_ms: int
    traps: int
    hit_traps: int
    senders: int


class Added(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of an addition: new traps, entries that were traps before, and all traps."""

    added: int
    duplicates: int
    total: int


class Rotated(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of a rotation: retired by reason, and the traps that are left."""

    in_use: int
    burnt: int
    old: int
    total: int

    @property
    def retired(self) -> int:
        """Return the number of retired traps, which as many new ones replace."""
        return self.in_use + self.burnt + self.old


def read_entries(lines: Iterable[str], *, allow_identifiers: bool) -> list[str]:
    """Return the accounts and numbers of a file of entries, one a line; `#` begins a comment.

    Args:
        lines: Its lines: an account, a number, or a range (`privacy.traps.expand`).
        allow_identifiers: Whether the service accepts numbers as ids.

    Raises:
        UsageError: An entry can be no id of an event, a range is wrong, or there are too many.
    """
    names = dict[str, None]()
    for number, line in enumerate(lines, 1):
        entry = line.partition("#")[0].strip()
        if not entry:
            continue
        try:
            expanded = traps.expand(entry)
        except UsageError as error:
            raise UsageError(f"line {number}: {error.what}", fix=error.fix) from None
        if kind := fault("peer", expanded[0], allow=allow_identifiers):
            raise UsageError(f"line {number} {kind.name}: no event can name it", fix=_FIX)
        if len(expanded[0].encode()) > _MAX_BYTES:
            raise UsageError(f"line {number} is longer than {_MAX_BYTES} bytes", fix=_FIX)
        names.update(dict.fromkeys(expanded))
        _check_total(len(names))
    if not names:
        raise UsageError("the file has no entries", fix="write an account or a number on each line")
    return list(names)


_FIX = (
    "give the ids that your events have as `peer`; numbers only if the service runs with "
    "--allow-identifiers"
)


def _check_total(count: int) -> None:
    if count > traps.MAX_TRAPS:
        raise UsageError(
            f"a service has at most {traps.MAX_TRAPS:,} traps",
            fix="declare a sample of the range: one to five in a hundred of its numbers are enough",
        )


def read_use(edge: Pseudonymizer, pseudonyms: Collection[str], now_ms: int) -> TrapUse:
    """Read the use of traps from the whole log, in one pass.

    Raises:
        ServiceError: A row of the log is damaged.
    """
    senders, active = defaultdict[str, set[str]](set), set[str]()
    for segment in event_log.read_log(event_log.log_start().position):
        events = segment.events
        if events is None:
            raise event_log.damage_error(segment)
        acts = pc.is_in(events.column("type"), value_set=_ACTS)
        recent = pc.greater_equal(events.column("ts"), now_ms - QUIET_MS)
        accounts = events.column("account").filter(pc.and_(acts, recent))
        own = {edge.trap_pseudonym(name) for name in accounts.unique().to_pylist()}
        active |= own.intersection(pseudonyms)
        if "trap" in events.schema.names:
            messages = events.filter(pc.fill_null(events.column("trap"), False))
            for row in messages.select(["account", "peer"]).to_pylist():
                senders[edge.trap_pseudonym(row["peer"])].add(row["account"])
    senders_of_traps = {
        pseudonym: senders[pseudonym] for pseudonym in senders.keys() & set(pseudonyms)
    }
    return TrapUse(senders_of_traps, active)


def overview(sets: Iterable[TrapSet], use: TrapUse) -> list[SetOverview]:
    """Return the declared sets in order of time, with what the log says of each."""
    rows = []
    for trap_set in sorted(sets, key=lambda trap_set: trap_set.added_at_ms):
        hits = [use.senders[name] for name in trap_set.pseudonyms if name in use.senders]
        rows.append(
            SetOverview(
                added_at_ms=trap_set.added_at_ms,
                traps=len(trap_set.pseudonyms),
                hit_traps=len(hits),
                senders=len(set().union(*hits)),
            )
        )
    return rows


def add(
    home: Path, secret: bytes, new: Collection[str], *, now_ms: int, by: str, reason: str
) -> Added:
    """Add traps by their pseudonyms, in the open transaction; the file changes last.

    Raises:
        UsageError: There would be too many.
        FileError: The file of traps is not the service's own.
    """
    with traps.changing(home / traps.FILE):
        sets = traps.load(home / traps.FILE, secret)
        before = traps.all_pseudonyms(sets)
        fresh = tuple(sorted(set(new) - before))
        counts = Added(
            added=len(fresh), duplicates=len(new) - len(fresh), total=len(before) + len(fresh)
        )
        _check_total(counts.total)
        write_audit_entry(
            now_ms,
            by,
            "add_traps",
            AUDIT_OBJECT,
            f"{counts.added} added, {counts.total} now: {reason}",
        )
        if fresh:
            traps.save(home / traps.FILE, secret, [*sets, TrapSet(now_ms, fresh)])
        return counts


def rotate(
    home: Path, secret: bytes, use: TrapUse, *, now_ms: int, by: str, reason: str
) -> Rotated:
    """Retire traps that are in use, burnt or old, in the open transaction; the file changes last.

    Raises:
        FileError: The file of traps is not the service's own.
    """
    with traps.changing(home / traps.FILE):
        remaining, in_use, burnt, old = list[TrapSet](), 0, 0, 0
        for trap_set in traps.load(home / traps.FILE, secret):
            names = []
            for name in trap_set.pseudonyms:
                if name in use.active:
                    in_use += 1
                elif len(use.senders.get(name, ())) >= MAX_SENDERS:
                    burnt += 1
                elif now_ms - trap_set.added_at_ms >= MAX_AGE_MS:
                    old += 1
                else:
                    names.append(name)
            if names:
                remaining.append(TrapSet(trap_set.added_at_ms, tuple(names)))
        counts = Rotated(
            in_use=in_use,
            burnt=burnt,
            old=old,
            total=sum(len(trap_set.pseudonyms) for trap_set in remaining),
        )
        why = f"{count_of(counts.retired, 'trap')} retired, {counts.total} left: {reason}"
        write_audit_entry(now_ms, by, "rotate_traps", AUDIT_OBJECT, why)
        traps.save(home / traps.FILE, secret, remaining)
        return counts
