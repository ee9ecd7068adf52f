"""Text and tables of an explanation: activity of the account, and reasons of decisions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from wavebreak.durations import HOUR_MS, MINUTE_MS, SECOND_MS
from wavebreak.engine.decision import EVIDENCE_COUNTS
from wavebreak.explain.collect import Explanation, Timeline, Times
from wavebreak.features.catalog import FEATURES, describe
from wavebreak.features.descriptions import BARE_UNITS, feature_title, unit_forms
from wavebreak.languages import ENGLISH, Language, msgid, msgids
from wavebreak.notices.reasons import decision_facts, is_set_by_person
from wavebreak.outcomes import OUTCOMES, SEVERITIES, SILENCING, rank_of, row_of
from wavebreak.reports.tables import Table, moment, number, span, stamp
from wavebreak.schema.events import CHANNELS, LANES

_BASES = {
    "doubt": msgid("this rests on doubt, which only slows"),
    "evidence": msgid("this rests on what recipients did"),
    "impossible": msgid("this rests on an act that no person can do"),
    "takeover": msgid("this protects an owner whose account may be in other hands"),
    "tie": msgid("this rests on ties to accounts found abusive and on what recipients did"),
    "person": msgid("this rests on a person's judgement"),
    "challenge": msgid("a challenge was passed"),
}
_NOUNS = {
    "message": (*msgids("{n} message", "{n} messages"), msgid("no messages")),
    "more message": (*msgids("{n} more message", "{n} more messages"), msgid("no more messages")),
    "person": (*msgids("{n} person", "{n} people"), msgid("no people")),
    "group": (*msgids("{n} group", "{n} groups"), msgid("no groups")),
    "member": (*msgids("{n} member", "{n} members"), msgid("no members")),
    "number": (*msgids("{n} number", "{n} numbers"), msgid("no numbers")),
    "request": (*msgids("{n} request", "{n} requests"), msgid("no requests")),
    "report": (*msgids("{n} report", "{n} reports"), msgid("no reports")),
    "block": (*msgids("{n} block", "{n} blocks"), msgid("no blocks")),
}
"""What paragraphs count: of one, of several, of none."""
_FEATURES = {feature.name: feature for feature in FEATURES}
_CODES: dict[str, dict[float, str]] = {
    "channel": {code: channel.replace("_", " ") for code, channel in enumerate(CHANNELS)},
    "lane": {code: lane.replace("_", " ") for code, lane in enumerate(LANES)},
    "enforcement_level": dict(zip(SEVERITIES, OUTCOMES, strict=True)),
}
MAX_WEIGHTS, MAX_STRONGEST = 3, 2


def _count(language: Language, noun: str, n: int) -> str:
    """Return a count with a noun.

    >>> [_count(ENGLISH, "person", n) for n in (0, 1, 1200)]
    ['no people', '1 person', '1,200 people']
    """
    singular, plural, none = _NOUNS[noun]
    return language.ngettext(singular, plural, n, n=number(n)) if n else language.gettext(none)


def deciders(decision: dict[str, Any]) -> list[str]:
    """Return the deciders: rules, a person, or the model.

    >>> deciders({"rules": ["blast"], "score": 0.9}), deciders({"rules": [], "score": 0.987})
    (['blast'], ['the model (0.987)'])
    >>> deciders({"rules": [], "basis": "person"})
    ['a person']
    """
    if decision.get("rules"):
        return list(decision["rules"])
    if is_set_by_person(decision):
        return ["a person"]
    score = decision.get("score")
    return ["–"] if score is None else [f"the model ({number(score, 3)})"]


def describe_score(decision: dict[str, Any], language: Language = ENGLISH) -> str:
    """Describe a decision by the model: score and largest contributions.

    >>> describe_score({"score": 0.987, "reasons": [
    ...     {"feature": "first_contacts_1h", "value": 31.0, "contribution": 1.5}]})
    ' by the model (score 0.987; first contacts in 1 h: 31 accounts (speaks for abuse))'
    """
    if decision.get("rules") or decision.get("score") is None:
        return ""
    weights = [
        f"{reason.title}: {reason.value} ({reason.direction})"
        for reason in describe_reasons(decision, language)
        if reason.direction
    ]
    score = language.gettext("score {score}", score=number(decision["score"], 3))
    reasons = "; ".join([score, *weights[:MAX_WEIGHTS]])
    return language.gettext(" by the model ({reasons})", reasons=reasons)


def evidence_sentence(decision: dict[str, Any], language: Language = ENGLISH) -> str:
    """Return the reactions of recipients in words; empty if the decision names none.

    >>> evidence_sentence({"reasons": [{"feature": "stranger_contacts", "value": 21.0},
    ...     {"feature": "stranger_answers", "value": 2.0},
    ...     {"feature": "stranger_complaints", "value": 3.0}]})
    'Of 21 strangers that it wrote to first, 2 answered and 3 blocked or reported it, or did not \
know it.'
    >>> evidence_sentence({"reasons": [{"feature": "operator_accounts", "value": 4.0},
    ...     {"feature": "operator_abusive_accounts", "value": 1.0}]})
    'It seems to be of one operator with 4 other accounts, of which 1 was found abusive.'
    >>> evidence_sentence({"reasons": [{"feature": "trap_contacts_28d", "value": 2.0}]})
    'It wrote first to 2 traps in four weeks: numbers or accounts that nobody uses.'
    """
    return " ".join(decision_facts(decision, "analyst", language))


def basis_clause(decision: dict[str, Any], language: Language = ENGLISH) -> str:
    """Return the basis of a decision in words; empty for decisions of earlier versions."""
    clause = language.gettext(_BASES.get(str(decision.get("basis", "")), ""))
    slowed = decision.get("basis") == "doubt" and decision.get("outcome") == "limit"
    if not slowed:
        return clause
    frees = language.gettext("an answer or a passed challenge frees places")
    return f"{clause}; {frees}"


_STRENGTHS = (
    (1000, msgid("very strong (1,000 or more)")),
    (100, msgid("strong (100 or more)")),
    (10, msgid("moderate (10 or more)")),
    (3, msgid("weak (3 or more)")),
    (0, msgid("no evidence")),
)
"""Strength of evidence by its e-value, in the words of forensic reporting (ENFSI, Guideline for
evaluative reporting, 2015). Of honest accounts at most one in 100 ever reaches 100."""
_SPANS = {"seconds": SECOND_MS, "hours": HOUR_MS}


def format_value(
    name: str,
    value: float | None,
    *,
    named: bool = True,
    unit: str = "",
    language: Language = ENGLISH,
) -> str:
    """Format a feature's value with the unit; a code as a name, or as a number.

    `unit` is that of a user's own feature, which the catalogue does not have.

    >>> format_value("sends_15s", 112.0), format_value("first_contact_share_1d", 0.954)
    ('112 messages', '95.4 %')
    >>> format_value("device_young", 1.0), format_value("score", 0.97)
    ('1 account', '0.970')
    >>> format_value("channel", 1.0), format_value("channel", 1.0, named=False)
    ('business app', '1')
    >>> format_value("complaint_evidence", 64.0), format_value("complaint_evidence", 2.0**53)
    ('moderate (10 or more)', 'very strong (1,000 or more)')
    >>> format_value("account_age", None), format_value("not_a_feature", 0.12345)
    ('missing', '0.123')
    """
    if value is None or value != value:
        return language.gettext("missing")
    if named and (word := _CODES.get(name, {}).get(value)):
        return language.gettext(word)
    unit = _FEATURES[name].unit if name in _FEATURES else unit
    if unit == "share":
        return language.gettext("{n} %", n=number(100 * value))
    if unit in _SPANS:
        return span(value * _SPANS[unit], language)
    if unit == "0 or 1":
        return language.gettext("yes") if value else language.gettext("no")
    if unit in BARE_UNITS:
        return number(value, 3)
    if unit == "times":
        return language.gettext(next(words for minimum, words in _STRENGTHS if value >= minimum))
    # A fraction has the form of many, also one between one and two.
    plural_count = int(value) if value == int(value) else 3
    return language.ngettext(*unit_forms(unit), plural_count, n=number(value, 2))


class Reason(NamedTuple):
    """One value behind a decision, in words.

    Attributes:
        feature: The feature.
        title: The feature's title.
        value: The value with the unit.
        contribution: The part in the model's score, in log-odds; 0 if only a rule read the value.
        direction: Whether the model took the value for or against abuse; empty if neither.
    """

    feature: str
    title: str
    value: str
    contribution: float
    direction: str


def describe_reasons(
    decision: Mapping[str, Any],
    language: Language = ENGLISH,
    own_features: Mapping[str, Mapping[str, str]] | None = None,
) -> list[Reason]:
    """Return the values behind a decision in words, in the order in which they are stored.

    `own_features` are declarations of the policy's own features, which give their units.

    >>> [reason] = describe_reasons({"reasons": [
    ...     {"feature": "first_contacts_1h", "value": 31.0, "contribution": 1.5}]})
    >>> reason.title, reason.value, reason.direction
    ('first contacts in 1 h', '31 accounts', 'speaks for abuse')
    """
    reasons = []
    for reason in decision.get("reasons") or ():
        feature, value = str(reason["feature"]), reason.get("value")
        contribution = reason.get("contribution")
        unit = (own_features or {}).get(feature, {}).get("unit", "")
        reasons.append(
            Reason(
                feature,
                feature_title(feature, language),
                format_value(feature, value, language=language, unit=unit),
                contribution or 0.0,
                "" if contribution is None else _direction(contribution, value, language),
            )
        )
    return reasons


def _direction(contribution: float, value: float | None, language: Language) -> str:
    """A missing value is no evidence, although the model's score may change."""
    if value is None or value != value:
        if contribution > 0:
            return language.gettext("raises the score although it is not known")
        return language.gettext("lowers the score although it is not known")
    if contribution > 0:
        return language.gettext("speaks for abuse")
    return language.gettext("speaks against abuse")


