"""The report of an assessment: sentences and tables for a terminal, one page, and plain JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from wavebreak.assessment.measurement import Assessment, MetAccount
from wavebreak.durations import DAY_MS
from wavebreak.evaluation import exact_interval
from wavebreak.evaluation.report import share_of
from wavebreak.linking import Operator
from wavebreak.outcomes import SILENCING, row_of
from wavebreak.reports.charts import Interval, Line, curves, shares
from wavebreak.reports.html import html_figure, html_table, join_html, page, paragraphs
from wavebreak.reports.tables import (
    Console,
    Table,
    brief,
    count_of,
    interval,
    number,
    percent,
    print_lines,
    print_table,
    span,
    stamp,
)

FORMAT = 1
"""Version of the JSON."""
SHOWN_ACCOUNTS, SHOWN_OPERATORS, SHOWN_GAPS, SHOWN_DAYS = 60, 30, 20, 400
"""Most rows of a page's tables, and days of its chart."""
SHOWN_EDGES = 20
"""Edges of an operator whose evidence is said."""
ON_TERMINAL = 8
"""Most rows of a terminal's tables."""
FEW_DAYS = 3
"""Days below which most windows of rules were never full."""


def as_json(assessment: Assessment) -> dict[str, Any]:
    """Return an assessment as plain JSON values: all accounts and operators, under pseudonyms."""
    reading, of = assessment.reading, assessment
    return {
        "format": FORMAT,
        "source": of.source,
        "read": {
            "kind": reading.kind,
            "rows": reading.rows,
            "events": reading.accepted,
            "refused": dict(reading.refused.most_common()),
            "first_ms": reading.first_ms,
            "last_ms": reading.last_ms,
            "accounts": of.counts["accounts"],
            "senders": of.senders,
        },
        "versions": of.counts["versions"],
        "honest": {
            "by": "labels" if of.labelled else "answers",
            "accounts": of.honest,
            "met": len(of.honest_met),
            "met_interval": list(exact_interval(len(of.honest_met), of.honest)),
            "first_messages": of.first_messages,
            "first_messages_refused": sum(each.refused for each in of.honest_met),
        },
        "outcomes": msgspec.to_builtins(of.outcomes),
        "rules": msgspec.to_builtins(of.rules),
        "accounts": msgspec.to_builtins(of.met),
        "operators": msgspec.to_builtins(of.operators),
        "rules_off": list(of.rules_off),
        "lacks": msgspec.to_builtins(of.gaps),
        "learning": msgspec.to_builtins(of.learning),
        "next": next_steps(of),
    }


# Sentences


def headline(assessment: Assessment) -> list[str]:
    """Say the result in four sentences: what was read, who is met, who is hurt, what is missing."""
    of, reading = assessment, assessment.reading
    met = len(of.met)
    silenced = sum(each.outcome in SILENCING for each in of.met)
    lines = [
        f"{count_of(reading.accepted, 'event')} of {count_of(of.counts['accounts'], 'account')} "
        f"over {span(_length(of))} were decided in shadow: nothing was refused, and no name is "
        "kept.",
        f"Of {count_of(of.senders, 'sender')}, {number(met)} would have been met "
        f"({_share(met, of.senders)}): {number(met - silenced)} slowed, {number(silenced)} "
        "restricted or worse.",
        _honest_sentence(of),
    ]
    if of.rules_off:
        named = f", most of all for want of {of.gaps[0].lacks}" if of.gaps else ""
        lines.append(
            f"{len(of.rules_off)} of {len(of.counts['rules'])} rules cannot hold on this "
            f"data{named}: what they would have met is not in these numbers."
        )
    return lines


def _honest_sentence(of: Assessment) -> str:
    said = "labelled benign" if of.labelled else "that strangers answer"
    if not of.honest:
        return (
            f"Nobody is {said}, so this data does not say how many honest people are slowed."
            if of.labelled
            else "No answers of strangers are in this data, so it does not say how many honest "
            "people are slowed."
        )
    met, refused = of.honest_met, sum(each.refused for each in of.honest_met)
    worse = sum(each.outcome in SILENCING for each in met)
    held = sorted(each.held_ms for each in met)
    long = f", half of them for {span(held[len(held) // 2])} or less" if held else ""
    return (
        f"Of {count_of(of.honest, 'honest-looking sender')} ({said}), {number(len(met))} would "
        f"have been met ({_share(len(met), of.honest)}), {number(worse)} of them restricted or "
        f"worse{long}; {number(refused)} of their {count_of(of.first_messages, 'first message')} "
        f"({percent(refused / max(1, of.first_messages))}) would have had to wait."
    )


