"""Acts on a case by its forms: sealed and audited as of their user, or refused with the fix."""

from __future__ import annotations

import fcntl
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from support.console_harness import RunningConsole, Visitor
from support.legal_cases import (
    PAGE,
    SIGNER,
    act,
    case_visits,
    queried,
    served_case,
    store_of,
    text_of,
)
from wavebreak.ledger import DirectoryStorage
from wavebreak.ledger.checkpoints import encode_verifier_key
from wavebreak_cases.acts import ACTS
from wavebreak_cases.acts.declaration import MAX_UPLOAD
from wavebreak_cases.cases.case import ActionReversed, Step
from wavebreak_cases.cases.parties import DateSource
from wavebreak_cases.pages import acts, files, forms
from wavebreak_cases.pages.demo_case import CASE_ID
from wavebreak_server.http.app_context import run_background_query as stored
from wavebreak_server.slices.appeals.models import Appeal
from wavebreak_server.slices.users.models import User
from wavebreak_server.storage.models import AuditEntry

PARTY = {"kind": "company", "name": "Example Sender Ltd"}


def moment(days: float) -> str:
    """An instant some days from now, as a form sends it."""
    return (datetime.now(UTC) + timedelta(days=days)).strftime("%Y-%m-%dT%H:%M")


def act_forms() -> list[tuple[str, dict[str, str], str]]:
    """Every act that takes one step, in an order that the demo's case allows, and its step."""
    evidence = {"conduct": "engaged", "seen": "off_platform", "zone": "Asia/Jerusalem"}
    evidence |= {"violation": "bulk+automated"}
    dates = {"began": "about 2018", "until": "unknown", "date_basis": "the archive's copy"}
    tie = {"basis": "number_in_claim", "strength": "strong"}
    relation = {"party": "P3", "kind": "affiliate", "other": "P1", "strength": "weak"}
    return [
        ("sign_determination", {"determination": "D1"}, "DeterminationSigned"),
        ("add_party", PARTY | {"domains": "sender.example\n\nsend.example"}, "PartyNamed"),
        ("change_party", PARTY | {"party": "P3", "numbers": "+97235550199"}, "PartyNamed"),
        ("relate_parties", relation | {"exhibit": "E1"}, "PartiesRelated"),
        ("merge_parties", {"keep": "P1", "drop": "P3"}, "PartiesMerged"),
        ("unmerge_parties", {"party": "P3"}, "PartiesUnmerged"),
        ("link_account", tie | {"party": "P1", "account": "bob", "exhibit": "E1"}, "AccountLinked"),
        (
            "add_evidence",
            evidence | dates | tie | {"exhibit": "E1", "party": "P2"},
            "EvidenceAdded",
        ),
        (
            "correct_evidence",
            tie
            | {"item": "V2", "party": "P2", "conduct": "neither", "violation": "not_stated"}
            | {"until": "2021-05", "zone": "UTC", "date_basis": "the invoice"},
            "EvidenceCorrected",
        ),
        ("review_evidence", {"item": "V2", "shows": "no"}, "EvidenceReviewed"),
        (
            "record_past_notice",
            {"party": "P2", "at": moment(-900), "language": "he", "days": "14", "exhibit": "E3"},
            "NoticeSent",
        ),
        (
            "record_failed_service",
            {
                "notice": "N2",
                "at": moment(-890),
                "method": "courier",
                "address": "12 Main Street",
                "failure": "nobody was there",
                "exhibit": "",
            },
            "ServiceFailed",
        ),
        (
            "record_delivery",
            {
                "notice": "N2",
                "at": moment(-10),
                "how": "registered mail",
                "exhibit": "E3",
                "address": "12 Main Street",
            },
            "NoticeDelivered",
        ),
        (
            "record_reply",
            {"notice": "N1", "at": moment(-1), "about": "They deny it.", "exhibit": "E3"},
            "ReplyReceived",
        ),
        (
            "record_bar",
            {
                "party": "P2",
                "kind": "stay",
                "at": moment(-700),
                "exhibit": "E3",
                "ended": moment(-600),
            },
            "BarRecorded",
        ),
        (
            "record_reversal",
            {"account": "carl", "at": moment(-3), "source": "appeal 4471"},
            "ActionReversed",
        ),
        (
            "name_signer",
            {"name": "Adv. Levi", "key": encode_verifier_key(SIGNER.key), "signs_as": "counsel"},
            "SignerNamed",
        ),
        ("add_task", {"what": "Buy a package", "due": moment(3)}, "TaskAdded"),
        ("finish_task", {"task": "T1"}, "TaskFinished"),
        ("prepare_determination", {"party": "P2", "as_of": moment(-2)}, "DeterminationPrepared"),
        ("change_state", {"to": "reopened"}, "StateChanged"),
    ]


