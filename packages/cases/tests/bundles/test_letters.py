"""Notices as letters: what they name, when a reminder is due, and that sending needs its proof."""

from __future__ import annotations

import io
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import docx
import msgspec
import pypdf
import pytest

from support.case_workflow import PARTY, Bench
from wavebreak.durations import DAY_MS
from wavebreak.errors import CaseError
from wavebreak_cases.bundles import case_steps, evidence_intake, report_sections
from wavebreak_cases.bundles.case_exports import list_deadlines
from wavebreak_cases.bundles.letters import letter_files, write_letter
from wavebreak_cases.bundles.report import render_certificate_forms, render_report
from wavebreak_cases.bundles.report_sections import ReportSource
from wavebreak_cases.bundles.report_settings import Operator, load_settings
from wavebreak_cases.bundles.report_text import ReportText
from wavebreak_cases.bundles.workspace import CaseWorkspace
from wavebreak_cases.cases.business_days import end_of_day, load_calendar
from wavebreak_cases.cases.case import (
    BarRecorded,
    CaseOpened,
    EvidenceAdded,
    NoticeSent,
    PartiesMerged,
    PartiesUnmerged,
    PartyNamed,
    ReplyReceived,
    evidence_for_party,
)
from wavebreak_cases.cases.date_ranges import DateRange, format_instant, parse_date
from wavebreak_cases.cases.eligibility import is_own_conduct
from wavebreak_cases.cases.notices import Language, Notice, Reply
from wavebreak_cases.cases.parties import (
    Bar,
    Basis,
    DateSource,
    Evidence,
    HeldTie,
    Settlement,
    Strength,
    TieDates,
)
from wavebreak_cases.cases.post_notice_monitoring import overdue_items

OPERATOR = Operator("Example Messenger Ltd", ("1 High Street", "Haifa"), "51-1", "legal@m.example")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A case with one confirmed item of a captured page, and one that nobody confirmed."""
    made = Bench(tmp_path)
    receipt = tmp_path / "receipt.txt"
    receipt.write_text("Handed over.")
    with made.desk("C-7") as at:
        at.take(CaseOpened("Bulk Co"), **made.me)
        at.take(PartyNamed(PARTY), **made.me)
        evidence_intake.add_claim_exhibit(
            at, made.claim(), made.actor, "investigator", title="Price page"
        )
        made.found(at, "E1", "off_platform", Basis.STATEMENT, Strength.STRONG)
        evidence_intake.add_file_exhibit(at, receipt, made.actor, "investigator", title="Rumour")
        at.take(EvidenceAdded(unconfirmed("V2", "E2")), **made.me)
    return made


def unconfirmed(name: str, exhibit: str) -> Evidence:
    span, tie = DateRange(), (Basis.STATEMENT, Strength.STRONG)
    return Evidence(name, "P1", exhibit, "off_platform", "assisted", span, span, *tie)


def drafted(at: CaseWorkspace, template: str = "cease_and_desist", **given: Any) -> Notice:
    return evidence_intake.draft_notice(
        at, "P1", template, given.pop("language", "en"), operator=OPERATOR.name,
        contact=OPERATOR.contact, days=given.pop("days", 10), policy=None, **given,
    )  # fmt: skip


def test_letter_names_confirmed_exhibits_by_title_and_address(bench: Bench) -> None:
    with bench.desk() as at:
        letter = " ".join(drafted(at).paragraphs)
        hebrew = " ".join(drafted(at, language="he").paragraphs)
    assert "Exhibit E1 (“Price page”), https://rapid.example/" in letter
    assert "מוצג E1 („Price page”), \u2068https://rapid.example/\u2069" in hebrew
    assert "E2" not in letter
    assert "forbid: sending bulk, automated or non-personal messages. You" in letter


def test_letter_without_confirmed_evidence_is_refused(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    with bench.desk("C-7") as at:
        at.take(CaseOpened("Bulk Co"), **bench.me)
        at.take(PartyNamed(PARTY), **bench.me)
        with pytest.raises(CaseError, match="no evidence of conduct by P1 is confirmed"):
            drafted(at)


def test_letter_counts_days_of_business_of_its_calendar(bench: Bench) -> None:
    # Drafted on Monday, 2 March 2026; Friday and Saturday are not counted.
    with bench.desk() as at:
        all_days = drafted(at, days=5)
        business = drafted(at, days=5, calendar="israel")
    assert "by 7 March 2026, end of day (UTC)" in " ".join(all_days.paragraphs)
    assert "by 9 March 2026, end of day (Asia/Jerusalem)" in " ".join(business.paragraphs)
    assert format_instant(business.deadline) == "2026-03-09T21:59:59Z"


def test_letter_counts_days_by_the_calendar_of_its_party(bench: Bench, tmp_path: Path) -> None:
    """A party's own calendar and zone, unless the letter names another."""
    with bench.desk() as at:
        named = msgspec.structs.replace(at.case.parties["P1"], calendar_name="israel")
        at.take(PartyNamed(named), **bench.me)
        own = drafted(at, days=5)
        other = drafted(at, days=5, calendar="monday-to-friday")
        house = tmp_path / "policy" / "cases"
        house.mkdir(parents=True)
        (house / "operator.toml").write_text('name = "E"\ncalendar = "united-states"\n')
        said = evidence_intake.draft_notice(
            at, "P1", "cease_and_desist", "en", operator="E", contact="c", days=5,
            policy=house.parent,
        )  # fmt: skip
        assert said.deadline == own.deadline  # the party's comes before the operator's
    assert "by 9 March 2026, end of day (Asia/Jerusalem)" in " ".join(own.paragraphs)
    assert format_instant(own.deadline) == "2026-03-09T21:59:59Z"
    assert format_instant(other.deadline) == "2026-03-09T23:59:59Z"


