"""The report of an assessment, in full for a page and short for a terminal, and its JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from wavebreak.assessment.measurement import Assessment, MetAccount
from wavebreak.durations import DAY_MS
from wavebreak.evaluation import exact_interval
from wavebreak.evaluation.report import share_interval, share_of
from wavebreak.linking import Operator
from wavebreak.outcomes import SILENCING, row_of
from wavebreak.reports.charts import Curves, Line, Shares
from wavebreak.reports.report import KeyFigure, Report, Section, Text
from wavebreak.reports.tables import (
    Table,
    brief,
    count_of,
    interval,
    number,
    percent,
    span,
    stamp,
)

FORMAT = 1
"""Version of the JSON."""
MAX_ACCOUNTS, MAX_OPERATORS, MAX_GAPS, MAX_DAYS = 60, 30, 20, 400
"""Rows of a page's tables, and days of its chart."""
MAX_EDGES = 20
"""Edges of an operator whose evidence is listed."""
MAX_BRIEF_ROWS, MAX_BRIEF_OPERATORS = 8, 5
"""Rows of a terminal's tables."""
MIN_DAYS = 3
"""Days below which most windows of rules were never full."""
PERIOD_NOTE = (
    "This is little: answers and complaints need days to come in. A week or two says more."
)


def assessment_report(assessment: Assessment, *, is_brief: bool = False) -> Report:
    """Return the assessment as a report.

    Args:
        assessment: The assessment.
        is_brief: Whether to leave out accounts and charts, and all but the head of each table.
    """
    of, reading = assessment, assessment.reading
    sections = [] if is_brief else [Section("What was read", _reading_blocks(of))]
    if is_brief and reading.refused:
        sections.append(Section("", [Text(_reading_lines(of), "warning")]))
    if of.met:
        limit = MAX_BRIEF_ROWS if is_brief else len(of.rules)
        sections += [
            Section("Who would have been met", [_outcomes_table(of, is_brief=is_brief)]),
            Section("Why", [_rules_table(of, limit)]),
        ]
    if not is_brief:
        sections.append(Section("Honest-looking people", _honest_blocks(of)))
        if of.met:
            accounts = accounts_table("Accounts", of.met, MAX_ACCOUNTS)
            sections.append(Section("The accounts", [accounts]))
    if of.operators:
        sections.append(Section("Operators", [_operators_table(of, is_brief=is_brief)]))
    if of.gaps:
        sections.append(Section("What the data lacks", [_gaps_table(of, is_brief=is_brief)]))
    elif not is_brief:
        coverage = Text(["Every rule of the policy can hold on this data."])
        sections.append(Section("What the data lacks", [coverage]))
    learning: list[Text | Table] = [Text(_learning_lines(of))]
    learning += [] if is_brief else _groups_tables(of)
    versions = ", ".join(
        f"{name} {version}" for name, version in of.counts["versions"].items() if version
    )
    sections += [
        Section("What learning at home would add", learning),
        Section("What to do next", [Text(next_steps(of), "steps")]),
        Section("Versions", [Text([versions], "note")], page_only=True),
    ]
    return Report(
        f"Assessment of {of.source}",
        headline(of),
        sections,
        _key_figures(of),
        data=assessment_data(of),
    )


def assessment_data(assessment: Assessment) -> dict[str, Any]:
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
            "first_messages_refused": sum(account.refused for account in of.honest_met),
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


def headline(assessment: Assessment) -> list[str]:
    """Describe the result in four sentences: data, enforcement, false positives, missing data."""
    of, reading = assessment, assessment.reading
    met = len(of.met)
    silenced = sum(account.outcome in SILENCING for account in of.met)
    lines = [
        f"{count_of(reading.accepted, 'event')} of {count_of(of.counts['accounts'], 'account')} "
        f"over {span(_period_ms(of))} were decided in shadow: nothing was refused, and no name is "
        "kept.",
        f"Of {count_of(of.senders, 'sender')}, {number(met)} would have been met "
        f"({_share_text(met, of.senders)}): {number(met - silenced)} slowed, {number(silenced)} "
        "restricted or worse.",
        _honest_sentence(of),
    ]
    if of.rules_off:
        cause = f", most of all for want of {of.gaps[0].lacks}" if of.gaps else ""
        lines.append(
            f"{len(of.rules_off)} of {len(of.counts['rules'])} rules cannot hold on this "
            f"data{cause}: what they would have met is not in these numbers."
        )
    return lines


