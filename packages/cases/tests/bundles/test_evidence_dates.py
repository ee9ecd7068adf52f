"""Dates of the conduct that exhibits show: from a source, never from the day of an upload."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from support.case_workflow import KEY, PARTY, SENDER, Bench, small_run
from support.factories import HOUR, NOON
from wavebreak import engine, rules
from wavebreak.errors import CaseError
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak_cases.bundles import evidence_intake
from wavebreak_cases.bundles.evidence_dates import ConductDates
from wavebreak_cases.bundles.reproduction import RunInputs
from wavebreak_cases.cases.case import (
    CaseOpened,
    EvidenceCorrected,
    EvidenceReviewed,
    Exhibit,
    NoticeDelivered,
    NoticeSent,
    PartyNamed,
    ServiceFailed,
)
from wavebreak_cases.cases.date_ranges import parse_date, parse_instant
from wavebreak_cases.cases.notices import Delivery, Notice, ServiceAttempt
from wavebreak_cases.cases.parties import Basis, Evidence, Party, Relation, Strength
from wavebreak_cases.claims.exhibits import Published, add_file
from wavebreak_cases.claims.review import add_label
from wavebreak_cases.cli.fixes import command_fix

AT = "2026-02-20T09:00:00Z"
UNDATED = b"<html><p>We send bulk WhatsApp messages, 80,000 a day, from $99. No ban.</p></html>"
OF_2019 = UNDATED.replace(b"<p>", b'<time datetime="2019-03-05"></time><p>')
NEWS = b"<html><p>The city council met on Monday to discuss the new bus line.</p></html>"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(tmp_path)
    with made.desk("C-7") as at:
        at.take(CaseOpened("Bulk Co"), **made.me)
        at.take(PartyNamed(PARTY), **made.me)
        at.take(PartyNamed(Party("P2", "company", "New Bulk Ltd")), **made.me)
    return made


def taken(bench: Bench, page: bytes, label: str = "", **given: Any) -> Exhibit:
    """A page that was added and taken into the case."""
    place = bench.root / hashlib.sha256(page + repr(given).encode()).hexdigest()[:8]
    add_file(page, place, bench.actor, AT, source="a saved page", **given)
    if label:
        named: Any = label
        add_label(place, named, bench.actor, AT, "a report about such offers")
    with bench.desk() as at:
        return evidence_intake.add_claim_exhibit(at, place, bench.actor, "investigator")


def dates_of(bench: Bench, exhibit: Exhibit) -> ConductDates:
    with bench.desk() as at:
        return evidence_intake.conduct_dates(at, exhibit)


def drawn(bench: Bench, exhibit: Exhibit, party: str = "P1", **values: Any) -> Evidence:
    with bench.desk() as at:
        fields: dict[str, Any] = {
            "id": at.case.fresh("V"), "party": party, "exhibit": exhibit.id,
            "kind": "off_platform", "conduct": "engaged", "violations": ("bulk",),
            "basis": Basis.STATEMENT, "strength": Strength.STRONG,
        }  # fmt: skip
        fields |= evidence_intake.conduct_dates(at, exhibit)._asdict() | values
        item = Evidence(**fields)
        evidence_intake.add_evidence(at, item, **bench.me)
        return item


def result_of(bench: Bench, party: str = "P1") -> tuple[str, str]:
    with bench.desk() as at:
        _, found = evidence_intake.prepare_determination(at, party, None, None, **bench.me)
        return found.result, " ".join(found.sentences("en"))


def confirm(bench: Bench, item: Evidence, why: str = "read in full") -> None:
    with bench.desk() as at:
        at.take(EvidenceReviewed(item.id, True), **bench.me, why=why)


def test_page_that_nothing_dates_is_undetermined(bench: Bench) -> None:
    exhibit = taken(bench, UNDATED)
    assert dates_of(bench, exhibit) == ConductDates()
    confirm(bench, drawn(bench, exhibit))
    result, words = result_of(bench)
    assert result == "undetermined"
    assert "until when the conduct in Exhibit E1 (“a saved page”) lasted" in words


def test_page_of_2019_added_now_did_not_last_until_today(bench: Bench) -> None:
    exhibit = taken(bench, OF_2019)
    found = dates_of(bench, exhibit)
    assert found.lasted.latest == parse_date("2019-03-05", "UTC").latest // 1000 * 1000  # type: ignore[operator]
    confirm(bench, drawn(bench, exhibit))
    result, words = result_of(bench)
    assert result == "not_eligible"
    assert "until 5 March 2019 (from dates in the page's markup)" in words


def test_capture_dates_a_page_by_its_record(bench: Bench) -> None:
    with bench.desk() as at:
        exhibit = evidence_intake.add_claim_exhibit(at, bench.claim(), bench.actor, "investigator")
    found = dates_of(bench, exhibit)
    assert found.lasted.latest == parse_instant(AT)
    assert getattr(found.lasted_source, "kind", "") == "capture"


def test_archive_dates_a_page_by_its_warc_record(bench: Bench) -> None:
    archive = (bench.claim() / "page.warc.gz").read_bytes()
    place = bench.root / "archive"
    add_file(archive, place, bench.actor, "2026-02-27T09:00:00Z", source="an archive's copy")
    with bench.desk() as at:
        exhibit = evidence_intake.add_claim_exhibit(at, place, bench.actor, "investigator")
    found = dates_of(bench, exhibit)
    assert (found.lasted.earliest, found.lasted.latest) == (parse_instant(AT), parse_instant(AT))
    assert "WARC-Date" in getattr(found.lasted_source, "basis", "")


def test_publication_that_a_person_stated_names_the_person(bench: Bench) -> None:
    stated = Published("2020-01-01T00:00:00Z", "2020-02-01T00:00:00Z", "stated")
    found = dates_of(bench, taken(bench, UNDATED, published=stated))
    assert getattr(found.lasted_source, "by", "") == "Noa Bar"
    assert found.began.latest == parse_instant("2020-02-01T00:00:00Z")
    when = taken(bench, UNDATED, kind="test_purchase", details={"when": "2021-05-03"})
    assert dates_of(bench, when).lasted.said == "2021-05-03"
    never = taken(bench, UNDATED, kind="test_purchase", details={"when": "the other day"})
    assert dates_of(bench, never) == ConductDates()


def test_stated_date_needs_a_basis() -> None:
    state = evidence_intake.state_dates
    with pytest.raises(CaseError, match="needs its basis") as refused:
        state(ConductDates(), "2019", "", "UTC", "Noa", " ")
    assert "--date-basis" in command_fix(refused.value)
    assert state(ConductDates(), "unknown", "", None, "Noa", "").began.latest is None
    found = state(ConductDates(), "", "2021", "UTC", "Noa", "the invoice")
    assert getattr(found.lasted_source, "basis", "") == "the invoice"
    assert found.began == ConductDates().began


def test_rejected_claim_founds_nothing_and_is_not_confirmed(bench: Bench) -> None:
    exhibit = taken(bench, OF_2019.replace(b"2019", b"2021"), label="innocent")
    item = drawn(bench, exhibit)
    with pytest.raises(CaseError, match="Noa Bar rejected E1 as a claim"):
        confirm(bench, item)
    result, words = result_of(bench)
    assert result == "not_eligible"
    assert "Noa Bar rejected it as a claim: a report about such offers" in words


def test_page_read_as_benign_is_confirmed_with_a_reason_only(bench: Bench) -> None:
    exhibit = taken(bench, NEWS.replace(b"<p>", b'<time datetime="2021-03-05"></time><p>'))
    assert exhibit.reading == "benign"
    item = drawn(bench, exhibit)
    with pytest.raises(CaseError, match="found no offer") as refused:
        confirm(bench, item, why=" ")
    assert "--why" in command_fix(refused.value)
    assert result_of(bench)[0] == "undetermined"
    confirm(bench, item, why="the price list is in a picture")
    result, words = result_of(bench)
    assert result == "eligible"
    assert "Noa Bar confirmed it nevertheless, because: the price list is in a picture" in words


def test_correction_needs_a_new_confirmation_of_the_same_exhibit(bench: Bench) -> None:
    exhibit = taken(bench, UNDATED)
    item = drawn(bench, exhibit)
    confirm(bench, item)
    found = evidence_intake.state_dates(
        ConductDates(), "", "2021", "UTC", "Noa", "the archive's copy"
    )
    values = {name: getattr(item, name) for name in item.__struct_fields__}
    better = Evidence(**values | found._asdict())
    with bench.desk() as at:
        evidence_intake.correct_evidence(at, better, **bench.me)
        assert at.case.evidence["V1"].confirmed == "unknown"
        other = Evidence(**values | {"kind": "on_platform"})
        with pytest.raises(CaseError, match="V1 is of E1, off platform"):
            at.take(EvidenceCorrected(other), **bench.me)
    assert result_of(bench)[0] == "undetermined"
    confirm(bench, better)
    assert result_of(bench)[0] == "eligible"


def test_label_by_appeal_in_the_log_removes_the_accounts_weight(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    small_run(tmp_path)
    source = tmp_path / "events.jsonl"
    label = {"ts": NOON + 3 * HOUR, "type": "label.assigned", "account": SENDER, "label": "benign",
             "source": "appeal", "id": "label-1"}  # fmt: skip
    source.write_text(source.read_text() + json.dumps(label) + "\n")
    run = tmp_path / "labelled"
    engine.run(source, run, rules.load_policy(), Pseudonymizer(KEY, None))
    inputs = RunInputs(None, None, Pseudonymizer(KEY, None))
    with bench.desk("C-7") as at:
        at.take(CaseOpened("Bulk Co"), **bench.me)
        at.take(PartyNamed(PARTY), **bench.me)
        exhibit, about = evidence_intake.add_run_exhibit(
            at, run, [SENDER], inputs, KEY, bench.actor, "investigator"
        )
        assert list(at.case.reversals) == list(about.accounts)
    item = drawn(bench, exhibit, kind="on_platform", accounts=about.accounts)
    confirm(bench, item)
    result, words = result_of(bench)
    assert result == "not_eligible"
    assert f"an appeal reversed the action against {about.accounts[0]}" in words


def noticed(bench: Bench, exhibit: str) -> None:
    """A notice to P1 that was sent in 2024 and arrived after a failed attempt."""
    sent, arrived = (parse_instant(f"2024-03-0{day}T09:00:00Z") for day in (1, 5))
    with bench.desk() as at:
        notice = Notice("N1", "P1", "recorded", "en", "Cease", ("As in E1.",), sent, sent, exhibit)
        at.take(NoticeSent(notice), **bench.me)
        failed = ServiceAttempt("N1", sent, "courier", "12 Main Street", "nobody was there")
        at.take(ServiceFailed(failed), **bench.me)
        served = Delivery("N1", arrived, "courier, 12 Main Street", exhibit, "courier", "12 Main")
        at.take(NoticeDelivered(served), **bench.me)
        with pytest.raises(CaseError, match="no exhibit E9"):
            at.take(NoticeSent(Notice("N2", "P1", "recorded", "en", "s", ("p",), 1, 1, "E9")),
                    **bench.me)  # fmt: skip
        late = ServiceAttempt("N1", bench.clock() + HOUR, "courier", "x", "y")
        with pytest.raises(CaseError, match="the attempt to serve it is in the future"):
            at.take(ServiceFailed(late), **bench.me)


@pytest.mark.parametrize(("strength", "result"), [("strong", "eligible"), ("weak", "undetermined")])
def test_successors_conduct_after_a_notice_is_followed_up(
    bench: Bench, strength: str, result: str
) -> None:
    old = taken(bench, OF_2019)
    confirm(bench, drawn(bench, old))
    noticed(bench, old.id)
    recent = taken(bench, OF_2019.replace(b"2019", b"2025"))
    confirm(bench, drawn(bench, recent, party="P2"))
    with bench.desk() as at:
        assert at.case.open_tasks() == []
        relation = Relation("P2", "P1", "successor", Strength(strength), recent.id)
        case = evidence_intake.relate_parties(at, relation, **bench.me)
        assert [t.what.split(":")[0] for t in case.open_tasks()] == ["Continuation"]
        assert f"successor relation by E2, {strength}" in case.open_tasks()[0].what
    found, words = result_of(bench)
    assert found == result
    assert "shows conduct of New Bulk Ltd, successor of Rapid Messages Ltd" in words
    assert "after notice N1 to Rapid Messages Ltd of 5 March 2024" in words


def test_as_of_in_the_future_is_refused(bench: Bench) -> None:
    with bench.desk() as at, pytest.raises(CaseError, match="is in the future"):
        evidence_intake.prepare_determination(at, "P1", bench.clock() + HOUR, None, **bench.me)
