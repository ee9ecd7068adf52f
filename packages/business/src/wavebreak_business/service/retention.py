"""Retention of the platform's log: rows older than the policy says go, and the state stays right.

The state is a function of the log, so a state has to stand for the rows that go. It is stored in
the database beside them, where a backup has it and an erasure reaches it. Two are kept: when the
newer one is as old as the retention, the rows up to it go, and another is stored. So rows stay for
once to twice the retention. What can no longer be done without them: make the state anew from the
first row, and say on what basis something was sent at a time before them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from wavebreak.durations import duration_ms
from wavebreak.errors import ServiceError
from wavebreak_business.service import snapshots
from wavebreak_business.service.models import LogErasure, PlatformRow, StatePart
from wavebreak_business.service.snapshots import Snapshot
from wavebreak_server.http.app_context import write_audit_entry
from wavebreak_server.storage.authentic_rows import checked

PART_BYTES = 8 << 20
"""Bytes of a part of a stored state."""
ACTION, BY = "business.log.trim", "retention"


class StoredState(NamedTuple):
    """A stored state: the row at which it stands, when it was stored, and the log's events."""

    number: int
    at_ms: int
    position: int


def stored_states() -> list[StoredState]:
    """Return the stored states, oldest first."""
    rows = StatePart.objects.filter(part=0).order_by("number")
    return [StoredState(*row) for row in rows.values_list("number", "at_ms", "position")]


def first_kept() -> StoredState | None:
    """Return the state before the log's first row; None where the log is whole."""
    first = PlatformRow.objects.order_by("number").values_list("number", flat=True).first()
    states = stored_states()
    if not states or first == 1:
        return None
    return max((each for each in states if first is None or each.number < first), default=None)


def load(number: int) -> Snapshot | None:
    """Return the state stored at a row; None where it is not whole.

    Raises:
        DomainError: It was changed in the database.
    """
    parts = checked(StatePart.objects.filter(number=number).order_by("part"))
    if not parts or [each.part for each in parts] != list(range(parts[0].parts)):
        return None
    return snapshots.decode(number, b"".join(bytes(each.body) for each in parts))


def is_due(retention: str, now_ms: int) -> bool:
    """Whether a state is to be stored (`retention` "": rows stay for ever)."""
    if not retention:
        return False
    states = stored_states()
    return not states or now_ms - states[-1].at_ms >= duration_ms(retention)


def keep(snapshot: Snapshot, position: int, retention: str, now_ms: int) -> int:
    """Store a state, and let the rows go that the one before it stands for; return how many.

    In the open transaction.

    Args:
        snapshot: The state at the log's end.
        position: Events of the log up to there.
        retention: How long rows stay at least.
        now_ms: The clock.
    """
    states, gone = stored_states(), 0
    newest = states[-1] if states else None
    if newest is not None and _is_clean(newest.number):
        gone, _ = PlatformRow.objects.filter(number__lte=newest.number).delete()
        StatePart.objects.filter(number__lt=newest.number).delete()
        if gone:
            target, reason = f"until {newest.number}", f"retention of {retention}: {gone} rows"
            write_audit_entry(now_ms, BY, ACTION, target, reason)
    if snapshot.number > (newest.number if newest is not None else 0):
        _store(snapshot, position, now_ms)
    return gone


def _is_clean(number: int) -> bool:
    """Whether a state is whole, and no erasure is missing from it."""
    held = load(number)
    return held is not None and held.erasures == LogErasure.objects.count()


def _store(snapshot: Snapshot, position: int, at_ms: int) -> None:
    body = snapshots.encode(snapshot)
    begins = range(0, len(body), PART_BYTES)
    for part, at in enumerate(begins):
        StatePart(
            number=snapshot.number, at_ms=at_ms, position=position, part=part, parts=len(begins),
            body=body[at : at + PART_BYTES],
        ).save(force_insert=True)  # fmt: skip


def holds(names: Iterable[bytes]) -> bool:
    """Whether a stored state has one of people's pseudonyms."""
    wanted = list(names)
    texts = (_whole(state.number).arrays["names.arenas"].tobytes() for state in stored_states())
    return any(name in text for text in texts for name in wanted)


def erase(strangers: Mapping[bytes, bytes], erasures: int) -> None:
    """Put other names in the place of people's in stored states, in the open transaction.

    Args:
        strangers: What stands in the place of whose pseudonym, equally long.
        erasures: How many erasures there are with this one.
    """
    for state in stored_states():
        held = _whole(state.number)
        names = held.arrays["names.arenas"].tobytes()
        for name, stranger in strangers.items():
            names = names.replace(name, stranger)
        arrays = dict(held.arrays) | {"names.arenas": snapshots.as_bytes(names)}
        StatePart.objects.filter(number=state.number).delete()
        _store(held._replace(arrays=arrays, erasures=erasures), state.position, state.at_ms)


def _whole(number: int) -> Snapshot:
    held = load(number)
    if held is None:
        raise ServiceError(
            f"the state at row {number} of the platform's log is not whole",
            fix="restore a backup of the database",
        )
    return held


def missing(first: int) -> ServiceError:
    """Return the error of a log whose begin is gone without a state in its place."""
    return ServiceError(
        f"row {first} of the platform's log is gone",
        fix="restore a backup of the database; after an upgrade, start the version before it",
    )