def newest(console: RunningConsole) -> Step:
    """The newest step by a person: conduct after a notice makes tasks by itself."""
    return [step for step in served_case(console).steps if step.by != "watch"][-1]


async def audited() -> list[tuple[str, str, str, str]]:
    def read() -> list[Any]:
        rows = AuditEntry.objects.filter(object=CASE_ID).order_by("number")
        return list(rows.values_list("key", "action", "object", "reason"))

    return await queried(read)


def test_every_act_is_tried() -> None:
    # These have tests of their own, here and in test_documents.py.
    apart = {"open_case", "add_exhibit", "send_notice", "erase_account"}
    assert {name for name, _, _ in act_forms()} | apart == {
        name for name, act in ACTS.items() if act.form
    }


@case_visits
async def test_each_act_is_sealed_and_audited_by_its_user(console: RunningConsole) -> None:
    dana = await console.person("counsel", "dana")
    for number, (name, fields, taken) in enumerate(act_forms(), 1):
        answer = await act(dana, name, **fields)
        assert answer.status_code == 302, (name, text_of(answer.text))
        step = newest(console)
        assert type(step.did).__name__ == taken, name
        assert type(step.did) in ACTS[name].steps
        assert (step.by, step.role, step.why) == ("user:dana", "counsel", "for the file"), name
        entries = await audited()
        assert entries[-1] == ("user:dana", name, CASE_ID, "for the file")
        assert len(entries) == number
    case = served_case(console)
    assert case.parties["P4"].domains == ("sender.example", "send.example")
    assert case.determinations["D1"].signed_by == "user:dana"
    assert "bob" not in repr(case.links)
    assert case.evidence["V3"].began.said == "about 2018 (Asia/Jerusalem)"
    assert case.evidence["V3"].lasted.latest is None
    assert case.evidence["V3"].violations == ("bulk", "automated")
    source = DateSource("person", "user:dana", "the archive's copy")
    assert case.evidence["V3"].began_source == source
    corrected = case.evidence["V2"]
    assert (corrected.conduct, corrected.lasted.said) == ("neither", "2021-05 (UTC)")
    assert corrected.began.said.startswith("about November 2019")
    assert case.notices["N2"].exhibit == "E3"
    assert case.attempts[0].failure == "nobody was there"
    assert case.deliveries[-1].address == "12 Main Street"
    notices = text_of((await dana.get(f"{PAGE}/notices")).text)
    assert "courier, 12 Main Street: nobody was there" in notices
    sealed = DirectoryStorage(store_of(console).directory / CASE_ID / "ledger").size()
    assert sealed >= len(case.steps)


@case_visits
async def test_form_without_reason_is_kept_and_not_done(console: RunningConsole) -> None:
    counsel = await console.person("counsel")
    answer = await act(counsel, "add_task", what="Buy the cheapest package", reason="  ")
    assert answer.status_code == 422
    assert "A reason is missing" in text_of(answer.text)
    assert "Buy the cheapest package" in answer.text
    assert len(served_case(console).steps) == 19
    assert await audited() == []


@case_visits
async def test_form_without_token_is_refused(console: RunningConsole) -> None:
    counsel = await console.person("counsel")
    fields = {"what": "x", "reason": "y"}
    assert (await counsel.client.post(f"{PAGE}/act/add_task", data=fields)).status_code == 403
    assert (await counsel.client.post(f"{PAGE}/bundle/build", data=fields)).status_code == 403
    assert len(served_case(console).steps) == 19


