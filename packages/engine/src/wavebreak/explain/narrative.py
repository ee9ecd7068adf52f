"""Text and tables of an explanation: what the account did, and why it was actioned."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from wavebreak.durations import HOUR_MS, MINUTE_MS, SECOND_MS
from wavebreak.explain.collect import Explanation, Timeline, Times
from wavebreak.features.catalog import FEATURES, describe
from wavebreak.model import describe_contribution, describe_direction
from wavebreak.outcomes import OUTCOMES, SEVERITIES, SILENCING, rank_of, row_of
from wavebreak.reports.tables import Table, count_of, moment, number, span, stamp
from wavebreak.schema.events import CHANNELS, LANES

_BASES = {
    "doubt": "this rests on doubt, which only slows",
    "evidence": "this rests on what recipients did",
    "impossible": "this rests on an act that no person can do",
    "takeover": "this protects an owner whose account may be in other hands",
    "tie": "this rests on ties to accounts found abusive and on what recipients did",
    "person": "this rests on a person's judgement",
    "challenge": "a challenge was passed",
}
_FEATURES = {feature.name: feature for feature in FEATURES}
_CODES: dict[str, dict[float, str]] = {
    "channel": {code: channel.replace("_", " ") for code, channel in enumerate(CHANNELS)},
    "lane": {code: lane.replace("_", " ") for code, lane in enumerate(LANES)},
    "enforcement_level": dict(zip(SEVERITIES, OUTCOMES, strict=True)),
}
_SAID = 3


def deciders(decision: dict[str, Any]) -> list[str]:
    """Return what made a decision: its rules, else the model.

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


def describe_score(decision: dict[str, Any]) -> str:
    """Describe a decision by the model: its score and its largest contributions.

    >>> describe_score({"score": 0.987, "reasons": [
    ...     {"feature": "first_contacts_1h", "value": 31.0, "contribution": 1.5}]})
    ' by the model (score 0.987; first contacts in 1 h: 31 accounts (speaks for abuse))'
    """
    if decision.get("rules") or decision.get("score") is None:
        return ""
    weighed = [r for r in decision.get("reasons") or [] if r.get("contribution") is not None]
    said = [
        describe_contribution(
            r["feature"], format_value(r["feature"], r["value"]), r["contribution"], r["value"]
        )
        for r in weighed[:_SAID]
    ]
    parts = [f"score {number(decision['score'], 3)}", *said]
    return f" by the model ({'; '.join(parts)})"


def evidence_sentence(decision: dict[str, Any]) -> str:
    """Say in words what recipients did, where a decision names it; else nothing.

    >>> evidence_sentence({"reasons": [{"feature": "stranger_contacts", "value": 21.0},
    ...     {"feature": "stranger_answers", "value": 2.0},
    ...     {"feature": "stranger_complaints", "value": 3.0}]})
    'Of 21 strangers that it wrote to first, 2 answered and 3 blocked or reported it, or did not \
know it.'
    >>> evidence_sentence({"reasons": [{"feature": "operator_accounts", "value": 4.0},
    ...     {"feature": "operator_abusive_accounts", "value": 1.0}]})
    'It seems to be of one operator with 4 other accounts, of which 1 was found abusive.'
    """
    values = {r["feature"]: r.get("value") for r in decision.get("reasons") or []}
    return " ".join(filter(None, (_strangers_sentence(values), _operator_sentence(values))))


def _operator_sentence(values: dict[str, Any]) -> str:
    others, abusive = (int(values.get(f"operator_{n}accounts") or 0) for n in ("", "abusive_"))
    if not others:
        return ""
    found = f", of which {number(abusive)} {'was' if abusive == 1 else 'were'} found abusive"
    return (
        f"It seems to be of one operator with {count_of(others, 'other account')}"
        f"{found if abusive else ''}."
    )


