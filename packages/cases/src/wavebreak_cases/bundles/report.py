"""The report on a case and its certificate forms, typeset to PDF from the case's directory.

The same directory and settings give the same bytes with the same versions of Typst and fonts:
`verify` renders the report again and compares.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import typst

from wavebreak import __version__
from wavebreak.errors import ClaimError
from wavebreak.reports import charts
from wavebreak_cases import claims
from wavebreak_cases.bundles import report_conduct, report_sections, report_text
from wavebreak_cases.bundles.chronology import is_page
from wavebreak_cases.bundles.evidence_dates import party_names, read_exhibit
from wavebreak_cases.bundles.report_sections import ReportSource
from wavebreak_cases.bundles.report_settings import CertificateForm, ReportSettings, load_settings
from wavebreak_cases.bundles.report_text import Block, ReportText
from wavebreak_cases.cases.case import Case, Exhibit
from wavebreak_cases.cases.date_ranges import parse_date, parse_instant
from wavebreak_cases.cases.reasons import person
from wavebreak_cases.claims.exhibits import Published
from wavebreak_cases.claims.ocr import read_recognized
from wavebreak_cases.claims.reader import NO_TEXT, PICTURE, SCAN, CitedSentence

TEMPLATE = Path(__file__).with_name("report.typ")
FORMS_TEMPLATE = Path(__file__).with_name("certificate.typ")
MADE_WITH = ("wavebreak", "typst", "matplotlib")
LAYOUT = "7"
"""Version of the report's layout: a report of another one is not compared."""


def versions() -> dict[str, str]:
    """Versions of what the bytes of a report depend on."""
    made = {"wavebreak": __version__, "report": LAYOUT}
    return made | {name: version(name) for name in MADE_WITH[1:]}


def render_report(directory: Path, case: Case, settings: ReportSettings | None = None) -> bytes:
    """Typeset the report on a case.

    Args:
        directory: The case's directory, or a bundle's payload.
        case: The case.
        settings: Language, operator and so on (None: English, of nobody).
    """
    settings = settings or load_settings()
    words = ReportText(settings.language)
    source = ReportSource(directory, case, settings, words)
    last = case.steps[-1].at
    about = {
        "language": settings.language,
        "direction": words.direction,
        "kind": words("kind"),
        "paper": settings.operator.paper,
        "title": case.title,
        "facts": _title_facts(source),
        "notes": [words("times"), words("confidential")],
        "header": words("header", case=case.id, title=words.isolated(case.title)),
        "stamp": words("step", step=len(case.steps)),
        "footer": words("footer", version=__version__),
        "pages": words.pages(),
        "contents": words("contents"),
        "figure": words("figure"),
        "sections": _sections(source),
    }
    return typeset(TEMPLATE, about, source.figures, last)


def _title_facts(source: ReportSource) -> list[list[str]]:
    """What the title page says, a line each."""
    case, words, operator = source.case, source.words, source.settings.operator
    last = case.steps[-1].at
    at = parse_date(source.settings.issued, "UTC").earliest if source.settings.issued else last
    state = words(
        "state_value",
        state=words.of("states", case.state),
        step=len(case.steps),
        at=words.instant(last),
    )
    name = ", ".join(filter(None, (operator.name, operator.registration)))
    facts = [
        *report_sections.stale_facts(case, words),
        (words("case_number"), case.id),
        (words("operator"), name or words("not_stated")),
        (words("address"), ", ".join(operator.address)),
        (words("contact"), operator.contact),
        (words("prepared_by"), report_sections.preparer(source)),
        (words("issued"), words.day(at)),
        (words("state"), state),
    ]
    return [list(fact) for fact in facts if fact[1]]


def _sections(source: ReportSource) -> list[Block]:
    findings = [
        *report_sections.confirmed_sentences(source),
        *report_conduct.summary_sentences(source),
    ]
    return [
        report_sections.summary(source, findings),
        report_sections.parties(source),
        report_sections.determinations(source),
        report_sections.evidence(source),
        pages(source),
        report_conduct.conduct(source),
        report_sections.notices(source),
        report_sections.facts(source),
        report_sections.exhibits(source),
        report_sections.limits(source),
        report_sections.signatures(source),
        report_sections.steps(source),
    ]


def render_certificate_forms(case: Case, settings: ReportSettings | None = None) -> bytes:
    """Typeset the certificate forms, for a person to complete and sign, or not."""
    settings = settings or load_settings()
    words = ReportText(settings.language)
    about = {
        "language": settings.language,
        "direction": words.direction,
        "case": words("header", case=case.id, title=words.isolated(case.title)),
        "footer": words("form_footer"),
        "pages": words.pages(),
        "schedule": _schedule(case, words),
        "files": _file_schedule(case, words),
        "kind": words("form_kind"),
        "paper": settings.operator.paper,
        "stale": [f"{label}: {said}" for label, said in report_sections.stale_facts(case, words)],
        "seals": report_sections.seal_sentences(words, settings),
        "labels": [words(f"sign_{field}") for field in ("name", "place", "date", "signature")],
        "forms": [
            msgspec.to_builtins(form) | {"review": _review(form, words)} for form in settings.forms
        ],
    }
    return typeset(FORMS_TEMPLATE, about, {}, case.steps[-1].at)


def _review(form: CertificateForm, words: ReportText) -> str:
    """By whom a form is reviewed before it is used."""
    if not form.jurisdiction:
        return words("form_review_any")
    return words("form_review", jurisdiction=form.jurisdiction)


def _schedule(case: Case, words: ReportText) -> dict[str, Any]:
    """The exhibits that a form speaks of, as the report lists them."""
    open_ = report_sections.unconfirmed_exhibits(case)
    unconfirmed = words("unconfirmed_exhibit")
    rows = [
        (
            exhibit.id,
            words.of("kinds", exhibit.kind) + (f"\n{unconfirmed}" if exhibit.id in open_ else ""),
            words.isolated(exhibit.title),
            words.instant(exhibit.captured),
        )
        for exhibit in case.exhibits.values()
    ]
    head = [words(key) for key in ("exhibit", "kind_of", "title", "taken")]
    return {"title": words("schedule"), "head": head, "rows": rows, "widths": [0, 1, 2, 0]}


def _file_schedule(case: Case, words: ReportText) -> dict[str, Any]:
    """Every file of the exhibits with its SHA-256."""
    rows = [
        (exhibit.id, name, digest)
        for exhibit in case.exhibits.values()
        for name, digest in sorted(exhibit.sha256.items())
    ]
    head = [words("exhibit"), words("file"), "SHA-256"]
    return {"title": words("schedule_files"), "head": head, "rows": rows, "widths": [0, 1, 0]}


def typeset(template: Path, about: dict[str, Any], figures: dict[str, bytes], at: int) -> bytes:
    """Typeset a template of this package with its values and figures, dated `at` (ms)."""
    with tempfile.TemporaryDirectory(prefix="wavebreak-report-") as place:
        root = Path(place)
        for each in (template, TEMPLATE.with_name("base.typ")):
            (root / each.name).write_bytes(each.read_bytes())
        (root / "report.json").write_bytes(msgspec.json.encode(about))
        for name, content in figures.items():
            (root / name).write_bytes(content)
        compiler = typst.Compiler(
            root / template.name, root=root, font_paths=[charts.fonts()], ignore_system_fonts=True
        )
        pdf = compiler.compile(format="pdf", timestamp=at // 1000)
    if not isinstance(pdf, bytes):  # pragma: no cover
        raise AssertionError("typst gives one file")
    return pdf


# Pages

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
