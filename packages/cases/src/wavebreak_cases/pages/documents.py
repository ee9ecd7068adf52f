"""Documents of a case for download: letters, exports, the report, made as by the commands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from wavebreak.languages import get_language
from wavebreak.notices.platform import load_platform
from wavebreak_cases.bundles.case_exports import EXPORTS, export_files
from wavebreak_cases.bundles.letters import letter_files
from wavebreak_cases.bundles.report_settings import Operator, load_operator
from wavebreak_cases.cases.notices import Language, Notice
from wavebreak_cases.pages import bundles
from wavebreak_cases.pages.acts import ActRequest
from wavebreak_cases.pages.apps import CaseStore
from wavebreak_cases.pages.files import LoadedCase
from wavebreak_server.errors import ApiError
from wavebreak_server.texts import translate

REPORT = "report.pdf"
MEDIA: Mapping[str, str] = {
    "pdf": "application/pdf",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "csv": "text/csv; charset=utf-8",
    "ics": "text/calendar; charset=utf-8",
}
LETTERS = ("pdf", "docx")


class CaseDocument(NamedTuple):
    """A file to download: its name, media type and content."""

    name: str
    media: str
    content: bytes


def make_document(
    loaded: LoadedCase, act: ActRequest, name: str, language: Language
) -> CaseDocument:
    """Return a document of a case: the report, an export, or the letter of a recorded notice.

    Raises:
        ApiError: The case has no such document (404), or it could not be made (422).
    """
    case = loaded.case
    stem, _, ending = name.partition(".")
    if name == REPORT:
        content = bundles.typeset_report(loaded, act, language)
    elif name in EXPORTS:
        content = export_files(loaded.path, case, language)[name]
    elif stem in case.notices and ending in LETTERS:
        notice = case.notices[stem]
        if notice.template == "recorded":
            raise ApiError(
                404,
                translate("the letter is in its exhibit alone"),
                fix=translate("open the exhibit"),
            )
        content = letter_files(case, notice, letterhead(act.store, notice))[name]
    else:
        raise ApiError(
            404,
            translate("the case has no such document"),
            fix=translate("use the links of the case"),
        )
    tongue = "" if stem in case.notices else f"-{language}"
    return CaseDocument(f"{case.id}-{stem}{tongue}.{ending}", MEDIA[ending], content)


def draft_letter(loaded: LoadedCase, act: ActRequest, notice: Notice, ending: str) -> CaseDocument:
    """Return the draft of a letter as it was previewed; raises ApiError (422) for other endings."""
    if ending not in LETTERS:
        raise ApiError(
            422, translate("a letter is a PDF or a DOCX file"), fix=translate("choose one of them")
        )
    values: Mapping[str, Any] = act.values
    operator = msgspec.structs.replace(
        load_operator(act.store.policy), name=values["operator"], contact=values["contact"]
    )
    content = letter_files(loaded.case, notice, operator)[f"{notice.id}.{ending}"]
    name = f"{loaded.case.id}-{notice.id}-draft.{ending}"
    return CaseDocument(name, MEDIA[ending], content)


def letterhead(store: CaseStore, notice: Notice) -> Operator:
    """Return the operator's letterhead; the name is the platform's where none is configured."""
    known = load_operator(store.policy)
    if known.name:
        return known
    platform, language = load_platform(store.policy), get_language(notice.language)
    return msgspec.structs.replace(
        known, name=platform.name_in(language), contact=platform.contact_in(language)
    )
