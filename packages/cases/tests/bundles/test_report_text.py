"""Words of a report: each of the program's own has its words in each language."""

from __future__ import annotations

import io
import os
import platform
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import msgspec
import pypdf
import pytest
from msgspec import UNSET
from msgspec.structs import replace
from PIL import Image

from support.case_workflow import PARTY, Bench, small_run
from wavebreak.errors import UsageError
from wavebreak.explain.collect import KINDS
from wavebreak.languages import LANGUAGES
from wavebreak.outcomes import OUTCOMES
from wavebreak_cases.bundles import evidence_dates, exhibit_redaction, report
from wavebreak_cases.bundles.report_settings import encode_settings, load_settings
from wavebreak_cases.bundles.report_text import ReportText
from wavebreak_cases.bundles.workspace import load_case
from wavebreak_cases.cases.case import Case, CaseOpened
from wavebreak_cases.cases.counterfactuals import Counterfactual, list_changes
from wavebreak_cases.cases.date_ranges import DateRange
from wavebreak_cases.cases.eligibility import load_grounds
from wavebreak_cases.cases.parties import Basis, CaseFacts, DateSource, Evidence, Strength
from wavebreak_cases.cases.reasons import Writer, load_wording
from wavebreak_cases.cases.workflow import append_action
from wavebreak_cases.claims.exhibits import Actor, add_file, read_custody
from wavebreak_cases.claims.ocr import recognize_exhibit
from wavebreak_cases.claims.redaction import Marks, Region, TextMark, redact_exhibit
from wavebreak_cases.claims.review import add_label

AT = "2026-03-02T09:00:00Z"
SAID = "We send bulk messages, 80,000 a day, from $99."


def test_every_supposition_of_a_determination_has_hebrew_words() -> None:
    grounds, as_of = load_grounds(), 1_700_000_000_000
    span = DateRange(0, as_of - 1, "said")
    chosen: Any = product(
        ("on_platform", "off_platform"), ("engaged", "neither"), Strength, ("yes", "no", "unknown")
    )
    items = [
        Evidence(f"V{n}", "P1", "E1", kind, did, span, span, Basis.STATEMENT, strength, judged)
        for n, (kind, did, strength, judged) in enumerate(chosen)
    ]
    rejected = CaseFacts(rejected_by="Noa", reversed_accounts=("a-1",))
    items += [msgspec.structs.replace(item, facts=rejected) for item in items]
    every = {
        change.supposing: Counterfactual(change.supposing, "eligible", change.code)
        for at in (0, as_of)
        for change in list_changes(items, grounds, at)
    }
    hebrew = ReportText("he")
    assert len(every) > 50
    assert [c for c in every.values() if not re.search("[א-ת]", hebrew.supposing(c))] == []
    assert "as of" in " ".join(every)
    # Determinations sealed before hold the English alone, and are given in the same words.
    for language in LANGUAGES:
        words = ReportText(language)
        for change in every.values():
            assert words.supposing(replace(change, code=UNSET)) == words.supposing(change)


def _custody_of(place: Path) -> list[str]:
    return [said for line in read_custody(place) for said in (line.what, line.changes, line.where)]


TESSERACT = """#!/bin/sh
case "$1" in
  --version) echo "tesseract 5.0.fake" ;;
  --list-langs) printf 'Languages:\\neng\\n' ;;
  *) cat >/dev/null; echo level ;;
esac
"""


def test_every_custody_sentence_of_the_program_is_in_hebrew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every sentence that the program itself writes into a line of custody has Hebrew words."""
    program = tmp_path / "bin" / "tesseract"
    program.parent.mkdir()
    program.write_text(TESSERACT)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    noa = Actor("נועה", f"console on {platform.node()}", "לקוחה", "צו 4")
    held = io.BytesIO()
    Image.new("RGB", (40, 20), "white").save(held, "PNG")
    said = []
    for kind in ("upload", "test_purchase", "partner_notice"):
        place = tmp_path / kind
        add_file(held.getvalue(), place, noa, AT, source="צילום", kind=kind)
        for label in ("claim", "innocent"):
            add_label(place, label, noa, AT, "נקרא")
        recognize_exhibit(place, noa, AT)
        marks = Marks((), (Region(1, (0, 0, 500, 500)),))
        redact_exhibit(place, tmp_path / f"{kind}-copy", marks, noa, AT)
        said += _custody_of(place) + _custody_of(tmp_path / f"{kind}-copy")
    hebrew = ReportText("he")
    assert any(each.startswith("text recognised by tesseract 5.0.fake") for each in said)
    assert len(set(said)) > 15
    assert [each for each in said if not re.search("[א-ת]", hebrew.custody(each))] == []
    assert ReportText("en").custody(said[0]) == said[0]


def test_hebrew_report_has_no_english_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is Latin in it is a name, an address, a code, or the words of a person or a page."""
    bench = Bench(tmp_path)
    bench.whole(small_run(tmp_path / "small"))
    with bench.desk() as at:
        marks = Marks((TextMark("text", "3 March"),))
        exhibit_redaction.redact_exhibit(at, "E3", marks, bench.actor, "investigator")
    typeset: list[Any] = []

    def keep(_template: Path, about: Any, *_given: object) -> bytes:
        typeset.append(about)
        return b""

    monkeypatch.setattr(report, "typeset", keep)
    case = load_case(bench.case / "case.json")[1]
    report.render_report(bench.case, case, load_settings("he"))
    report.render_certificate_forms(case, load_settings("he"))
    words = list(_words(typeset))
    assert len(words) > 400
    english = [re.sub(HUMAN, "", each) for each in words]
    assert [each for each in english if re.search(r"[A-Za-z]{2,}[ ,;:]+[A-Za-z]{2,}", each)] == []