def strongest_reasons(
    decision: Mapping[str, Any], abouts: Mapping[str, str], language: Language = ENGLISH
) -> list[str]:
    """Return the two strongest reasons of a decision for an analyst.

    Of the model, the values that weigh most for abuse; of a rule, the first values except the
    counts of people, which a queue shows in every row; else the description of the rule.

    >>> strongest_reasons({"rules": [], "reasons": [
    ...     {"feature": "gap_sd", "value": 1.0, "contribution": -2.0},
    ...     {"feature": "first_contacts_1h", "value": 31.0, "contribution": 1.5},
    ...     {"feature": "reply_share_7d", "value": 0.02, "contribution": 0.7}]}, {})
    ['first contacts in 1 h: 31 accounts', 'reply share in 7 d: 2 %']
    """
    reasons = describe_reasons(decision, language)
    if any(reason.direction for reason in reasons):
        positive = (reason for reason in reasons if reason.contribution > 0)
        strongest = sorted(positive, key=lambda reason: -reason.contribution)
    else:
        values = {r["feature"]: r.get("value") for r in decision.get("reasons") or ()}
        strongest = [
            reason
            for reason in reasons
            if reason.feature not in EVIDENCE_COUNTS and values[reason.feature]
        ]
        if not strongest:
            return [abouts.get(rule, rule) for rule in (decision.get("rules") or ())[:1]]
    return [f"{reason.title}: {reason.value}" for reason in strongest[:MAX_STRONGEST]]


