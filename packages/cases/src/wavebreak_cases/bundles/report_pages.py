"""The report's section on captured and added pages: sentences, dates, screenshots."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from wavebreak.errors import ClaimError
from wavebreak_cases import claims
from wavebreak_cases.bundles import report_text
from wavebreak_cases.bundles.chronology import is_page
from wavebreak_cases.bundles.evidence_dates import party_names, read_exhibit
from wavebreak_cases.bundles.report_sections import ReportSource
from wavebreak_cases.cases.case import Exhibit
from wavebreak_cases.cases.date_ranges import parse_instant
from wavebreak_cases.cases.reasons import person
from wavebreak_cases.claims.exhibits import Published
from wavebreak_cases.claims.ocr import read_recognized
from wavebreak_cases.claims.reader import NO_TEXT, PICTURE, SCAN, CitedSentence

MAX_ITEMS = 12
MAX_PICTURE_BYTES = 8 << 20
STRONGEST = "●"


def _pages(source: ReportSource) -> Iterator[tuple[Exhibit, Path, claims.Reading | None]]:
    """Captured and added pages; a document in which nothing is offered is none."""
    names = party_names(source.case)
    for exhibit in source.case.exhibits.values():
        place = source.directory / exhibit.path
        if not is_page(place, exhibit):
            continue
        reading = read_exhibit(place, names)
        shown = reading is not None and (reading.relied_on or claims.read_labels(place))
        if exhibit.kind == "claim" or shown:
            yield exhibit, place, reading


def pages(source: ReportSource) -> report_text.Block:
    """What each page says; screenshots are added to the figures by name."""
    words = source.words
    blocks: list[report_text.Block] = []
    for exhibit, place, reading in _pages(source):
        blocks.append(report_text.heading(f"{exhibit.id}: {exhibit.title}", exhibit.id))
        blocks += _page(source, exhibit, place, reading)
    lead = report_text.note(words("pages_note" if blocks else "no_pages"))
    return report_text.section(words("pages"), [lead, *blocks])


def _page(
    source: ReportSource, exhibit: Exhibit, place: Path, reading: claims.Reading | None
) -> Iterator[report_text.Block]:
    words, about = source.words, claims.load_exhibit(place)
    added = "page_added_redacted" if exhibit.id in source.case.redactions else "page_added"
    key = "page_source" if about.kind == "capture" else added
    at = words.instant(parse_instant(about.captured_at))
    origin = words.isolated(about.source or exhibit.title)
    yield report_text.text(words(key, source=origin, at=at, by=person(about.actor.who)))
    if exhibit.id in source.case.redactions:
        yield report_text.note(words("page_redacted", step=source.case.redactions[exhibit.id][0]))
    if recognized := read_recognized(place):
        spoken = words.joined([words.tongue(code) for code in recognized.languages])
        yield report_text.note(words("page_recognized", engine=recognized.engine, languages=spoken))
    if reading is None:
        yield report_text.note(words("unread", why=_why_unread(place, words)))
    else:
        yield from _reading(source, reading, about.published, person(about.actor.who))
    for label in claims.read_labels(place):
        found = "review_claim" if label.label == "claim" else "review_no_claim"
        day = words.day(parse_instant(label.at))
        yield report_text.text(words(found, by=person(label.by), at=day, why=label.reason))
    picture = about.file("screenshot")
    if picture is not None and picture.size <= MAX_PICTURE_BYTES:
        name = f"{exhibit.id}.png"
        source.figures[name] = (place / picture.path).read_bytes()
        digest = exhibit.sha256.get(picture.path, "")
        caption = words("screenshot", source=origin, at=at, exhibit=exhibit.id, digest=digest)
        yield report_text.figure(name, caption, caption, "picture")


def _why_unread(place: Path, words: report_text.ReportText) -> str:
    try:
        claims.exhibit_documents(place)
    except ClaimError as error:
        codes = {PICTURE: "picture", SCAN: "scan", NO_TEXT: "no_text"}
        return words.of("unread_because", codes[error.what]) if error.what in codes else error.what
    return ""


def strongest_first(reading: claims.Reading) -> list[CitedSentence]:
    """Return the sentences that a reading relies on, the strongest first.

    A sentence is as strong as the offers in it, and stronger with a capacity or a price.
    """
    weight = reading.offers
    named = [*(c.text for c in reading.capacities), *(m.text for m in reading.prices)]

    def strength(cited: CitedSentence) -> tuple[float, int]:
        figures = sum(figure in cited.text for figure in set(named))
        return -sum(weight.get(offer, 0.0) for offer in cited.offers) - figures, cited.start

    return sorted(reading.relied_on, key=strength)


def _reading(
    source: ReportSource, reading: claims.Reading, stated: Published | None, by: str
) -> Iterator[report_text.Block]:
    words = source.words
    best = strongest_first(reading)[:MAX_ITEMS]
    sentences = [
        (
            STRONGEST if cited is best[0] else "",
            " ".join(cited.text.split())[:400],
            words.joined([source.words.of("offer", code) for code in cited.offers])
            or words("by_wording"),
        )
        for cited in sorted(best, key=lambda cited: cited.start)
    ]
    head = ["", words("sentence"), words("offers")]
    yield report_text.table(head, sentences, [0, 3, 1], none=words("no_sentences"))
    contacts = [value for values in reading.contacts.values() for value in values]
    rows = [
        (words("published_page"), _published(source, reading.published)),
        (words("published_stated", by=by), _published(source, stated)),
        (words("capacity"), _quoted(*(c.text for c in reading.capacities), *reading.unlimited)),
        (words("prices"), [f"{m.amount:g} {m.currency}" for m in reading.prices]),
        (words("contacts"), contacts),
        (words("brands"), list(reading.brands)),
        (words("language"), [words.tongue(reading.language)]),
    ]
    known = [(name, words.joined(_first(values))) for name, values in rows if any(values)]
    yield report_text.table([words("read_on_page"), ""], known, [1, 3])
    verdict = words.of("verdicts", reading.verdict)
    yield report_text.note(words("triage", verdict=verdict, score=f"{reading.score:.2f}"))


def _first(values: list[str]) -> list[str]:
    return list(dict.fromkeys(values))[:MAX_ITEMS]


def _quoted(*values: str) -> list[str]:
    return [f"“{value}”" for value in values]


def _published(source: ReportSource, public: Published | None) -> list[str]:
    if public is None:
        return []
    words = source.words
    ends = [
        words("unknown") if at is None else words.day(parse_instant(at))
        for at in (public.earliest, public.latest)
    ]
    if ends[0] == ends[1]:
        return [f"{ends[0]} ({words.basis(public.basis)})" if public.basis else ends[0]]
    first, last = ends
    basis = words.basis(public.basis) if public.basis else "—"
    return [words("published_range", first=first, last=last, basis=basis)]
