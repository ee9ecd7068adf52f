"""Admission of events: what a valid event needs beside its schema to enter the log.

A label acts on an account as a person's verdict does, so a sender needs the right to label. A date
ahead of the service's clock would make later events late. An id that is a phone number would be
personal data in the log. What outside lists say comes by keys that may say nothing else, so that
whoever reads lists can neither label nor act for anybody. A declaration of an account's lane comes
by no key's events: only an administrator's operation sends it. Whole batches are checked at once,
in the decoder process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from wavebreak.features.listings import LISTED, UNLISTED
from wavebreak.io.field_limits import milliseconds, refusal
from wavebreak.io.validation import ValidatedBatch
from wavebreak.privacy.pseudonymizer import enum_codes
from wavebreak.schema import events, identifiers

LABELED = events.TYPES.index("label.assigned")
DECLARED = events.TYPES.index("account.declared")
Mask = NDArray[np.bool_]


class Fault(NamedTuple):
    """Why a valid event may not enter the log: a cause, a field, what is wrong, and the fix."""

    cause: str
    field: str
    what: str
    fix: str


LABEL = Fault(
    "missing_scope",
    "type",
    "labels need the scope `override`",
    "send labels with a key that has the scope, or by POST /v1/labels",
)
LISTING = Fault(
    "missing_scope",
    "type",
    "what outside lists say needs the scope `list`",
    "send it with a key that has this scope alone",
)
ONLY_LISTS = Fault(
    "missing_scope",
    "type",
    "a key with the scope `list` tells what outside lists say, and nothing else",
    "send account.listed and account.unlisted with it, and this event with another key",
)
OTHER_LIST = Fault(
    "missing_scope",
    "list",
    "this key tells what one list says, and this is another",
    "send it with that list's key",
)
DECLARATION = Fault(
    "missing_scope",
    "type",
    "no key declares an account by an event",
    "let an administrator set it: PUT /v1/accounts/{account}/lane, with the scope `admin`",
)
FORBIDDEN = (LABEL, LISTING, ONLY_LISTS, OTHER_LIST, DECLARATION)
"""Faults of the sender's rights, not of an event."""
AHEAD = Fault(
    "ahead_of_clock",
    "ts",
    "ahead of this service's clock",
    "set the sender's clock right, or the service's",
)


@dataclass(frozen=True, slots=True)
class Admission:
    """What the sender of a body may send.

    Attributes:
        labels: Whether its events may label accounts.
        lists: Whether they may say whom outside lists name; where `source` is set, that list alone.
        others: Whether they may be anything else.
        declares: Whether they may declare an account's lane.
        before_ms: Events dated at this time or later are refused.
        identifiers: Whether ids may look like phone numbers, e-mail addresses, URLs or text.
        arrival_ms: The time of events that have none (0: they need one).
        source: The source that its key belongs to (empty: to none).
    """

    labels: bool = False
    before_ms: int = events.TS_END
    identifiers: bool = False
    arrival_ms: int = 0
    source: str = ""
    lists: bool = False
    others: bool = True
    declares: bool = False


NO_RIGHTS = Admission()


class LabelRecord(NamedTuple):
    """A label that was accepted, as its ledger entry needs it."""

    account: str
    label: str
    source: str


class AdmittedBatch(NamedTuple):
    """The admitted events with the refusals of the others, and the labels with their lines."""

    taken: ValidatedBatch
    labels: list[tuple[int, LabelRecord]]


def admit(
    taken: ValidatedBatch, ends: NDArray[np.int64], admissions: Sequence[Admission]
) -> AdmittedBatch:
    """Refuse the events that their senders may not send.

    Args:
        taken: Valid events of one or more bodies, with line numbers from 1.
        ends: The last line of each body.
        admissions: What each body may hold.
    """
    if not taken.wire.num_rows:
        return AdmittedBatch(taken, [])
    taken = _within_clock(taken, ends, admissions)
    taken = _with_good_ids(taken, ends, admissions)
    taken = _of_their_scopes(taken, ends, admissions)
    labeled = label_mask(taken.wire)
    if not labeled.any():
        return AdmittedBatch(taken, [])
    may = np.array([each.labels for each in admissions])
    refused = labeled & ~may[_bodies(taken, ends)]
    taken = _without(taken, refused, dict.fromkeys(np.flatnonzero(refused).tolist(), LABEL))
    return AdmittedBatch(taken, _labels(taken, labeled[~refused]))


def _of_their_scopes(
    taken: ValidatedBatch, ends: NDArray[np.int64], admissions: Sequence[Admission]
) -> ValidatedBatch:
    """Refuse declarations, what lists say from other keys, and anything else from theirs."""
    types = _types(taken.wire)
    listed, declared = np.isin(types, (LISTED, UNLISTED)), types == DECLARED
    if not (listed | declared).any() and all(each.others for each in admissions):
        return taken
    bodies = _bodies(taken, ends)
    lists, others, declares = (
        np.array([getattr(each, name) for each in admissions])[bodies]
        for name in ("lists", "others", "declares")
    )
    others_list = _of_other_lists(taken.wire, listed & lists, bodies, admissions)
    refusals = (
        (others_list, OTHER_LIST),
        (listed & ~lists, LISTING),
        (declared & ~declares, DECLARATION),
        (~(listed | declared) & ~others, ONLY_LISTS),
    )
    faults = {row: why for mask, why in refusals for row in np.flatnonzero(mask).tolist()}
    refused = np.logical_or.reduce([mask for mask, _ in refusals])
    return _without(taken, refused, faults)


