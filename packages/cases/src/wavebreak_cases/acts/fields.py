"""Fields that several acts have, and what may be chosen for them in a case."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from wavebreak.errors import CaseError
from wavebreak.languages import SOURCE_LANGUAGE, offered_languages
from wavebreak_cases.acts.declaration import REQUIRED, Choices, Fault, Field, Option, Values
from wavebreak_cases.bundles.case_tables import describe_conduct, describe_date, to_words
from wavebreak_cases.cases.case import Case
from wavebreak_cases.cases.date_ranges import format_instant, parse_date
from wavebreak_cases.cases.notices import load_templates
from wavebreak_cases.cases.parties import E164, Basis, Strength
from wavebreak_cases.cases.workflow import TRANSITIONS


def words(*names: str) -> Choices:
    """Return values with their words."""
    return [(name, to_words(name)) for name in names]


def parties(case: Case, _policy: Path | None) -> Choices:
    """The parties that are not merged into another."""
    return [(p.id, f"{p.name} ({p.id})") for p in case.parties.values() if not p.same_as]


def merged_parties(case: Case, _policy: Path | None) -> Choices:
    """The parties that are merged into another."""
    return [
        (p.id, f"{p.name} ({p.id}), merged into {p.same_as}")
        for p in case.parties.values()
        if p.same_as
    ]


def exhibits(case: Case, _policy: Path | None) -> Choices:
    """The exhibits."""
    return [(e.id, f"{e.id}: {e.title}") for e in case.exhibits.values()]


def notices(case: Case, _policy: Path | None) -> Choices:
    """The notices."""
    return [
        (n.id, f"{n.id} to {case.parties[case.root(n.party)].name}") for n in case.notices.values()
    ]


def evidence(case: Case, _policy: Path | None) -> Choices:
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


def open_tasks(case: Case, _policy: Path | None) -> Choices:
    """The tasks that are not done."""
    return [(t.id, f"{t.id}: {t.what[:120]}") for t in case.open_tasks()]


def unsigned(case: Case, _policy: Path | None) -> Choices:
    """The determinations that nobody signed."""
    return [
        (d.id, f"{d.id}: {case.parties[d.value.party].name}, {to_words(d.value.result)}")
        for d in case.determinations.values()
        if not d.signed_by
    ]


def next_states(case: Case, _policy: Path | None) -> Choices:
    """The states that the case may go to."""
    return [(state, state) for state in TRANSITIONS.get(case.state, ())]


def templates(_case: Case, policy: Path | None) -> Choices:
    """The templates of notices in the policy."""
    known = load_templates(policy).template
    return words(*dict.fromkeys(t.id for t in known))


BASES: Mapping[Basis, str] = {
    Basis.STATEMENT: "its own statement",
    Basis.NUMBER: "a number that its page gives",
    Basis.PAYMENT: "a payment",
    Basis.PURCHASE: "a test purchase",
    Basis.INFRASTRUCTURE: "servers, domains or devices that it uses",
    Basis.ADMISSION: "an admission",
    Basis.AFFILIATION: "a party that it belongs with",
    Basis.SUCCESSION: "a party that it took over from",
}
STRENGTH = Field(
    "strength",
    "How strongly",
    "choice",
    values=words(*(str(s) for s in Strength)),
    hint="A tie that nobody judged is “unknown”; it is never taken for one that is there.",
    option=Option("How strongly."),
)
BASIS = Field(
    "basis",
    "What ties it to the party",
    "choice",
    values=[(str(basis), BASES[basis]) for basis in Basis],
    option=Option("What ties it to the party."),
)
PARTY = Field("party", "Party", "choice", choices=parties)
EXHIBIT = Field(
    "exhibit",
    "The exhibit that shows it",
    "choice",
    choices=exhibits,
    option=Option("The exhibit that shows it: E1."),
)
PROOF = replace(EXHIBIT, option=Option("The exhibit that shows it: E1.", default=""))
WHOSE = Field(
    "party",
    "Whose conduct it shows",
    "choice",
    choices=parties,
    option=Option("Whose conduct it shows: P1."),
)
ITEM = Field(
    "item", "Evidence", "choice", choices=evidence, option=Option("The evidence: V1.", "ITEM")
)
NOTICE = Field(
    "notice", "Notice", "choice", choices=notices, option=Option("The notice: N1.", "ITEM")
)
AT = Field(
    "at",
    "When (UTC)",
    "moment",
    past=True,
    option=Option("When: 2026-03-02T09:00:00Z.", default=""),
)
ADDRESS = Field("address", "At which address", option=Option("At which address.", default=""))
LANGUAGE = Field(
    "language",
    "Language",
    "choice",
    values=[(language.code, language.name) for language in offered_languages()],
    option=Option("In which language.", default=SOURCE_LANGUAGE),
)
DAYS = Field(
    "days",
    "Days to answer",
    "number",
    required=False,
    hint="1 to 365.",
    option=Option("Days to answer.", default=None),
)
DATE = "In words or EDTF: 2019-11, about November 2019, before 2020-03, unknown."
DATES = (
    Field(
        "began", "When it began", required=False, hint=f"{DATE} Empty: as the exhibit says.",
        option=Option("When it began: about 2019-11, before 2020, unknown.", default=""),
    ),
    Field(
        "until", "Until when it is shown to have lasted", required=False,
        hint=f"{DATE} Empty: as the exhibit says.",
        option=Option("Until when it is shown to have lasted.", default=""),
    ),
    Field(
        "zone", "Time zone of the dates", required=False, hint="Like Asia/Jerusalem.",
        option=Option("Time zone of dates: Asia/Jerusalem.", default=None),
    ),
    Field(
        "date_basis", "On what these dates rest", required=False,
        hint="A date that you state needs it: the invoice, the archive’s copy.",
        option=Option("On what stated dates rest: 'the invoice'.", default=""),
    ),
)  # fmt: skip
CONDUCT = Field(
    "conduct",
    "What the party did",
    "choice",
    values=[
        ("engaged", "engaged in it"), ("assisted", "assisted others in it"),
        ("neither", "no violation"), ("unknown", "not known"),
    ],
    option=Option("What the party did; neither: no violation."),
)  # fmt: skip
VIOLATION = Field(
    "violation",
    "Kind of violation",
    "several",
    required=False,
    values=[(kind, kind.replace("_", "-")) for kind in ("bulk", "automated", "non_personal")],
    hint="Without one a violation counts as not known.",
    option=Option("Which kind it was; again for more.", default=None),
)


def may_state(each: Field, help_text: str = "") -> Field:
    """A field that a command may leave out, as it is then left as it is."""
    option = each.option or Option("")
    default = "" if each.kind == "choice" and each.choices else None
    return replace(each, option=replace(option, help=help_text or option.help, default=default))


TIE = (may_state(BASIS), may_state(STRENGTH))
LINES = "One a line."
PARTY_FIELDS = (
    Field(
        "kind", "What it is", "choice", values=words("company", "person"),
        option=Option("What it is.", default="company"),
    ),
    Field("name", "Name", option=Option("Its name.", "NAME")),
    Field(
        "aliases", "Other names", "lines", required=False, hint=LINES,
        option=Option("Another name.", "--alias", ()),
    ),
    Field(
        "domains", "Domains", "lines", required=False, hint=LINES,
        option=Option("A domain.", "--domain", ()),
    ),
    Field(
        "numbers", "Numbers that it publishes", "lines", required=False,
        hint="One a line, with the country: +97235550100.", pattern=E164,
        fault="{value} is not E.164: a number with its country, like +972501234567.",
        option=Option("A number it publishes, E.164.", "--number", ()),
    ),
    Field(
        "apps", "Applications that it offers", "lines", required=False, hint=LINES,
        option=Option("An application it offers.", "--app", ()),
    ),
    Field(
        "sites", "Addresses of pages", "lines", required=False, hint=LINES,
        option=Option("A page's address.", "--site", ()),
    ),
    Field("note", "Remark", "area", required=False, option=Option("A remark.", default="")),
    Field(
        "calendar", "Its calendar of days of business", required=False,
        hint="israel, united-states, monday-to-friday: letters count days to answer by it.",
        option=Option("Its calendar of days of business: israel, united-states.", default=""),
    ),
    Field(
        "age", "Is it of age?", "choice", required=False,
        values=[("not_stated", "Not stated"), ("adult", "Of age"), ("minor", "A minor")],
        hint="No letter is written to a minor.",
        option=Option("Whether it is of age.", default="not_stated"),
    ),
)  # fmt: skip
FILE = Field(
    "file",
    "File",
    "file",
    hint="HTML, PDF, image, text, WARC or WACZ, at most 1 MB. It is not changed.",
    option=Option("What `wavebreak claim` wrote, or a file.", "SOURCE"),
)
CONDUCT_ENDS = (("began", "when it began"), ("until", "until when it lasted"))
_TIE_ENDS = (("since", "since when it held"), ("until", "until when it held"))
TIE_DATES = (
    Field(
        "since", "Since when that was so", required=False, hint=f"{DATE} Empty: not stated.",
        option=Option("Since when that was so: 2020-03, before 2020.", default=""),
    ),
    Field(
        "until", "Until when that was so", required=False,
        hint=f"{DATE} Empty: it is so still, for all that is known.",
        option=Option("Until when that was so.", default=""),
    ),
    *DATES[2:],
)  # fmt: skip
JOINT = (
    Field(
        "jointly", "Done together with", "lines", required=False, pattern=re.compile("P[0-9]{1,5}"),
        fault="{value} is no party of the case: write it like P2.",
        hint="Other parties: P2. One a line.",
        option=Option("It was done together with this party; again for more.", default=()),
    ),
    Field(
        "part", "Of mixed use, which part", required=False,
        hint="The messages by the interface at night. Empty: all of it.",
        option=Option("Of mixed use, which part of it this is.", default=""),
    ),
)  # fmt: skip


def tie_date_faults(case: Case, values: Values, now: int | None) -> Iterator[Fault]:
    """Dates of a tie that are not understood, have not come yet, or rest on nothing."""
    return date_faults(case, values, now, _TIE_ENDS)


WHY = Option("Why, in a line.", default="")
WHY_NOT_STATED = replace(WHY, default="not stated")
WHY_NEEDED = replace(WHY, default=REQUIRED)


def date_faults(
    _case: Case, values: Values, now: int | None, ends: tuple[tuple[str, str], ...] = CONDUCT_ENDS
) -> Iterator[Fault]:
    """Dates that are not understood, have not come yet, or rest on nothing.

    A case refuses the first of them as well, in the same words. `ends` are the fields, and what
    each says.
    """
    stated = False
    for name, what in ends:
        if not values[name]:
            continue
        try:
            dates = parse_date(values[name], values["zone"] or None)
        except CaseError as error:
            yield Fault(name, error.what, error.fix, error.code)
            continue
        stated |= dates.earliest is not None or dates.latest is not None
        if now is not None and dates.earliest is not None and dates.earliest > now:
            then = format_instant(dates.earliest)
            yield Fault(name, f"{what} is in the future: {then}", "give the time at which it was")
    if stated and not values["date_basis"].strip():
        yield Fault(
            "date_basis",
            "a date that a person states needs its basis",
            "say on what it rests, as in: the invoice of 3 May 2021",
            "date-without-basis",
        )
