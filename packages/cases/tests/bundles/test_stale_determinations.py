"""A determination whose evidence changed: “not current” comes first, and it is not served."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import docx
import pypdf
import pytest
from typer.testing import CliRunner

from support.case_workflow import PARTY, Bench
from wavebreak.cli import app
from wavebreak.errors import CaseError
from wavebreak.ledger.checkpoints import encode_verifier_key
from wavebreak_cases.bundles import case_steps, evidence_intake, report_sections
from wavebreak_cases.bundles.case_exports import export_files
from wavebreak_cases.bundles.case_listing import list_cases, list_parties
from wavebreak_cases.bundles.report import render_certificate_forms, render_report
from wavebreak_cases.bundles.report_sections import ReportSource
from wavebreak_cases.bundles.report_settings import load_settings
from wavebreak_cases.bundles.report_text import ReportText
from wavebreak_cases.bundles.verify import verify_bundle
from wavebreak_cases.cases.case import (
    Case,
    CaseOpened,
    DeterminationSigned,
    EvidenceReviewed,
    PartyNamed,
    SignerNamed,
)
from wavebreak_cases.cases.parties import Basis, Strength, load_name_weights
from wavebreak_cases.cases.signatures import CaseSigner, sign_determination
from wavebreak_cases.cases.workflow import require_current, stale_determinations
from wavebreak_cases.cli.fixes import command_fix


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A case with a signed determination; its only evidence was rejected afterwards."""
    made = Bench(tmp_path)
    with made.desk("C-7") as at:
        at.take(CaseOpened("Bulk Co"), **made.me)
        at.take(PartyNamed(PARTY), **made.me)
        evidence_intake.add_claim_exhibit(at, made.claim(), made.actor, "investigator")
        made.found(at, "E1", "off_platform", Basis.STATEMENT, Strength.STRONG)
        evidence_intake.prepare_determination(at, "P1", None, None, **made.me)
        assert at.case.determinations["D1"].value.result == "eligible"
        key = encode_verifier_key(made.counsel.key)
        at.take(SignerNamed(CaseSigner("Adv. Levi", "counsel", key)), **made.me)
        value = at.case.determinations["D1"].value
        signature = sign_determination(made.counsel, at.case.id, "D1", value)
        at.take(DeterminationSigned("D1", signature), by="Adv. Levi", role="counsel")
        assert stale_determinations(at.case) == []
        require_current(at.case, "P1")
    reject(made)
    return made


def reject(bench: Bench) -> Case:
    with bench.desk() as at:
        return at.take(EvidenceReviewed("V1", False), **bench.me, why="a parody")


def pages(bench: Bench, language: Any) -> list[str]:
    with bench.desk() as at:
        raw = render_report(bench.case, at.case, load_settings(language))
    place = bench.root / "report.pdf"
    place.write_bytes(raw)
    read = [page.extract_text() for page in pypdf.PdfReader(place).pages]
    return [" ".join(page.split()) for page in read]


def test_report_says_not_current_on_its_first_page(bench: Bench) -> None:
    read = pages(bench, "en")
    assert read[0].index("Not current") < read[0].index("Case number")
    whole = " ".join(read)
    assert "It is not to be relied on or served" in read[0]
    assert "eligible" not in read[0]
    summary = read[1]
    assert summary.index("Not current") < summary.index("eligible")
    assert "Of earlier evidence: eligible" in whole
    assert "for that evidence alone" in whole


def test_report_in_hebrew_says_not_current_first(bench: Bench) -> None:
    with bench.desk() as at:
        settings = load_settings("he")
        assert render_report(bench.case, at.case, settings)[:4] == b"%PDF"
        exported = export_files(bench.case, at.case, "he")["chronology.csv"].decode()
    assert "אינה עדכנית: " in exported


def test_show_says_not_current_before_all_else(bench: Bench) -> None:
    shown = CliRunner().invoke(app, ["case", "show", str(bench.case), "--wide"])
    assert shown.output.lstrip().startswith("not current: D1 on P1")
    assert "not current; of earlier evidence it said: eligible" in shown.output
    printed = CliRunner().invoke(app, ["case", "show", str(bench.case), "--json"])
    first, value = next(iter(json.loads(printed.output).items()))
    assert first == "not_current"
    assert "D1" in value[0]


def test_nothing_is_served_on_what_is_not_current(bench: Bench) -> None:
    with bench.desk() as at:
        made: dict[str, Any] = {"operator": "E", "contact": "c", "days": 10, "policy": None}
        with pytest.raises(CaseError, match="D1 is not current") as refused:
            evidence_intake.draft_notice(at, "P1", "cease_and_desist", "en", **made)
    assert "wavebreak case determine CASE P1" in command_fix(refused.value)