def _strangers_sentence(values: dict[str, Any]) -> str:
    counts = [values.get(f"stranger_{n}") for n in ("contacts", "answers", "complaints")]
    if any(count is None for count in counts) or not counts[0]:
        return ""
    contacts, answers, complaints = (int(count or 0) for count in counts)
    people = count_of(contacts, "stranger", "strangers")
    answered = "nobody" if not answers else number(answers)
    return (
        f"Of {people} that it wrote to first, {answered} answered and "
        f"{number(complaints) if complaints else 'nobody'} blocked or reported it, "
        "or did not know it."
    )


def basis_clause(decision: dict[str, Any]) -> str:
    """Say what a decision rests on; nothing for one of an earlier version, which does not say."""
    clause = _BASES.get(str(decision.get("basis", "")), "")
    slowed = decision.get("basis") == "doubt" and decision.get("outcome") == "limit"
    return f"{clause}; an answer or a passed challenge frees places" if slowed else clause


_BILLION = 1e9


def format_value(name: str, value: float | None, *, named: bool = True) -> str:
    """Format a feature's value with its unit; a code by its name, or as the number it is.

    >>> format_value("sends_15s", 112.0), format_value("first_contact_share_1d", 0.954)
    ('112 messages', '95.4 %')
    >>> format_value("device_young", 1.0), format_value("score", 0.97)
    ('1 account', '0.970')
    >>> format_value("channel", 1.0), format_value("channel", 1.0, named=False)
    ('business app', '1')
    >>> format_value("complaint_evidence", 64.0), format_value("complaint_evidence", 2.0**53)
    ('64 times', 'more than a billion times')
    >>> format_value("account_age", None), format_value("not_a_feature", 0.12345)
    ('missing', '0.123')
    """
    if value is None or value != value:
        return "missing"
    if named and (word := _CODES.get(name, {}).get(value)):
        return word
    unit = _FEATURES[name].unit if name in _FEATURES else ""
    if unit == "share":
        return f"{number(100 * value)} %"
    if unit == "seconds":
        return span(value * SECOND_MS)
    if unit == "hours":
        return span(value * HOUR_MS)
    if unit == "0 or 1":
        return "yes" if value else "no"
    if unit in ("", "code", "ratio", "correlation", "probability"):
        return number(value, 3)
    if unit == "times" and value > _BILLION:
        return "more than a billion times"
    return f"{number(value, 2)} {_one(unit) if value == 1 else unit}"


def _one(unit: str) -> str:
    """Return the singular of a unit; those that are no nouns stay."""
    return {"approaches": "approach"}.get(unit, unit.removesuffix("s")) if unit.isalpha() else unit


def reasons_table(
    explanation: Explanation, decision: dict[str, Any], *, meanings: bool = True
) -> Table:
    """Tabulate the feature values behind one decision, optionally with their meanings."""
    rows = []
    for reason in decision.get("reasons") or []:
        name = str(reason["feature"])
        meaning = (describe(name),) if meanings else ()
        rows.append(
            (
                name,
                format_value(name, reason.get("value")),
                _weight(reason.get("contribution"), reason.get("value")),
                *meaning,
            )
        )
    at = moment(int(decision["ts"]), since=explanation.start_ms)
    what = "Values behind the rules" if decision.get("rules") else "Values that the model used"
    return Table(
        f"{what}: {decision['outcome']}, {at}",
        ("feature", "value", "model", "meaning")[: 3 + meanings],
        rows,
        f"Triggered by event {decision.get('trigger') or 'unknown'}; decision {decision['id']}.",
        frozenset({0, 2, 3}),
    )


def _weight(contribution: float | None, value: float | None) -> str:
    """Say what a model made of a value, in log-odds; nothing where only a rule read it."""
    if contribution is None:
        return ""
    return f"{describe_direction(contribution, value)} ({contribution:+.2f})"


_CHANNELS = {"business_app": "a business-app", "business_platform": "a business-platform"}


