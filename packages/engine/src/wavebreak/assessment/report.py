"""Report of an assessment: in full for a page, short for a terminal, and as JSON."""

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


def assessment_report(result: Assessment, *, is_brief: bool = False) -> Report:
    """Return the assessment as a report.

    Args:
        result: The assessment.
        is_brief: Whether to leave out accounts and charts, and all but the head of each table.
    """
    reading = result.reading
    sections = [] if is_brief else [Section("What was read", _reading_blocks(result))]
    if is_brief and reading.refused:
        sections.append(Section("", [Text(_reading_lines(result), "warning")]))
    if result.met:
        limit = MAX_BRIEF_ROWS if is_brief else len(result.rules)
        sections += [
            Section("Who would have been met", [_outcomes_table(result, is_brief=is_brief)]),
            Section("Why", [_rules_table(result, limit)]),
        ]
    if not is_brief:
        sections.append(Section("Honest-looking people", _honest_blocks(result)))
        if result.met:
            accounts = accounts_table("Accounts", result.met, MAX_ACCOUNTS)
            sections.append(Section("The accounts", [accounts]))
    if result.operators:
        sections.append(Section("Operators", [_operators_table(result, is_brief=is_brief)]))
    if result.gaps:
        sections.append(Section("What the data lacks", [_gaps_table(result, is_brief=is_brief)]))
    elif not is_brief:
        coverage = Text(["Every rule of the policy can hold on this data."])
        sections.append(Section("What the data lacks", [coverage]))
    learning: list[Text | Table] = [Text(_learning_lines(result))]
    learning += [] if is_brief else _groups_tables(result)
    versions = ", ".join(
        f"{name} {version}" for name, version in result.counts["versions"].items() if version
    )
    sections += [
        Section("What learning at home would add", learning),
        Section("What to do next", [Text(next_steps(result), "steps")]),
        Section("Versions", [Text([versions], "note")], page_only=True),
    ]
    return Report(
        f"Assessment of {result.source}",
        headline(result),
        sections,
        _key_figures(result),
        data=assessment_data(result),
    )


def assessment_data(result: Assessment) -> dict[str, Any]:
    """Return an assessment as plain JSON values: all accounts and operators, under pseudonyms."""
    reading = result.reading
    return {
        "format": FORMAT,
        "source": result.source,
        "read": {
            "kind": reading.kind,
            "rows": reading.rows,
            "events": reading.accepted,
            "refused": dict(reading.refused.most_common()),
            "first_ms": reading.first_ms,
            "last_ms": reading.last_ms,
            "accounts": result.counts["accounts"],
            "senders": result.senders,
        },
        "versions": result.counts["versions"],
        "honest": {
            "by": "labels" if result.labelled else "answers",
            "accounts": result.honest,
            "met": len(result.honest_met),
            "met_interval": list(exact_interval(len(result.honest_met), result.honest)),
            "first_messages": result.first_messages,
            "first_messages_refused": sum(account.refused for account in result.honest_met),
        },
        "outcomes": msgspec.to_builtins(result.outcomes),
        "rules": msgspec.to_builtins(result.rules),
        "accounts": msgspec.to_builtins(result.met),
        "operators": msgspec.to_builtins(result.operators),
        "rules_off": list(result.rules_off),
        "lacks": msgspec.to_builtins(result.gaps),
        "learning": msgspec.to_builtins(result.learning),
        "next": next_steps(result),
    }


def headline(result: Assessment) -> list[str]:
    """Describe the result in four sentences: data, enforcement, false positives, missing data."""
    reading = result.reading
    met_count = len(result.met)
    silenced = sum(account.outcome in SILENCING for account in result.met)
    lines = [
        f"{count_of(reading.accepted, 'event')} of "
        f"{count_of(result.counts['accounts'], 'account')} over {span(_period_ms(result))} were "
        "decided in shadow: nothing was refused, and no name is kept.",
        f"Of {count_of(result.senders, 'sender')}, {number(met_count)} would have been met "
        f"({_share_text(met_count, result.senders)}): {number(met_count - silenced)} slowed, "
        f"{number(silenced)} restricted or worse.",
        _honest_sentence(result),
    ]
    if result.rules_off:
        cause = f", most of all for want of {result.gaps[0].lacks}" if result.gaps else ""
        lines.append(
            f"{len(result.rules_off)} of {len(result.counts['rules'])} rules cannot hold on this "
            f"data{cause}: what they would have met is not in these numbers."
        )
    return lines