@case_visits
async def test_stale_form_is_refused_with_what_was_done(console: RunningConsole) -> None:
    dana, omer = await console.person("counsel", "dana"), await console.person("counsel", "omer")
    page = f"{PAGE}/act/review_evidence?item=V2"
    seen = re.search(r'name="seen" value="(\d+)"', (await dana.get(page)).text)
    assert seen
    await act(omer, "finish_task", task="T1")
    fields = {"item": "V2", "shows": "yes", "reason": "read it", "seen": seen[1]}
    answer = await dana.post(f"{PAGE}/act/review_evidence", page=page, **fields)
    assert answer.status_code == 409
    words = text_of(answer.text)
    assert "The case changed while you wrote" in words
    assert "Step 20: Task done: T1 omer" in words
    assert 'value="read it"' in answer.text
    assert newest(console).by == "user:omer"
    again = re.search(r'name="seen" value="(\d+)"', answer.text)
    assert again
    fields["seen"] = again[1]
    assert (await dana.post(f"{PAGE}/act/review_evidence", page=page, **fields)).status_code == 302
    assert newest(console).by == "user:dana"


@case_visits
async def test_preparer_cannot_sign_and_another_counsel_can(console: RunningConsole) -> None:
    dana, omer = await console.person("counsel", "dana"), await console.person("counsel", "omer")
    await act(dana, "prepare_determination", party="P1")
    page = await dana.get(f"{PAGE}/determination")
    assert "You prepared it: let a colleague sign" in page.text
    answer = await act(dana, "sign_determination", determination="D2")
    assert answer.status_code == 422
    assert "four eyes" in answer.text
    assert served_case(console).determinations["D2"].signed_by == ""
    assert (await act(omer, "sign_determination", determination="D2")).status_code == 302
    assert served_case(console).determinations["D2"].signed_by == "user:omer"


@case_visits
async def test_name_that_is_typed_signs_nothing(console: RunningConsole) -> None:
    dana = await console.person("counsel", "dana")
    await act(dana, "sign_determination", determination="D1", by="user:omer", role="judge")
    step = newest(console)
    assert (step.by, step.role) == ("user:dana", "counsel")


@case_visits
async def test_step_that_the_case_refuses_leaves_no_trace(console: RunningConsole) -> None:
    counsel = await console.person("counsel")
    answer = await act(counsel, "change_state", to="determined")
    assert answer.status_code == 422
    assert "Not signed, or of other evidence than now" in text_of(answer.text)
    answer = await act(counsel, "add_party", **PARTY, numbers="055 5550100")
    assert "not E.164" in answer.text
    assert "`wavebreak" not in answer.text
    assert len(served_case(console).steps) == 19
    assert await audited() == []


@pytest.mark.parametrize("name", ["record_reply", "prepare_determination", "add_evidence"])
def test_forms_with_dates_refuse_the_future(name: str) -> None:
    assert {"at", "as_of", "began"} & {field.name for field in ACTS[name].fields}


@case_visits
async def test_dates_in_the_future_are_refused(console: RunningConsole) -> None:
    counsel = await console.person("counsel")
    reply = {"notice": "N1", "at": moment(2), "about": "x", "exhibit": "E3"}
    evidence = {
        "exhibit": "E1", "party": "P1", "conduct": "engaged", "seen": "off_platform",
        "began": "2199", "date_basis": "the invoice", "until": "unknown",
        "basis": "statement", "strength": "weak",
    }  # fmt: skip
    for name, fields in (
        ("record_reply", reply),
        ("prepare_determination", {"party": "P1", "as_of": moment(2)}),
        ("add_evidence", evidence),
    ):
        answer = await act(counsel, name, **fields)
        assert answer.status_code == 422, name
        assert "is in the future" in answer.text, name
    assert len(served_case(console).steps) == 19