def reasons_table(
    explanation: Explanation, decision: dict[str, Any], *, meanings: bool = True
) -> Table:
    """Tabulate the feature values behind one decision, optionally with their meanings."""
    own_features = explanation.own_features
    rows = [
        (
            reason.feature,
            reason.value,
            f"{reason.direction} ({reason.contribution:+.2f})" if reason.direction else "",
            own_features.get(reason.feature, {}).get("about") or describe(reason.feature),
        )[: 3 + meanings]
        for reason in describe_reasons(decision, own_features=own_features)
    ]
    time_text = moment(int(decision["ts"]), since=explanation.start_ms)
    title = "Values behind the rules" if decision.get("rules") else "Values that the model used"
    return Table(
        f"{title}: {decision['outcome']}, {time_text}",
        ("feature", "value", "model", "meaning")[: 3 + meanings],
        rows,
        f"Triggered by event {decision.get('trigger') or 'unknown'}; decision {decision['id']}.",
        frozenset({0, 2, 3}),
    )


_REGISTERED = {
    "business_app": msgid("Registered on {when} as a business-app account."),
    "business_platform": msgid("Registered on {when} as a business-platform account."),
}


def status_sentence(explanation: Explanation) -> str:
    """Return the current enforcement state in one sentence."""
    outcome, language = str(explanation.row["outcome"]), explanation.language
    until_ms = explanation.row.get("until_ms")
    if outcome == "allow" and not explanation.decisions:
        return language.gettext("No decision was made about this account: nothing is refused.")
    if outcome == "allow":
        worst = str(explanation.row["worst"])
        state = language.gettext(
            "allowed everything again; its most severe outcome was {worst}",
            worst=worst if language is ENGLISH else language.gettext(row_of(worst).state),
        )
    else:
        state = language.gettext(row_of(outcome).state)
    if until_ms is not None:
        state = language.gettext(
            "{done} until {when}", done=state, when=_moment(explanation, int(until_ms))
        )
    if explanation.shadow:
        return language.gettext(
            "It would be {done}. The run was in shadow mode: nothing was enforced.", done=state
        )
    return language.gettext("It is {done}.", done=state)