HUMAN = "|".join(
    map(
        re.escape,
        (
            PARTY.name, "Noa Bar", "Adv. Levi", "bulk sending", "Bulk sending by", "Price page",
            "terms of service", "Read in full.", "Eighty thousand a day.", "courier", SAID,
            "run of 425 events", "Wavebreak",
        ),
    )
)  # fmt: skip
"""What people and pages say in the case, and the titles that exhibits have."""


def _words(said: Any) -> Iterator[str]:
    """Every string that is typeset, but commands and the letter of an English notice."""
    if isinstance(said, str):
        yield said
    elif isinstance(said, list):
        for each in said:
            yield from _words(each)
    elif isinstance(said, dict) and said.get("kind") != "code" and said.get("language") != "en":
        for name, each in said.items():
            if name not in ("kind", "file", "label"):
                yield from _words(each)


def test_phrase_that_begins_in_hebrew_keeps_its_direction() -> None:
    named = {"party": "חברה", "conduct": "engaged in", "violations": "x", "where": "y"}
    assert ReportText("en")("conduct_line", **named).startswith("\u200eחברה")
    assert ReportText("he")("conduct_line", **named).startswith("חברה")


def test_report_words_cover_counts_and_outcomes() -> None:
    for language in LANGUAGES:
        words = ReportText(language)
        assert set(words.codes("counts")) == set(KINDS)
        assert set(words.codes("outcomes")) == set(OUTCOMES)


FORMS = [
    "us_fre_902_11", "us_fre_902_13", "us_fre_902_14", "il_affidavit", "il_institutional_record",
    "il_expert_opinion", "in_bsa_63", "declaration",
]  # fmt: skip


def test_every_form_says_a_lawyer_of_which_jurisdiction_reviews_it() -> None:
    case = append_action(Case("C-7"), CaseOpened("Bulk Co"), at=0, by="Noa", role="lead")
    own = replace(load_settings("en").forms[0], jurisdiction="")
    settings = load_settings("en")
    settings = replace(settings, forms=(*settings.forms, own))
    pages = pypdf.PdfReader(io.BytesIO(report.render_certificate_forms(case, settings))).pages
    text = " ".join(" ".join(page.extract_text() for page in pages).split())
    assert text.count("To be reviewed by a lawyer of") == len(FORMS) + 1
    assert "To be reviewed by a lawyer of India before it is used." in text
    assert all(form.jurisdiction for form in load_settings("he").forms)


def test_forms_are_the_same_in_every_language() -> None:
    forms = [[form.id for form in load_settings(language).forms] for language in LANGUAGES]
    assert forms[0] == forms[1] == FORMS


def test_settings_refuse_a_date_that_is_none() -> None:
    with pytest.raises(UsageError, match="not well formed"):
        load_settings(issued="tomorrow")


def test_settings_encode_equally() -> None:
    assert encode_settings(load_settings("he")) == encode_settings(load_settings("he"))


def test_bases_of_dates_of_the_program_are_in_hebrew() -> None:
    """Every basis that the program itself gives a date has Hebrew words."""
    words = load_wording("he").bases
    root = Path(evidence_dates.__file__).parents[1]
    sources = [
        (root / name).read_text("utf-8")
        for name in ("bundles/evidence_dates.py", "claims/page_text.py", "claims/exhibits.py",
                     "cli/claims.py", "bundles/evidence_intake.py")
    ]  # fmt: skip
    assert [basis for basis in words if not any(f'"{basis}"' in text for text in sources)] == []
    given = [
        match
        for text in sources
        for match in re.findall(r'(?:DateSource|Published)\([^()]*?"([^"{}]+)"\)', text)
    ]
    assert [basis for basis in given if basis not in words] == []
    source = DateSource("exhibit", "the page", "dates in the page's markup")
    writer = Writer("he")
    said = writer.dates("until", DateRange(0, 0, "1970"), source)
    assert re.search("[a-z]{3}", said) is None
