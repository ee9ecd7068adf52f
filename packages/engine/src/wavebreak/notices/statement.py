"""Statement of reasons: what a decision means for the account's holder, why, and the way out.

A statement names facts, never the threshold that they met, and never another person or account.
What is refused and what still works is asked of `engine.enforcement.refuses`, so that a statement
cannot promise what enforcement refuses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import msgspec

from wavebreak.durations import DAY_MS
from wavebreak.engine.decision import Decision
from wavebreak.engine.enforcement import (
    GROUP_CREATED,
    MEMBER_ADDED,
    SENT,
    SENT_GROUP,
    SESSION,
    refuses,
)
from wavebreak.errors import UsageError
from wavebreak.features.layout import HELD
from wavebreak.languages import Language, get_language
from wavebreak.notices.platform import Platform
from wavebreak.notices.reasons import Term, decision_facts, load_rule_texts
from wavebreak.notices.texts import TEXTS, Link, Section, present_links
from wavebreak.outcomes import NOT_REFUSING, OUTCOMES, TIMED, WITHOUT_NOTICE, code_of, reaches
from wavebreak.schema.events import PERSONS, Challenge, Channel, Source

VERSION = 1
Status = Literal["in_force", "ended", "none"]
Result = Literal["unchanged", "partially_reversed", "reversed"]
GroundKind = Literal["breach", "precaution", "protection", "none"]
AutomatedDecision = Literal["fully", "partially", "not_automated"]


class Links(msgspec.Struct, frozen=True, kw_only=True):
    """Where this statement's links lead: addresses of this decision, else the platform's own."""

    appeal: str = ""
    challenge: str = ""
    statement: str = ""


class Circumstances(msgspec.Struct, frozen=True, kw_only=True):
    """Facts beside the decision for a statement; each may be left out.

    Attributes:
        zone: The holder's time zone (IANA).
        notified_ms: When the holder was notified.
        challenge: The kind of challenge that is asked for, or would raise an allowance.
        label_source: The source of the label, if a label decided.
        automated_detection: Whether conduct that a person decided on was found automatically.
        channel: The account's channel.
        abuse: Kind of abuse by rule, for rules of a local policy.
        is_enforced: Whether the service enforces decisions (False: shadow).
        ended_ms: When a later decision ended this one (None: none did).
        reviewed: The decision that a person reviewed, whose facts they saw.
    """

    zone: str = "UTC"
    notified_ms: int | None = None
    challenge: Challenge | None = None
    label_source: Source | None = None
    automated_detection: bool | None = None
    channel: Channel = "personal"
    abuse: dict[str, str] = {}
    is_enforced: bool = True
    ended_ms: int | None = None
    reviewed: Decision | None = None


class Correction(msgspec.Struct, frozen=True, kw_only=True):
    """Result of a review of a decision.

    Attributes:
        result: The result.
        reason: The reviewer's words, in the holder's language.
        outcome: The outcome in force afterwards.
        until_ms: The end (None: none).
    """

    at_ms: int
    result: Result
    reason: str
    outcome: str = "allow"
    until_ms: int | None = None


class Restriction(msgspec.Struct, frozen=True, kw_only=True):
    """A restriction; `refused` and `works` are names of acts, stable for programs."""

    refused: tuple[str, ...]
    works: tuple[str, ...]
    since_ms: int
    until_ms: int | None
    status: Status
    new_chats_1d: int | None = None


class Ground(msgspec.Struct, frozen=True, kw_only=True):
    """The term behind a decision, and whether a breach is established (`breach`)."""

    kind: GroundKind
    basis: str
    term: Term | None
    clause: str
    terms_url: str


class Automation(msgspec.Struct, frozen=True, kw_only=True):
    """Whether detection and decision were automated."""

    detection: bool
    decision: AutomatedDecision


class Appeal(msgspec.Struct, frozen=True, kw_only=True):
    """How to appeal; always free. `until_ms` is the last instant."""

    url: str
    until_ms: int
    open: bool
    free: bool = True


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """A statement of reasons, for programs and, as `sections`, for a page.

    It holds neither the account's id nor any other person's: who receives it knows the account.
    """

    decision: str
    outcome: str
    language: str
    direction: str
    title: str
    restriction: Restriction
    facts: tuple[str, ...]
    ground: Ground
    automation: Automation
    challenge: Challenge | None
    appeal: Appeal | None
    corrections: tuple[Correction, ...]
    sections: tuple[Section, ...]
    zone: str = "UTC"
    version: int = VERSION

    def text(self) -> str:
        """Return the statement as plain text: title and sections, separated by empty lines."""
        parts = ["\n".join(section.lines()) for section in self.sections]
        return "\n\n".join([self.title, *parts])


class _Act(NamedTuple):
    """An act of a holder (`[act]` of `texts.toml`), with the arguments of `refuses`."""

    name: str
    kind: int
    opens: int = 0
    linked: int = 0


_ACTS = (
    _Act("write_existing_chats", SENT),
    _Act("answer", SENT),
    _Act("write_contacts", SENT),
    _Act("write_groups", SENT_GROUP),
    _Act("mention_many", SENT_GROUP, 1),
    _Act("start_chats", SENT, 1),
    _Act("create_groups", GROUP_CREATED),
    _Act("add_contacts", MEMBER_ADDED),
    _Act("add_strangers", MEMBER_ADDED, 1),
    _Act("link_devices", SESSION, 0, 1),
)
_RECEIVING = ("receive", "protect")
"""Never refused (`refuses`); a ban ends the use of the account altogether."""

_GROUNDS: dict[str, GroundKind] = {
    "doubt": "precaution",
    "takeover": "protection",
    "evidence": "breach",
    "impossible": "breach",
    "tie": "breach",
    "person": "breach",
}
_BY_PERSON: frozenset[Source | None] = frozenset({None, *PERSONS})


def read_decision(decision: Mapping[str, Any] | Decision) -> Decision:
    """Return a stored decision as a struct.

    Raises:
        UsageError: A field of the decision is missing or of another type.
    """
    if isinstance(decision, Decision):
        return decision
    fix = "give a decision as `decisions.jsonl` holds it"
    try:
        decision = msgspec.convert(dict(decision), Decision)
    except msgspec.ValidationError as error:
        raise UsageError(f"this is no decision: {error}", fix=fix) from None
    if decision.outcome not in OUTCOMES:
        raise UsageError(f"this is no decision: outcome {decision.outcome[:32]!r}", fix=fix)
    return decision


def is_held(decision: Decision) -> bool:
    """Whether every send waits for the owner: a takeover is suspected."""
    return decision.outcome == "challenge" and (
        decision.action == "recover" or decision.basis == "takeover"
    )


def is_left_open(decision: Decision) -> bool:
    """Whether a person set the outcome and called the account neither abusive nor benign."""
    return decision.basis == "person" and not decision.rules and decision.outcome != "allow"


def outcome_form(outcome: str, *, has_end: bool, held: bool = False) -> str:
    """Return the name of an outcome's texts: a ban with an end and a takeover have their own."""
    if held:
        return "held"
    return "ban_with_end" if outcome == "ban" and has_end else outcome