@pytest.mark.parametrize("calendar", ["", "israel", "united-states", "monday-to-friday"])
def test_late_is_only_after_the_day_that_a_letter_names(bench: Bench, calendar: str) -> None:
    """The end of that day where the calendar is, never before it."""
    with bench.desk() as at:
        letter = drafted(at, days=5, calendar=calendar)
        at.take(NoticeSent(case_steps.sent_notice(at.case, letter, letter.sent, "E2")), **bench.me)
        zone = ZoneInfo(load_calendar(calendar).zone if calendar else "UTC")
        there = datetime.fromtimestamp(letter.deadline / 1000, zone)
        assert (there.hour, there.minute, there.second) == (23, 59, 59)
        assert f"by {there.day} March 2026, end of day" in " ".join(letter.paragraphs)
        assert overdue_items(at.case, letter.deadline) == ()
        assert len(overdue_items(at.case, letter.deadline + 1)) == 1


def test_letter_is_written_with_letterhead(bench: Bench, tmp_path: Path) -> None:
    with bench.desk() as at:
        for language in ("en", "he"):
            letter = drafted(at, language=language)
            files = write_letter(at.case, letter, OPERATOR, tmp_path / language)
            assert [path.name for path in files] == ["N1.pdf", "N1.docx", "N1.json"]
            assert case_steps.read_draft(files[2]) == letter
            pdf = "".join(page.extract_text() for page in pypdf.PdfReader(files[0]).pages)
            words = [p.text for p in docx.Document(str(files[1])).paragraphs]
            for line in (OPERATOR.name, *OPERATOR.address, OPERATOR.registration):
                assert line in pdf
                assert line in words
            assert letter.subject in words
            held = {"en": "reserves all its rights", "he": "שומרת לעצמה את כל זכויותיה"}
            assert held[language] in letter.paragraphs[-1]
            named = {"en": "Name and position:", "he": "שם ותפקיד:"}
            assert any(line.startswith(named[language]) for line in words)
            assert set(letter.paragraphs) < set(words)
            xml = docx.Document(str(files[1])).element.xml
            assert ("<w:bidi/>" in xml) is (language == "he")


