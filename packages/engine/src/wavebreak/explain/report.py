"""The report of an explanation, in full for a page and short for a terminal."""

from __future__ import annotations

import msgspec
import numpy as np

from wavebreak.durations import MINUTE_MS
from wavebreak.explain import narrative
from wavebreak.explain.collect import Explanation
from wavebreak.outcomes import REFUSING, SILENCING
from wavebreak.reports import charts
from wavebreak.reports.report import Report, Section, Text, Tone
from wavebreak.reports.tables import moment

LINES = {"sent": "sends", "first contacts": "first_contacts", "replies": "replies"}
LANES = {
    "sessions": "sessions",
    "groups, adds": "groups_created members_added",
    "lookups": "lookups",
    "sends": "sends",
    "first contacts": "first_contacts",
    "replies": "replies",
    "received": "received",
    "undeliverable": "undeliverable",
    "reports, blocks": "reports blocks",
}
MAIN_LANES = ("sends", "first contacts", "replies", "reports, blocks")
"""Lanes that are drawn even without events."""
MAX_ROWS, MAX_BRIEF_ROWS = 60, 5
CLOSE_UP_MS = 30 * MINUTE_MS
MIN_ZOOM = 8
"""Factor from which a close-up is drawn beside the whole timeline."""


def explanation_report(explanation: Explanation) -> Report:
    """Return the explanation with timeline, meanings of features, outcomes and totals."""
    sections = [
        Section("", [Text(narrative.story_paragraphs(explanation))]),
        Section("Timeline", _timelines(explanation)),
    ]
    versions = ""
    if explanation.decisions:
        reasons = [
            narrative.reasons_table(explanation, decision)
            for decision in narrative.decisions_to_explain(explanation)
        ]
        sections += [
            Section("Decisions", [narrative.decisions_table(explanation, MAX_ROWS)]),
            Section("Reasons", [narrative.rules_table(explanation), *reasons]),
            Section("Outcomes", [Text(narrative.outcome_meanings(explanation))]),
        ]
        last = explanation.decisions[-1]
        versions = ", ".join(
            f"{name} {last[name]}" for name in ("policy", "model", "features") if last.get(name)
        )
    if explanation.ties:
        sections.append(Section("Ties", [narrative.ties_table(explanation, MAX_ROWS)]))
    sections.append(Section("Totals", [narrative.totals_table(explanation)]))
    if versions:
        sections.append(Section("Versions", [Text([versions], "note")], page_only=True))
    return _report(explanation, sections)


def explanation_summary(explanation: Explanation, *, story_only: bool = False) -> Report:
    """Return the state of the account and the reasons, with the most severe decision."""
    sections = [Section("", [Text(narrative.story_paragraphs(explanation))])]
    if not story_only:
        tables = [
            narrative.reasons_table(explanation, decision, meanings=False)
            for decision in narrative.decisions_to_explain(explanation)[:1]
        ]
        if explanation.decisions:
            tables.insert(0, narrative.decisions_table(explanation, MAX_BRIEF_ROWS))
        if explanation.ties:
            tables.append(narrative.ties_table(explanation, MAX_BRIEF_ROWS))
        sections.append(Section("", tables))
    return _report(explanation, sections)


def _report(explanation: Explanation, sections: list[Section]) -> Report:
    worst = str(explanation.row["worst"])
    tone: Tone = "act" if worst in SILENCING else "mild" if worst in REFUSING else "neutral"
    status = narrative.status_sentence(explanation)
    data = {
        "account": explanation.account,
        "mode": explanation.mode,
        "status": status,
        "story": narrative.story_paragraphs(explanation),
        "decisions": explanation.decisions,
        "rules": explanation.rules,
        "ties": [msgspec.to_builtins(edge) for edge in explanation.ties],
        "actions": explanation.actions,
        "totals": explanation.row,
    }
    return Report(f"Account {explanation.account}", [status], sections, tone=tone, data=data)


def _timelines(explanation: Explanation) -> list[charts.Chart | Text]:
    timeline = explanation.timeline
    if timeline is None:
        return [Text([explanation.gap or "The log is not available."], "note")]
    decisions = [(int(d["ts"]), str(d["outcome"])) for d in explanation.decisions]
    lines = {label: timeline[kind] for label, kind in LINES.items()}
    lanes = {
        label: np.sort(np.concatenate([timeline[kind] for kind in kinds.split()]))
        for label, kinds in LANES.items()
    }
    lanes = {label: times for label, times in lanes.items() if len(times) or label in MAIN_LANES}
    instants = [*(time_ms for time_ms, _ in decisions), explanation.start_ms]
    start, end = timeline.window or (instants[0], instants[0])
    start, end = min(start, *instants), max(end, *instants)
    rim = max(1_000, (end - start) // 50)
    window = start - rim, end + rim
    full_timeline = charts.Timeline(
        "whole",
        "The whole log",
        "The whole log. Above: cumulative counts; below: one tick per event; dashed lines: the "
        "first decision of each outcome. Times in UTC.",
        lines,
        lanes,
        decisions,
        window,
    )
    zoomed = _close_up(explanation, decisions, window)
    if zoomed is None:
        return [full_timeline]
    caption = f"Close-up, {moment(zoomed[0])} to {moment(zoomed[1])}. Dashed: decisions."
    title = "Around the first severe outcome"
    close_up = charts.Timeline("closeup", title, caption, lines, lanes, decisions, zoomed)
    return [close_up, full_timeline]


def _close_up(
    explanation: Explanation, decisions: list[tuple[int, str]], window: tuple[int, int]
) -> tuple[int, int] | None:
    """Return the minutes around the first severe outcome, which the whole range would hide."""
    action_ms = explanation.action_ms
    if action_ms is None:
        if not decisions:
            return None
        action_ms = decisions[0][0]
    before = max(10_000, min(CLOSE_UP_MS, action_ms - explanation.start_ms))
    start, end = action_ms - before - before // 10, action_ms + before // 3
    return (start, end) if (end - start) * MIN_ZOOM < window[1] - window[0] else None