def ground_kind(decision: Decision) -> GroundKind:
    """Return whether a breach is established, suspected, or not in question."""
    if decision.outcome == "allow":
        return "none"
    if decision.outcome == "observe" or is_left_open(decision):
        return "precaution"
    return _GROUNDS.get(decision.basis, "breach" if decision.outcome == "ban" else "precaution")


def automation(
    decision: Decision, source: Source | None = None, detection: bool | None = None
) -> Automation:
    """Return whether conduct was found and decided on automatically.

    Args:
        decision: The decision.
        source: The source of the label, if a label decided; unknown: a person.
        detection: Whether conduct that a person decided on was found automatically; unknown: no.
    """
    if decision.basis != "person":
        return Automation(detection=True, decision="fully")
    if source in _BY_PERSON:
        return Automation(detection=bool(detection), decision="not_automated")
    return Automation(detection=source == "honeypot", decision="fully")


def appeal_deadline(
    decision: Mapping[str, Any] | Decision, platform: Platform, notified_ms: int | None = None
) -> int:
    """Return the last instant of an appeal (ms).

    `appeal_days` after the decision, its end, or the notification, whichever is latest.

    >>> from wavebreak.notices.platform import load_platform
    >>> decision = {"id": "d1", "ts": 0, "account": "a", "stage": "review", "outcome": "restrict",
    ...     "action": "restrict", "until": 86_400_000, "score": None, "rules": [], "reasons": [],
    ...     "trigger": "", "policy": "", "model": None, "features": ""}
    >>> appeal_deadline(decision, load_platform()) // 86_400_000
    181
    """
    decision = read_decision(decision)
    latest = max(decision.ts, decision.until or 0, notified_ms or 0)
    return latest + platform.appeal_days * DAY_MS