@case_visits
async def test_date_without_a_basis_is_refused(console: RunningConsole) -> None:
    counsel = await console.person("counsel")
    evidence = {
        "exhibit": "E1", "party": "P1", "conduct": "engaged", "seen": "off_platform",
        "began": "2019", "basis": "statement", "strength": "weak",
    }  # fmt: skip
    answer = await act(counsel, "add_evidence", **evidence)
    assert answer.status_code == 422
    assert "needs its basis" in text_of(answer.text)


@case_visits
async def test_reversed_appeal_is_recorded_before_determining(console: RunningConsole) -> None:
    def reversed_appeal() -> None:
        common = {"state": "decided", "via": "api", "language": "en", "created_ms": 1}
        for number, (account, result, at) in enumerate(
            (("ann", "reversed", 7), ("bob", "reversed", 8), ("ann", "unchanged", 9))
        ):
            Appeal.objects.create(
                decision=str(number), number=number, account=account, outcome="ban",
                decided_ms=at, result=result, **common,
            )  # fmt: skip

    await queried(reversed_appeal)
    counsel = await console.person("counsel")
    for _ in range(2):
        answer = await act(counsel, "prepare_determination", party="P1")
        assert answer.status_code == 302, text_of(answer.text)
    case = served_case(console)
    assert [link.account for link in case.links] == list(case.reversals)
    taken = [step.did for step in case.steps if isinstance(step.did, ActionReversed)]
    assert [(each.reversal.at, each.reversal.basis) for each in taken] == [
        (7, "appeal 1, reversed")
    ]


@case_visits
async def test_value_that_is_not_offered_is_refused(console: RunningConsole) -> None:
    counsel = await console.person("counsel")
    for name, fields in (
        ("review_evidence", {"item": "V99", "shows": "yes"}),
        ("review_evidence", {"item": "V2", "shows": "perhaps"}),
        ("change_state", {"to": "determined; drop"}),
        ("finish_task", {"task": ""}),
        ("add_task", {"what": "x", "due": "tomorrow"}),
        ("relate_parties", {"party": "P1", "kind": "owner", "other": "P1", "strength": "weak",
                            "exhibit": "E1"}),
    ):  # fmt: skip
        assert (await act(counsel, name, **fields)).status_code == 422, (name, fields)
    assert len(served_case(console).steps) == 19


@case_visits
async def test_notice_is_shown_before_it_is_recorded(console: RunningConsole) -> None:
    counsel = await console.person("counsel")
    fields = {"party": "P1", "template": "cease_and_desist", "language": "he", "days": "21",
              "operator": "Example", "contact": "legal@messenger.example"}  # fmt: skip
    shown = await act(counsel, "send_notice", **fields)
    assert shown.status_code == 200
    assert "דרישה להפסיק" in shown.text
    assert 'dir="rtl"' in shown.text
    assert len(served_case(console).steps) == 19
    answer = await act(counsel, "send_notice", **fields, confirmed="yes")
    assert (answer.status_code, len(served_case(console).steps)) == (422, 19)
    assert "recorded as sent with its proof" in text_of(answer.text)
    answer = await act(counsel, "send_notice", **fields, confirmed="yes", exhibit="E3")
    assert answer.status_code == 302
    notice = served_case(console).notices["N2"]
    assert (notice.language, notice.party, notice.exhibit) == ("he", "P1", "E3")
    assert "N2 to" in text_of((await counsel.get(f"{PAGE}/notices")).text)


@case_visits
async def test_case_in_use_says_somebody_else_is_writing(console: RunningConsole) -> None:
    counsel = await console.person("counsel")
    with (
        pytest.MonkeyPatch.context() as patched,
        (store_of(console).directory / CASE_ID / ".lock").open("a") as held,
    ):
        patched.setattr(files, "LOCK_WAIT_S", 0.1)
        fcntl.flock(held, fcntl.LOCK_EX)
        answer = await act(counsel, "add_task", what="Buy the cheapest package")
        assert answer.status_code == 409
        assert f"Somebody else is writing to case {CASE_ID}" in text_of(answer.text)
        assert "Buy the cheapest package" in answer.text
        assert (await counsel.get(PAGE)).status_code == 200
    assert await audited() == []