def _share(count: int, of: int) -> str:
    if not of:
        return "of none"
    return f"{percent(count / of)}, 95 %: {interval(*exact_interval(count, of))}"


def _length(of: Assessment) -> int:
    first, last = of.reading.first_ms, of.reading.last_ms
    return 0 if first is None or last is None else last - first


def _reading_lines(of: Assessment) -> list[str]:
    reading = of.reading
    lines = [
        f"{of.source} is {reading.kind}: {count_of(reading.rows, 'row')}, of which "
        f"{count_of(reading.accepted, 'event')} from {stamp(reading.first_ms)} to "
        f"{stamp(reading.last_ms)} (UTC) were taken."
    ]
    causes = (f"{cause.replace('_', ' ')} ({n:,})" for cause, n in reading.refused.most_common(8))
    if reading.refused:
        lines.append(f"Left out, as no valid event: {', '.join(causes)}.")
    lines += [f"For example: {each}." for each in reading.examples]
    late, twice = of.counts["late"], of.counts["duplicates"]
    if late or twice:
        lines.append(f"{number(late)} came too late to count, and {number(twice)} came twice.")
    if _length(of) < FEW_DAYS * DAY_MS:
        lines.append(
            "This is little: answers and complaints need days to come in. A week or two says more."
        )
    return lines


def _learning_lines(of: Assessment) -> list[str]:
    learning, lesson = of.learning, of.learning.lesson
    lines = []
    if lesson is not None:
        labels = [f"{count:,} {words}" for words, count in lesson.labels.items() if count]
        lines.append(
            f"Of {number(lesson.days)} days, these accounts say what abuse is here: "
            f"{', '.join(labels) or 'none'}."
        )
    if not learning.reactions:
        lines.append(
            "There are no reports and no blocks in this data. They are what convicts, and what a "
            "score may act beside: send user.reported and user.blocked."
        )
    if learning.why_not or lesson is None:
        return [*lines, f"So nothing can be learned from it. {learning.why_not}"]
    return [
        *lines,
        f"A score learned from them would meet {number(lesson.caught)} of the convicted accounts, "
        f"and {number(lesson.met)} of {count_of(lesson.first_messages, 'first message')} of "
        "answered accounts, by trees that saw nothing of their operator.",
        f"{count_of(learning.new, 'account')} of these the shipped rules did not meet. It acts on "
        "nobody until it has held in shadow.",
    ]


def next_steps(assessment: Assessment) -> list[str]:
    """Say what to do next, the most useful first.

    Args:
        assessment: The assessment.

    """
    of, steps = assessment, list[str]()
    refused = sum(of.reading.refused.values())
    if refused * 20 > of.reading.rows:
        cause = of.reading.refused.most_common(1)[0][0].replace("_", " ")
        steps.append(
            f"Mend the export: {percent(refused / of.reading.rows)} of its rows were left out, "
            f"most as {cause}. Of a CSV, --types says what its own types mean."
        )
    steps += [
        f"Send {gap.lacks}: {count_of(len(gap.rules), 'rule')} cannot hold without it "
        f"({', '.join(gap.rules[:3])}{' and others' if len(gap.rules) > 3 else ''})."
        for gap in of.gaps[:3]
    ]
    steps += [
        f"Look at {rule.rule} first: {number(rule.honest)} of the {number(rule.accounts)} accounts "
        f"that it meets look honest (wavebreak rules why {rule.rule})."
        for rule in sorted(of.rules, key=lambda rule: -rule.honest)[:2]
        if rule.honest and rule.rule != "score"
    ]
    if of.operators:
        steps.append(
            f"Look at the operator {of.operators[0].id} of "
            f"{count_of(len(of.operators[0].accounts), 'account')} before single accounts."
        )
    steps.append(
        "Run it in shadow beside your messenger for a week (docs/how-to/run-in-shadow.md): "
        "wavebreak serve HOME; then fit its numbers to your own days: wavebreak calibrate HOME."
    )
    return steps


# Tables


def _outcomes_table(of: Assessment) -> Table:
    rows = []
    for each in of.outcomes:
        honest = _of_percent(each.honest, of.honest) if of.honest else "–"
        times = f"{brief(each.median_ms)}; {brief(each.p90_ms)}" if each.honest else "–"
        rows.append(
            (
                f"{each.outcome}\n{row_of(each.outcome).refusal_words}",
                _of_percent(each.accounts, of.senders),
                honest,
                times,
                number(each.refused),
            )
        )
    return Table(
        "Who would have been met, by the most severe outcome",
        ("outcome", "accounts\n%; 95 %", "honest-looking\n%; 95 %", "for how long\nmedian; p90",
         "first messages\nthat wait"),
        rows,
        "Shares are of all senders, and of the honest-looking ones; intervals are exact "
        "(Clopper–Pearson). For how long, and the first messages that wait: of the honest-looking.",
    )  # fmt: skip