def _honest_sentence(result: Assessment) -> str:
    if not result.honest:
        return (
            "Nobody is labelled benign, so this data does not say how many honest people are "
            "slowed."
            if result.labelled
            else "No answers of strangers are in this data, so it does not say how many honest "
            "people are slowed."
        )
    basis = "labelled benign" if result.labelled else "that strangers answer"
    met_accounts = result.honest_met
    refused_count = sum(account.refused for account in met_accounts)
    worse = sum(account.outcome in SILENCING for account in met_accounts)
    durations = sorted(account.held_ms for account in met_accounts)
    median = (
        f", half of them for {span(durations[len(durations) // 2])} or less" if met_accounts else ""
    )
    return (
        f"Of {count_of(result.honest, 'honest-looking sender')} ({basis}), "
        f"{number(len(met_accounts))} would have been met "
        f"({_share_text(len(met_accounts), result.honest)}), {number(worse)} of them restricted "
        f"or worse{median}; {number(refused_count)} of their "
        f"{count_of(result.first_messages, 'first message')} "
        f"({percent(refused_count / max(1, result.first_messages))}) would have had to wait."
    )


def _share_text(count: int, total: int) -> str:
    if not total:
        return "of none"
    return f"{percent(count / total)}, 95 %: {interval(*exact_interval(count, total))}"


def _period_ms(result: Assessment) -> int:
    first, last = result.reading.first_ms, result.reading.last_ms
    return 0 if first is None or last is None else last - first


def _key_figures(result: Assessment) -> list[KeyFigure]:
    met_count, honest_met_count = len(result.met), len(result.honest_met)
    figures = [KeyFigure("Senders met", number(met_count), f"of {number(result.senders)}")]
    if result.honest:
        note = f"of {number(result.honest)}, {percent(honest_met_count / result.honest)}"
        figures.append(KeyFigure("Honest-looking senders met", number(honest_met_count), note))
    rules = len(result.counts["rules"])
    coverage = KeyFigure("Rules without data", number(len(result.rules_off)), f"of {number(rules)}")
    return [*figures, KeyFigure("Operators found", number(len(result.operators))), coverage]


def _reading_lines(result: Assessment) -> list[str]:
    reading = result.reading
    lines = [
        f"{result.source} is {reading.kind}: {count_of(reading.rows, 'row')}, of which "
        f"{count_of(reading.accepted, 'event')} from {stamp(reading.first_ms)} to "
        f"{stamp(reading.last_ms)} (UTC) were taken."
    ]
    causes = (f"{cause.replace('_', ' ')} ({n:,})" for cause, n in reading.refused.most_common(8))
    if reading.refused:
        lines.append(f"Left out, as no valid event: {', '.join(causes)}.")
    lines += [f"For example: {example}." for example in reading.examples]
    lines += [f"{note[0].upper()}{note[1:]}." for note in reading.notes]
    late, duplicates = result.counts["late"], result.counts["duplicates"]
    if late or duplicates:
        lines.append(f"{number(late)} came too late to count, and {number(duplicates)} came twice.")
    return [*lines, PERIOD_NOTE] if _period_ms(result) < MIN_DAYS * DAY_MS else lines


def _learning_lines(result: Assessment) -> list[str]:
    learning, lesson = result.learning, result.learning.lesson
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


def next_steps(result: Assessment) -> list[str]:
    """Return the recommended next steps, the most useful first."""
    steps = list[str]()
    refused_count = sum(result.reading.refused.values())
    if refused_count * 20 > result.reading.rows:
        cause = result.reading.refused.most_common(1)[0][0].replace("_", " ")
        steps.append(
            f"Mend the export: {percent(refused_count / result.reading.rows)} of its rows were "
            f"left out, most as {cause}. Of a CSV, --types says what its own types mean."
        )
    steps += [
        f"Send {gap.lacks}: {count_of(len(gap.rules), 'rule')} cannot hold without it "
        f"({', '.join(gap.rules[:3])}{' and others' if len(gap.rules) > 3 else ''})."
        for gap in result.gaps[:3]
    ]
    steps += [
        f"Look at {rule.rule} first: {number(rule.honest)} of the {number(rule.accounts)} accounts "
        f"that it meets look honest (wavebreak rules why {rule.rule})."
        for rule in sorted(result.rules, key=lambda rule: -rule.honest)[:2]
        if rule.honest and rule.rule != "score"
    ]
    if result.operators:
        steps.append(
            f"Look at the operator {result.operators[0].id} of "
            f"{count_of(len(result.operators[0].accounts), 'account')} before single accounts."
        )
    steps.append(
        "Run it in shadow beside your messenger for a week (docs/how-to/run-in-shadow.md): "
        "wavebreak serve HOME; it learns its numbers from your own days: wavebreak learn HOME."
    )
    return steps


