"""A check of a business's logs, and its report in each language."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from wavebreak.durations import DAY_MS
from wavebreak.evaluation import exact_interval
from wavebreak.reports.charts import Chart, Curves, Interval, Line, Shares
from wavebreak.reports.report import ISOLATES, Report, Section
from wavebreak.reports.tables import Table, number, percent, stamp
from wavebreak_business.answers import Findings, Template
from wavebreak_business.log_files import Place, Reading
from wavebreak_business.record_table import RecordTable
from wavebreak_business.settings import Settings
from wavebreak_business.texts import Words

FORMAT = 1
"""Version of the JSON."""
MAX_SHAPES, MAX_PLACES, MAX_TEMPLATES = 12, 5, 40


@dataclass(frozen=True)
class Check:
    """A check: the logs read, the findings, and the settings.

    Attributes:
        reading: The files and values.
        unread: Payloads of unknown shape, by shape.
        unusable: Records left out, by cause.
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
        """Whether an action is recommended, as the exit code says."""
        return any(count for _, count in _actions(self))


def make_check(
    portfolio: str, findings: Findings, reading: Reading, table: RecordTable, settings: Settings
) -> Check:
    """Return a check of a table of records and its findings."""
    by_count = sorted(table.unread.items(), key=lambda item: (-item[1], item[0]))
    return Check(
        portfolio, findings, reading, dict(by_count), dict(sorted(table.unusable.items())),
        dict(sorted(table.payloads.items())), settings,
    )  # fmt: skip


def check_report(check: Check, words: Words) -> Report:
    """Return the check as a report in a language."""
    sections = [Section(words.say("todo.title"), [_actions_table(check, words)])]
    x = _day_numbers(check)
    lines = [
        Line(words.say("days.sent"), x, [day.sent for day in check.findings.days]),
        Line(words.say("days.failed"), x, [day.failed for day in check.findings.days]),
    ]
    by_day = _chart_by_day("days", lines, check, words)
    sections.append(Section(words.say("days.title"), by_day, page_only=True))
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
            charts: Sequence[Chart] = []
            if name == "limit":
                charts = _limit_chart(check, words)
            elif name == "templates":
                charts = _templates_chart(check, words)
            sections.append(Section(words.say(f"{name}.title"), [*charts, table]))
    title = words.say("title", portfolio=check.portfolio)
    return Report(
        title, _lead(check, words), sections, data=check.as_json(), language=words.language
    )


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


def _actions(check: Check) -> list[tuple[str, int]]:
    """Return the recommended actions with their counts, the most urgent first."""
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
        ("numbers", len(findings.stops.numbers)),
        ("people", sum(stop.people.count for stop in findings.stops.people)),
        ("limit_reached", limit.peak if reached else 0),
        ("limit_near", (limit.days_left or 1) if near and not reached else 0),
        ("template_risk", len(risky)),
        ("to_old_id", findings.duplicates.to_old_id),
        ("retry", sum(retry.due for retry in findings.retries)),
        ("gaps", consent.gap_people.count),
    ]


def _actions_table(check: Check, words: Words) -> Table:
    limit = check.findings.limit
    actions = [(name, count) for name, count in _actions(check) if count]
    rows: list[tuple[str, str, str]] = [
        (str(n), words.say(f"todo.{name}"), number(count))
        for n, (name, count) in enumerate(actions, start=1)
    ]
    if limit.raise_reached:
        rows.append(("+", words.say("todo.raise"), _people_limit(limit.next_limit, words)))
    if not rows:
        rows = [("", words.say("nothing"), "")]
    return Table(words.say("todo.title"), words.columns("todo"), rows, words=frozenset({0, 1}))


def _failures_table(check: Check, words: Words) -> Table:
    rows, errors = [], check.findings.errors
    for failure in (*check.findings.failures, *errors):
        code = check.settings.code(failure.provider, failure.code) if failure.known else None
        if code:
            text = "\n".join(filter(None, words.code(code)))
            retry = (
                words.say("failures.retry.later", wait=code.wait)
                if code.wait
                else words.say(f"failures.retry.{code.retry}")
            )
        else:
            cause = "no_code" if failure.code == "none" else "unlisted"
            text, retry = words.say(f"failures.{cause}"), ""
        rows.append(
            (f"{failure.provider}\n{failure.code}", failure.messages, failure.people or None, text,
             retry or "–")
        )  # fmt: skip
    note = words.say("failures.of_account") if errors else ""
    return Table(
        words.say("failures.title"), words.columns("failures"), rows, note, frozenset({0, 3, 4})
    )


def _stops_table(check: Check, words: Words) -> Table:
    rows = [
        (words.say(f"failures.causes.{stop.cause}"), stop.people.count)
        for stop in check.findings.stops.people
    ]
    return Table(words.say("stops.title"), words.columns("stops"), rows, words.say("stops.note"))


