"""The chronology of facts that a case gives: what was when, and by what source.

Facts come from exhibits (publication, capture, conduct), from the platform's log (first and last
acts, measures) and from the case (notices, determinations). Steps that only record them are none.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec import UnsetType

from wavebreak.engine.decision import Decision
from wavebreak_cases import claims
from wavebreak_cases.bundles import reproduction
from wavebreak_cases.bundles.evidence_dates import read_exhibit
from wavebreak_cases.bundles.report_text import ReportText
from wavebreak_cases.cases.case import Case, Exhibit, context_for_party
from wavebreak_cases.cases.date_ranges import DateRange, parse_instant
from wavebreak_cases.cases.notices import Delivery, ServiceAttempt
from wavebreak_cases.cases.parties import DateSource, Evidence
from wavebreak_cases.cases.reasons import Writer
from wavebreak_cases.cases.workflow import is_current
from wavebreak_cases.claims.exhibits import EXHIBIT, Published


class Fact(NamedTuple):
    """A fact: its instant (ms), its date in words, what was, and what gives it."""

    at: int
    when: str
    what: str
    source: str


def list_facts(directory: Path, case: Case, text: ReportText) -> list[Fact]:
    """Return the dated facts of a case, earliest first.

    Args:
        directory: The case's directory, or a bundle's payload.
        case: The case.
        text: Words of the language that they are in.
    """
    facts = [
        *(fact for e in case.exhibits.values() for fact in _exhibit_facts(directory, e, text)),
        *_conduct_facts(case, text),
        *_notice_facts(case, text),
        *_determination_facts(case, text),
    ]
    for reversal in case.reversals.values():
        what = text("fact_reversed", account=reversal.account, basis=reversal.basis)
        facts.append(_fact(text, reversal.at, what, text("source_case")))
    for bar in case.bars.values():
        said = text.bar(bar, case.parties[case.root(bar.party)].name)
        facts.append(_fact(text, bar.since, said, bar.exhibit))
    for account, (at, _) in case.erasures.items():
        facts.append(_fact(text, at, text("fact_erased", account=account), text("source_case")))
    return sorted(facts, key=lambda fact: fact.at)


def _fact(text: ReportText, at: int, what: str, source: str) -> Fact:
    return Fact(at, text.instant(at), what, source)


def is_page(place: Path, exhibit: Exhibit) -> bool:
    """Whether an exhibit is a captured or added page, which may offer something."""
    if exhibit.kind not in ("claim", "document") or not (place / EXHIBIT).exists():
        return False
    return claims.load_exhibit(place).kind in ("capture", "upload")


def _exhibit_facts(directory: Path, exhibit: Exhibit, text: ReportText) -> Iterator[Fact]:
    place = directory / exhibit.path
    if exhibit.kind == "platform_run":
        yield from _run_facts(place, exhibit, text)
    elif (place / EXHIBIT).exists() and exhibit.kind not in ("delivery", "reply"):
        about = claims.load_exhibit(place)
        key = "fact_captured" if about.kind == "capture" else "fact_added"
        taken = parse_instant(about.captured_at)
        yield _fact(text, taken, text(key, title=exhibit.title), exhibit.id)
        reading = read_exhibit(place) if is_page(place, exhibit) else None
        public = about.published or (reading.published if reading else None)
        if public is not None:
            yield from _published(public, exhibit, text)


def _published(public: Published, exhibit: Exhibit, text: ReportText) -> Iterator[Fact]:
    ends = [None if at is None else parse_instant(at) for at in (public.earliest, public.latest)]
    known = [at for at in ends if at is not None]
    if known:
        days = dict.fromkeys(text.day(at) for at in ends)
        what = text("fact_published", title=exhibit.title)
        source = f"{exhibit.id}, {text.basis(public.basis)}" if public.basis else exhibit.id
        yield Fact(known[0], " – ".join(days), what, source)


def _run_facts(place: Path, exhibit: Exhibit, text: ReportText) -> Iterator[Fact]:
    source = f"{exhibit.id}, {text('source_log')}"
    raw = (place / reproduction.NUMBERS).read_bytes()
    for account, number in msgspec.json.decode(raw, type=dict[str, reproduction.Conduct]).items():
        if number.first is None or number.last is None:
            continue
        yield _fact(text, number.first, text("fact_first", account=account), source)
        messages = text.count("message", number.counts.get("sends", 0))
        last = text("fact_last", account=account, messages=messages)
        yield _fact(text, number.last, last, source)
    seen = set[tuple[str, str]]()
    for decision in relied_decisions(place):
        if (decision.account, decision.outcome) not in seen:
            seen.add((decision.account, decision.outcome))
            outcome = text.of("outcomes", decision.outcome)
            what = text("fact_decided", outcome=outcome, account=decision.account)
            yield _fact(text, decision.ts, what, source)


def relied_decisions(place: Path) -> list[Decision]:
    """Return the decisions of a run's exhibit that are on its accounts."""
    raw = (place / reproduction.ABOUT).read_bytes()
    about = msgspec.json.decode(raw, type=reproduction.RerunManifest)
    lines = (place / reproduction.DECISIONS).read_bytes().splitlines()[: about.as_run]
    made = [msgspec.json.decode(line, type=Decision) for line in lines]
    return [decision for decision in made if decision.account in about.accounts]