def _moment(explanation: Explanation, ms: int) -> str:
    return moment(ms, language=explanation.language)


def story_paragraphs(explanation: Explanation) -> list[str]:
    """Return paragraphs on the account's start, activity, decisions, and later activity."""
    early, following = _decision_sentences(explanation)
    paragraphs = [_start_sentence(explanation), *early, *_activity(explanation), *following]
    after = _afterwards(explanation)
    if after:
        paragraphs.append(after)
    if explanation.gap:
        totals = explanation.language.gettext(
            "This summary uses the decisions and the account's totals."
        )
        paragraphs.append(f"{explanation.gap} {totals}")
    return paragraphs


def _start_sentence(explanation: Explanation) -> str:
    time_text = _moment(explanation, explanation.start_ms)
    if explanation.row.get("registered_ms") is None:
        text = msgid("First seen on {when}; the log does not contain its registration.")
    else:
        text = _REGISTERED.get(str(explanation.row.get("channel")), msgid("Registered on {when}."))
    return explanation.language.gettext(text, when=time_text)


def _activity(explanation: Explanation) -> list[str]:
    """Describe the account's activity, and reactions of others, until the first severe outcome."""
    timeline, end, language = explanation.timeline, explanation.action_ms, explanation.language
    if timeline is None:
        return [_totals(explanation.row, language)]
    sentences = [_sending(explanation, timeline, end), *_other_acts(timeline, end, language)]
    return [" ".join(sentences), _reception(timeline, end, language)]


def _sending(explanation: Explanation, timeline: Timeline, end: int | None) -> str:
    language, sends = explanation.language, timeline.between("sends", None, end)
    if not len(sends):
        if end is not None:
            return language.gettext("Until then it had sent nothing.")
        return language.gettext("It sent nothing.")
    lasted = int(sends[-1] - sends[0])
    line = _first_send(explanation, int(sends[0]), len(sends))
    line += language.gettext(" in {lasted}", lasted=span(lasted, language)) if lasted else ""
    groups = len(timeline.between("group_sends", None, end))
    if new := len(timeline.between("first_contacts", None, end)):
        replied = len(timeline.between("replies", None, end))
        line += language.gettext(
            ", to {people} it had never exchanged a message with; {answers}",
            people=_count(language, "person", new),
            answers=language.ngettext(
                "{n} of them replied", "{n} of them replied", replied, n=number(replied)
            )
            if replied
            else language.gettext("none replied"),
        )
    elif groups < len(sends):
        line += language.gettext(", all to people it already knew")
    if groups:
        line += language.ngettext(
            "; {n} went to groups", "; {n} went to groups", groups, n=number(groups)
        )
    peak = busiest_minute(sends)
    if lasted > 5 * MINUTE_MS and peak > 1:
        line += language.gettext(". At its peak it sent {n} within one minute", n=number(peak))
    return line + "."


def _first_send(explanation: Explanation, first: int, sends: int) -> str:
    """Describe the time until the first message, and the number of messages."""
    language, wait = explanation.language, first - explanation.start_ms
    messages = _count(language, "message", sends)
    if wait < SECOND_MS:
        return language.gettext("At once it sent {messages}", messages=messages)
    if not any(int(d["ts"]) < first for d in explanation.decisions):
        text = msgid("{wait} later it sent {messages}")
    elif explanation.row.get("registered_ms") is None:
        text = msgid("{wait} after it was first seen, it sent {messages}")
    else:
        text = msgid("{wait} after it registered, it sent {messages}")
    return language.gettext(text, wait=span(wait, language), messages=messages)


def busiest_minute(times: Times) -> int:
    """Return the largest number of times (ascending, in milliseconds) within any 60 s.

    >>> busiest_minute(np.array([0, 1_000, 59_999, 60_000, 200_000]))
    3
    """
    if not len(times):
        return 0
    ends = np.searchsorted(times, times + MINUTE_MS, side="left")
    return int((ends - np.arange(len(times))).max())