def _honest_sentence(of: Assessment) -> str:
    if not of.honest:
        return (
            "Nobody is labelled benign, so this data does not say how many honest people are "
            "slowed."
            if of.labelled
            else "No answers of strangers are in this data, so it does not say how many honest "
            "people are slowed."
        )
    basis = "labelled benign" if of.labelled else "that strangers answer"
    met, refused = of.honest_met, sum(account.refused for account in of.honest_met)
    worse = sum(account.outcome in SILENCING for account in met)
    durations = sorted(account.held_ms for account in met)
    median = f", half of them for {span(durations[len(durations) // 2])} or less" if met else ""
    return (
        f"Of {count_of(of.honest, 'honest-looking sender')} ({basis}), {number(len(met))} would "
        f"have been met ({_share_text(len(met), of.honest)}), {number(worse)} of them restricted "
        f"or worse{median}; {number(refused)} of their "
        f"{count_of(of.first_messages, 'first message')} "
        f"({percent(refused / max(1, of.first_messages))}) would have had to wait."
    )


def _share_text(count: int, of: int) -> str:
    if not of:
        return "of none"
    return f"{percent(count / of)}, 95 %: {interval(*exact_interval(count, of))}"


def _period_ms(of: Assessment) -> int:
    first, last = of.reading.first_ms, of.reading.last_ms
    return 0 if first is None or last is None else last - first


def _key_figures(of: Assessment) -> list[KeyFigure]:
    met, honest_met = len(of.met), len(of.honest_met)
    figures = [KeyFigure("Senders met", number(met), f"of {number(of.senders)}")]
    if of.honest:
        note = f"of {number(of.honest)}, {percent(honest_met / of.honest)}"
        figures.append(KeyFigure("Honest-looking senders met", number(honest_met), note))
    rules = len(of.counts["rules"])
    coverage = KeyFigure("Rules without data", number(len(of.rules_off)), f"of {number(rules)}")
    return [*figures, KeyFigure("Operators found", number(len(of.operators))), coverage]


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
    lines += [f"For example: {example}." for example in reading.examples]
    lines += [f"{note[0].upper()}{note[1:]}." for note in reading.notes]
    late, duplicates = of.counts["late"], of.counts["duplicates"]
    if late or duplicates:
        lines.append(f"{number(late)} came too late to count, and {number(duplicates)} came twice.")
    return [*lines, PERIOD_NOTE] if _period_ms(of) < MIN_DAYS * DAY_MS else lines


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
    """Return the recommended next steps, the most useful first."""
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
        "wavebreak serve HOME; it learns its numbers from your own days: wavebreak learn HOME."
    )
    return steps


def _outcomes_table(of: Assessment, *, is_brief: bool) -> Table:
    rows = [
        (
            outcome.outcome if is_brief
            else f"{outcome.outcome}\n{row_of(outcome.outcome).refusal_words}",
            _count_share(outcome.accounts, of.senders),
            _count_share(outcome.honest, of.honest) if of.honest else "–",
            f"{brief(outcome.median_ms)}; {brief(outcome.p90_ms)}" if outcome.honest else "–",
            outcome.refused,
        )
        for outcome in of.outcomes
    ]  # fmt: skip
    return Table(
        "Who would have been met, by the most severe outcome",
        ("outcome", "accounts\n%; 95 %", "honest-looking\n%; 95 %", "for how long\nmedian; p90",
         "first messages\nthat wait"),
        rows,
        "Shares are of all senders, and of the honest-looking ones; intervals are exact "
        "(Clopper–Pearson). For how long, and the first messages that wait: of the honest-looking.",
    )  # fmt: skip


def _count_share(count: int, of: int) -> str:
    if not of:
        return number(count)
    return f"{number(count)}\n{share_of(count, of).replace(chr(10), '; ')}"


def _rules_table(of: Assessment, limit: int) -> Table:
    return Table(
        "Why: the rules that would have met somebody",
        ("rule", "outcome", "accounts", "honest-looking\n%; 95 %"),
        [
            (f"{rule.rule}\n{rule.about}", rule.outcome, rule.accounts,
             _count_share(rule.honest, rule.accounts) if rule.honest else "0")
            for rule in of.rules[:limit]
        ],
        _omission_note(len(of.rules), limit, "rule")
        + "An account is counted for each rule of its most severe decision.",
        words=frozenset({0, 1}),
    )  # fmt: skip


def _omission_note(count: int, limit: int, noun: str) -> str:
    return f"{count_of(count - limit, 'more ' + noun)}: --json has all. " if count > limit else ""


def accounts_table(title: str, accounts: Sequence[MetAccount], limit: int) -> Table:
    """Return accounts that would be met, with why; those beyond `limit` are counted in the note."""
    return Table(
        title,
        ("account\noperator", "outcome\nfirst met (UTC)", "sent", "strangers", "answered;\nreports",
         "looks\nhonest", "why"),
        [
            (
                f"{account.account}\n{account.operator}".rstrip(),
                f"{account.outcome}\n{stamp(account.first_ms)[:16]}",
                account.sends, account.strangers,
                f"{number(account.answered)}; {number(account.reports)}",
                {True: "yes", False: "no", None: "?"}[account.honest],
                account.why,
            )
            for account in accounts[:limit]
        ],
        _omission_note(len(accounts), limit, "account")
        + "?: nobody answered or complained, so nothing says. --names FILE writes whose these "
        "pseudonyms are.",
        words=frozenset({0, 1, 5, 6}),
    )  # fmt: skip