@case_visits
async def test_file_is_taken_in_with_custody_of_its_user(console: RunningConsole) -> None:
    counsel = await console.person("counsel")
    answer = await upload(counsel, b"<html><p>We send bulk messages.</p></html>")
    assert answer.status_code == 302, answer.text
    exhibit = served_case(console).exhibits["E4"]
    assert (exhibit.kind, exhibit.title) == ("claim", "A page")
    page = text_of((await counsel.get(f"{PAGE}/exhibits/E4")).text)
    assert "mandate 12" in page
    assert "counsel · console on" in page


@case_visits
async def test_file_too_large_or_of_unknown_form_is_refused(console: RunningConsole) -> None:
    counsel = await console.person("counsel")
    large = await upload(counsel, b"a" * (MAX_UPLOAD + 1))
    assert large.status_code == 422
    assert "larger than" in large.text
    assert "wavebreak case exhibit" in large.text
    for raw in (b"\x00\x01\x02", b"", b"PK\x03\x04broken"):
        assert (await upload(counsel, raw)).status_code == 422, raw
    assert list(served_case(console).exhibits) == ["E1", "E2", "E3"]
    exhibits = store_of(console).directory / CASE_ID / "exhibits"
    assert sorted(p.name for p in exhibits.iterdir()) == ["E1", "E2", "E3"]


@case_visits
async def test_file_beyond_the_limit_of_a_request_gives_the_form_back(
    console: RunningConsole,
) -> None:
    counsel = await console.person("counsel")
    answer = await upload(counsel, b"a" * 3_000_000)
    assert answer.status_code == 422
    assert answer.headers["content-type"].startswith("text/html")
    assert "larger than" in answer.text
    # What was written stands in the form again, also what comes after the file.
    for written in ("A page", "mandate 12", "an offer"):
        assert written in answer.text, written
    await stored(lambda: User.objects.update(language="he"))
    assert "הקובץ גדול מ־" in (await upload(counsel, b"a" * 3_000_000)).text
    assert list(served_case(console).exhibits) == ["E1", "E2", "E3"]


async def upload(counsel: Visitor, raw: bytes) -> Any:
    page = f"{PAGE}/act/add_exhibit"
    fields = {"kind": "claim", "title": "A page", "authority": "mandate 12", "reason": "an offer"}
    return await counsel.client.post(
        page,
        data={"csrfmiddlewaretoken": await counsel.token(page)} | fields,
        files={"file": ("../../page.html", raw)},
    )


@case_visits
async def test_case_is_opened_once_and_by_counsel_alone(console: RunningConsole) -> None:
    counsel, lead = await console.person("counsel"), await console.person("lead")
    page = "/console/cases/new"
    assert (await lead.get(page)).status_code == 403
    assert 'value="C-20' in (await counsel.get(page)).text
    fields = {"id": "C-9", "title": "Bulk Co", "about": "", "reason": "a report"}
    for bad in ("../C-9", "new", ".hidden", "a" * 80, ""):
        answer = await counsel.post(page, page=page, **fields | {"id": bad})
        assert answer.status_code == 422, bad
    assert (await counsel.post(page, page=page, **fields)).status_code == 302
    assert (await counsel.post(page, page=page, **fields)).status_code == 422
    opened = files.load(store_of(console), "C-9").case
    assert (opened.title, opened.steps[0].by) == ("Bulk Co", "user:counsel")
    listed = (await counsel.get("/console/cases")).text
    assert "Bulk Co" in listed
    assert "Rapid Reach" in listed


@case_visits
async def test_case_that_could_not_be_opened_leaves_no_directory(
    console: RunningConsole,
) -> None:
    counsel = await console.person("counsel")
    page = "/console/cases/new"
    fields = {"id": "C-8", "title": "Bulk Co", "about": "", "reason": "a report"}

    def refused(*_arguments: object) -> None:
        raise OSError("the disk is full")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(acts, "write_audit_entry", refused)
        assert (await counsel.post(page, page=page, **fields)).status_code == 500
    assert not (store_of(console).directory / "C-8").exists()
    assert (await counsel.post(page, page=page, **fields)).status_code == 302