def test_notice_is_recorded_as_sent_only_with_its_proof(bench: Bench) -> None:
    with bench.desk() as at:
        letter = drafted(at)
        with pytest.raises(CaseError, match="with its proof"):
            case_steps.sent_notice(at.case, letter, letter.sent, "")
        with pytest.raises(CaseError, match="after the date that it gives"):
            case_steps.sent_notice(at.case, letter, letter.deadline + 1, "E2")
        sent = case_steps.sent_notice(at.case, letter, letter.sent, "E2")
        assert (sent.exhibit, sent.paragraphs) == ("E2", letter.paragraphs)
        at.take(NoticeSent(sent), **bench.me)
        again = case_steps.sent_notice(at.case, letter, letter.sent, "E2")
        assert again.id == "N2"


def test_reminder_is_drafted_only_after_the_deadline(bench: Bench) -> None:
    with bench.desk() as at:
        letter = drafted(at)
        at.take(NoticeSent(case_steps.sent_notice(at.case, letter, letter.sent, "E2")), **bench.me)
        with pytest.raises(CaseError, match="there is no notice N9 to P1"):
            drafted(at, "reminder", about="N9")
        with pytest.raises(CaseError, match="may be answered until 2026-03-12"):
            drafted(at, "reminder", about="N1")
        bench.wait(11 * DAY_MS)
        assert "sent you notice N1" in " ".join(drafted(at, "reminder", about="N1").paragraphs)
        at.take(ReplyReceived(Reply("N1", bench.clock(), "They deny it.", "E2")), **bench.me)
        with pytest.raises(CaseError, match="N1 was answered"):
            drafted(at, "reminder", about="N1")


def test_draft_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "N1.json").write_text("[]")
    with pytest.raises(CaseError, match="no draft of a letter"):
        case_steps.read_draft(tmp_path / "N1.json")


def test_letter_is_not_sent_before_its_date(bench: Bench) -> None:
    with bench.desk() as at:
        letter = drafted(at)
        with pytest.raises(CaseError, match="is dated 2026-03-02 and was not sent before") as early:
            case_steps.sent_notice(at.case, letter, letter.sent - DAY_MS, "E2")
        assert early.value.fix
        # A day is all that a letter says of its date.
        begun = letter.sent - letter.sent % DAY_MS
        assert case_steps.sent_notice(at.case, letter, begun, "E2").sent == begun


def test_past_notice_without_days_has_no_deadline(bench: Bench) -> None:
    with bench.desk() as at:
        sent = at.case.steps[-1].at - 30 * DAY_MS
        at.take(
            NoticeSent(case_steps.past_notice(at.case, "P1", "en", sent, "E2", None)), **bench.me
        )
        case, later = at.case, at.case.steps[-1].at + 400 * DAY_MS
        assert case.notices["N1"].due is None
        assert overdue_items(case, later) == ()
        assert [due.id for due in list_deadlines(case, ReportText("en"))] == []
        with pytest.raises(CaseError, match="gave no date to answer"):
            drafted(at, "reminder", about="N1")
        said_in: dict[Language, str] = {
            "en": "no date to answer is recorded",
            "he": "לא נרשם מועד למענה",
        }
        for language, said in said_in.items():
            source = ReportSource(at.path, case, load_settings(language), ReportText(language))
            texts = [block.get("text", "") for block in report_sections.notices(source)["blocks"]]
            assert any(said in words for words in texts)
        dated = case_steps.past_notice(case, "P1", "en", sent, "E2", 7)
        assert dated.due == end_of_day(sent + 7 * DAY_MS)
        assert dated.is_overdue(later)


def test_no_letter_is_written_to_a_minor(bench: Bench) -> None:
    """The report says why."""
    with bench.desk() as at:
        child = msgspec.structs.replace(at.case.parties["P1"], kind="person", age_group="minor")
        at.take(PartyNamed(child), **bench.me)
        for template in ("cease_and_desist", "reminder"):
            with pytest.raises(CaseError, match="P1 is a minor: no letter") as refused:
                drafted(at, template)
        assert "stands in for it by law" in (refused.value.fix or "")
        # Named anew without a word on its age, it stays a minor.
        again = case_steps.party_named(at.case, "Rapid", number="P1").party
        assert (again.age, again.name) == ("minor", "Rapid")
        at.take(PartyNamed(msgspec.structs.replace(child, age_group="adult")), **bench.me)
        assert drafted(at).party == "P1"
        at.take(PartyNamed(child), **bench.me)
        said_in: dict[Language, str] = {"en": "a minor, to whom no letter", "he": "קטין"}
        for language, said in said_in.items():
            words = ReportText(language)
            source = ReportSource(at.path, at.case, load_settings(language), words)
            assert said in str(report_sections.parties(source))