def _operators_table(of: Assessment, *, is_brief: bool) -> Table:
    limit = MAX_BRIEF_OPERATORS if is_brief else MAX_OPERATORS
    columns = (
        "operator",
        "accounts",
        "found\nabusive",
        "strangers",
        "answers;\ncomplaints",
        "they",
    )
    rows = [
        (
            f"{operator.id}\nvictims, not abusers" if operator.victims else operator.id,
            len(operator.accounts), len(operator.abusive), operator.strangers,
            f"{number(operator.answers)}; {number(operator.complaints)}",
            _ties_text(operator),
        )
        for operator in of.operators[:limit]
    ]  # fmt: skip
    title = "Accounts that seem to be of one hand"
    if is_brief:
        return Table(title, columns[:-1], [row[:-1] for row in rows])
    return Table(
        title,
        columns,
        rows,
        _omission_note(len(of.operators), limit, "operator")
        + "An operator is a hypothesis: it may slow its accounts, and silences one only beside "
        "evidence of its own.",
        words=frozenset({0, 5}),
    )


def _ties_text(operator: Operator) -> str:
    """Return the kinds of evidence behind the heaviest edges of an operator."""
    kinds = dict.fromkeys(kind for edge in operator.edges[:MAX_EDGES] for kind in edge.evidence)
    return "; ".join(list(kinds)[:3])


def _gaps_table(of: Assessment, *, is_brief: bool) -> Table:
    limit = MAX_BRIEF_ROWS if is_brief else MAX_GAPS
    rows = [
        (
            gap.lacks,
            len(gap.rules),
            ", ".join([*gap.rules[:2], "…"] if is_brief and len(gap.rules) > 2 else gap.rules),
        )
        for gap in of.gaps[:limit]
    ]
    note = (
        _omission_note(len(of.gaps), limit, "field")
        + "`wavebreak/policy/event.schema.json` says what each means. A rule with several gaps is "
        "in several rows."
    )
    title = "What this data lacks, and the rules that cannot hold without it"
    columns = ("lacks", "rules", "which")
    return Table(title, columns, rows, "" if is_brief else note, frozenset({0, 2}))


def _groups_tables(of: Assessment) -> list[Table]:
    lesson = of.learning.lesson
    if lesson is None or not lesson.groups:
        return []
    columns = (
        "age",
        "strangers who answered",
        "accounts",
        "met by\nthe tests",
        "met by\nthe score",
    )
    rows = [(g.age, g.answered, g.accounts, g.by_tests, g.met) for g in lesson.groups]
    return [Table("Whom a learned score would meet", columns, rows, words=frozenset({0, 1}))]


def _reading_blocks(of: Assessment) -> list[Text | Curves]:
    """Return what was read, with charts by day of events and of newly met accounts."""
    text = Text(_reading_lines(of))
    days = sorted(of.reading.days)[-MAX_DAYS:]
    if len(days) < 2:
        return [text]
    start = datetime.fromtimestamp(days[0] * DAY_MS / 1000, UTC)
    across = f"days since {start.day} {start:%B %Y}"
    x = [float(day - days[0]) for day in days]
    new_accounts = Counter(account.first_ms // DAY_MS for account in of.met)
    counts = {
        "events": ("Events by day", [float(of.reading.days[day]) for day in days]),
        "met": (
            "Accounts that would first have been met, by day",
            [float(new_accounts[day]) for day in days],
        ),
    }
    return [text] + [
        Curves(name, title, f"{title}.", [Line(title, x, values)], across, "a day")
        for name, (title, values) in counts.items()
        if name == "events" or any(values)
    ]


def _honest_blocks(of: Assessment) -> list[Text | Table | Shares]:
    blocks: list[Text | Table | Shares] = [Text([_honest_sentence(of)])]
    if not of.honest:
        return blocks
    if of.outcomes:
        chart = Shares(
            "honest",
            "Share of honest-looking senders by the most severe outcome",
            "Share of the honest-looking senders, with its 95 % interval.",
            [outcome.outcome for outcome in of.outcomes],
            {"honest-looking": [share_interval(o.honest, of.honest) for o in of.outcomes]},
        )
        blocks.append(chart)
    if of.honest_met:
        blocks.append(accounts_table("Honest-looking accounts", of.honest_met, MAX_ACCOUNTS))
    if not of.labelled:
        note = (
            "Honest-looking: strangers answered it at least twice, and three times as often as "
            "they complained. Spam that is answered passes as honest, and honest people whom "
            "nobody answers do not: labels of your own (--labels) say it better."
        )
        blocks.append(Text([note], "note"))
    return blocks
