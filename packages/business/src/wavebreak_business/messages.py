"""Records folded into messages: a row each, with when it was sent, arrived, was read, failed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wavebreak_business import record_table
from wavebreak_business.answers import People
from wavebreak_business.settings import Code, Settings

MAX_LISTED = 10_000
"""People of a list that JSON names; the count is of all."""
MARKETING, TEXT = record_table.CATEGORIES.index("marketing"), record_table.CATEGORIES.index("sms")
"""Text messages have neither windows nor a limit of people a day."""

Ints = NDArray[Any]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Messages:
    """Outgoing messages, one a row: a record of each kind at most, the first of several."""

    at: dict[record_table.Kind, Ints]
    sent: Ints
    person: Ints
    identity: Ints
    sender: Ints
    code: Ints
    category: Ints
    label: Ints
    billed: Ints
    inside: Mask
    price: NDArray[np.float64]
    currency: Ints

    @property
    def delivered(self) -> Mask:
        """Which arrived: what was read has arrived."""
        return (self.at[record_table.Kind.DELIVERED] >= 0) | (self.at[record_table.Kind.READ] >= 0)

    @property
    def failed(self) -> Mask:
        """Which failed, and did not arrive after all."""
        return (self.at[record_table.Kind.FAILED] >= 0) & ~self.delivered


@dataclass(frozen=True)
class CodeTable:
    """The codes of the logs by their numbers, with what the settings say of them."""

    names: tuple[tuple[str, str], ...]
    known: tuple[Code | None, ...]

    def having(self, column: Ints, attribute: str, value: str) -> Mask:
        """Return which rows have a code whose attribute has a value."""
        wanted = [
            n for n, code in enumerate(self.known) if code and getattr(code, attribute) == value
        ]
        return np.isin(column, wanted)


def fold_messages(records: record_table.Columns, persons: Ints) -> Messages:
    """Fold the records of each message into one row."""
    out = records.of(np.isin(records.kind, record_table.OUTBOUND))
    # A record without an id is a message of its own.
    keys = np.where(out.message >= 0, out.message, -2 - np.arange(out.message.size))
    _, row = np.unique(keys, return_inverse=True)
    count = int(row.max()) + 1 if row.size else 0

    def first(column: Ints, has: Mask, absent: Any, kind: Any = np.int64) -> Ints:
        values = np.full(count, absent, kind)
        # Assigned from the last to the first: the first stays.
        values[row[has][::-1]] = column[has][::-1]
        return values

    every = np.ones(row.size, np.bool_)
    return Messages(
        at={kind: first(out.ts, out.kind == kind, -1) for kind in record_table.OUTBOUND},
        sent=first(out.ts, out.ts > record_table.NO_TIME, record_table.NO_TIME),
        person=first(persons[out.person] if out.person.size else out.person, every, -1),
        identity=first(out.person, every, -1),
        sender=first(out.sender, out.sender >= 0, -1),
        code=first(out.code, out.code >= 0, -1),
        category=first(out.category, out.category > 0, 0),
        label=first(out.label, out.label >= 0, -1),
        billed=first(out.billed, out.billed >= 0, -1),
        inside=first(out.inside, out.inside > 0, 0).astype(np.bool_),
        price=first(out.price, ~np.isnan(out.price), np.nan, np.float64),
        currency=first(out.currency, out.currency >= 0, -1),
    )


def code_table(table: record_table.RecordTable, settings: Settings) -> CodeTable:
    """Return the codes of a table with what the settings say of them."""
    names = [(p, c) for p, _, c in (text.partition(" ") for text in table.codes.texts)]
    return CodeTable(tuple(names), tuple(settings.code(*name) for name in names))


def with_categories(messages: Messages, codes: CodeTable) -> Messages:
    """Fill in the category that a code implies: reports of failures have no price."""
    implied = (messages.category == 0) & codes.having(messages.code, "category", "marketing")
    return replace(messages, category=np.where(implied, MARKETING, messages.category))


def people_of(table: record_table.RecordTable, persons: Ints) -> People:
    """Return people by the numbers of their first ids."""
    found = np.unique(persons)
    return People(int(found.size), tuple(sorted(table.names(found[:MAX_LISTED]))))


def last_by_person(table: record_table.RecordTable, person: Ints, at_ms: Ints) -> Ints:
    """Return the last of some times of each person, by the person's number; -1 for none."""
    last = np.full(len(table.people.texts), -1)
    np.maximum.at(last, person, at_ms)
    return last


def last_arrival(table: record_table.RecordTable, messages: Messages) -> Ints:
    """Return when the last message that arrived was sent to each person; -1 for none."""
    arrived = messages.delivered
    return last_by_person(table, messages.person[arrived], messages.sent[arrived])


def known_ms(ms: int) -> int | None:
    """Return a time; None where the log has none."""
    return ms if ms > record_table.NO_TIME else None


def last_before(group: Ints, at_ms: Ints, event_group: Ints, event_ms: Ints) -> Ints:
    """Return for each row the place of the last event of its group at or before it; -1 for none."""
    groups = np.concatenate((event_group, group))
    times = np.concatenate((event_ms, at_ms))
    place = np.concatenate((np.arange(event_ms.size), np.full(at_ms.size, -1)))
    # Of one time, events come first.
    order = np.lexsort((place < 0, times, groups))
    seen = np.maximum.accumulate(np.where(place[order] >= 0, np.arange(order.size), -1))
    found = np.where(seen >= 0, order[seen], 0)
    same = (seen >= 0) & (groups[found] == groups[order])
    result = np.full(order.size, -1)
    result[order] = np.where(same, place[found], -1)
    return result[event_ms.size :]
