"""Steps of a case, made of what a person says: the command `case` and the console's forms alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from wavebreak.durations import DAY_MS
from wavebreak.errors import CaseError
from wavebreak_cases.bundles.pseudonyms import case_key, make_renamer
from wavebreak_cases.cases.business_days import end_of_day
from wavebreak_cases.cases.case import AccountLinked, Case, PartyNamed, Reversal, Task, TaskAdded
from wavebreak_cases.cases.date_ranges import DateRange, format_instant, parse_date
from wavebreak_cases.cases.notices import Language, Notice
from wavebreak_cases.cases.parties import Basis, DateSource, Link, Party, Strength, TieDates
from wavebreak_cases.cases.workflow import apply_step, require_current


def party_named(
    case: Case,
    name: str,
    *,
    kind: Any = "company",
    number: str = "",
    aliases: Sequence[str] = (),
    domains: Sequence[str] = (),
    numbers: Sequence[str] = (),
    apps: Sequence[str] = (),
    sites: Sequence[str] = (),
    note: str = "",
    calendar: str = "",
    age: Any = "not_stated",
) -> PartyNamed:
    """Return the step that names a party, or names it anew.

    Args:
        case: The case so far.
        name: Its name.
        kind: "person" or "company".
        number: The party to name anew: P1 ("": a new one). It stays merged where it was.
        aliases: Other names.
        domains: Domains.
        numbers: Numbers that it publishes, E.164.
        apps: Applications that it offers.
        sites: Addresses of pages.
        note: A remark.
        calendar: Its calendar of days of business ("": as before).
        age: "adult", "minor" or "not_stated", which leaves it as before.
    """
    known = case.parties.get(number)
    return PartyNamed(
        Party(
            number or case.fresh("P"),
            kind,
            name,
            tuple(aliases),
            tuple(domains),
            tuple(numbers),
            tuple(apps),
            tuple(sites),
            note,
            known.same_as if known else "",
            calendar or (known.calendar_name if known else UNSET),
            age if age != "not_stated" else known.age_group if known else UNSET,
        )
    )


def account_linked(
    case: Case,
    secret: bytes,
    party: str,
    account: str,
    basis: Basis,
    strength: Strength,
    exhibit: str,
    dates: TieDates | UnsetType = UNSET,
) -> AccountLinked:
    """Return the step that links an account to a party; it holds the case's pseudonym alone."""
    hidden = make_renamer(case_key(secret, case.id))("a", account)
    return AccountLinked(Link(party, hidden, basis, strength, exhibit, dates))


def tie_dates(stated: Mapping[str, Any], by: str) -> TieDates | UnsetType:
    """Return since when and until when a tie held, as a person states it; UNSET where nobody does.

    Args:
        stated: `since`, `until`, the time `zone` of both, and `date_basis`.
        by: Who states it.

    Raises:
        CaseError: A date is not understood, or stated without a basis.
    """
    zone, basis = stated.get("zone") or None, str(stated.get("date_basis") or "").strip()
    since, until = (
        parse_date(stated[end], zone) if stated.get(end) else DateRange()
        for end in ("since", "until")
    )
    if DateRange() == since == until:
        return UNSET
    if not basis:
        raise CaseError(
            "a date that a person states needs its basis",
            fix="say on what it rests, as in: the contract of sale",
            code="date-without-basis",
        )
    if None not in (since.earliest, until.latest) and until.latest < since.earliest:  # type: ignore[operator]
        raise CaseError("the tie ends before it begins", fix="give an end after its beginning")
    return TieDates(since, until, DateSource("person", by, basis))


def action_reversed(case: Case, secret: bytes, account: str, at_ms: int, basis: str) -> Reversal:
    """Return a reversal of the action against an account, under the case's pseudonym."""
    return Reversal(make_renamer(case_key(secret, case.id))("a", account), at_ms, basis)


def past_notice(
    case: Case, party: str, language: Language, sent_ms: int, exhibit: str, days: int | None
) -> Notice:
    """Return a notice that was sent before it was recorded, as an exhibit holds it.

    Args:
        case: The case so far.
        party: To whom it was sent.
        language: In which language.
        sent_ms: When it was sent.
        exhibit: The exhibit that holds it.
        days: The days that it gave to answer (None: it gave none, and has no deadline).
    """
    title = case.exhibits[exhibit].title if exhibit in case.exhibits else exhibit
    deadline = end_of_day(sent_ms + days * DAY_MS) if days else sent_ms
    words = (f"As in exhibit {exhibit}.",)
    return Notice(
        case.fresh("N"), party, "recorded", language, title, words, sent_ms, deadline, exhibit
    )


def sent_notice(case: Case, draft: Notice, sent_ms: int, exhibit: str) -> Notice:
    """Return a draft as the notice that was sent, under the next number.

    Args:
        case: The case so far.
        draft: The letter's draft.
        sent_ms: When a person sent it.
        exhibit: The exhibit that proves it.

    Raises:
        CaseError: No exhibit is given, or it was sent before the date of the letter, or after the
            date that it gives to answer, or on a determination that was not current then.
    """
    if not exhibit:
        raise CaseError(
            "a notice is recorded as sent with its proof",
            fix="add the receipt, or the letter as it was sent, as an exhibit, and name that",
        )
    if sent_ms // DAY_MS < draft.sent // DAY_MS:
        raise CaseError(
            f"the letter is dated {format_instant(draft.sent)[:10]} and was not sent before that",
            fix="give the date at which it was sent; a letter of an earlier date is recorded "
            "without its draft, as its exhibit holds it",
            code="sent-before-dated",
        )
    if sent_ms > draft.deadline:
        raise CaseError(
            "the letter was sent after the date that it gives to answer",
            fix="draft it again, and send that",
        )
    _require_current_then(case, draft.party, sent_ms)
    return msgspec.structs.replace(draft, id=case.fresh("N"), sent=sent_ms, exhibit=exhibit)


def _require_current_then(case: Case, party: str, at_ms: int) -> None:
    """Raise CaseError where the determination on a party was not current when a letter was sent."""
    then = Case(case.id)
    for step in case.steps:
        if step.at > at_ms:
            break
        then = apply_step(then, step)
    try:
        require_current(then, party)
    except CaseError as error:
        raise CaseError(
            f"{error.what}, and the letter was sent after that",
            fix="draft it again; one that was sent nevertheless is recorded without its draft, as "
            "its exhibit holds it",
        ) from None


def read_draft(path: Path) -> Notice:
    """Read the draft of a letter; raises `CaseError` where it is none."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Notice)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        raise CaseError(
            f"{path} is no draft of a letter",
            fix="give the draft that was written beside the letter: N1.json",
            code="no-draft-of-a-letter",
        ) from None


def task_added(case: Case, what: str, due_ms: int | None) -> TaskAdded:
    """Return the step that adds a task."""
    return TaskAdded(Task(case.fresh("T"), what, due_ms))
