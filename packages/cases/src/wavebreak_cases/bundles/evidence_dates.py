"""Dates of the conduct that an exhibit shows by itself, and what else it says of itself.

A date counts only where something says it: the exhibit's own text or markup, the record of its
capture (WARC), the log of a run, or a person. That a file was added today dates nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from wavebreak.errors import CaseError, ClaimError
from wavebreak.extras import LazyModule
from wavebreak_cases import claims
from wavebreak_cases.cases.case import Case, ExhibitReview
from wavebreak_cases.cases.date_ranges import DateRange, format_instant, parse_date, parse_instant
from wavebreak_cases.cases.parties import DateSource, load_name_weights
from wavebreak_cases.claims.config import load_limits
from wavebreak_cases.claims.party_names import short_names

if TYPE_CHECKING:
    from wavebreak_cases.bundles import reproduction
    from wavebreak_cases.claims import exhibits
    from wavebreak_cases.claims.exhibits import Published
else:
    reproduction = LazyModule("wavebreak_cases.bundles.reproduction")
    exhibits = LazyModule("wavebreak_cases.claims.exhibits")

Verdict = Literal["claim", "unsure", "benign"]


class ConductDates(NamedTuple):
    """When conduct began and until when it is shown to have lasted, and what says so."""

    began: DateRange = DateRange()
    lasted: DateRange = DateRange()
    began_source: DateSource | UnsetType = UNSET
    lasted_source: DateSource | UnsetType = UNSET


def exhibit_dates(place: Path, kind: str) -> ConductDates:
    """Return the dates that an exhibit gives itself; unknown where it gives none.

    Args:
        place: The exhibit's directory.
        kind: Its kind in the case.

    Returns:
        Of a run the accounts' own first and last acts; of a captured page the time of its capture,
        at which it was there; of an archive (WARC, WACZ) the time that it records; of another page
        the publication that it states of itself, or that a person stated who added it.

    Raises:
        CaseError: The accounts of a run did nothing.
    """
    if kind == "platform_run":
        return _run_dates(place)
    if not (place / exhibits.EXHIBIT).exists():
        return ConductDates()
    about = claims.load_exhibit(place)
    if about.kind == "capture":
        at = parse_instant(about.captured_at)
        return _shown(at, at, DateSource("capture", about.actor.who, "the capture's WARC record"))
    if about.kind == "upload" and (recorded := _archived_at(place)) is not None:
        by = f"the archive that {about.actor.who} added"
        return _shown(recorded, recorded, DateSource("capture", by, "the WARC-Date of its record"))
    if said := about.details.get("when"):
        try:
            dates = parse_date(said)
        except CaseError:
            return ConductDates()
        source = DateSource("person", about.actor.who, "stated with the exhibit")
        return ConductDates(DateRange(None, dates.latest, f"by {said}"), dates, source, source)
    if about.published is not None:
        return _published(about.published, DateSource("person", about.actor.who, "as it was added"))
    reading = read_exhibit(place)
    found = reading.published if reading else None
    if found is None:
        return ConductDates()
    return _published(found, DateSource("exhibit", "the page", found.basis or "the page itself"))


def _shown(first: int | None, last: int | None, source: DateSource) -> ConductDates:
    """What a page shows that was public at some time from `first` to `last`."""
    said = " to ".join("open" if end is None else format_instant(end) for end in (first, last))
    if first == last and first is not None:
        said = format_instant(first)
    began = DateRange(None, last, f"by {said}") if last is not None else DateRange()
    return ConductDates(began, DateRange(first, last, said), source, source)


def _run_dates(place: Path) -> ConductDates:
    raw = (place / reproduction.NUMBERS).read_bytes()
    numbers = msgspec.json.decode(raw, type=dict[str, reproduction.Conduct]).values()
    firsts = [n.first for n in numbers if n.first is not None]
    lasts = [n.last for n in numbers if n.last is not None]
    if not firsts or not lasts:
        raise CaseError("the accounts of this run did nothing in it", fix="give other accounts")
    first, last = min(firsts), max(lasts)
    source = DateSource("log", "the log of the run", "the accounts' own first and last acts")
    return ConductDates(
        DateRange(first, first, format_instant(first)),
        DateRange(last, last, format_instant(last)),
        source,
        source,
    )


def _archived_at(place: Path) -> int | None:
    """When an archive's page was recorded, where an upload is an archive with one such time."""
    kept = claims.load_exhibit(place).file("original")
    if kept is None or not kept.path.endswith((".warc", ".warc.gz", ".wacz")):
        return None
    raw, bounds = (place / kept.path).read_bytes(), load_limits().upload
    pages = exhibits.archive_pages(raw, exhibits.validate_file(raw, bounds), bounds)
    dates = {page.date for page in pages if page.media == "text/html" and page.status == 200}
    try:
        return parse_instant(dates.pop()) if len(dates) == 1 else None
    except CaseError:
        return None


def _published(known: Published, source: DateSource) -> ConductDates:
    ends = [None if end is None else parse_instant(end) for end in (known.earliest, known.latest)]
    return ConductDates() if ends == [None, None] else _shown(ends[0], ends[1], source)


def party_names(case: Case) -> tuple[str, ...]:
    """Return the names of a case's parties, with and without their legal forms."""
    forms = load_name_weights().legal["suffixes"]
    named = [name for party in case.parties.values() for name in (party.name, *party.aliases)]
    return tuple(dict.fromkeys(short for name in named for short in short_names(name, forms)))


def read_exhibit(place: Path, names: Sequence[str] = ()) -> claims.Reading | None:
    """Return the automatic reading of an exhibit; None where there is nothing that can be read.

    It is judged without the `names` of parties.
    """
    about = claims.load_exhibit(place)
    try:
        pages = claims.exhibit_documents(place)
        return claims.highest_scoring([claims.read(p, about.captured_at, names) for p in pages])
    except ClaimError:
        return None


def exhibit_verdicts(
    place: Path, names: Sequence[str] = ()
) -> tuple[ExhibitReview | UnsetType, Verdict | UnsetType]:
    """Return what people and the automatic reading found a captured or added page to be.

    Test purchases and partners' notices are no pages that offer something: they are not read.
    """
    labels = claims.read_labels(place)
    review: ExhibitReview | UnsetType = UNSET
    if labels:
        last = labels[-1]
        found: Literal["claim", "no_claim"] = "claim" if last.label == "claim" else "no_claim"
        review = ExhibitReview(found, last.by, last.at, last.reason)
    reading = None
    if claims.load_exhibit(place).kind in ("capture", "upload"):
        reading = read_exhibit(place, names)
    return review, reading.verdict if reading else UNSET