def test_listing_and_exports_do_not_say_eligible_alone(bench: Bench) -> None:
    listed = list_cases(bench.root)
    (found,) = list_parties(listed, load_name_weights())
    assert found.entries[0].results == ("not_current",)
    with bench.desk() as at:
        exported = export_files(bench.case, at.case, "en")["chronology.csv"].decode()
    assert "Not current: Determination D1" in exported
    lines = [line for line in exported.splitlines() if "Determination D1" in line]
    assert len(lines) == 2
    assert all("Not current: " in line for line in lines)


def test_verify_says_not_current_first(bench: Bench) -> None:
    findings = {f.what: f for f in verify_bundle(bench.pack(), [bench.signer.key])}
    assert findings["determinations"].said.startswith("D1 is not current")
    assert findings["determinations"].holds is True
    assert findings["report"].holds is True


def test_determined_again_is_current(bench: Bench) -> None:
    with bench.desk() as at:
        evidence_intake.prepare_determination(at, "P1", None, None, **bench.me)
        assert stale_determinations(at.case) == []
        require_current(at.case, "P1")
    shown = CliRunner().invoke(app, ["case", "show", str(bench.case), "--wide"])
    assert "not current" not in shown.output
    assert "superseded; said: eligible" in shown.output
    whole = " ".join(pages(bench, "en"))
    assert "Superseded" in whole


def test_summary_holds_only_what_a_person_confirmed(tmp_path: Path) -> None:
    made = Bench(tmp_path)
    invoice = tmp_path / "invoice.txt"
    invoice.write_text("Invoice to Bulk Messages Ltd, $99. We send bulk messages, no opt-in.")
    with made.desk("C-7") as at:
        at.take(CaseOpened("Bulk Co"), **made.me)
        at.take(PartyNamed(PARTY), **made.me)
        evidence_intake.add_file_exhibit(at, invoice, made.actor, "investigator", title="Invoice")
        evidence_intake.add_claim_exhibit(
            at, made.claim(), made.actor, "investigator", title="Page"
        )
        made.found(at, "E2", "off_platform", Basis.STATEMENT, Strength.STRONG)
        source = ReportSource(made.case, at.case, load_settings("en"), ReportText("en"))
    (said,) = report_sections.confirmed_sentences(source)
    assert said.startswith("Exhibit E2 (“Page”), as Noa Bar confirmed:")
    summary = pages(made, "en")[1]
    assert "offers:" not in summary.partition("Parties and their roles")[0]
    assert "Invoice" not in summary.partition("Parties and their roles")[0]


def test_letter_sent_on_what_is_not_current_is_not_recorded_as_drafted(tmp_path: Path) -> None:
    """Drafted while it was current, sent after the evidence changed; sent before is a fact."""
    made = Bench(tmp_path)
    with made.desk("C-7") as at:
        at.take(CaseOpened("Bulk Co"), **made.me)
        at.take(PartyNamed(PARTY), **made.me)
        evidence_intake.add_claim_exhibit(at, made.claim(), made.actor, "investigator")
        made.found(at, "E1", "off_platform", Basis.STATEMENT, Strength.STRONG)
        evidence_intake.prepare_determination(at, "P1", None, None, **made.me)
        letter = evidence_intake.draft_notice(
            at, "P1", "cease_and_desist", "en", operator="E", contact="c", days=10, policy=None
        )
        at.take(EvidenceReviewed("V1", False), **made.me, why="a parody")
        changed = at.case.steps[-1].at
        with pytest.raises(CaseError, match=r"D1 is not current.*sent after that"):
            case_steps.sent_notice(at.case, letter, changed + 1, "E1")
        assert case_steps.sent_notice(at.case, letter, letter.sent, "E1").id == "N1"


@pytest.mark.parametrize(("language", "said"), [("en", "Not current"), ("he", "אינה עדכנית")])
def test_forms_and_word_documents_say_not_current_first(
    bench: Bench, language: Any, said: str
) -> None:
    with bench.desk() as at:
        forms = render_certificate_forms(at.case, load_settings(language))
        files = export_files(bench.case, at.case, language)
    pages = [page.extract_text() for page in pypdf.PdfReader(io.BytesIO(forms)).pages]
    if language == "en":
        assert pages[0].count(said) == 1
        assert pages[0].index(said) < pages[0].index("Certification")
    for name in ("chronology.docx", "exhibits.docx"):
        first = docx.Document(io.BytesIO(files[name])).paragraphs[0].text
        assert first.startswith(said)