@dataclass(frozen=True)
class _Writer:
    """All that the sections of one statement read."""

    decision: Decision
    platform: Platform
    language: Language
    now_ms: int
    links: Links
    about: Circumstances

    def _(self, text: str, **values: object) -> str:
        return self.language.gettext(text, **values)

    def text(self, table: str, name: str) -> str:
        """Return a text of `texts.toml`."""
        return self.language.gettext(TEXTS[table][name])

    @property
    def form(self) -> str:
        """The name of the texts of the outcome."""
        decision = self.decision
        if not self.about.is_enforced and decision.outcome not in WITHOUT_NOTICE:
            return "shadow"
        has_end = decision.until is not None
        return outcome_form(decision.outcome, has_end=has_end, held=is_held(decision))

    def instant(self, ms: int) -> str:
        return self.language.format_instant(ms, self.about.zone)

    @property
    def outcome(self) -> str:
        return self.decision.outcome

    @property
    def challenge(self) -> Challenge | None:
        """The challenge that ends the outcome or raises the allowance, if the kind is known."""
        raises = self.outcome == "limit" and self.decision.basis == "doubt"
        if self.outcome == "challenge" or raises:
            return self.about.challenge or ("push" if is_held(self.decision) else None)
        return None

    @property
    def until_ms(self) -> int | None:
        """When the decision ends: by a later decision, else by itself."""
        return self.decision.until if self.about.ended_ms is None else self.about.ended_ms

    @property
    def status(self) -> Status:
        if self.form == "shadow" or self.outcome in WITHOUT_NOTICE:
            return "none"
        if self.until_ms is not None and self.until_ms <= self.now_ms:
            return "ended"
        return "none" if self.outcome in NOT_REFUSING else "in_force"

    @property
    def term(self) -> Term | None:
        """The term of the deciding rule, else that of the model's text.

        A verdict names no kind of abuse: its term is that of the decision that the person reviewed.
        """
        decision, texts, unfounded = self.decision, load_rule_texts(), ("none", "protection")
        if ground_kind(decision) in unfounded:
            return None
        reviewed = self.about.reviewed
        if decision.basis == "person" and reviewed and ground_kind(reviewed) not in unfounded:
            decision = reviewed
        if not decision.rules:
            return texts.score.term
        rule = decision.rules[0]
        return texts.find(rule, self.about.abuse.get(rule, ""), decision.basis).term

    def acts(self, *, refused: bool) -> list[_Act]:
        """The acts that the outcome refuses (of a limit: beyond its allowance), or the others."""
        code = code_of("allow" if self.form == "shadow" else self.outcome)
        quota = HELD if is_held(self.decision) else 0
        return [
            act
            for act in _ACTS
            if bool(refuses(code, act.kind, act.opens, act.linked, quota, quota)) == refused
        ]