@pytest.mark.parametrize("number", ["", "P1"])
def test_no_letter_is_written_to_a_minor_under_another_name(bench: Bench, number: str) -> None:
    """Another party of the case is that child: merged, or by a number that both publish."""
    with bench.desk() as at:
        child = msgspec.structs.replace(
            at.case.parties["P1"], id="P2", kind="person", name="Noam", age_group="minor"
        )
        at.take(PartyNamed(child), **bench.me)
        if number:
            at.take(PartiesMerged("P2", number), **bench.me)
        with pytest.raises(CaseError, match=r"P2.*a minor"):
            drafted(at)
        adult = msgspec.structs.replace(at.case.parties["P1"], age_group="adult")
        at.take(PartyNamed(adult), **bench.me)
        if number:
            at.take(PartiesUnmerged("P1"), **(bench.me | {"why": "another person"}))
        assert drafted(at).party == "P1"


def test_letter_rests_on_nothing_that_is_not_the_partys_own(bench: Bench) -> None:
    """What was settled, and what an account did after it was sold, is no ground of a letter."""
    with bench.desk() as at:
        item = evidence_for_party(at.case, "P1")[0]
        now = at.clock()
        assert is_own_conduct(item, now)
        sold = TieDates(DateRange(), parse_date("2019", "UTC"), DateSource("person", "Noa", "deed"))
        facts = item.case_facts
        for other in (
            msgspec.structs.replace(facts, held=(HeldTie("a-1", sold, "E2"),)),
            msgspec.structs.replace(facts, jointly_with="P2"),
            msgspec.structs.replace(facts, settlement=Settlement(now, "E2")),
        ):
            of_account = msgspec.structs.replace(item, accounts=("a-1",), facts=other)
            assert not is_own_conduct(of_account, now)
        at.take(BarRecorded(Bar("P1", "settlement", now, "E2")), **bench.me)
        with pytest.raises(CaseError, match="no evidence of conduct by P1"):
            drafted(at)


def test_no_letter_is_written_during_a_stay(bench: Bench) -> None:
    with bench.desk() as at:
        stay = Bar("P1", "stay", at.clock() - DAY_MS, "E2")
        at.take(BarRecorded(stay), **bench.me)
        with pytest.raises(CaseError, match="stayed, by E2"):
            drafted(at)
        at.take(BarRecorded(msgspec.structs.replace(stay, until=at.clock())), **bench.me)
        assert drafted(at).party == "P1"


@pytest.mark.parametrize(("paper", "inches"), [("a4", (8.27, 11.69)), ("us-letter", (8.5, 11.0))])
def test_documents_are_set_for_the_paper_of_the_operator(
    bench: Bench, paper: Any, inches: tuple[float, float]
) -> None:
    """Letter, its DOCX, report and forms alike."""
    operator = msgspec.structs.replace(OPERATOR, paper=paper)
    settings = msgspec.structs.replace(load_settings("en"), operator=operator)
    with bench.desk() as at:
        letter = letter_files(at.case, drafted(at), operator)
        pdfs = [
            letter["N1.pdf"],
            render_report(bench.case, at.case, settings),
            render_certificate_forms(at.case, settings),
        ]
    for raw in pdfs:
        box = pypdf.PdfReader(io.BytesIO(raw)).pages[0].mediabox
        assert (round(box.width / 72, 2), round(box.height / 72, 2)) == inches
    section = docx.Document(io.BytesIO(letter["N1.docx"])).sections[0]
    assert section.page_width is not None
    assert round(section.page_width.inches, 2) == inches[0]