def _other_acts(timeline: Timeline, end: int | None, language: Language) -> Iterator[str]:
    def count(kind: str) -> int:
        return len(timeline.between(kind, None, end))

    created, members = count("groups_created"), count("members_added")
    if created or members:
        yield language.gettext(
            "It created {groups} and added {members} to groups.",
            groups=_count(language, "group", created),
            members=_count(language, "member", members),
        )
    if count("lookups"):
        numbers = language.gettext("numbers")
        yield language.gettext(
            "It looked up {numbers} in {requests}.",
            numbers=_count(language, "number", timeline.looked_up) if end is None else numbers,
            requests=_count(language, "request", count("lookups")),
        )
    if undeliverable := count("undeliverable"):
        yield language.gettext(
            "{messages} could not be delivered.",
            messages=_count(language, "message", undeliverable),
        )


def _reception(timeline: Timeline, end: int | None, language: Language) -> str:
    def count(kind: str) -> int:
        return len(timeline.between(kind, None, end))

    reports, blocks = count("reports"), count("blocks")
    text = msgid("It received {messages}") if end is None else msgid(
        "It received {messages} until then"
    )  # fmt: skip
    received = language.gettext(text, messages=_count(language, "message", count("received")))
    if not reports and not blocks:
        return language.gettext("{heard}; no one had reported or blocked it.", heard=received)
    return language.gettext(
        "{heard}, {reports} and {blocks}.",
        heard=received,
        reports=_count(language, "report", reports),
        blocks=_count(language, "block", blocks),
    )


def _totals(row: dict[str, Any], language: Language) -> str:
    return language.gettext(
        "In all it sent {messages} and wrote first to {people}; messages went both ways with "
        "{mutual}; it received {received} and {reports}.",
        messages=_count(language, "message", row["sends"]),
        people=_count(language, "person", row["first_contacts"]),
        # Also people who wrote first: there may be more of them than first contacts.
        mutual=_count(language, "person", row["replied_contacts"]),
        received=_count(language, "message", row["received"]),
        reports=_count(language, "report", row["reports"]),
    )


def _decision_sentences(explanation: Explanation) -> tuple[list[str], list[str]]:
    """Describe the first decision of each outcome, before and after the first message."""
    decisions = explanation.decisions
    if not decisions:
        none = explanation.language.gettext("No rule matched, and no decision was made about it.")
        return [], [none]
    first_send = 0
    if explanation.timeline is not None and len(explanation.timeline["sends"]):
        first_send = int(explanation.timeline["sends"][0])
    early: list[str] = []
    following: list[str] = []
    first = first_decisions(decisions)
    for decision in first:
        sentences = early if int(decision["ts"]) < first_send else following
        sentences.append(_decision_sentence(explanation, decision))
    if len(decisions) > len(first):
        sentence = explanation.language.gettext(
            "Further decisions of the same outcomes: {n}, listed below.",
            n=number(len(decisions) - len(first)),
        )
        following.append(sentence)
    return early, following


