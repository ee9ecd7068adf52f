"""The report on a case and its certificate forms, typeset to PDF from the case's directory.

The same directory and settings give the same bytes with the same versions of Typst and fonts:
`verify` renders the report again and compares.
"""

from __future__ import annotations

import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import typst

from wavebreak import __version__
from wavebreak.reports import charts
from wavebreak_cases.bundles import report_conduct, report_pages, report_sections
from wavebreak_cases.bundles.report_sections import ReportSource
from wavebreak_cases.bundles.report_settings import CertificateForm, ReportSettings, load_settings
from wavebreak_cases.bundles.report_text import Block, ReportText
from wavebreak_cases.cases.case import Case
from wavebreak_cases.cases.date_ranges import parse_date

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
        report_pages.pages(source),
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
