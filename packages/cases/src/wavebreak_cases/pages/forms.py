"""Forms of the acts on a case: their fields, what may be chosen, and how they are read.

Each act has one form, on a page of its own. What was typed is shown again with an error, or where
the case changed meanwhile, so that nothing is lost.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

from django.core.files.uploadedfile import UploadedFile
from msgspec import UnsetType

from wavebreak.errors import CaseError
from wavebreak.languages import offered_languages
from wavebreak_cases.bundles.case_tables import describe_conduct, describe_date, to_words
from wavebreak_cases.cases.case import Case
from wavebreak_cases.cases.date_ranges import DateRange, parse_date, parse_instant
from wavebreak_cases.cases.notices import load_templates
from wavebreak_cases.cases.parties import Basis, Evidence, Strength
from wavebreak_cases.cases.workflow import TRANSITIONS
from wavebreak_cases.pages.store import current_store
from wavebreak_server.errors import ApiError

MAX_UPLOAD = 1_000_000
"""Bytes of a file that a form takes; larger ones go through the command line. The service refuses
bodies over 1 MiB, and the rest of a form needs some of that."""

Choices = list[tuple[str, str]]
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?")
_LIMITS = {"text": 300, "area": 4_000, "lines": 20_000, "moment": 19, "number": 3, "choice": 300}


def _static(*names: str) -> Callable[[Case], Choices]:
    return lambda _case: [(name, to_words(name)) for name in names]


def parties(case: Case) -> Choices:
    """The parties that are not merged into another."""
    return [(p.id, f"{p.name} ({p.id})") for p in case.parties.values() if not p.same_as]


def merged_parties(case: Case) -> Choices:
    """The parties that are merged into another."""
    return [
        (p.id, f"{p.name} ({p.id}), merged into {p.same_as}")
        for p in case.parties.values()
        if p.same_as
    ]


def exhibits(case: Case) -> Choices:
    """The exhibits."""
    return [(e.id, f"{e.id}: {e.title}") for e in case.exhibits.values()]


def notices(case: Case) -> Choices:
    """The notices."""
    return [
        (n.id, f"{n.id} to {case.parties[case.root(n.party)].name}") for n in case.notices.values()
    ]


def evidence(case: Case) -> Choices:
    """The items of evidence, those that nobody reviewed first."""
    ordered = sorted(case.evidence.values(), key=lambda e: e.confirmed != "unknown")
    return [
        (
            e.id,
            f"{e.id}: {describe_conduct(e)}, from {e.exhibit}; "
            f"began {describe_date(e.began, e.began_source)}; "
            f"lasted until {describe_date(e.lasted, e.lasted_source)}",
        )
        for e in ordered
    ]


def open_tasks(case: Case) -> Choices:
    """The tasks that are not done."""
    return [(t.id, f"{t.id}: {t.what[:120]}") for t in case.open_tasks()]


def unsigned(case: Case) -> Choices:
    """The determinations that nobody signed."""
    return [
        (d.id, f"{d.id}: {case.parties[d.value.party].name}, {to_words(d.value.result)}")
        for d in case.determinations.values()
        if not d.signed_by
    ]


def states(case: Case) -> Choices:
    """The states that the case may go to."""
    return [(state, state) for state in TRANSITIONS.get(case.state, ())]


def languages(_case: Case) -> Choices:
    """The languages that notices and reports are offered in."""
    return [(language.code, language.name) for language in offered_languages()]


def templates(_case: Case) -> Choices:
    """The templates of notices in the policy."""
    known = load_templates(current_store().policy).template
    return [(name, to_words(name)) for name in dict.fromkeys(t.id for t in known)]


@dataclass(frozen=True)
class Field:
    """A field of a form.

    Attributes:
        name: Its name.
        label: What it asks for.
        kind: `text`, `area`, `lines` (a value a line), `choice`, `moment` (UTC), `number`, `file`.
        needed: Whether it must be given.
        hint: What a person should know to fill it in.
        choices: What may be chosen.
        section: The heading under which it is ("": none).

    """

    name: str
    label: str
    kind: str = "text"
    needed: bool = True
    hint: str = ""
    choices: Callable[[Case], Choices] | None = None
    section: str = ""


@dataclass(frozen=True)
class Form:
    """The form of an act.

    Attributes:
        name: The act's name, also in the address and in the audit log.
        title: What the act does.
        button: What the button says.
        tab: The tab that shows what came of it.
        fields: Its fields.
        about: A sentence on what follows from the act.
        previewed: Whether the act is shown before it is done.
        ordered: Whether it is refused where the case changed since the form was made.

    """

    name: str
    title: str
    button: str
    tab: str
    fields: tuple[Field, ...]
    about: str = ""
    previewed: bool = False
    ordered: bool = True


_BASES: Mapping[Basis, str] = {
    Basis.STATEMENT: "its own statement",
    Basis.NUMBER: "a number that its page gives",
    Basis.PAYMENT: "a payment",
    Basis.PURCHASE: "a test purchase",
    Basis.INFRASTRUCTURE: "servers, domains or devices that it uses",
    Basis.ADMISSION: "an admission",
    Basis.AFFILIATION: "a party that it belongs with",
    Basis.SUCCESSION: "a party that it took over from",
}
_STRENGTH = Field(
    "strength",
    "How strongly",
    "choice",
    choices=_static(*(str(s) for s in Strength)),
    hint="A tie that nobody judged is “unknown”; it is never taken for one that is there.",
)
_BASIS = Field(
    "basis",
    "What ties it to the party",
    "choice",
    choices=lambda _case: [(str(basis), _BASES[basis]) for basis in Basis],
)
_PARTY = Field("party", "Party", "choice", choices=parties)
_EXHIBIT = Field("exhibit", "The exhibit that shows it", "choice", choices=exhibits)
_NOTICE = Field("notice", "Notice", "choice", choices=notices)
_AT = Field("at", "When (UTC)", "moment")
_DATE = "In words or EDTF: 2019-11, about November 2019, before 2020-03, unknown."
_LINES = "One a line."
_DATES = (
    Field("began", "When it began", needed=False, hint=f"{_DATE} Empty: as the exhibit says."),
    Field(
        "until",
        "Until when it is shown to have lasted",
        needed=False,
        hint=f"{_DATE} Empty: as the exhibit says.",
    ),
    Field("zone", "Time zone of the dates", needed=False, hint="Like Asia/Jerusalem."),
    Field(
        "date_basis",
        "On what these dates rest",
        needed=False,
        hint="A date that you state needs it: the invoice, the archive’s copy.",
    ),
)
_CONDUCT = (
    Field(
        "conduct",
        "What the party did",
        "choice",
        choices=lambda _case: [
            ("engaged", "engaged in it"),
            ("assisted", "assisted others in it"),
            ("neither", "no violation"),
            ("unknown", "not known"),
        ],
    ),
    Field(
        "violation",
        "Kind of violation",
        "choice",
        needed=False,
        choices=lambda _case: [
            ("not_stated", "not stated"),
            *(
                ("+".join(kinds), " and ".join(kind.replace("_", "-") for kind in kinds))
                for n in (1, 2, 3)
                for kinds in combinations(("bulk", "automated", "non_personal"), n)
            ),
        ],
        hint="Without one a violation counts as not known.",
    ),
)
_PARTY_FIELDS = (
    Field("kind", "What it is", "choice", choices=_static("company", "person")),
    Field("name", "Name"),
    Field("aliases", "Other names", "lines", needed=False, hint=_LINES),
    Field("domains", "Domains", "lines", needed=False, hint=_LINES),
    Field(
        "numbers",
        "Numbers that it publishes",
        "lines",
        needed=False,
        hint="One a line, with the country: +97235550100.",
    ),
    Field("apps", "Applications that it offers", "lines", needed=False, hint=_LINES),
    Field("sites", "Addresses of pages", "lines", needed=False, hint=_LINES),
    Field("note", "Remark", "area", needed=False),
)

FORMS: Mapping[str, Form] = {
    form.name: form
    for form in (
        Form(
            "add_party",
            "Name a party",
            "Name the party",
            "parties",
            _PARTY_FIELDS,
            ordered=False,
        ),
        Form(
            "change_party",
            "Correct a party",
            "Save the party",
            "parties",
            (_PARTY, *_PARTY_FIELDS),
            about="The earlier wording stays in the sealed steps.",
        ),
        Form(
            "relate_parties",
            "Relate two parties",
            "Record the relation",
            "parties",
            (
                Field("party", "Party", "choice", choices=parties),
                Field(
                    "kind",
                    "is the",
                    "choice",
                    choices=_static("affiliate", "successor", "owner", "officer", "reseller"),
                ),
                Field("other", "of", "choice", choices=parties),
                _STRENGTH,
                _EXHIBIT,
            ),
            ordered=False,
        ),
        Form(
            "merge_parties",
            "Merge two parties",
            "Merge them",
            "parties",
            (
                Field("keep", "The party that stays", "choice", choices=parties),
                Field("drop", "The party that is the same", "choice", choices=parties),
            ),
            about="Evidence, accounts and notices of both count as of one. A step can undo it.",
        ),
        Form(
            "unmerge_parties",
            "Undo a merge",
            "Undo the merge",
            "parties",
            (Field("party", "The party that is another one", "choice", choices=merged_parties),),
            about="The party is itself again, with its own evidence. The merge stays in the steps.",
        ),
        Form(
            "link_account",
            "Link an account",
            "Link the account",
            "parties",
            (
                _PARTY,
                Field("account", "Account", hint="As the console names it. Its pseudonym is kept."),
                _BASIS,
                _STRENGTH,
                _EXHIBIT,
            ),
            ordered=False,
        ),
        Form(
            "erase_account",
            "Erase what opens entries on an account",
            "Erase",
            "parties",
            (
                Field(
                    "account",
                    "Account",
                    hint="As the console names it, or its pseudonym in this case.",
                ),
            ),
            about="Sealed entries on it can then not be opened. Steps and exhibits remain, under "
            "the pseudonym. Say which request this answers.",
        ),
        Form(
            "add_exhibit",
            "Add an exhibit",
            "Take it in",
            "claims",
            (
                Field(
                    "file",
                    "File",
                    "file",
                    hint="HTML, PDF, image, text, WARC or WACZ, at most 1 MB. It is not changed.",
                ),
                Field(
                    "kind",
                    "What it is",
                    "choice",
                    choices=_static(
                        "claim", "document", "delivery", "reply", "test_purchase", "partner_notice"
                    ),
                ),
                Field("title", "Title"),
                Field("authority", "By what authority", hint="A mandate, an order, a ticket."),
            ),
            about="An upload is dated by nobody: what it shows, and since when, a person says.",
            ordered=False,
        ),
        Form(
            "add_evidence",
            "Draw evidence from an exhibit",
            "Draw the evidence",
            "claims",
            (
                _EXHIBIT,
                Field("party", "Whose conduct it shows", "choice", choices=parties),
                *_CONDUCT,
                Field(
                    "seen",
                    "Where it was seen",
                    "choice",
                    choices=_static("on_platform", "off_platform"),
                ),
                *_DATES,
                _BASIS,
                _STRENGTH,
            ),
            about="It counts as not known until a person reviews it.",
            ordered=False,
        ),
        Form(
            "correct_evidence",
            "Correct evidence",
            "Save the evidence",
            "claims",
            (
                Field("item", "Evidence", "choice", choices=evidence),
                Field("party", "Whose conduct it shows", "choice", choices=parties),
                *_CONDUCT,
                *_DATES,
                _BASIS,
                _STRENGTH,
            ),
            about="The earlier wording stays in the sealed steps. A person reviews it again.",
        ),
        Form(
            "review_evidence",
            "Review evidence",
            "Seal the review",
            "claims",
            (
                Field("item", "Evidence", "choice", choices=evidence),
                Field(
                    "shows",
                    "Does the exhibit show this?",
                    "choice",
                    choices=lambda _case: [("yes", "Yes, it shows it"), ("no", "No, it does not")],
                ),
            ),
        ),
        Form(
            "send_notice",
            "Write a notice",
            "Record as sent",
            "notices",
            (
                _PARTY,
                Field("template", "Template", "choice", choices=templates),
                Field(
                    "language",
                    "Language",
                    "choice",
                    choices=languages,
                ),
                Field("operator", "Who writes", hint="The operator's name."),
                Field("contact", "Where answers reach the operator"),
                Field("days", "Days to answer", "number", needed=False, hint="1 to 365."),
                Field(
                    "calendar",
                    "Calendar of days of business",
                    needed=False,
                    hint="israel, united-states, monday-to-friday; empty: all days count.",
                ),
                Field(
                    "exhibit",
                    "The exhibit that proves that it was sent",
                    "choice",
                    needed=False,
                    choices=exhibits,
                    hint="Asked for again beside the letter, where you record it as sent.",
                ),
                Field(
                    "about", "Of a reminder: the notice", "choice", needed=False, choices=notices
                ),
            ),
            about="You see the letter first. Nothing is sent from here: send it, then record it "
            "with its proof.",
            previewed=True,
        ),
        Form(
            "record_past_notice",
            "Record a notice sent before",
            "Record the notice",
            "notices",
            (
                _PARTY,
                _AT,
                Field(
                    "language",
                    "Language",
                    "choice",
                    choices=languages,
                ),
                Field("days", "Days to answer", "number", needed=False, hint="1 to 365."),
                Field("exhibit", "The exhibit that holds it", "choice", choices=exhibits),
            ),
            ordered=False,
        ),
        Form(
            "record_failed_service",
            "Record a failed delivery",
            "Record the attempt",
            "notices",
            (
                _NOTICE,
                _AT,
                Field("method", "By what service", hint="Registered mail, a delivery service."),
                Field("address", "At which address"),
                Field("failure", "Why it failed", hint="Refused, moved, nobody there."),
                Field(
                    "exhibit",
                    "The exhibit that shows it",
                    "choice",
                    needed=False,
                    choices=exhibits,
                ),
            ),
            ordered=False,
        ),
        Form(
            "record_delivery",
            "Record a delivery",
            "Record the delivery",
            "notices",
            (
                _NOTICE,
                _AT,
                Field(
                    "how", "How it arrived", hint="By hand, registered mail, e-mail with receipt."
                ),
                Field("address", "At which address", needed=False),
                _EXHIBIT,
            ),
            ordered=False,
        ),
        Form(
            "record_reply",
            "Record an answer",
            "Record the answer",
            "notices",
            (_NOTICE, _AT, Field("about", "What it says, in a line", "area"), _EXHIBIT),
            ordered=False,
        ),
        Form(
            "add_task",
            "Add a task",
            "Add the task",
            "",
            (
                Field("what", "What is to be done", "area"),
                Field("due", "Until when (UTC)", "moment", needed=False),
            ),
            ordered=False,
        ),
        Form(
            "finish_task",
            "Finish a task",
            "It is done",
            "",
            (Field("task", "Task", "choice", choices=open_tasks),),
            ordered=False,
        ),
        Form(
            "change_state",
            "Change the state",
            "Change the state",
            "",
            (Field("to", "To", "choice", choices=states),),
        ),
        Form(
            "prepare_determination",
            "Prepare a determination",
            "Prepare it",
            "determination",
            (
                _PARTY,
                Field(
                    "as_of", "As of (UTC)", "moment", needed=False, hint="Left empty: as of now."
                ),
            ),
            about="It is advice from rules and dates. Another person reads the exhibits and signs.",
        ),
        Form(
            "sign_determination",
            "Sign a determination",
            "Sign",
            "determination",
            (Field("determination", "Determination", "choice", choices=unsigned),),
            about="You sign under the name that you are signed in with.",
        ),
    )
}
_DRAFTED = ("kind", "aliases", "domains", "numbers")


def _section(heading: str, *fields: Field) -> tuple[Field, ...]:
    return tuple(replace(field, section=heading) for field in fields)


OPEN = Form(
    "open_case",
    "Open a case",
    "Open the case",
    "",
    (
        Field(
            "id", "Number", hint="Letters, digits, dots and dashes; it is the case's name for good."
        ),
        Field("title", "Title"),
        Field("about", "What it is about", "area", needed=False),
        *_section(
            "The party",
            Field(
                "party",
                "Party",
                needed=False,
                hint="The name of the person or company. All below is of it, and may be left "
                "empty.",
            ),
            *(replace(field, needed=False) for field in _PARTY_FIELDS if field.name in _DRAFTED),
        ),
        *_section(
            "What shows it",
            Field(
                "file",
                "Their page, or another exhibit",
                "file",
                needed=False,
                hint="HTML, PDF, image, text, WARC or WACZ, at most 1 MB. It is not changed. A "
                "page that your browser shows: save it as HTML or print it to PDF.",
            ),
            *(replace(field, needed=False) for field in _CONDUCT),
            replace(_BASIS, label="What ties the exhibit to the party", needed=False),
            replace(_STRENGTH, label="How strongly the exhibit is tied to it", needed=False),
        ),
        *_section("Its dates", *_DATES),
        *_section(
            "Its accounts here",
            Field(
                "account",
                "Accounts of the party",
                "lines",
                needed=False,
                hint="One a line, as the console names them. Their pseudonyms are kept.",
            ),
            replace(
                _BASIS,
                name="account_basis",
                label="What ties the accounts to the party",
                needed=False,
            ),
            replace(
                _STRENGTH,
                name="account_strength",
                label="How strongly the accounts are tied to it",
                needed=False,
            ),
        ),
    ),
    about="A title and a reason are enough. What you know of the party can be given at once: the "
    "exhibit is taken in, evidence is drawn from it, and the case then says what is missing.",
)


_ZONED = re.compile(r"(?P<said>.*) \((?P<zone>[A-Za-z_]+(?:/[\w+-]+)*)\)")


def stated_values(e: Evidence) -> dict[str, str]:
    """Return what an item states, as the fields of its correction; dates as a person wrote them.

    A date that nobody stated stays empty, as does one that the fields would not give again: left
    empty, it stays as it is.
    """
    stated = {"party": e.party, "conduct": e.conduct, "violation": "not_stated"}
    stated |= {"basis": str(e.basis), "strength": str(e.strength)}
    if not isinstance(e.violations, UnsetType):
        kinds = [kind for kind in ("bulk", "automated", "non_personal") if kind in e.violations]
        stated["violation"] = "+".join(kinds)
    for name, dates, source in (
        ("until", e.lasted, e.lasted_source),
        ("began", e.began, e.began_source),
    ):
        if isinstance(source, UnsetType) or source.kind != "person":
            continue
        zoned = _ZONED.fullmatch(dates.said)
        said, zone = zoned.group("said", "zone") if zoned else (dates.said, "")
        fields = {"zone": zone, "date_basis": source.basis}
        if all(stated.get(k, v) == v for k, v in fields.items()) and _means(said, zone, dates):
            stated |= {name: said, **fields}
    return stated


def _means(said: str, zone: str, dates: DateRange) -> bool:
    """Whether a date that is written so is these dates."""
    try:
        again = parse_date(said, zone or None)
    except CaseError:
        return False
    return (again.earliest, again.latest) == (dates.earliest, dates.latest)


class BoundField:
    """A field with its value and what may be chosen, as a template shows it."""

    def __init__(self, field: Field, case: Case, value: str) -> None:
        self.field, self.value = field, value
        self.choices = field.choices(case) if field.choices else []

    @property
    def most(self) -> int:
        """The longest value in characters."""
        return _LIMITS.get(self.field.kind, 300)


def bind(form: Form, case: Case, values: Mapping[str, str]) -> list[BoundField]:
    """Return the fields of a form with values."""
    return [BoundField(field, case, values.get(field.name, "")) for field in form.fields]


def read(
    form: Form, case: Case, posted: Mapping[str, str], files: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the values of a form that was sent; raises ApiError (422) for the first wrong one."""
    values: dict[str, Any] = {}
    for field in form.fields:
        if field.kind == "file":
            given = files.get(field.name)
            values[field.name] = _file(given) if given or field.needed else None
            continue
        text = posted.get(field.name, "").strip()
        if field.needed and not text:
            raise ApiError(422, f"“{field.label}” is missing", fix="fill it in")
        if len(text) > _LIMITS[field.kind]:
            raise ApiError(422, f"“{field.label}” is too long", fix="shorten it")
        values[field.name] = _value(field, case, text)
    return values


def _value(field: Field, case: Case, text: str) -> Any:
    if field.choices is not None and text and text not in dict(field.choices(case)):
        raise ApiError(422, f"“{field.label}” is not one of those offered", fix="choose one")
    if field.kind == "lines":
        return tuple(line.strip() for line in text.splitlines() if line.strip())
    if field.kind == "moment":
        if not text:
            return None
        if not _MOMENT.fullmatch(text):
            raise ApiError(422, f"“{field.label}” is no date with a time", fix="2026-03-02T09:00")
        return parse_instant(f"{text}Z")
    if field.kind == "number":
        if text and not (text.isascii() and text.isdigit() and 1 <= int(text) <= 365):
            raise ApiError(422, f"“{field.label}” is not a number from 1 to 365", fix="correct it")
        return int(text) if text else None
    return text


def _file(given: Any) -> UploadedFile:
    if given is None or not given.size:
        raise ApiError(422, "no file was chosen, or it is empty", fix="choose a file")
    if given.size > MAX_UPLOAD:
        raise ApiError(
            422,
            f"the file is larger than {MAX_UPLOAD:,} bytes",
            fix="take it in with the command that this page shows",
        )
    return given