def status_sentence(explanation: Explanation) -> str:
    """Return the current enforcement state in one sentence."""
    outcome = str(explanation.row["outcome"])
    done = row_of(outcome).state
    until = explanation.row.get("until_ms")
    ends = f" until {moment(int(until))}" if until is not None else ""
    if outcome == "allow" and not explanation.decisions:
        return "No decision was made about this account: nothing is refused."
    if outcome == "allow":
        done = f"allowed everything again; its most severe outcome was {explanation.row['worst']}"
    if explanation.shadow:
        return f"It would be {done}{ends}. The run was in shadow mode: nothing was enforced."
    return f"It is {done}{ends}."


def story_paragraphs(explanation: Explanation) -> list[str]:
    """Return paragraphs on the account's start, activity, decisions, and what followed."""
    early, later = _decision_sentences(explanation)
    paragraphs = [_start_sentence(explanation), *early, *_activity(explanation), *later]
    after = _afterwards(explanation)
    if after:
        paragraphs.append(after)
    if explanation.gap:
        paragraphs.append(
            explanation.gap + " This summary uses the decisions and the account's totals."
        )
    return paragraphs


def _start_sentence(explanation: Explanation) -> str:
    start = explanation.start_ms
    kind = _CHANNELS.get(str(explanation.row.get("channel")))
    as_kind = f" as {kind} account" if kind else ""
    if explanation.row.get("registered_ms") is None:
        return f"First seen on {moment(start)}; the log does not contain its registration."
    return f"Registered on {moment(start)}{as_kind}."


def _activity(explanation: Explanation) -> list[str]:
    """Describe its activity, and that of others towards it, until the first severe outcome."""
    timeline, end = explanation.timeline, explanation.action_ms
    if timeline is None:
        return [_totals(explanation.row)]
    own = [_sending(explanation, timeline, end), *_other_acts(timeline, end)]
    return [" ".join(own), _reception(timeline, end)]


def _sending(explanation: Explanation, timeline: Timeline, end: int | None) -> str:
    sends = timeline.between("sends", None, end)
    if not len(sends):
        return "Until then it had sent nothing." if end is not None else "It sent nothing."
    first, lasted = int(sends[0]), int(sends[-1] - sends[0])
    wait = first - explanation.start_ms
    decided_before = any(int(d["ts"]) < first for d in explanation.decisions)
    after = f"after it {_start_event(explanation)}, it" if decided_before else "later it"
    when = f"{span(wait)} {after}" if wait >= 1_000 else "At once it"
    line = f"{when} sent {count_of(len(sends), 'message')}"
    line += f" in {span(lasted)}" if lasted else ""
    new = len(timeline.between("first_contacts", None, end))
    groups = len(timeline.between("group_sends", None, end))
    if new:
        people = count_of(new, "person", "people")
        replied = len(timeline.between("replies", None, end))
        answer = "none replied" if not replied else f"{number(replied)} of them replied"
        line += f", to {people} it had never exchanged a message with; {answer}"
    elif groups < len(sends):
        line += ", all to people it already knew"
    line += f"; {number(groups)} went to groups" if groups else ""
    peak = busiest_minute(sends)
    if lasted > 5 * MINUTE_MS and peak > 1:
        line += f". At its peak it sent {number(peak)} within one minute"
    return line + "."


def busiest_minute(times: Times) -> int:
    """Return the largest number of times (ascending, in milliseconds) within any 60 s.

    >>> busiest_minute(np.array([0, 1_000, 59_999, 60_000, 200_000]))
    3
    """
    if not len(times):
        return 0
    ends = np.searchsorted(times, times + MINUTE_MS, side="left")
    return int((ends - np.arange(len(times))).max())


def _other_acts(timeline: Timeline, end: int | None) -> Iterator[str]:
    def count(kind: str) -> int:
        return len(timeline.between(kind, None, end))

    created, added = count("groups_created"), count("members_added")
    if created or added:
        yield (
            f"It created {count_of(created, 'group')} and added "
            f"{count_of(added, 'member')} to groups."
        )
    if count("lookups"):
        asked = count_of(timeline.looked_up, "number") if end is None else "numbers"
        yield f"It looked up {asked} in {count_of(count('lookups'), 'request')}."
    if count("undeliverable"):
        yield f"{count_of(count('undeliverable'), 'message')} could not be delivered."


