"""The report of a check: tables for a terminal, a page with charts, and plain JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from wavebreak.durations import DAY_MS
from wavebreak.evaluation import exact_interval
from wavebreak.reports.charts import Interval, Line, curves, shares
from wavebreak.reports.html import html_figure, html_table, join_html, page
from wavebreak.reports.tables import (
    Console,
    Table,
    number,
    percent,
    print_lines,
    print_table,
    stamp,
)
from wavebreak_business.answers import Findings, Retry, Template
from wavebreak_business.log_files import Place, Reading
from wavebreak_business.record_table import RecordTable
from wavebreak_business.settings import Settings
from wavebreak_business.texts import Words

FORMAT = 1
"""Version of the JSON."""
SHOWN_SHAPES, SHOWN_PLACES, SHOWN_TEMPLATES = 12, 5, 40
_ISOLATES = str.maketrans("", "", "\u2066\u2067\u2068\u2069")


@dataclass(frozen=True)
class Check:
    """A check: what was read, what was found, and what it rests on.

    Attributes:
        portfolio: The name that the report has.
        findings: What was found.
        reading: Files and values that were read.
        unread: Payloads of unknown shape, by shape.
        unusable: Records that were left out, by cause.
        payloads: Payloads by provider.
        settings: Codes and limits.

    """

    portfolio: str
    findings: Findings
    reading: Reading
    unread: dict[str, int]
    unusable: dict[str, int]
    payloads: dict[str, int]
    settings: Settings

    def as_json(self) -> dict[str, Any]:
        """Return the check as plain JSON values, the same in every language."""
        reading = self.reading
        return {
            "format": FORMAT,
            "portfolio": self.portfolio,
            "codes_as_of": self.settings.codes_as_of.isoformat(),
            "limits_as_of": self.settings.limits.as_of.isoformat(),
            "read": {
                "files": reading.files,
                "values": reading.values,
                "payloads": self.payloads,
                "unknown_shapes": self.unread,
                "unusable_records": self.unusable,
                "broken": dict(sorted(reading.broken.items())),
                "places": [place._asdict() for place in reading.places],
            },
            **msgspec.to_builtins(self.findings),
        }

    def needs_action(self) -> bool:
        """Whether there is something to do, as the exit code says."""
        return any(count for _, count in _todo(self))


def make_check(
    portfolio: str, findings: Findings, reading: Reading, table: RecordTable, settings: Settings
) -> Check:
    """Return a check of what was read and found."""
    by_count = sorted(table.unread.items(), key=lambda item: (-item[1], item[0]))
    return Check(
        portfolio, findings, reading, dict(by_count), dict(sorted(table.unusable.items())),
        dict(sorted(table.payloads.items())), settings,
    )  # fmt: skip


def print_check(check: Check, console: Console, words: Words) -> None:
    """Print the check: sentences, what to do, and a table for each question."""
    lines = [words.say("title", portfolio=check.portfolio), *_lead(check, words)]
    print_lines([line.translate(_ISOLATES) for line in lines], console)
    for _, tables in _sections(check, words):
        for table in tables:
            print_table(_without_isolates(table), console)


def _without_isolates(table: Table) -> Table:
    """Return a table without marks of direction, which a terminal shows as escapes."""
    return Table(
        table.title.translate(_ISOLATES),
        tuple(text.translate(_ISOLATES) for text in table.columns),
        [tuple(cell.translate(_ISOLATES) for cell in row) for row in table.rows],
        table.note.translate(_ISOLATES),
        table.words,
    )


def _isolated(table: Table, words: Words) -> Table:
    """Return a table whose values keep their direction in a page that runs the other way."""
    rows = [
        tuple("\n".join(map(words.isolate, cell.split("\n"))) for cell in row) for row in table.rows
    ]
    return Table(table.title, table.columns, rows, table.note, table.words)


def write_html(check: Check, path: Path, words: Words) -> None:
    """Write the check as one self-contained page; the same input gives the same bytes."""
    figures = {"limit": _limit_figure, "templates": _templates_figure}
    sections: list[tuple[str, str]] = []
    for name, tables in _sections(check, words):
        parts: list[str] = [html_table(_isolated(table, words), caption=False) for table in tables]
        if name in figures:
            parts = [*filter(None, [figures[name](check, words)]), *parts]
        sections.append((words.say(f"{name}.title"), join_html(parts)))
    if figure := _days_figure(check, words):
        sections.insert(1, (words.say("days.title"), figure))
    language = words.language
    text = page(
        words.say("title", portfolio=check.portfolio),
        _lead(check, words),
        sections,
        language=language.code,
        direction=language.direction,
        dark=True,
    )
    path.write_text(text, encoding="utf-8")


def _lead(check: Check, words: Words) -> list[str]:
    totals = check.findings.totals
    period = words.say("no_period")
    if totals.first_ms is not None:
        period = words.say("period", first=_minute(totals.first_ms), last=_minute(totals.last_ms))
    counts = {
        name: number(getattr(totals, name))
        for name in ("messages", "people", "delivered", "failed", "held", "open")
    }
    dates = check.settings
    return [
        period,
        words.say("sent", **counts),
        words.say("as_of", codes=dates.codes_as_of, limits=dates.limits.as_of),
        words.say("privacy"),
    ]


def _minute(ms: int | None) -> str:
    return stamp(ms)[:16]


def _sections(check: Check, words: Words) -> Iterator[tuple[str, Sequence[Table]]]:
    """Yield the name and the tables of each section that has something to say."""
    yield "todo", [_todo_table(check, words)]
    for name, table in (
        ("failures", _failures_table(check, words)),
        ("stops", _stops_table(check, words)),
        ("retries", _retries_table(check, words)),
        ("limit", _limit_table(check, words)),
        ("templates", _templates_table(check, words)),
        ("consent", _consent_table(check, words)),
        ("duplicates", _duplicates_table(check, words)),
        ("waste", _waste_table(check, words)),
        ("unread", _unread_table(check, words)),
    ):
        if table.rows:
            yield name, [table]


def _todo(check: Check) -> list[tuple[str, int]]:
    """Return what is to be done and how much of it, the most urgent first."""
    findings = check.findings
    limit, consent = findings.limit, findings.consent
    bound = limit.bound
    reached = bound is not None and limit.peak >= bound
    warn = check.settings.limits.limit.warn_share
    near = bound is not None and (limit.days_left is not None or limit.peak >= warn * bound)
    risky = [t for t in findings.templates if t.risks and t.name not in findings.stops.templates]
    return [
        ("account", len(findings.stops.account)),
        ("after_stop", consent.after_stop),
        ("templates", len(findings.stops.templates)),
        ("people", sum(each.people.count for each in findings.stops.people)),
        ("limit_reached", limit.peak if reached else 0),
        ("limit_near", (limit.days_left or 1) if near and not reached else 0),
        ("template_risk", len(risky)),
        ("to_old_id", findings.duplicates.to_old_id),
        ("retry", sum(each.due for each in findings.retries)),
        ("gaps", consent.gap_people.count),
    ]


def _todo_table(check: Check, words: Words) -> Table:
    limit = check.findings.limit
    todo = [(what, count) for what, count in _todo(check) if count]
    rows = [
        (str(n), words.say(f"todo.{what}"), number(count))
        for n, (what, count) in enumerate(todo, start=1)
    ]
    if limit.raise_reached:
        rows.append(("+", words.say("todo.raise"), _people_limit(limit.next_limit, words)))
    if not rows:
        rows = [("", words.say("nothing"), "")]
    return Table(words.say("todo.title"), words.columns("todo"), rows, words=frozenset({0, 1}))


def _failures_table(check: Check, words: Words) -> Table:
    rows, errors = [], check.findings.errors
    for each in (*check.findings.failures, *errors):
        code = check.settings.code(each.provider, each.code) if each.known else None
        unlisted = "no_code" if each.code == "none" else "unlisted"
        meaning, fix = words.code(code) if code else (words.say(f"failures.{unlisted}"), "")
        again = words.say("failures.retry.later", wait=code.wait) if code and code.wait else ""
        if code and not again:
            again = words.say(f"failures.retry.{code.retry}")
        said = f"{meaning}\n{fix}" if fix else meaning
        rows.append(
            (f"{each.provider}\n{each.code}", number(each.messages), number(each.people or None),
             said, again or "–")
        )  # fmt: skip
    note = words.say("failures.of_account") if errors else ""
    return Table(
        words.say("failures.title"), words.columns("failures"), rows, note, frozenset({0, 3, 4})
    )


def _stops_table(check: Check, words: Words) -> Table:
    stops = check.findings.stops
    rows = [
        (words.say(f"failures.causes.{each.cause}"), number(each.people.count))
        for each in stops.people
    ]
    return Table(
        words.say("stops.title"), words.columns("stops"), rows, words.say("stops.note")
    )  # fmt: skip


def _retries_table(check: Check, words: Words) -> Table:
    def row(each: Retry) -> tuple[str, ...]:
        return (
            f"{each.provider} {each.code}", number(each.messages), number(each.people.count),
            number(each.due) if each.from_ms else "–", _minute(each.from_ms),
            _minute(each.until_ms),
        )  # fmt: skip

    rows = list(map(row, check.findings.retries))
    return Table(
        words.say("retries.title"), words.columns("retries"), rows,
        words.say("retries.note"),
    )  # fmt: skip


def _people_limit(limit: int | None, words: Words) -> str:
    if limit is None:
        return words.say("unknown")
    return words.say("unlimited") if limit == -1 else number(limit)


def _limit_table(check: Check, words: Words) -> Table:
    limit = check.findings.limit
    bounded = limit.bound is not None
    shown = [
        ("limit", _people_limit(limit.limit, words)),
        ("told", _minute(limit.told_ms) if limit.told_ms else ""),
        ("peak", number(limit.peak)),
        ("peak_at", _minute(limit.peak_ms) if limit.peak_ms else ""),
        ("now", number(limit.now)),
        ("inside", number(limit.inside)),
        ("days_left", number(limit.days_left) if limit.days_left is not None else ""),
        ("distinct", number(limit.distinct) if bounded else ""),
        ("next", _people_limit(limit.next_limit, words) if bounded else ""),
    ]
    rows = [(words.say(f"limit.{name}"), value) for name, value in shown if value]
    note = words.say("limit.note", window=check.settings.limits.window)
    return Table(words.say("limit.title"), words.columns("limit"), rows, note)


def _risks(template: Template, words: Words) -> str:
    lines = [words.say(f"templates.risks.{risk}") for risk in template.risks]
    if template.resumes_ms is not None and "paused" in template.risks:
        lines[lines.index(words.say("templates.risks.paused"))] = words.say(
            "templates.resumes", until=_minute(template.resumes_ms)
        )
    if template.pause == "pacing":
        lines.append(words.say("templates.pacing"))
    if template.next_pause:
        following = template.next_pause
        if following == "disabled":
            following = words.say("templates.disabled_next")
        lines.append(words.say("templates.next_pause", pause=following))
    return "\n".join(lines) or "–"


def _templates_table(check: Check, words: Words) -> Table:
    rows = [
        (
            f"{each.name}\n{each.language}" if each.language else each.name,
            each.status.lower() or "–", each.quality.lower() or "–", number(each.sends),
            percent(each.failed / each.sends) if each.sends else "–", _risks(each, words),
        )
        for each in check.findings.templates[:SHOWN_TEMPLATES]
    ]  # fmt: skip
    return Table(
        words.say("templates.title"), words.columns("templates"), rows, words.say("templates.note"),
        frozenset({0, 1, 2, 5}),
    )  # fmt: skip


def _consent_table(check: Check, words: Words) -> Table:
    consent = check.findings.consent
    gap = "gap_no_record" if consent.given else "gap_never_wrote"
    shown = [
        ("stops", consent.stops),
        ("resumed", consent.resumed),
        ("after_stop", consent.after_stop),
        ("after_stop_delivered", consent.after_stop_delivered),
        ("after_stop_people", consent.after_stop_people.count),
        ("other_number", consent.other_number),
        ("marketing", consent.marketing),
        (gap, consent.gap_messages),
        ("gap_people", consent.gap_people.count),
    ]
    rows = [(words.say(f"consent.{name}"), number(count)) for name, count in shown]
    note = "" if consent.given else words.say("consent.note")
    return Table(words.say("consent.title"), words.columns("consent"), rows, note)


def _duplicates_table(check: Check, words: Words) -> Table:
    found = check.findings.duplicates
    shown = (("changed", found.changed), ("to_old_id", found.to_old_id), ("both", found.both))
    rows = [(words.say(f"duplicates.{name}"), number(count)) for name, count in shown]
    return Table(
        words.say("duplicates.title"), words.columns("duplicates"), rows if found.changed else []
    )


def _waste_table(check: Check, words: Words) -> Table:
    rows = [
        (
            words.say(f"waste.causes.{each.cause}"),
            words.say(f"waste.categories.{each.category}"),
            number(each.messages),
            number(each.billed),
            ", ".join(f"{amount:,.2f} {currency}".strip() for currency, amount in each.cost.items())
            or "–",
        )
        for each in check.findings.waste
    ]
    return Table(
        words.say("waste.title"), words.columns("waste"), rows, words.say("waste.note"),
        frozenset({0, 1}),
    )  # fmt: skip


def _place(place: Place, words: Words) -> str:
    key = "unread.place_line" if place.unit == "line" else "unread.place_entry"
    return words.say(key, file=place.file, number=place.number)


def _unread_table(check: Check, words: Words) -> Table:
    without_time = check.findings.totals.without_time
    rows = [
        (words.say(f"unread.causes.{cause}"), number(count))
        for cause, count in (*check.reading.broken.items(), *check.unusable.items())
    ]
    if without_time:
        rows.append((words.say("unread.causes.without_time"), number(without_time)))
    rows += [
        (words.say("unread.shape", shape=shape), number(count))
        for shape, count in list(check.unread.items())[:SHOWN_SHAPES]
    ]
    note = ""
    if places := check.reading.places[:SHOWN_PLACES]:
        note = words.say("unread.note", places="; ".join(_place(each, words) for each in places))
    return Table(words.say("unread.title"), words.columns("unread"), rows, note)


def _days_figure(check: Check, words: Words) -> str:
    days = check.findings.days
    at = _day_numbers(check)
    lines = [
        Line(words.say("days.sent"), at, [day.sent for day in days]),
        Line(words.say("days.failed"), at, [day.failed for day in days]),
    ]
    return _figure_by_day("days", lines, check, words)


def _day_numbers(check: Check) -> list[int]:
    """Return the days of a chart, from its first one on."""
    days = check.findings.days
    return [(day.at_ms - days[0].at_ms) // DAY_MS for day in days]


def _figure_by_day(name: str, lines: list[Line], check: Check, words: Words) -> str:
    """Return a chart of days; nothing where there is only one."""
    days = check.findings.days
    if len(days) < 2:
        return ""
    chart = curves(
        name, words.say(f"{name}.chart"), lines, up=words.say(f"{name}.up"), marks=True,
        across=words.say("limit.across", first=stamp(days[0].at_ms)[:10]).translate(_ISOLATES),
    )  # fmt: skip
    return html_figure(chart, words.say(f"{name}.caption"))


def _limit_figure(check: Check, words: Words) -> str:
    days, bound = check.findings.days, check.findings.limit.bound
    at = _day_numbers(check)
    lines = [Line(words.say("limit.used"), at, [day.peak for day in days])]
    if bound is not None and at:
        ends = [float(at[0]), float(at[-1])]
        lines.append(Line(words.say("limit.limit"), ends, [bound] * 2, guide=True))
    return _figure_by_day("limit", lines, check, words)


def _templates_figure(check: Check, words: Words) -> str:
    shown = [each for each in check.findings.templates if each.sends][:SHOWN_TEMPLATES]
    if not shown:
        return ""
    failed = [
        Interval(
            each.failed / each.sends, *exact_interval(each.failed, each.sends),
            f"{number(each.failed)} / {number(each.sends)}",
        )
        for each in shown
    ]  # fmt: skip
    labels = [" ".join(filter(None, (each.name, each.language))) for each in shown]
    chart = shares(
        "templates", words.say("templates.chart"), labels, {words.say("days.failed"): failed}
    )
    return html_figure(chart, words.say("templates.caption"))