def _of_percent(count: int, of: int) -> str:
    if not of:
        return number(count)
    return f"{number(count)}\n{share_of(count, of).replace(chr(10), '; ')}"


def _rules_table(of: Assessment, limit: int) -> Table:
    rows = [
        (f"{each.rule}\n{each.about}", each.outcome, number(each.accounts),
         _of_percent(each.honest, each.accounts) if each.honest else "0")
        for each in of.rules[:limit]
    ]  # fmt: skip
    return Table(
        "Why: the rules that would have met somebody",
        ("rule", "outcome", "accounts", "honest-looking\n%; 95 %"),
        rows,
        _left_out(len(of.rules), limit, "rule")
        + "An account is counted for each rule of its most severe decision.",
        words=frozenset({0, 1}),
    )


def _left_out(count: int, limit: int, one: str) -> str:
    return f"{count_of(count - limit, 'more ' + one)}: --json has all. " if count > limit else ""


def accounts_table(title: str, accounts: Sequence[MetAccount], limit: int) -> Table:
    """Return accounts that would be met, with why; those beyond `limit` are counted in the note."""
    rows = [
        (
            f"{each.account}\n{each.operator}".rstrip(),
            f"{each.outcome}\n{stamp(each.first_ms)[:16]}",
            number(each.sends), number(each.strangers),
            f"{number(each.answered)}; {number(each.reports)}",
            {True: "yes", False: "no", None: "?"}[each.honest],
            each.why,
        )
        for each in accounts[:limit]
    ]  # fmt: skip
    return Table(
        title,
        ("account\noperator", "outcome\nfirst met (UTC)", "sent", "strangers", "answered;\nreports",
         "looks\nhonest", "why"),
        rows,
        _left_out(len(accounts), limit, "account")
        + "?: nobody answered or complained, so nothing says. --names FILE writes whose these "
        "pseudonyms are.",
        words=frozenset({0, 1, 5, 6}),
    )  # fmt: skip


def _ties(operator: Operator) -> str:
    """Return what the heaviest edges of an operator rest on, each said once."""
    said = dict.fromkeys(each for edge in operator.edges[:SHOWN_EDGES] for each in edge.evidence)
    return "; ".join(list(said)[:3])


def _operators_table(of: Assessment, limit: int) -> Table:
    rows = [
        (
            f"{each.id}\nvictims, not abusers" if each.victims else each.id,
            number(len(each.accounts)), number(len(each.abusive)), number(each.strangers),
            f"{number(each.answers)}; {number(each.complaints)}",
            _ties(each),
        )
        for each in of.operators[:limit]
    ]  # fmt: skip
    return Table(
        "Accounts that seem to be of one hand",
        ("operator", "accounts", "found\nabusive", "strangers", "answers;\ncomplaints", "they"),
        rows,
        _left_out(len(of.operators), limit, "operator")
        + "An operator is a hypothesis: it may slow its accounts, and silences one only beside "
        "evidence of its own.",
        words=frozenset({0, 5}),
    )  # fmt: skip


def _gaps_table(of: Assessment, limit: int) -> Table:
    rows = [(gap.lacks, number(len(gap.rules)), ", ".join(gap.rules)) for gap in of.gaps[:limit]]
    return Table(
        "What this data lacks, and the rules that cannot hold without it",
        ("lacks", "rules", "which"),
        rows,
        _left_out(len(of.gaps), limit, "field")
        + "What each means is in docs/reference/events.md. A rule with several gaps is in several "
        "rows.",
        words=frozenset({0, 2}),
    )


def _groups_table(of: Assessment) -> Table | None:
    lesson = of.learning.lesson
    if lesson is None or not lesson.groups:
        return None
    rows = [
        (g.age, g.answered, number(g.accounts), number(g.by_tests), number(g.met))
        for g in lesson.groups
    ]
    headings = (
        "age",
        "strangers who answered",
        "accounts",
        "met by\nthe tests",
        "met by\nthe score",
    )
    return Table("Whom a learned score would meet", headings, rows, words=frozenset({0, 1}))


# Terminal


def print_assessment(assessment: Assessment, console: Console) -> None:
    """Print the assessment on one or two screens: sentences, and the head of each table."""
    of = assessment
    print_lines(headline(of), console)
    if of.reading.refused:
        print_lines(_reading_lines(of), console, "yellow")
    if of.outcomes:
        short = [(row[0].partition("\n")[0], *row[1:]) for row in _outcomes_table(of).rows]
        table = _outcomes_table(of)
        print_table(Table(table.title, table.columns, short, table.note), console)
        print_table(_rules_table(of, ON_TERMINAL), console)
    if of.operators:
        print_table(_short_operators(of), console)
    if of.gaps:
        print_table(_short_gaps(of), console)
    console.print("What learning at home would add", style="bold")
    print_lines(_learning_lines(of), console)