def _reception(timeline: Timeline, end: int | None) -> str:
    def count(kind: str) -> int:
        return len(timeline.between(kind, None, end))

    reports, blocks = count("reports"), count("blocks")
    upto = " until then" if end is not None else ""
    heard = f"It received {count_of(count('received'), 'message')}{upto}"
    if not reports and not blocks:
        return f"{heard}; no one had reported or blocked it."
    return f"{heard}, {count_of(reports, 'report')} and {count_of(blocks, 'block')}."


def _totals(row: dict[str, Any]) -> str:
    return (
        f"In all it sent {count_of(row['sends'], 'message')} and wrote first to "
        f"{count_of(row['first_contacts'], 'person', 'people')}, of whom "
        f"{number(row['replied_contacts'])} replied; it received "
        f"{count_of(row['received'], 'message')} and {count_of(row['reports'], 'report')}."
    )


def _decision_sentences(explanation: Explanation) -> tuple[list[str], list[str]]:
    """Describe the first decision of each outcome: those before its first message, those after."""
    decisions = explanation.decisions
    if not decisions:
        return [], ["No rule matched, and no decision was made about it."]
    first_send = 0
    if explanation.timeline is not None and len(explanation.timeline["sends"]):
        first_send = int(explanation.timeline["sends"][0])
    early: list[str] = []
    later: list[str] = []
    first = first_decisions(decisions)
    for decision in first:
        where = early if int(decision["ts"]) < first_send else later
        where.append(_decision_sentence(explanation, decision))
    if len(decisions) > len(first):
        again = number(len(decisions) - len(first))
        later.append(f"Further decisions of the same outcomes: {again}, listed below.")
    return early, later


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
    kept = {len(decisions) - 1, *severe[: limit - 1]} if len(decisions) > limit else set(severe)
    return [decisions[n] for n in sorted(kept)]


def _decision_sentence(explanation: Explanation, decision: dict[str, Any]) -> str:
    at, outcome = int(decision["ts"]), str(decision["outcome"])
    since = explanation.start_ms
    would = "would have been" if explanation.shadow else "was"
    age = f", {span(at - since)} after it {_start_event(explanation)}," if at > since else ""
    when = moment(at, since=since)
    begin = f"{'At' if len(when) == 8 else 'On'} {when}{age}"
    if is_set_by_person(decision):
        return f"{begin} {person_clause(decision, shadow=explanation.shadow)}."
    line = f"{begin} it {would} {row_of(outcome).state}"
    if decision.get("until") is not None:
        line += f" for {span(int(decision['until']) - at)}"
    rules = decision.get("rules") or []
    if rules:
        line += f" by {', '.join(rules)}"
        abouts = [
            str(explanation.rules.get(rule, {}).get("about", "")).rstrip(".") for rule in rules
        ]
        line += f" ({'; '.join(a for a in abouts if a)})" if any(abouts) else ""
    basis = basis_clause(decision)
    line = f"{line}{describe_score(decision)}{'; ' if basis else ''}{basis}."
    evidence = evidence_sentence(decision)
    return f"{line} {evidence}" if evidence else line


def is_set_by_person(decision: dict[str, Any]) -> bool:
    """Whether a person chose the outcome itself, or ended the one in force; no rule decided."""
    return decision.get("basis") == "person" and not decision.get("rules")


def person_clause(decision: dict[str, Any], *, shadow: bool = False) -> str:
    """Say in words which outcome a person set, and until when.

    >>> person_clause({"outcome": "restrict", "until": 1_772_625_600_000})
    'a person set restrict until 4 March 2026, 12:00:00 UTC'
    >>> person_clause({"outcome": "ban"}), person_clause({"outcome": "allow"}, shadow=True)
    ('a person set ban, without an end', 'a person would have ended what was in force')
    """
    if decision["outcome"] == "allow":
        return f"a person {'would have ' if shadow else ''}ended what was in force"
    done = "would have set" if shadow else "set"
    until = decision.get("until")
    ends = ", without an end" if until is None else f" until {moment(int(until))}"
    return f"a person {done} {decision['outcome']}{ends}"


