"""Recount of a published report from a copy of the ledger, number by number.

A stranger holds the report, its accounts list and a copy of the ledger without openings: all that
rests on the ledger or on the list is counted again. Whoever holds openings, or an event log too,
checks what rests on them, and the list itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from wavebreak.reports.tables import Table
from wavebreak_server.transparency import accounts_list
from wavebreak_server.transparency.accounts_list import AccountsList, counted_positions, list_faults
from wavebreak_server.transparency.counts import build_report
from wavebreak_server.transparency.history import History
from wavebreak_server.transparency.report import (
    EVENTS,
    FEW,
    LIST,
    NOT_MEASURED,
    OPENINGS,
    UNKNOWN,
    Number,
    Publication,
    Report,
    Sources,
    shown,
)
from wavebreak_server.transparency.suppression import BESIDE, SMALL

EQUAL, DIFFERENT, NOT_RECOUNTED = "equal", "different", "not recounted"
_REASONS = {
    LIST: "needs accounts.csv",
    OPENINGS: "rests on the operator's openings alone",
    EVENTS: "rests on the operator's event log alone",
}


class Comparison(msgspec.Struct, frozen=True):
    """One number: as published, as recounted, and whether they are equal.

    `verdict` is EQUAL, DIFFERENT or NOT_RECOUNTED, `why` explains the last two.
    """

    id: str
    label: str
    published: str
    recounted: str
    verdict: str
    why: str = ""


class Recount(NamedTuple):
    """The comparisons of a report, in its order."""

    comparisons: list[Comparison]

    def of(self, verdict: str) -> list[Comparison]:
        """Return the comparisons with a verdict."""
        return [each for each in self.comparisons if each.verdict == verdict]

    @property
    def holds(self) -> bool:
        """Whether no number differs."""
        return not self.of(DIFFERENT)


class Holdings(NamedTuple):
    """What the reader holds beside the report and the ledger.

    Attributes:
        listed: The accounts list that was published with the report.
        opened: Whether the history has accounts by openings.
        reports: Times of reports by account, from the event log.
    """

    listed: AccountsList | None = None
    opened: bool = False
    reports: Mapping[str, Sequence[int]] | None = None


def published_list(report_path: Path, report: Report) -> AccountsList | None:
    """Return the accounts list beside a report; None where it has none or it is not there.

    Raises:
        FileError: The list cannot be read.
    """
    place = report_path if report_path.is_dir() else report_path.parent
    path = place / accounts_list.NAME
    if report.accounts_sha256 is None or not path.exists():
        return None
    return accounts_list.read_accounts_list(path)


def recount(published: Report, history: History, holdings: Holdings) -> Recount:
    """Count a report again, and compare each number.

    Args:
        published: The report.
        history: What the ledger says up to the report's checkpoint.
        holdings: What else the reader holds.

    Returns:
        The comparison of every number of either count.

    >>> from datetime import date
    >>> from wavebreak_server.transparency import Checkpoint, NoAccounts, Period
    >>> history, checkpoint = History(NoAccounts()), Checkpoint("example.org/log", "", 0, "", "")
    >>> january = Period(date(2026, 1, 1), date(2026, 2, 1))
    >>> report = build_report(history, january, checkpoint, Publication("Example"), Sources())
    >>> recount(report, history, Holdings()).holds
    True
    """
    fresh = _count_again(published, history, holdings)
    exact = _merge(fresh, internal=True)
    public = _merge(fresh, internal=published.internal)
    numbers = published.numbers()
    erased = holdings.opened and _erased_since(published, history)
    complete = all(each.withheld != UNKNOWN for each in exact.values())
    found = []
    for name in dict.fromkeys((*numbers, *exact)):
        as_published = public.get(name) if complete else None
        one = _compare(numbers.get(name), exact.get(name), as_published, published.minimum)
        if erased and one.verdict == NOT_RECOUNTED:
            one = msgspec.structs.replace(one, why="openings were erased since")
        found.append(one)
    if published.accounts_sha256 is not None:
        found.insert(0, _compare_list(published, history, holdings))
    return Recount(found)


class _Counts(NamedTuple):
    """The report counted again: by the accounts list, and by openings; exact, and as published."""

    listed: dict[bool, Report]
    opened: dict[bool, Report]


def _count_again(published: Report, history: History, holdings: Holdings) -> _Counts:
    numbers = holdings.listed.numbers if holdings.listed else {}
    by_list = history.with_accounts(numbers)
    counted_by_list = Sources(accounts=holdings.listed is not None)
    labels = holdings.opened and not _erased_since(published, history)
    by_openings = Sources(holdings.opened, labels, holdings.reports if labels else None)

    def build(one: History, sources: Sources, internal: bool) -> Report:
        publication = Publication(published.provider, minimum=published.minimum, internal=internal)
        return build_report(one, published.period, published.ledger, publication, sources)

    either = {True, published.internal}
    return _Counts(
        {internal: build(by_list, counted_by_list, internal) for internal in either},
        {internal: build(history, by_openings, internal) for internal in either},
    )


def _erased_since(published: Report, history: History) -> bool:
    """Whether openings that the publisher had are no longer there."""
    return published.unopened is None or history.unopened() > published.unopened


def _merge(fresh: _Counts, *, internal: bool) -> dict[str, Number]:
    """Return each number from the count that can know it."""
    opened = fresh.opened[internal].numbers()
    return {
        name: opened[name] if each.rests_on in (OPENINGS, EVENTS) and name in opened else each
        for name, each in fresh.listed[internal].numbers().items()
    }


def _compare(
    published: Number | None, exact: Number | None, public: Number | None, minimum: int
) -> Comparison:
    """Compare a number; `public` is how it should have been published, where that is known."""
    if published is None or exact is None:
        one = published or exact
        assert one is not None  # noqa: S101
        said, counted = (shown(each, minimum) if each else "–" for each in (published, exact))
        why = "is not in the ledger's count" if published else "is missing from the report"
        return Comparison(one.id, one.label, said, counted, DIFFERENT, why)
    said, counted = shown(published, minimum), shown(exact, minimum)
    if exact.withheld == UNKNOWN:
        verdict = EQUAL if published.withheld == UNKNOWN else NOT_RECOUNTED
        why = "" if verdict == EQUAL else _REASONS.get(published.rests_on, "")
    elif published.withheld == UNKNOWN:
        verdict, why = NOT_RECOUNTED, "was not known to the publisher"
    else:
        agrees = _agrees(published, exact, minimum)
        if agrees and public is not None:
            agrees = published.withheld == public.withheld
        verdict, why = (EQUAL, "") if agrees else (DIFFERENT, "")
    if verdict == EQUAL and exact.withheld != UNKNOWN and _words(published) != _words(exact):
        verdict, why = DIFFERENT, "its label or definition is another"
    return Comparison(published.id, published.label, said, counted, verdict, why)


def _words(number: Number) -> tuple[str, ...]:
    return number.label, number.unit, number.rests_on, number.definition


def _agrees(published: Number, exact: Number, minimum: int) -> bool:
    """Whether what was published, also where it was withheld, is true of the exact number."""
    value = exact.value
    if not published.withheld or published.value is not None:
        return not published.withheld and published.value == value is not None
    if published.withheld == SMALL:
        return isinstance(value, int) and 1 <= value < minimum
    if published.withheld == BESIDE:
        return isinstance(value, int) and value >= 1
    if published.withheld == FEW:
        return value is not None
    return published.withheld == exact.withheld == NOT_MEASURED


def _compare_list(published: Report, history: History, holdings: Holdings) -> Comparison:
    """Compare the accounts list with its digest, the decisions that count, and openings."""
    name, label = accounts_list.NAME, "Accounts list"
    if holdings.listed is None:
        why = "accounts.csv is not beside the report"
        return Comparison(name, label, "published", "–", NOT_RECOUNTED, why)
    positions = counted_positions(history, published.period)
    opened = {at: history.decisions[at].account if holdings.opened else None for at in positions}
    faults = list_faults(holdings.listed, positions, opened)
    if holdings.listed.digest() != published.accounts_sha256:
        faults.insert(0, "it has another SHA-256 than the report says")
    said = f"{len(holdings.listed.numbers):,} decisions"
    verdict, why = (DIFFERENT, faults[0]) if faults else (EQUAL, "")
    return Comparison(name, label, said, f"{len(positions):,} decisions", verdict, why)


def recount_table(done: Recount, *, every: bool = True) -> Table:
    """Return the comparisons as a table.

    Args:
        done: The recount.
        every: All numbers, not only those that differ or could not be recounted.
    """
    rows = [
        (
            each.label,
            each.published,
            each.recounted,
            each.verdict + (f"\n{each.why}" if each.why else ""),
        )
        for each in done.comparisons
        if every or each.verdict != EQUAL
    ]
    columns = ("number", "published", "recounted", "equal?")
    return Table("Recount", columns, rows, words=frozenset({0, 3}))
