"""A notice as a letter to print and send: PDF and DOCX with the operator's letterhead."""

from __future__ import annotations

from pathlib import Path

import msgspec

from wavebreak_cases.bundles.case_exports import WordDocument
from wavebreak_cases.bundles.report import typeset
from wavebreak_cases.bundles.report_settings import Operator
from wavebreak_cases.bundles.report_text import ReportText
from wavebreak_cases.cases.case import Case
from wavebreak_cases.cases.notices import Notice

TEMPLATE = Path(__file__).with_name("letter.typ")


def write_letter(case: Case, draft: Notice, operator: Operator, out: Path) -> list[Path]:
    """Write a draft as a letter, PDF and DOCX, and as the draft that is recorded once it is sent.

    Args:
        case: The case.
        draft: The notice, as `draft_notice` gives it.
        operator: The letterhead.
        out: The directory; files of an earlier draft of the same number are replaced.

    Returns:
        The files: N1.pdf, N1.docx, N1.json.
    """
    files = letter_files(case, draft, operator)
    out.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (out / name).write_bytes(content)
    return [out / name for name in files]


def letter_files(case: Case, draft: Notice, operator: Operator) -> dict[str, bytes]:
    """Return a draft as a letter, PDF and DOCX, and as the draft itself (JSON), by name."""
    words = ReportText(draft.language)
    named = {"case": case.id, "notice": draft.id}
    letterhead = [operator.name, *operator.address, operator.registration, operator.contact]
    about = {
        "language": draft.language,
        "direction": words.direction,
        "paper": operator.paper,
        "letterhead": [line for line in letterhead if line],
        "date": words("letter_date", at=words.day(draft.sent)),
        "reference": words("letter_reference", **named),
        "pages": words.pages(),
        "subject": draft.subject,
        "paragraphs": list(draft.paragraphs),
        "signature": words("letter_signature", operator=operator.name),
        "signatory": words("letter_signatory"),
    }
    document = WordDocument(draft.language, draft.subject, draft.sent, operator.paper)
    for n, line in enumerate(about["letterhead"]):
        document.paragraph(line, bold=not n)
    document.paragraph(str(about["date"]))
    document.paragraph(str(about["reference"]))
    document.heading(draft.subject, 2)
    for paragraph in draft.paragraphs:
        document.paragraph(paragraph)
    document.paragraph("_" * 32)
    document.paragraph(str(about["signature"]))
    document.paragraph(f"{about['signatory']} {'_' * 32}")
    return {
        f"{draft.id}.pdf": typeset(TEMPLATE, about, {}, draft.sent),
        f"{draft.id}.docx": document.encode(),
        f"{draft.id}.json": msgspec.json.format(msgspec.json.encode(draft), indent=1) + b"\n",
    }