def build_statement(
    decision: Mapping[str, Any] | Decision,
    *,
    platform: Platform,
    language: Language,
    now_ms: int,
    links: Links | None = None,
    circumstances: Circumstances | None = None,
    corrections: Sequence[Correction] = (),
) -> Statement:
    """Write the statement of reasons of one decision.

    Args:
        decision: The stored decision.
        platform: Names, terms and links of the operator.
        language: The language to write in.
        now_ms: The time of writing; an outcome that ended before is described as ended.
        links: Addresses for this decision; the platform's own where they are empty.
        circumstances: Facts beside the decision.
        corrections: Results of reviews, oldest first.

    Raises:
        UsageError: The decision lacks a field.

    >>> from wavebreak.languages import get_language
    >>> from wavebreak.notices.platform import load_platform
    >>> decision = {"id": "d1", "ts": 1_772_373_730_000, "account": "a", "stage": "messaging",
    ...     "outcome": "restrict", "action": "restrict", "until": 1_772_546_530_000, "score": None,
    ...     "rules": ["evidence_of_unwanted_messages"], "reasons": [
    ...     {"feature": "unanswered_evidence", "value": 150.0},
    ...     {"feature": "stranger_contacts", "value": 21.0},
    ...     {"feature": "stranger_answers", "value": 2.0},
    ...     {"feature": "stranger_complaints", "value": 3.0}], "trigger": "e", "policy": "p",
    ...     "model": None, "features": "f", "basis": "evidence", "new_chats_1d": None}
    >>> written = build_statement(decision, platform=load_platform(), language=get_language("en"),
    ...     now_ms=1_772_373_730_000)
    >>> written.title, written.facts[1]
    ('You cannot start new chats for now', 'Of 21 people you wrote to first, 2 answered and 3 \
blocked or reported you, or do not know you.')
    >>> build_statement(decision, platform=load_platform(), language=get_language("he"),
    ...     now_ms=0).facts[1]
    'מתוך 21 אנשים שפניתם אליהם ביוזמתכם, שניים השיבו ו־3 חסמו אתכם, \
דיווחו עליכם או אינם מכירים אתכם.'
    """
    decision = read_decision(decision)
    writer = _Writer(
        decision,
        platform,
        language,
        now_ms,
        links or Links(),
        circumstances or Circumstances(),
    )
    facts = tuple(_facts(writer))
    term = writer.term
    ground = Ground(
        kind=ground_kind(decision),
        basis=decision.basis,
        term=term,
        clause=platform.clause(term, language) if term else "",
        terms_url=platform.links.terms if term else "",
    )
    details, appeal = writer.about, _appeal(writer)
    how_decided = automation(decision, details.label_source, details.automated_detection)
    sections = (
        _restriction_section(writer),
        _works_section(writer),
        Section(id="facts", heading=writer._("Why"), paragraphs=facts),
        _ground_section(writer, ground),
        _automation_section(writer, how_decided),
        _way_out_section(writer),
        _appeal_section(writer, appeal),
        _business_section(writer),
        _contact_section(writer),
    )
    receiving = () if decision.outcome == "ban" else _RECEIVING
    statement = Statement(
        decision=decision.id,
        outcome=decision.outcome,
        language=language.code,
        direction=language.direction,
        title=_title(language, writer.form, is_ended=writer.status == "ended"),
        restriction=Restriction(
            refused=tuple(act.name for act in writer.acts(refused=True)),
            works=(*receiving, *(act.name for act in writer.acts(refused=False))),
            since_ms=decision.ts,
            until_ms=writer.until_ms,
            status=writer.status,
            new_chats_1d=decision.new_chats_1d,
        ),
        facts=facts,
        ground=ground,
        automation=how_decided,
        challenge=writer.challenge,
        appeal=appeal,
        corrections=(),
        sections=tuple(section for section in sections if section is not None),
        zone=writer.about.zone,
    )
    return with_corrections(statement, corrections)