def _of_other_lists(
    wire: pa.RecordBatch, listed: Mask, bodies: NDArray[np.int64], admissions: Sequence[Admission]
) -> Mask:
    """Return which listings are of another list than the one that their sender's key is of."""
    found = np.zeros(len(listed), np.bool_)
    if any(each.source for each in admissions) and listed.any():
        rows = np.flatnonzero(listed).tolist()
        names = wire.column("list").take(pa.array(rows)).to_pylist()
        found[rows] = [
            _is_other_list(name, admissions[bodies[row]])
            for row, name in zip(rows, names, strict=True)
        ]
    return found


def _is_other_list(name: str, admission: Admission) -> bool:
    return bool(admission.source) and name != admission.source


def _within_clock(
    taken: ValidatedBatch, ends: NDArray[np.int64], admissions: Sequence[Admission]
) -> ValidatedBatch:
    times = taken.wire.column("ts").to_numpy()
    before = np.array([each.before_ms for each in admissions])
    if times.max(initial=0) < before.min():
        return taken
    refused = times >= before[_bodies(taken, ends)]
    return _without(taken, refused, dict.fromkeys(np.flatnonzero(refused).tolist(), AHEAD))


def _with_good_ids(
    taken: ValidatedBatch, ends: NDArray[np.int64], admissions: Sequence[Admission]
) -> ValidatedBatch:
    allow = all(each.identifiers for each in admissions)
    rows = identifiers.faulty_rows(taken.wire, allow=allow)
    if not rows.size:
        return taken
    ids = taken.wire.select([n for n in taken.wire.schema.names if n in identifiers.KINDS])
    bodies = _bodies(taken, ends)
    faults = {}
    for row, event in zip(rows.tolist(), ids.take(pa.array(rows)).to_pylist(), strict=True):
        found = _id_fault(event, admissions[bodies[row]])
        if found is not None:
            faults[row] = found
    refused = np.zeros(taken.wire.num_rows, np.bool_)
    refused[list(faults)] = True
    return _without(taken, refused, faults)


def _id_fault(ids: Mapping[str, str | None], admission: Admission) -> Fault | None:
    for field, value in ids.items():
        if value is not None:
            kind = identifiers.fault(field, value, allow=admission.identifiers)
            if kind is not None:
                return Fault("identifier", field, kind.name, kind.fix)
    return None


def event_fault(event: events.Event, admission: Admission) -> Fault | None:
    """Return why one event may not enter the log; None if it may."""
    if isinstance(event, events.LabelAssigned) and not admission.labels:
        return LABEL
    if isinstance(event, events.AccountDeclared) and not admission.declares:
        return DECLARATION
    listed = isinstance(event, events.AccountListed | events.AccountUnlisted)
    if not (admission.lists if listed else admission.others):
        return LISTING if listed else ONLY_LISTS
    if isinstance(event, events.AccountListed | events.AccountUnlisted) and _is_other_list(
        event.list, admission
    ):
        return OTHER_LIST
    dated = milliseconds(event.ts) if isinstance(event.ts, datetime) else event.ts
    if dated >= admission.before_ms:
        return AHEAD
    return _id_fault({name: getattr(event, name, None) for name in identifiers.KINDS}, admission)


def _bodies(taken: ValidatedBatch, ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the number of the body that each event is from."""
    return np.searchsorted(ends[:-1], taken.lines)


def label_mask(wire: pa.RecordBatch) -> Mask:
    """Return which events are labels."""
    mask: Mask = _types(wire) == LABELED
    return mask


def _types(wire: pa.RecordBatch) -> NDArray[np.uint8]:
    codes: NDArray[np.uint8] = enum_codes(wire.column("type"), events.TYPES).to_numpy(
        zero_copy_only=False
    )
    return codes


def _without(taken: ValidatedBatch, refused: Mask, faults: Mapping[int, Fault]) -> ValidatedBatch:
    """Return a batch without some of its events, which are refused; `faults` is by row."""
    if not faults:
        return taken
    refusals: list[events.Refusal] = [
        refusal(int(taken.lines[row]), *faults[row]) for row in np.flatnonzero(refused).tolist()
    ]
    kept = taken.wire.filter(pa.array(~refused))
    return ValidatedBatch(kept, taken.lines[~refused], taken.refused + refusals)


def _labels(taken: ValidatedBatch, labeled: Mask) -> list[tuple[int, LabelRecord]]:
    rows = pa.array(np.flatnonzero(labeled))
    columns = [taken.wire.column(name).take(rows).to_pylist() for name in LabelRecord._fields]
    records = map(LabelRecord, *columns)
    return list(zip(taken.lines[labeled].tolist(), records, strict=True))