def conduct_words(case: Case, e: Evidence, text: ReportText) -> dict[str, str]:
    """Return what an item is stated to show, in words: party, conduct, violations, where."""
    writer = Writer(text.language, context_for_party(case, e.party), e.party)
    words = writer.wording.words
    kinds = () if isinstance(e.violations, UnsetType) else e.violations
    joint = f" {writer.wording.and_} "
    return {
        "party": case.parties[case.root(e.party)].name,
        "conduct": words["unknown_conduct" if e.conduct == "unknown" else e.conduct]
        if e.conduct != "neither"
        else "",
        "violations": joint.join(words[kind] for kind in kinds) or words["unknown_violation"],
        "where": words[e.kind],
    }


def date_words(case: Case, e: Evidence, text: ReportText, end: str) -> str:
    """Return when the conduct of an item `began`, or `lasted`, with what that rests on."""
    writer = Writer(text.language, context_for_party(case, e.party), e.party)
    if end == "began":
        return writer.dates("span", e.began, e.began_source)
    return writer.dates("until", e.lasted, e.lasted_source)


def _conduct_facts(case: Case, text: ReportText) -> Iterator[Fact]:
    for e in case.evidence.values():
        if e.kind == "on_platform" or e.conduct == "neither" or e.confirmed == "no":
            continue
        ends: list[tuple[str, DateRange, DateSource | UnsetType]] = [
            ("began", e.began, e.began_source), ("lasted", e.lasted, e.lasted_source),
        ]  # fmt: skip
        for end, dates, source in ends:
            at = dates.earliest if dates.earliest is not None else dates.latest
            if at is None or isinstance(source, UnsetType):
                continue
            words = conduct_words(case, e, text) | {end: date_words(case, e, text, end)}
            what = text(f"fact_{end}", **words)
            if e.confirmed != "yes":
                what = text("fact_unconfirmed", fact=what)
            days = (None if at is None else text.day(at) for at in (dates.earliest, dates.latest))
            when = " – ".join(dict.fromkeys(day for day in days if day))
            yield Fact(at, when, what, f"{e.exhibit} ({e.id})")


def _notice_facts(case: Case, text: ReportText) -> Iterator[Fact]:
    record = text("source_case")
    for notice in case.notices.values():
        named = {"notice": notice.id, "party": case.parties[notice.party].name}
        held = record if isinstance(notice.exhibit, UnsetType) else notice.exhibit
        yield _fact(text, notice.sent, text("fact_sent", **named), held)
        if notice.due is not None:
            yield _fact(text, notice.due, text("fact_deadline", **named), record)
        for d in case.deliveries:
            if d.notice == notice.id:
                what = text("fact_arrived", **named, how=service_words(d))
                yield _fact(text, d.at, what, d.exhibit)
        for a in case.attempts:
            if a.notice == notice.id:
                what = text("fact_failed", **named, how=attempt_words(a))
                held = record if isinstance(a.exhibit, UnsetType) else a.exhibit
                yield _fact(text, a.at, what, held)
        for r in case.replies:
            if r.notice == notice.id:
                yield _fact(text, r.at, text("fact_answered", **named, how=r.about), r.exhibit)


def service_words(delivery: Delivery) -> str:
    """How a notice arrived, with method and address where they are recorded."""
    given = (delivery.how, delivery.method, delivery.address)
    said = [each for each in given if isinstance(each, str)]
    return said[0] if said[1:] and said[0] == ", ".join(said[1:]) else "; ".join(said)


def attempt_words(attempt: ServiceAttempt) -> str:
    """How a notice was not served: method, address, failure."""
    return f"{attempt.method}, {attempt.address}: {attempt.failure}"


def _determination_facts(case: Case, text: ReportText) -> Iterator[Fact]:
    for made in case.determinations.values():
        named = {"id": made.id, "party": case.parties[made.value.party].name}
        result = text.tie(made.value.result)
        current = is_current(case, made.value)
        said = text("fact_determined", **named, result=result)
        said = said if current else text("fact_not_current", fact=said)
        yield _fact(text, made.at, said, text("source_case"))
        if made.signed_at is not None:
            signed = text(
                "fact_signed", id=made.id, by=made.signed_by,
                role=text.of("roles", made.value.signs),
            )  # fmt: skip
            signed = signed if current else text("fact_not_current", fact=signed)
            yield _fact(text, made.signed_at, signed, text("source_case"))