def with_corrections(
    statement: Statement, corrections: Sequence[Correction], now_ms: int | None = None
) -> Statement:
    """Return a statement with the results of reviews above the unchanged text.

    The title states the current outcome. The old text stays: a vanished notice leaves readers
    without the reason of the past restriction. A stored statement is corrected without a new
    version.

    Args:
        statement: The statement.
        corrections: The results of reviews, oldest first.
        now_ms: The time of reading; what has ended by then is said to have ended (None: nothing).
    """
    if not corrections:
        return statement
    language, restriction = get_language(statement.language), statement.restriction
    corrected = tuple(
        _correction_section(correction, language, statement.zone, n, now_ms)
        for n, correction in enumerate(corrections)
    )
    sections = [s for s in statement.sections if not s.id.startswith("correction")]
    changes = [correction for correction in corrections if correction.result != "unchanged"]
    is_reversed = bool(changes) and changes[-1].result == "reversed"
    has_ended = _is_over(restriction.until_ms, now_ms)
    title = statement.title
    if is_reversed:
        title = language.gettext(TEXTS["title"]["reversed"])
    elif changes:
        last = changes[-1]
        form = outcome_form(last.outcome, has_end=last.until_ms is not None)
        title = _title(language, form, is_ended=_is_over(last.until_ms, now_ms))
    elif restriction.status == "in_force" and has_ended:
        is_protection = statement.ground.kind == "protection"
        form = outcome_form(statement.outcome, has_end=True, held=is_protection)
        title = _title(language, form, is_ended=True)
    if restriction.status == "in_force" and (is_reversed or has_ended):
        restriction = msgspec.structs.replace(restriction, status="ended")
    return msgspec.structs.replace(
        statement,
        title=title,
        restriction=restriction,
        corrections=tuple(corrections),
        sections=(*corrected, *sections),
    )


def _is_over(until_ms: int | None, now_ms: int | None) -> bool:
    return until_ms is not None and now_ms is not None and until_ms <= now_ms


def _title(language: Language, form: str, *, is_ended: bool) -> str:
    titles = TEXTS["title_ended"] if is_ended else TEXTS["title"]
    return language.gettext(titles.get(form) or TEXTS["title"][form])


def _facts(writer: _Writer) -> list[str]:
    """Return the facts of the decision, then the facts that the deciding person saw."""
    decisions = [writer.decision]
    if writer.outcome != "allow" and writer.decision.basis == "person" and writer.about.reviewed:
        decisions.append(writer.about.reviewed)
    facts = [
        fact
        for decision in decisions
        for fact in decision_facts(decision, "holder", writer.language, writer.about.abuse)
    ]
    return list(dict.fromkeys(facts))


def _correction_section(
    correction: Correction, language: Language, zone: str, n: int, now_ms: int | None
) -> Section:
    _ = language.gettext
    on = language.format_instant(correction.at_ms, zone)
    state = _(TEXTS["title"][correction.outcome])
    if correction.result == "reversed":
        sentences = [_("On {instant} a person reviewed this decision and reversed it.", instant=on)]
        if correction.outcome in WITHOUT_NOTICE:
            sentences.append(
                _("It was wrong, and we are sorry. The earlier state of your account is restored.")
            )
        else:
            sentences += [
                _("It was wrong, and we are sorry. It no longer counts."),
                _(
                    "Another decision applies to your account: {state}. It was not part of this "
                    "review. Its own notice gives its reasons, and you can appeal against it too.",
                    state=state,
                ),
            ]
    elif correction.result == "partially_reversed":
        sentences = [
            _("On {instant} a person reviewed this decision and reversed it in part.", instant=on)
        ]
        if correction.until_ms is None:
            sentences.append(_("What holds now: {state}.", state=state))
        else:
            end = language.format_instant(correction.until_ms, zone)
            if _is_over(correction.until_ms, now_ms):
                sentences.append(
                    _("A milder restriction took its place and ended on {instant}.", instant=end)
                )
            else:
                sentences.append(_("What holds now: {state}.", state=state))
                sentences.append(_("It ends by itself on {instant}.", instant=end))
    else:
        sentences = [
            _("On {instant} a person reviewed this decision and left it unchanged.", instant=on)
        ]
    if correction.reason.strip():
        sentences.append(_("The reviewer's reasons: {reason}", reason=correction.reason.strip()))
    closing = _(
        "The notice as you received it is below. We leave it here so that nothing is hidden."
    )
    return Section(
        id=f"correction-{n + 1}",
        heading=_("Correction and review"),
        paragraphs=(*sentences, closing),
    )