def _retries_table(check: Check, words: Words) -> Table:
    rows = [
        (
            f"{retry.provider} {retry.code}", retry.messages, retry.people.count,
            retry.due if retry.from_ms else None, _minute(retry.from_ms), _minute(retry.until_ms),
        )
        for retry in check.findings.retries
    ]  # fmt: skip
    return Table(
        words.say("retries.title"), words.columns("retries"), rows, words.say("retries.note")
    )


def _people_limit(limit: int | None, words: Words) -> str:
    if limit is None:
        return words.say("unknown")
    return words.say("unlimited") if limit == -1 else number(limit)


def _limit_table(check: Check, words: Words) -> Table:
    limit = check.findings.limit
    bounded = limit.bound is not None
    values = [
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
    rows = [(words.say(f"limit.{name}"), value) for name, value in values if value]
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
            f"{template.name}\n{template.language}" if template.language else template.name,
            template.status.lower() or "–", template.quality.lower() or "–", template.sends,
            percent(template.failed / template.sends) if template.sends else "–",
            _risks(template, words),
        )
        for template in check.findings.templates[:MAX_TEMPLATES]
    ]  # fmt: skip
    return Table(
        words.say("templates.title"), words.columns("templates"), rows, words.say("templates.note"),
        frozenset({0, 1, 2, 5}),
    )  # fmt: skip


def _consent_table(check: Check, words: Words) -> Table:
    consent = check.findings.consent
    gap = "gap_no_record" if consent.given else "gap_never_wrote"
    counts = [
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
    rows = [(words.say(f"consent.{name}"), count) for name, count in counts]
    note = "" if consent.given else words.say("consent.note")
    return Table(words.say("consent.title"), words.columns("consent"), rows, note)


def _duplicates_table(check: Check, words: Words) -> Table:
    duplicates = check.findings.duplicates
    rows = [
        (words.say(f"duplicates.{name}"), getattr(duplicates, name))
        for name in ("changed", "to_old_id", "both")
        if duplicates.changed
    ]
    return Table(words.say("duplicates.title"), words.columns("duplicates"), rows)


def _waste_table(check: Check, words: Words) -> Table:
    rows = [
        (
            words.say(f"waste.causes.{waste.cause}"),
            words.say(f"waste.categories.{waste.category}"),
            waste.messages,
            waste.billed,
            ", ".join(f"{amount:,.2f} {code}".strip() for code, amount in waste.cost.items())
            or "–",
        )
        for waste in check.findings.waste
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
        (words.say(f"unread.causes.{cause}"), count)
        for cause, count in (*check.reading.broken.items(), *check.unusable.items())
    ]
    if without_time:
        rows.append((words.say("unread.causes.without_time"), without_time))
    rows += [
        (words.say("unread.shape", shape=shape), count)
        for shape, count in list(check.unread.items())[:MAX_SHAPES]
    ]
    note = ""
    if places := check.reading.places[:MAX_PLACES]:
        note = words.say("unread.note", places="; ".join(_place(place, words) for place in places))
    return Table(words.say("unread.title"), words.columns("unread"), rows, note)


def _limit_chart(check: Check, words: Words) -> list[Curves]:
    days, bound = check.findings.days, check.findings.limit.bound
    x = _day_numbers(check)
    lines = [Line(words.say("limit.used"), x, [day.peak for day in days])]
    if bound is not None and x:
        ends = [float(x[0]), float(x[-1])]
        lines.append(Line(words.say("limit.limit"), ends, [bound] * 2, guide=True))
    return _chart_by_day("limit", lines, check, words)


def _day_numbers(check: Check) -> list[int]:
    """Return the days of a chart, counted from the first day."""
    days = check.findings.days
    return [(day.at_ms - days[0].at_ms) // DAY_MS for day in days]


def _chart_by_day(name: str, lines: list[Line], check: Check, words: Words) -> list[Curves]:
    """Return a chart of days; none for fewer than two days."""
    days = check.findings.days
    if len(days) < 2:
        return []
    across = words.say("limit.across", first=stamp(days[0].at_ms)[:10]).translate(ISOLATES)
    title, caption = words.say(f"{name}.chart"), words.say(f"{name}.caption")
    return [Curves(name, title, caption, lines, across, words.say(f"{name}.up"), marks=True)]


def _templates_chart(check: Check, words: Words) -> list[Shares]:
    templates = [template for template in check.findings.templates if template.sends]
    templates = templates[:MAX_TEMPLATES]
    if not templates:
        return []
    failures = [
        Interval(
            t.failed / t.sends, *exact_interval(t.failed, t.sends),
            f"{number(t.failed)} / {number(t.sends)}",
        )
        for t in templates
    ]  # fmt: skip
    chart = Shares(
        "templates",
        words.say("templates.chart"),
        words.say("templates.caption"),
        [" ".join(filter(None, (t.name, t.language))) for t in templates],
        {words.say("days.failed"): failures},
    )
    return [chart]