def _outcomes_table(result: Assessment, *, is_brief: bool) -> Table:
    rows = [
        (
            outcome.outcome if is_brief
            else f"{outcome.outcome}\n{row_of(outcome.outcome).refusal_words}",
            _count_share(outcome.accounts, result.senders),
            _count_share(outcome.honest, result.honest) if result.honest else "–",
            f"{brief(outcome.median_ms)}; {brief(outcome.p90_ms)}" if outcome.honest else "–",
            outcome.refused,
        )
        for outcome in result.outcomes
    ]  # fmt: skip
    return Table(
        "Who would have been met, by the most severe outcome",
        ("outcome", "accounts\n%; 95 %", "honest-looking\n%; 95 %", "for how long\nmedian; p90",
         "first messages\nthat wait"),
        rows,
        "Shares are of all senders, and of the honest-looking ones; intervals are exact "
        "(Clopper–Pearson). For how long, and the first messages that wait: of the honest-looking.",
    )  # fmt: skip


def _count_share(count: int, total: int) -> str:
    if not total:
        return number(count)
    return f"{number(count)}\n{share_of(count, total).replace(chr(10), '; ')}"


def _rules_table(result: Assessment, limit: int) -> Table:
    return Table(
        "Why: the rules that would have met somebody",
        ("rule", "outcome", "accounts", "honest-looking\n%; 95 %"),
        [
            (f"{rule.rule}\n{rule.about}", rule.outcome, rule.accounts,
             _count_share(rule.honest, rule.accounts) if rule.honest else "0")
            for rule in result.rules[:limit]
        ],
        _omission_note(len(result.rules), limit, "rule")
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


def _operators_table(result: Assessment, *, is_brief: bool) -> Table:
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
        for operator in result.operators[:limit]
    ]  # fmt: skip
    title = "Accounts that seem to be of one hand"
    if is_brief:
        return Table(title, columns[:-1], [row[:-1] for row in rows])
    return Table(
        title,
        columns,
        rows,
        _omission_note(len(result.operators), limit, "operator")
        + "An operator is a hypothesis: it may slow its accounts, and silences one only beside "
        "evidence of its own.",
        words=frozenset({0, 5}),
    )


def _ties_text(operator: Operator) -> str:
    """Return the kinds of evidence behind the heaviest edges of an operator."""
    kinds = dict.fromkeys(kind for edge in operator.edges[:MAX_EDGES] for kind in edge.evidence)
    return "; ".join(list(kinds)[:3])


def _gaps_table(result: Assessment, *, is_brief: bool) -> Table:
    limit = MAX_BRIEF_ROWS if is_brief else MAX_GAPS
    rows = [
        (
            gap.lacks,
            len(gap.rules),
            ", ".join([*gap.rules[:2], "…"] if is_brief and len(gap.rules) > 2 else gap.rules),
        )
        for gap in result.gaps[:limit]
    ]
    note = (
        _omission_note(len(result.gaps), limit, "field")
        + "`wavebreak/policy/event.schema.json` says what each means. A rule with several gaps is "
        "in several rows."
    )
    title = "What this data lacks, and the rules that cannot hold without it"
    columns = ("lacks", "rules", "which")
    return Table(title, columns, rows, "" if is_brief else note, frozenset({0, 2}))


def _groups_tables(result: Assessment) -> list[Table]:
    lesson = result.learning.lesson
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


def _reading_blocks(result: Assessment) -> list[Text | Curves]:
    """Return counts of the data, with charts of events and newly met accounts by day."""
    text = Text(_reading_lines(result))
    days = sorted(result.reading.days)[-MAX_DAYS:]
    if len(days) < 2:
        return [text]
    start = datetime.fromtimestamp(days[0] * DAY_MS / 1000, UTC)
    across = f"days since {start.day} {start:%B %Y}"
    x = [float(day - days[0]) for day in days]
    new_accounts = Counter(account.first_ms // DAY_MS for account in result.met)
    counts = {
        "events": ("Events by day", [float(result.reading.days[day]) for day in days]),
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


def _honest_blocks(result: Assessment) -> list[Text | Table | Shares]:
    blocks: list[Text | Table | Shares] = [Text([_honest_sentence(result)])]
    if not result.honest:
        return blocks
    if result.outcomes:
        chart = Shares(
            "honest",
            "Share of honest-looking senders by the most severe outcome",
            "Share of the honest-looking senders, with its 95 % interval.",
            [outcome.outcome for outcome in result.outcomes],
            {"honest-looking": [share_interval(o.honest, result.honest) for o in result.outcomes]},
        )
        blocks.append(chart)
    if result.honest_met:
        blocks.append(accounts_table("Honest-looking accounts", result.honest_met, MAX_ACCOUNTS))
    if not result.labelled:
        note = (
            "Honest-looking: strangers answered it at least twice, and three times as often as "
            "they complained. Spam that is answered passes as honest, and honest people whom "
            "nobody answers do not: labels of your own (--labels) say it better."
        )
        blocks.append(Text([note], "note"))
    return blocks