def _restriction_section(writer: _Writer) -> Section:
    acts = () if writer.outcome == "ban" else writer.acts(refused=True)
    is_ended = writer.status == "ended"
    return Section(
        id="restriction",
        heading=writer._("What this meant") if is_ended else writer._("What this means"),
        paragraphs=(writer.text("restricted_ended" if is_ended else "restricted", writer.form),),
        items=tuple(writer.text("act", act.name) for act in acts),
        closing=tuple(_allowance_and_times(writer)),
    )


def _allowance_and_times(writer: _Writer) -> list[str]:
    decision, sentences = writer.decision, []
    start = writer.instant(decision.ts)
    if writer.status == "none":
        return [writer._("This was decided on {instant}.", instant=start)]
    if (
        decision.outcome == "limit"
        and decision.new_chats_1d is not None
        and writer.status == "in_force"
    ):
        sentences.append(_allowance(writer, decision.new_chats_1d))
    if writer.until_ms is None:
        sentences.append(
            writer._("It has applied since {since} and does not end by itself.", since=start)
        )
        return sentences
    times = {"since": start, "until": writer.instant(writer.until_ms)}
    if writer.status == "ended":
        sentences.append(writer._("It applied from {since} until {until}, and has ended.", **times))
    elif decision.outcome == "challenge":
        sentences.append(
            writer._(
                "It applies from {since} until the check is passed, at the latest until {until}.",
                **times,
            )
        )
    else:
        sentences.append(writer._("It applies from {since} until {until}.", **times))
        if decision.outcome == "ban":
            sentences.append(writer._("After that you can use your account again."))
    return sentences


def _allowance(writer: _Writer, chats: int) -> str:
    if chats == 0:
        return writer._(
            "At present the allowance is used up: new chats wait until somebody whom you wrote to "
            "answers."
        )
    return writer.language.ngettext(
        "The allowance: at any time within a day, {n} person you wrote to first may still be "
        "unanswered.",
        "The allowance: at any time within a day, up to {n} people you wrote to first may still be "
        "unanswered.",
        chats,
    )


def _works_section(writer: _Writer) -> Section | None:
    if writer.status != "in_force":
        return None
    heading = writer._("What still works")
    if writer.outcome == "ban":
        appeal_text = writer._(
            "You can appeal. If the appeal succeeds, your account returns to the state that it was "
            "in before."
        )
        return Section(id="works", heading=heading, paragraphs=(appeal_text,))
    works = (*_RECEIVING, *(act.name for act in writer.acts(refused=False)))
    return Section(
        id="works",
        heading=heading,
        paragraphs=(writer._("You can go on to:"),),
        items=tuple(writer.text("act", name) for name in works),
        closing=(writer._("Your chats, groups and contacts stay as they are."),),
    )


def _ground_section(writer: _Writer, ground: Ground) -> Section | None:
    if ground.kind == "none":
        return None
    return Section(
        id="ground",
        heading=writer.text("ground_heading", ground.kind),
        paragraphs=tuple(filter(None, (writer.text("ground", ground.kind), ground.clause))),
        links=present_links(Link(writer._("Read the terms"), ground.terms_url)),
    )


def _automation_section(writer: _Writer, how_decided: Automation) -> Section:
    unread = writer._(
        "Only metadata was used: who writes to whom, when and how much. No message was read."
    )
    if how_decided.decision == "not_automated" and how_decided.detection:
        sentences = [writer._("It was found automatically; a person decided.")]
    elif how_decided.decision == "not_automated":
        sentences = [writer._("A person decided. Nothing was decided automatically.")]
    elif how_decided.detection:
        sentences = [writer._("It was found and decided automatically, without a person."), unread]
    else:
        sentences = [
            writer._("It was reported to us by a partner; the decision followed automatically.")
        ]
    return Section(
        id="automation", heading=writer._("How it was decided"), paragraphs=tuple(sentences)
    )


def _way_out_section(writer: _Writer) -> Section | None:
    items = _ways_out(writer)
    if not items:
        return None
    challenge = Link(writer._("Go to the check"), writer.links.challenge)
    return Section(
        id="way_out",
        heading=writer._("What you can do"),
        items=tuple(items),
        links=present_links(challenge) if writer.challenge or writer.outcome == "challenge" else (),
    )