def first_decisions(decisions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the first decision of each outcome, in order."""
    first: dict[str, dict[str, Any]] = {}
    for decision in decisions:
        first.setdefault(str(decision["outcome"]), decision)
    return list(first.values())


def select_decisions(decisions: list[dict[str, Any]], limit: int) -> list[dict[str, Any]]:
    """Return at most `limit` decisions: the last one and the most severe, in order.

    >>> each = [{"outcome": o} for o in ("limit", "limit", "ban", "limit", "observe")]
    >>> [d["outcome"] for d in select_decisions(each, 3)]
    ['limit', 'ban', 'observe']
    """
    severe = sorted(range(len(decisions)), key=lambda n: -rank_of(decisions[n]["outcome"]))
    indexes = {len(decisions) - 1, *severe[: limit - 1]} if len(decisions) > limit else set(severe)
    return [decisions[n] for n in sorted(indexes)]


def _decision_sentence(explanation: Explanation, decision: dict[str, Any]) -> str:
    language = explanation.language
    begin = _decision_time(explanation, int(decision["ts"]))
    if is_set_by_person(decision):
        clause = person_clause(decision, shadow=explanation.shadow, language=language)
        return f"{begin} {clause}."
    line = f"{begin} {_decision_clause(explanation, decision)}"
    if rules := decision.get("rules") or []:
        titles = [explanation.rules.get(rule, {}).get("title") or rule for rule in rules]
        line += language.gettext(" by {rules}", rules=", ".join(map(str, titles)))
        abouts = [
            str(explanation.rules.get(rule, {}).get("about", "")).rstrip(".") for rule in rules
        ]
        descriptions = "; ".join(language.isolate(text) for text in abouts if text)
        line += f" ({descriptions})" if descriptions else ""
    basis = basis_clause(decision, language)
    line = f"{line}{describe_score(decision, language)}{'; ' if basis else ''}{basis}."
    evidence = evidence_sentence(decision, language)
    return f"{line} {evidence}" if evidence else line


def _decision_time(explanation: Explanation, time_ms: int) -> str:
    """Say when a decision was, and how long after the account's start."""
    language, start_ms = explanation.language, explanation.start_ms
    time_text = moment(time_ms, since=start_ms, language=language)
    if len(time_text) == len("14:05:24"):
        begin = language.gettext("At {when}", when=time_text)
    else:
        begin = language.gettext("On {when}", when=time_text)
    if time_ms <= start_ms:
        return begin
    if explanation.row.get("registered_ms") is None:
        age = msgid("{begin}, {age} after it was first seen,")
    else:
        age = msgid("{begin}, {age} after it registered,")
    return language.gettext(age, begin=begin, age=span(time_ms - start_ms, language))


def _decision_clause(explanation: Explanation, decision: dict[str, Any]) -> str:
    """Return the outcome in words, and the duration."""
    language, state = explanation.language, row_of(str(decision["outcome"])).state
    would = msgid("it would have been {done}") if explanation.shadow else msgid("it was {done}")
    line = language.gettext(would, done=language.gettext(state))
    if decision.get("until") is None:
        return line
    duration = span(int(decision["until"]) - int(decision["ts"]), language)
    return line + language.gettext(" for {held}", held=duration)


def person_clause(
    decision: dict[str, Any], *, shadow: bool = False, language: Language = ENGLISH
) -> str:
    """Say in words which outcome a person set, and until when.

    >>> person_clause({"outcome": "restrict", "until": 1_772_625_600_000})
    'a person set restrict until 4 March 2026, 12:00:00 UTC'
    >>> person_clause({"outcome": "ban"}), person_clause({"outcome": "allow"}, shadow=True)
    ('a person set ban, without an end', 'a person would have ended what was in force')
    """
    if decision["outcome"] == "allow":
        if shadow:
            return language.gettext("a person would have ended what was in force")
        return language.gettext("a person ended what was in force")
    outcome, until_ms = str(decision["outcome"]), decision.get("until")
    if language is not ENGLISH:
        outcome = language.gettext(row_of(outcome).state)
    if until_ms is None:
        text = (
            msgid("a person would have set {outcome}, without an end")
            if shadow
            else msgid("a person set {outcome}, without an end")
        )
        return language.gettext(text, outcome=outcome)
    text = (
        msgid("a person would have set {outcome} until {when}")
        if shadow
        else msgid("a person set {outcome} until {when}")
    )
    return language.gettext(text, outcome=outcome, when=moment(int(until_ms), language=language))


_REFUSALS = {
    False: msgids("{n} of its events was refused", "{n} of its events were refused"),
    True: msgids(
        "{n} of its events would have been refused", "{n} of its events would have been refused"
    ),
}
"""By whether the run was in shadow."""


def _afterwards(explanation: Explanation) -> str:
    timeline, action_ms, language = (
        explanation.timeline,
        explanation.action_ms,
        explanation.language,
    )
    refused_count = int(explanation.row.get("refused") or 0)
    refusals = language.ngettext(
        *_REFUSALS[explanation.shadow], refused_count, n=number(refused_count)
    )
    if action_ms is None or timeline is None:
        return f"{refusals}." if refused_count else ""
    sends = len(timeline.between("sends", action_ms + 1, None))
    action = msgid("After that it sent {messages}")
    if not explanation.shadow:
        action = msgid("After that it tried to send {messages}")
    line = language.gettext(action, messages=_count(language, "more message", sends))
    line += f"; {refusals}" if refused_count else ""
    if reports := len(timeline.between("reports", action_ms + 1, None)):
        line += language.ngettext(
            "; {reports} followed",
            "; {reports} followed",
            reports,
            reports=_count(language, "report", reports),
        )
    return line + "."


def decisions_table(explanation: Explanation, limit: int) -> Table:
    """Tabulate at most `limit` decisions, oldest first; severe ones have priority."""
    selected = select_decisions(explanation.decisions, limit)
    omitted = len(explanation.decisions) - len(selected)
    rows = [
        (
            stamp(int(d["ts"])),
            str(d["stage"]),
            str(d["outcome"]),
            stamp(d.get("until")),
            "\n".join(deciders(d)),
        )
        for d in selected
    ]
    note = (
        f" {omitted:,} less severe ones are in {explanation.run_dir / 'decisions.jsonl'}."
        if omitted
        else ""
    )
    return Table(
        "Decisions",
        ("when (UTC)", "stage", "outcome", "until (UTC)", "by"),
        rows,
        f"An outcome without an end does not end by itself.{note}",
        frozenset({0, 1, 2, 3, 4}),
    )


def ties_table(explanation: Explanation, limit: int) -> Table:
    """Tabulate at most `limit` edges to accounts that seem to be of the same operator."""
    ties = sorted(explanation.ties, key=lambda edge: -edge.weight)
    rows = [
        (
            next(a for a in edge.accounts if a != explanation.account),
            "; ".join(edge.evidence),
            stamp(edge.last),
        )
        for edge in ties[:limit]
    ]
    note = (
        f" {number(len(ties) - limit)} more: wavebreak operators show."
        if (len(ties) > limit)
        else ""
    )
    return Table(
        "Accounts that seem to be of the same operator",
        ("account", "both", "last (UTC)"),
        rows,
        "A tie is a hypothesis: it may slow an account, and silences it only beside evidence of "
        f"its own.{note}",
        frozenset({0, 1, 2}),
    )


def rules_table(explanation: Explanation) -> Table:
    """Tabulate the rules that matched, with their description and source."""
    matched = dict.fromkeys(r for d in explanation.decisions for r in d.get("rules") or [])
    rows = []
    for rule in matched:
        declaration = explanation.rules.get(rule, {})
        rows.append(
            (
                rule,
                str(declaration.get("about", "not in summary.json")),
                str(declaration.get("source", "")),
            )
        )
    return Table(
        "Rules that matched", ("rule", "about", "source"), rows, words=frozenset({0, 1, 2})
    )


def decisions_to_explain(explanation: Explanation) -> list[dict[str, Any]]:
    """Return the first decision of each outcome with reasons, most severe first."""
    reasoned = [d for d in explanation.decisions if d.get("reasons")]
    return sorted(first_decisions(reasoned), key=lambda d: -rank_of(str(d["outcome"])))


def outcome_meanings(explanation: Explanation) -> list[str]:
    """Describe each outcome of the account: refused acts, end, and appeal."""
    lines = []
    outcomes = dict.fromkeys(
        (str(d["outcome"]), str(d.get("action") or "")) for d in explanation.decisions
    )
    for outcome, action in outcomes:
        action_row = explanation.actions.get(action) or explanation.actions.get(outcome, {})
        name = outcome if action in ("", outcome) else f"{outcome} ({action})"
        description = f"{action_row.get('about', '')} {action_row.get('revert', '')}".strip()
        lines.append(f"{name.capitalize()}: {description or 'the policy does not describe it.'}")
    severe = [d for d in explanation.decisions if d["outcome"] != "allow"]
    if severe:
        last = next((d for d in reversed(severe) if d["outcome"] in SILENCING), severe[-1])
        lines.append(
            "Appeal: every outcome above allow can be appealed. An appeal cites the decision, "
            f"{last['id']}; if it is upheld, a later decision overrides this one and lifts its "
            "restrictions."
        )
    return lines


def totals_table(explanation: Explanation) -> Table:
    """Tabulate the account's totals over the whole run."""
    row = explanation.row
    names = (
        ("messages sent", "sends"),
        ("people written to first", "first_contacts"),
        ("people with messages both ways", "replied_contacts"),
        ("messages received", "received"),
        ("groups created", "groups_created"),
        ("members added", "members_added"),
        ("reports received", "reports"),
        ("messages to strangers before action", "strangers_before_action"),
        ("unwanted messages delivered", "unwanted"),
        ("events refused", "refused"),
    )
    return Table(
        "Totals over the whole run",
        ("what", "count"),
        [(words, number(row.get(column))) for words, column in names],
    )
