"""The transparency report: its numbers with their definitions, and small cells withheld.

A `Report` is one value, from which the JSON, CSV and HTML files and the DSA's CSV files are
written. Counts that must be the same in each are therefore counted once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import NamedTuple

import msgspec

from wavebreak.errors import UsageError
from wavebreak.reports.tables import number as format_number
from wavebreak.reports.tables import percent
from wavebreak_server.transparency.history import Checkpoint
from wavebreak_server.transparency.periods import Period
from wavebreak_server.transparency.suppression import BESIDE, SMALL, Sum, withheld_cells

VERSION = 1
MINIMUM = 5
"""The smallest count above 0 that the public report prints, unless another is chosen."""
LEDGER, LIST, OPENINGS, EVENTS = "ledger", "accounts list", "openings", "event log"
"""What a number rests on: whoever holds that can recount it."""
FEW, UNKNOWN, NOT_MEASURED = "few", "unknown", "not_measured"
"""Why a number has no value, beside SMALL and BESIDE."""
_EPOCH = date(1970, 1, 1)


class Number(msgspec.Struct, frozen=True, omit_defaults=True):
    """One number of a report.

    Attributes:
        id: Its name, the same in every report.
        label: What it is, for a reader.
        unit: What is counted or measured.
        rests_on: LEDGER, LIST, OPENINGS or EVENTS.
        definition: How it is counted.
        value: The number; None where it is withheld or not known.
        withheld: Why there is no value: SMALL, BESIDE, FEW, UNKNOWN or NOT_MEASURED.
    """

    id: str
    label: str
    unit: str
    rests_on: str
    definition: str
    value: int | float | None = None
    withheld: str = ""


class Section(msgspec.Struct, frozen=True):
    """Numbers under one heading, and a note that holds for all of them."""

    title: str
    note: str
    numbers: tuple[Number, ...]


class Report(msgspec.Struct, frozen=True):
    """A transparency report on a period.

    Attributes:
        version: The version of this format.
        provider: Who publishes it.
        previous: When the report before it was published.
        ledger: The signed checkpoint that it rests on.
        minimum: The smallest count above 0 that is printed.
        internal: Whether it has all numbers, and is not for publication.
        accounts_sha256: The SHA-256 of the accounts list; None where there is none.
        unopened: How many decisions and labels, up to the checkpoint, had no opening when this was
            counted; None where no openings were used.
        sections: The numbers.
    """

    version: int
    provider: str
    service: str
    period: Period
    published: date
    previous: date | None
    ledger: Checkpoint
    minimum: int
    internal: bool
    accounts_sha256: str | None
    unopened: int | None
    sections: tuple[Section, ...]

    def numbers(self) -> dict[str, Number]:
        """Return all numbers by their ids, in order."""
        return {each.id: each for section in self.sections for each in section.numbers}


class Publication(NamedTuple):
    """What a report says of itself, beside its numbers.

    Attributes:
        provider: Who publishes it.
        previous: When the report before it was published.
        minimum: The smallest count above 0 that is printed; 0 prints all.
        internal: Whether nothing is withheld.
    """

    provider: str
    service: str = "Messaging"
    published: date = _EPOCH
    previous: date | None = None
    minimum: int = MINIMUM
    internal: bool = False


class Sources(NamedTuple):
    """What numbers can be counted from, beside the entries.

    Attributes:
        accounts: Whether the history has accounts, by openings or by an accounts list.
        labels: Whether the history has the accounts of labels too: openings only.
        reports: The times (ms) of the reports that each account received, in order; None without
            an event log.
    """

    accounts: bool = False
    labels: bool = False
    reports: Mapping[str, Sequence[int]] | None = None


def shown(number: Number, minimum: int) -> str:
    """Return a number as a reader sees it.

    >>> shown(Number("a", "A", "accounts", LEDGER, "", withheld=SMALL), 5)
    '<5'
    >>> shown(Number("a", "A", "share", LEDGER, "", 0.25), 5)
    '25.0 %'
    """
    if number.value is not None:
        share = number.unit == "share"
        return percent(number.value) if share else format_number(number.value, 2)
    return {
        SMALL: f"<{minimum}",
        BESIDE: "withheld",
        FEW: "withheld",
        UNKNOWN: "not known",
        NOT_MEASURED: "not measured",
    }[number.withheld]


def check_minimum(minimum: int) -> None:
    """Check the smallest count to print.

    Raises:
        UsageError: It is 2, below which only one count lies, so that hiding it hides nothing; or it
            is negative.
    """
    if minimum < 0 or minimum == 2:
        raise UsageError(
            f"a minimum of {minimum} protects nobody",
            fix="give 3 or more, or 0 to print every number",
        )


class Basis(NamedTuple):
    """What a number is computed from: counts, and how many cases; and what those rest on."""

    counts: tuple[str, ...]
    of: int
    rests_on: str = LEDGER


class _Ratio(NamedTuple):
    """A number that is computed from counts, and printed only where those are."""

    value: float | None
    counts: tuple[str, ...]
    of: int


class ReportBuilder:
    """Collects numbers in sections and the sums between them; withholds small cells at the end."""

    def __init__(self, publication: Publication) -> None:
        self._publication = publication
        self._sections: list[tuple[str, str, list[Number]]] = []
        self._ratios: dict[str, _Ratio] = {}
        self._sums: list[Sum] = []
        self._unpublished: dict[str, int] = {}

    def section(self, title: str, note: str) -> None:
        """Begin a section."""
        self._sections.append((title, note, []))

    def count(
        self, name: str, label: str, value: int | None, unit: str, rests_on: str, definition: str
    ) -> None:
        """Add a count; None: it is not known."""
        withheld = UNKNOWN if value is None else ""
        number = Number(name, label, unit, rests_on, definition, value, withheld)
        self._sections[-1][2].append(number)

    def ratio(
        self, name: str, label: str, value: float | None, unit: str, definition: str, basis: Basis
    ) -> None:
        """Add a number computed from counts."""
        rounded = None if value is None else round(value, 4 if unit == "share" else 2)
        self._ratios[name] = _Ratio(rounded, basis.counts, basis.of)
        number = Number(name, label, unit, basis.rests_on, definition, rounded)
        self._sections[-1][2].append(number)

    def unknown(self, name: str, label: str, unit: str, rests_on: str, definition: str) -> None:
        """Add a number that is not known."""
        self.count(name, label, None, unit, rests_on, definition)

    def sum(self, total: str, *parts: str, rest: bool = False) -> None:
        """Declare that counts add up to another."""
        self._sums.append(Sum(total, parts, rest))

    def unpublished(self, name: str, value: int) -> None:
        """Declare a count that is part of a sum and not printed."""
        self._unpublished[name] = value

    def sections(self) -> tuple[Section, ...]:
        """Return the sections; in a public report small cells are withheld."""
        publication = self._publication
        public = not publication.internal
        withheld: dict[str, str] = {}
        if public:
            cells = {
                each.id: each.value
                for _, _, numbers in self._sections
                for each in numbers
                if isinstance(each.value, int) and each.id not in self._ratios
            }
            withheld = withheld_cells(
                cells | self._unpublished,
                self._sums,
                publication.minimum,
                unpublished=self._unpublished,
            )

        def final(each: Number) -> Number:
            reason = withheld.get(each.id, each.withheld)
            if ratio := self._ratios.get(each.id):
                few = public and (
                    ratio.of < publication.minimum or any(c in withheld for c in ratio.counts)
                )
                reason = NOT_MEASURED if ratio.value is None else FEW if few else ""
            value = None if reason else each.value
            return msgspec.structs.replace(each, value=value, withheld=reason)

        return tuple(
            Section(title, note, tuple(map(final, numbers)))
            for title, note, numbers in self._sections
        )
