"""A history of what clients asked and were answered, and a check of it against the log.

In the manner of Jepsen: each operation has the time at which it was asked and answered. What was
answered must hold whatever happened to the service in between; what was not answered may have
happened or not.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple


class LoggedEvent(NamedTuple):
    """An event of the log: its id, its account, and whether it holds personal pseudonyms."""

    id: str
    account: str
    personal: bool


@dataclass
class Operation:
    """What a client asked: `kind` is ingest, override, read or erase.

    Attributes:
        kind: What was asked for.
        events: Ids of the events sent (ingest).
        account: The account (override, read, erase).
        outcome: The outcome asked for (override) or answered (read).
        began: When it was asked (seconds).
        ended: When it was answered (None: it was not).
        accepted: Whether the answer said that it is done; None where there was none.
        answer: The answer's body, as a repeated request must get it again.
        key: The Idempotency-Key (empty: none).
    """

    kind: str
    began: float
    events: tuple[str, ...] = ()
    account: str = ""
    outcome: str = ""
    ended: float | None = None
    accepted: bool | None = None
    answer: bytes = b""
    key: str = ""


@dataclass
class History:
    """Operations of several clients, in threads."""

    operations: list[Operation] = field(default_factory=list)
    clock: Callable[[], float] = time.monotonic
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def asking(self, kind: str, **about: object) -> Iterator[Operation]:
        """Record an operation; the block sets what was answered, or raises."""
        operation = Operation(kind, self.clock(), **about)  # type: ignore[arg-type]
        with self._lock:
            self.operations.append(operation)
        yield operation
        if operation.accepted is not None:
            operation.ended = self.clock()

    def check(self, log: Sequence[LoggedEvent]) -> list[str]:
        """Return what does not hold, a sentence each, against the log in its order."""
        return [
            *_acknowledged_once(self.operations, log),
            *_in_real_time_order(self.operations, log),
            *_repeats_answered_alike(self.operations),
            *_overrides_win(self.operations),
            *_erased_for_good(self.operations, log),
        ]


def _ingested(
    operations: Sequence[Operation], *, accepted: bool, kinds: Sequence[str] = ("ingest",)
) -> Iterator[Operation]:
    return (one for one in operations if one.kind in kinds and one.accepted is accepted)


def acknowledged(operations: Sequence[Operation]) -> set[str]:
    """Return the ids of all events that the service has acknowledged."""
    done = _ingested(operations, accepted=True)
    return {event for one in done for event in one.events}


def _acknowledged_once(
    operations: Sequence[Operation], log: Sequence[LoggedEvent]
) -> Iterator[str]:
    ids = [event.id for event in log]
    known = set(ids)
    if len(known) < len(ids):
        yield f"{len(ids) - len(known)} events are in the log twice"
    wanted = acknowledged(operations)
    if lost := wanted - known:
        yield f"{len(lost)} acknowledged events are lost, such as {min(lost)}"
    refused = {event for one in _ingested(operations, accepted=False) for event in one.events}
    if kept := (refused - wanted) & known:
        yield f"{len(kept)} refused events are in the log, such as {min(kept)}"


def _in_real_time_order(
    operations: Sequence[Operation], log: Sequence[LoggedEvent]
) -> Iterator[str]:
    """An operation that was answered before another one began stands before it in the log."""
    position = {event.id: at for at, event in enumerate(log)}
    spans = []
    for one in _ingested(operations, accepted=True):
        places = [position[event] for event in one.events if event in position]
        if places and one.ended is not None:
            spans.append((one.began, one.ended, min(places), max(places)))
    ended = sorted(spans, key=lambda span: span[1])
    newest, at = -1, 0
    for began, _, first, _ in sorted(spans):
        while at < len(ended) and ended[at][1] < began:
            newest, at = max(newest, ended[at][3]), at + 1
        if first < newest:
            yield f"position {first} was asked for after position {newest} was acknowledged"
            return


def _repeats_answered_alike(operations: Sequence[Operation]) -> Iterator[str]:
    answers: dict[str, bytes] = {}
    for one in _ingested(operations, accepted=True):
        if one.key and answers.setdefault(one.key, one.answer) != one.answer:
            yield f"the key {one.key} was answered in two ways"


def _overrides_win(operations: Sequence[Operation]) -> Iterator[str]:
    """A read shows an outcome that some override may have left by then."""
    by_account: dict[str, list[Operation]] = {}
    for one in operations:
        if one.kind == "override":
            by_account.setdefault(one.account, []).append(one)
    for read in operations:
        if read.kind != "read" or not read.accepted:
            continue
        possible = _possible_outcomes(by_account.get(read.account, []), read)
        if read.outcome not in possible:
            yield f"{read.account} was read as {read.outcome}, not {' or '.join(sorted(possible))}"


def _possible_outcomes(overrides: Sequence[Operation], read: Operation) -> set[str]:
    """Outcomes of overrides that no other one surely replaced before the read began."""
    assert read.ended is not None
    begun = [one for one in overrides if one.began <= read.ended and one.accepted is not False]
    done = [one for one in begun if one.ended is not None and one.ended < read.began]
    if not done:
        return {one.outcome for one in begun} | {"allow"}
    last = max(done, key=lambda one: one.began)
    return {
        one.outcome for one in begun if one is last or one.ended is None or one.ended >= last.began
    }


def _erased_for_good(operations: Sequence[Operation], log: Sequence[LoggedEvent]) -> Iterator[str]:
    sent: Mapping[str, float] = {
        event: one.began for one in operations if one.kind == "ingest" for event in one.events
    }
    answered = {
        event: one.ended
        for one in _ingested(operations, accepted=True)
        for event in one.events
        if one.ended is not None
    }
    erased: dict[str, float] = {}
    for one in operations:
        if one.kind == "erase" and one.accepted:
            erased[one.account] = max(one.began, erased.get(one.account, 0.0))
    back = [
        event.id
        for event in log
        if event.personal
        and event.account in erased
        and event.id in sent
        and answered.get(event.id, float("inf")) < erased[event.account]
    ]
    if back:
        yield f"{len(back)} erased pseudonyms are in the log, such as that of {back[0]}"