def _start_event(explanation: Explanation) -> str:
    return "was first seen" if explanation.row.get("registered_ms") is None else "registered"


def _afterwards(explanation: Explanation) -> str:
    timeline, at = explanation.timeline, explanation.action_ms
    refused = int(explanation.row.get("refused") or 0)
    if at is None or timeline is None:
        were = "would have been" if explanation.shadow else "were"
        events = count_of(refused, "of its events", "of its events")
        return f"{events} {were} refused." if refused else ""
    sends = len(timeline.between("sends", at + 1, None))
    action = "sent" if explanation.shadow else "tried to send"
    line = f"After that it {action} {count_of(sends, 'more message', 'more messages')}"
    if refused:
        would = "would have been" if explanation.shadow else "were"
        line += f"; {number(refused)} of its events {would} refused"
    reports = len(timeline.between("reports", at + 1, None))
    return line + (f"; {count_of(reports, 'report')} followed" if reports else "") + "."


def decisions_table(explanation: Explanation, limit: int) -> Table:
    """Tabulate at most `limit` decisions, oldest first; severe ones are kept before others."""
    shown = select_decisions(explanation.decisions, limit)
    left = len(explanation.decisions) - len(shown)
    rows = [
        (
            stamp(int(d["ts"])),
            str(d["stage"]),
            str(d["outcome"]),
            stamp(d.get("until")),
            "\n".join(deciders(d)),
        )
        for d in shown
    ]
    more = (
        f" {left:,} less severe ones are in {explanation.run_dir / 'decisions.jsonl'}."
        if left
        else ""
    )
    return Table(
        "Decisions",
        ("when (UTC)", "stage", "outcome", "until (UTC)", "by"),
        rows,
        f"An outcome without an end does not end by itself.{more}",
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
    more = (
        f" {number(len(ties) - limit)} more: wavebreak operators show."
        if (len(ties) > limit)
        else ""
    )
    return Table(
        "Accounts that seem to be of the same operator",
        ("account", "both", "last (UTC)"),
        rows,
        "A tie is a hypothesis: it may slow an account, and silences it only beside evidence of "
        f"its own.{more}",
        frozenset({0, 1, 2}),
    )


def rules_table(explanation: Explanation) -> Table:
    """Tabulate the rules that matched, with their description and source."""
    fired = dict.fromkeys(r for d in explanation.decisions for r in d.get("rules") or [])
    rows = []
    for rule in fired:
        known = explanation.rules.get(rule, {})
        rows.append(
            (rule, str(known.get("about", "not in summary.json")), str(known.get("source", "")))
        )
    return Table(
        "Rules that matched", ("rule", "about", "source"), rows, words=frozenset({0, 1, 2})
    )


def decisions_to_explain(explanation: Explanation) -> list[dict[str, Any]]:
    """Return the first decision of each outcome with reasons, most severe first."""
    reasoned = [d for d in explanation.decisions if d.get("reasons")]
    return sorted(first_decisions(reasoned), key=lambda d: -rank_of(str(d["outcome"])))


def outcome_meanings(explanation: Explanation) -> list[str]:
    """Describe each outcome it had: what is refused, how it ends, how to appeal."""
    lines = []
    had = dict.fromkeys(
        (str(d["outcome"]), str(d.get("action") or "")) for d in explanation.decisions
    )
    for outcome, action in had:
        known = explanation.actions.get(action) or explanation.actions.get(outcome, {})
        name = outcome if action in ("", outcome) else f"{outcome} ({action})"
        about = f"{known.get('about', '')} {known.get('revert', '')}".strip()
        lines.append(f"{name.capitalize()}: {about or 'the policy does not describe it.'}")
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
        ("of whom replied", "replied_contacts"),
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