def _ways_out(writer: _Writer) -> list[str]:
    if writer.status != "in_force":
        return []
    check = writer.text("challenge", writer.challenge or "any")
    ways = []
    if is_held(writer.decision):
        ways += [
            check,
            writer._(
                "If it was not you, end the other session in the list of your linked devices."
            ),
        ]
    elif writer.outcome == "challenge":
        ways += [check, writer._("The restriction ends as soon as the check is passed.")]
    elif writer.outcome == "limit":
        ways.append(writer._("An answer frees a place at once: who answers you no longer counts."))
        if writer.challenge:
            ways.append(writer._("A passed check adds places. {check}", check=check))
    if writer.until_ms is not None:
        end = writer.instant(writer.until_ms)
        ways.append(writer._("If you do nothing, it ends by itself on {instant}.", instant=end))
    if writer.outcome in TIMED and writer.outcome != "challenge":
        ways.append(
            writer._(
                "Write first only to people who expect to hear from you. If the same happens "
                "again, it may last longer."
            )
        )
    ways.append(writer._("If you think that this is a mistake, appeal."))
    return ways


def _appeal(writer: _Writer) -> Appeal | None:
    if writer.outcome == "allow":
        return None
    until_ms = appeal_deadline(writer.decision, writer.platform, writer.about.notified_ms)
    url = writer.links.appeal or writer.platform.links.appeal
    return Appeal(url=url, until_ms=until_ms, open=writer.now_ms <= until_ms)


def _appeal_section(writer: _Writer, appeal: Appeal | None) -> Section | None:
    if appeal is None:
        return None
    end = writer.instant(appeal.until_ms)
    heading = writer._("How to appeal")
    redress_links = present_links(
        Link(writer._("Other ways to contest it"), writer.platform.links.redress)
    )
    if not appeal.open:
        closed_text = writer._("The time for an appeal ended on {instant}.", instant=end)
        paragraphs: tuple[str, ...] = (closed_text, writer.platform.redress_in(writer.language))
        return Section(id="appeal", heading=heading, paragraphs=paragraphs, links=redress_links)
    sentences = [
        writer._("You can appeal until {instant}. It is free.", instant=end),
        writer._(
            "A person who took no part in this decision reads your appeal and answers with "
            "reasons. If we were wrong, the earlier state is restored at once."
        ),
        writer.platform.redress_in(writer.language),
        writer._("Reference of this decision: {reference}", reference=writer.decision.id),
    ]
    return Section(
        id="appeal",
        heading=heading,
        paragraphs=tuple(sentences),
        links=(
            *present_links(Link(writer._("Appeal against this decision"), appeal.url)),
            *redress_links,
        ),
    )


def _business_section(writer: _Writer) -> Section | None:
    links = business_links(writer.platform, writer.language)
    slowed = reaches(writer.outcome, "limit") and writer.form != "shadow"
    if not links or not slowed or writer.decision.basis == "takeover":
        return None
    introduction = writer._(
        "Bulk and automated messages are not allowed from an ordinary account. If you write to "
        "customers, these are the ways that are meant for it:"
    )
    return Section(
        id="business",
        heading=writer._("If you write for a business"),
        paragraphs=(introduction,),
        links=links,
    )


def business_links(platform: Platform, language: Language) -> tuple[Link, ...]:
    """Return links to the operator's sanctioned tools for businesses."""
    return present_links(
        Link(language.gettext("App for small businesses"), platform.links.business_app),
        Link(language.gettext("Business platform"), platform.links.business_platform),
    )


def _contact_section(writer: _Writer) -> Section:
    contact = writer.platform.contact_in(writer.language)
    links = writer.platform.links
    return Section(
        id="contact",
        heading=writer._("Questions"),
        paragraphs=(writer._("You can reach us here: {contact}", contact=contact),),
        links=present_links(
            Link(writer._("Contact us"), links.support),
            Link(writer._("About automated and bulk messaging"), links.help),
        ),
    )