async def open_with_file(visitor: Visitor, file: tuple[str, bytes], fields: dict[str, str]) -> Any:
    """Send the form that opens a case, with a file."""
    token = {"csrfmiddlewaretoken": await visitor.token("/console/cases/new")}
    files = {"file": file}
    return await visitor.client.post("/console/cases/new", data=token | fields, files=files)


@case_visits
async def test_one_form_drafts_a_case_with_its_page(console: RunningConsole) -> None:
    counsel = await console.person("counsel")
    html = (
        b"<html><title>Bulk Co</title><p>We send bulk WhatsApp messages, 80,000 a day.</p></html>"
    )
    fields = {
        "id": "C-9", "title": "Bulk Co", "reason": "a report", "party": "Bulk Co Ltd",
        "domains": "bulk.example", "conduct": "engaged", "violation": "bulk", "until": "2021-03",
        "date_basis": "the archive's copy", "basis": "statement", "strength": "strong",
        "account": "bob", "account_basis": "number_in_claim",
        "account_strength": "weak",
    }  # fmt: skip
    wrong = fields | {"numbers": "050-1234567"}
    refused = await open_with_file(counsel, ("a.html", html), wrong)
    assert refused.status_code == 422
    assert "not E.164" in text_of(refused.text)
    assert not (store_of(console).directory / "C-9").exists()
    made = await open_with_file(counsel, ("../../a.html", html), fields)
    assert made.status_code == 302
    case = files.load(store_of(console), "C-9").case
    assert [type(step.did).__name__ for step in case.steps] == [
        "CaseOpened", "PartyNamed", "ExhibitAdded", "EvidenceAdded", "AccountLinked",
    ]  # fmt: skip
    assert {(step.by, step.why) for step in case.steps} == {("user:counsel", "a report")}
    assert case.exhibits["E1"].title == "a.html"
    item = case.evidence["V1"]
    assert (item.conduct, item.violations, item.confirmed) == ("engaged", ("bulk",), "unknown")
    assert "bob" not in repr(case.links)
    shown = (await counsel.get("/console/cases/C-9")).text
    assert "What is missing" in shown
    assert "/console/cases/C-9/act/review_evidence?item=V1" in shown


@case_visits
async def test_one_form_says_which_file_was_not_taken_in(console: RunningConsole) -> None:
    counsel = await console.person("counsel")
    fields = {"id": "C-9", "title": "Bulk Co", "reason": "a report", "party": "Bulk Co Ltd"}
    made = await open_with_file(counsel, ("a.bin", b"\0\1"), fields)
    assert made.status_code == 302
    assert "a.bin is not in it" in text_of((await counsel.get("/console/cases/C-9")).text)
    assert list(files.load(store_of(console), "C-9").case.parties) == ["P1"]


@case_visits
async def test_correction_form_has_what_the_item_states(console: RunningConsole) -> None:
    counsel = await console.person("counsel")
    stated = {
        "item": "V2", "party": "P2", "conduct": "assisted", "violation": "bulk+automated",
        "began": "about 2018", "until": "2021-05", "zone": "UTC", "date_basis": "the invoice",
        "basis": "number_in_claim", "strength": "moderate",
    }  # fmt: skip
    assert (await act(counsel, "correct_evidence", **stated)).status_code == 302
    before = served_case(console).evidence["V2"]
    shown = (await counsel.get(f"{PAGE}/act/correct_evidence?item=V2")).text
    for value in ("V2", "P2", "assisted", "bulk+automated", "number_in_claim", "moderate"):
        assert f'<option value="{value}" selected>' in shown, value
    for value in ("about 2018", "2021-05", "UTC", "the invoice"):
        assert f'value="{value}"' in shown, value
    assert forms.stated_values(before) | {"item": "V2"} == stated
    assert (await act(counsel, "correct_evidence", **stated)).status_code == 302
    assert served_case(console).evidence["V2"] == before