def _short_gaps(of: Assessment) -> Table:
    table = _gaps_table(of, ON_TERMINAL)
    rows = []
    for gap in of.gaps[:ON_TERMINAL]:
        more = ", …" if len(gap.rules) > 2 else ""
        rows.append((gap.lacks, number(len(gap.rules)), ", ".join(gap.rules[:2]) + more))
    return Table(table.title, table.columns, rows, words=table.words)


def _short_operators(of: Assessment) -> Table:
    table = _operators_table(of, 5)
    return Table(table.title, table.columns[:5], [row[:5] for row in table.rows])


# Page


def write_html(assessment: Assessment, path: Path) -> None:
    """Write the assessment as one self-contained page; the same input gives the same bytes."""
    of = assessment
    sections = [(heading, join_html(parts)) for heading, parts in _sections(of)]
    text = page(f"Assessment of {of.source}", headline(of), sections, dark=True)
    path.write_text(text, encoding="utf-8")


def _sections(of: Assessment) -> Iterator[tuple[str, list[str]]]:
    yield "What was read", [paragraphs(_reading_lines(of)), *_days_figure(of)]
    if of.met:
        yield "Who would have been met", [html_table(_outcomes_table(of), caption=False)]
        yield "Why", [html_table(_rules_table(of, len(of.rules)), caption=False)]
    yield "Honest-looking people", list(_honest_parts(of))
    if of.met:
        table = accounts_table("Accounts", of.met, SHOWN_ACCOUNTS)
        yield "The accounts", [html_table(table, caption=False)]
    if of.operators:
        yield "Operators", [html_table(_operators_table(of, SHOWN_OPERATORS), caption=False)]
    coverage = "Every rule of the policy can hold on this data."
    yield (
        "What the data lacks",
        (
            [html_table(_gaps_table(of, SHOWN_GAPS), caption=False)]
            if of.gaps
            else [paragraphs([coverage])]
        ),
    )
    groups = _groups_table(of)
    yield (
        "What learning at home would add",
        [
            paragraphs(_learning_lines(of)),
            *([html_table(groups)] if groups else []),
        ],
    )
    yield "What to do next", [paragraphs(next_steps(of))]
    versions = ", ".join(
        f"{name} {value}" for name, value in of.counts["versions"].items() if value
    )
    yield "Versions", [paragraphs([versions], "note")]


def _days_figure(of: Assessment) -> list[str]:
    """Return charts of events and of newly met accounts by day; none for fewer than two days."""
    days = sorted(of.reading.days)[-SHOWN_DAYS:]
    if len(days) < 2:
        return []
    begin = datetime.fromtimestamp(days[0] * DAY_MS / 1000, UTC)
    across = f"days since {begin.day} {begin:%B %Y}"
    at = [float(day - days[0]) for day in days]
    events = [float(of.reading.days[day]) for day in days]
    first_met = Counter(each.first_ms // DAY_MS for each in of.met)
    met = [float(first_met[day]) for day in days]
    drawn = [("events", "Events by day", events)]
    drawn += [("met", "Accounts that would first have been met, by day", met)] if any(met) else []
    return [
        html_figure(
            curves(name, title, [Line(title, at, values)], across=across, up="a day"), f"{title}."
        )
        for name, title, values in drawn
    ]


def _honest_parts(of: Assessment) -> Iterator[str]:
    yield paragraphs([_honest_sentence(of)])
    if not of.honest:
        return
    rows = [(each.outcome, each.honest) for each in of.outcomes]
    if rows:
        svg = shares(
            "honest",
            "Share of honest-looking senders by the most severe outcome",
            [outcome for outcome, _ in rows],
            {"honest-looking": [_interval(count, of.honest) for _, count in rows]},
        )
        yield html_figure(svg, "Share of the honest-looking senders, with its 95 % interval.")
    if of.honest_met:
        table = accounts_table("Honest-looking accounts", of.honest_met, SHOWN_ACCOUNTS)
        yield html_table(table)
    if not of.labelled:
        yield paragraphs(
            [
                "Honest-looking: strangers answered it at least twice, and three times as often as "
                "they complained. Spam that is answered passes as honest, and honest people whom "
                "nobody answers do not: labels of your own (--labels) say it better."
            ],
            "note",
        )


def _interval(count: int, of: int) -> Interval:
    low, high = exact_interval(count, of)
    return Interval(count / of if of else 0.0, low, high, f"{number(count)} of {number(of)}")
