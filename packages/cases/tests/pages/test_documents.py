"""Documents of a case from the console: letters, exports and the report, by role, with audit."""

from __future__ import annotations

import io
import zipfile

import pypdf

from support.console_harness import RunningConsole
from support.legal_cases import PAGE, act, case_visits, queried, served_case, text_of
from wavebreak_cases.pages.demo_case import CASE_ID
from wavebreak_server.storage.models import AuditEntry

DOCUMENTS = f"{PAGE}/documents"
SANDBOX = "default-src 'none'; sandbox"


async def audited() -> list[str]:
    """What the audit log says was downloaded."""
    return await queried(
        lambda: list(
            AuditEntry.objects.filter(action="download_document")
            .order_by("number")
            .values_list("reason", flat=True)
        )
    )


@case_visits
async def test_documents_download_in_both_languages(console: RunningConsole) -> None:
    counsel = await console.person("counsel")
    page = (await counsel.get(f"{PAGE}/bundle")).text
    for language in ("en", "he"):
        for name in ("report.pdf", "exhibits.csv", "chronology.docx", "deadlines.ics"):
            assert f'href="{DOCUMENTS}/{name}?language={language}"' in page, name
    wanted = {
        "exhibits.csv": ("text/csv; charset=utf-8", b"SHA-256"),
        "exhibits.docx": ("application/vnd.openxmlformats-officedocument", b"PK"),
        "chronology.csv": ("text/csv; charset=utf-8", b"UTC"),
        "deadlines.ics": ("text/calendar; charset=utf-8", b"BEGIN:VCALENDAR"),
        "N1.pdf": ("application/pdf", b"%PDF-"),
        "N1.docx": ("application/vnd.openxmlformats-officedocument", b"PK"),
    }
    for name, (media, begins) in wanted.items():
        answer = await counsel.get(f"{DOCUMENTS}/{name}?language=he")
        assert answer.status_code == 200, name
        assert answer.headers["content-type"].startswith(media), name
        assert begins in answer.content, name
        assert answer.headers["content-security-policy"] == SANDBOX
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "attachment" in answer.headers["content-disposition"]
    assert len(await audited()) == len(wanted)
    assert (await audited())[0] == f"{CASE_ID}-exhibits-he.csv"


@case_visits
async def test_report_names_who_is_signed_in(console: RunningConsole) -> None:
    counsel = await console.person("counsel")
    answer = await counsel.get(f"{DOCUMENTS}/report.pdf?language=en")
    assert answer.status_code == 200, answer.text
    words = "".join(p.extract_text() for p in pypdf.PdfReader(io.BytesIO(answer.content)).pages)
    assert "(signed in to the console)" in words
    assert "name as typed" not in words


@case_visits
async def test_only_counsel_downloads_documents(console: RunningConsole) -> None:
    for role in ("lead", "auditor", "analyst"):
        visitor = await console.person(role)
        answer = await visitor.get(f"{DOCUMENTS}/exhibits.csv")
        assert answer.status_code in (403, 404), role
    assert await audited() == []


@case_visits
async def test_document_that_is_none_is_not_found(console: RunningConsole) -> None:
    counsel = await console.person("counsel")
    for name in ("case.json", "N9.pdf", "N1.json", "..%2Fcase.json", "report.docx"):
        assert (await counsel.get(f"{DOCUMENTS}/{name}")).status_code == 404, name
    wrong = await counsel.get(f"{DOCUMENTS}/exhibits.csv?language=fr")
    assert wrong.status_code == 422
    assert await audited() == []


@case_visits
async def test_draft_of_a_letter_downloads_before_it_is_recorded(console: RunningConsole) -> None:
    counsel = await console.person("counsel")
    before = len(served_case(console).steps)
    fields = {
        "party": "P1", "template": "cease_and_desist", "language": "he", "operator": "Example",
        "contact": "legal@example.org", "days": "10",
    }  # fmt: skip
    shown = await act(counsel, "send_notice", **fields)
    assert 'value="docx"' in shown.text
    answer = await act(counsel, "send_notice", **fields, download="docx")
    assert answer.headers["content-security-policy"] == SANDBOX
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert "Example" in archive.read("word/document.xml").decode()
    assert len(served_case(console).steps) == before
    assert (await act(counsel, "send_notice", **fields, download="exe")).status_code == 422
    assert text_of(shown.text)


@case_visits
async def test_account_is_erased_by_its_form(console: RunningConsole) -> None:
    counsel = await console.person("counsel")
    hidden = served_case(console).links[0].account
    erased = await act(counsel, "erase_account", account=hidden)
    assert erased.status_code == 302, text_of(erased.text)
    assert list(served_case(console).erasures) == [hidden]
    assert "openings erased" in (await counsel.get(f"{PAGE}/parties")).text
    again = await act(counsel, "erase_account", account=hidden)
    assert "can be opened any more" in again.text
