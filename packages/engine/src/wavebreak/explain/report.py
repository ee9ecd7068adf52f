"""Output of an explanation: terminal, JSON and HTML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from wavebreak.durations import MINUTE_MS
from wavebreak.explain.collect import Explanation, Timeline, Times
from wavebreak.explain.narrative import (
    decisions_table,
    decisions_to_explain,
    outcome_meanings,
    reasons_table,
    rules_table,
    status_sentence,
    story_paragraphs,
    ties_table,
    totals_table,
)
from wavebreak.outcomes import REFUSING, SILENCING
from wavebreak.reports.charts import timeline as draw
from wavebreak.reports.html import html_figure, html_table, join_html, page, paragraphs
from wavebreak.reports.tables import Console, moment, print_lines, print_table, visible

_LINES = {"sent": "sends", "first contacts": "first_contacts", "replies": "replies"}
_LANES = {
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
_ALWAYS = ("sends", "first contacts", "replies", "reports, blocks")
_BARS = " ▁▂▃▄▅▆▇█"
_COLUMNS = 52
_LISTED = 12  # decisions listed on a terminal; a page lists five times as many
_LISTED_SHORT = 5
_CLOSE_UP_MS = 30 * MINUTE_MS
_FAR = 8  # a close-up is drawn when it is at least this much narrower than the whole


def _lanes(timeline: Timeline) -> dict[str, Times]:
    """Return the lanes to draw: four main ones, and others with events."""
    lanes = {
        label: np.sort(np.concatenate([timeline[kind] for kind in kinds.split()]))
        for label, kinds in _LANES.items()
    }
    return {label: at for label, at in lanes.items() if len(at) or label in _ALWAYS}


def _marks(explanation: Explanation) -> list[tuple[int, str]]:
    return [(int(d["ts"]), str(d["outcome"])) for d in explanation.decisions]


def _window(explanation: Explanation, timeline: Timeline) -> tuple[int, int]:
    instants = [at for at, _ in _marks(explanation)] + [explanation.start_ms]
    low, high = timeline.window or (instants[0], instants[0])
    low, high = min(low, *instants), max(high, *instants)
    rim = max(1_000, (high - low) // 50)
    return low - rim, high + rim


def _close_up(explanation: Explanation, whole: tuple[int, int]) -> tuple[int, int] | None:
    """Return the minutes around the first severe outcome, where the whole range would hide them."""
    marks = _marks(explanation)
    at = explanation.action_ms
    if at is None:
        if not marks:
            return None
        at = marks[0][0]
    before = max(10_000, min(_CLOSE_UP_MS, at - explanation.start_ms))
    low, high = at - before - before // 10, at + before // 3
    return (low, high) if (high - low) * _FAR < whole[1] - whole[0] else None


def print_summary(explanation: Explanation, console: Console) -> None:
    """Print the account's enforcement state and what led to it."""
    account = visible(explanation.account, line=True)
    print_lines([f"Account {account}", status_sentence(explanation)], console, "bold")
    print_lines(story_paragraphs(explanation), console)


def print_explanation(explanation: Explanation, console: Console, *, full: bool = False) -> None:
    """Print the explanation: state, activity, decisions, and reasons of the most severe decision.

    Args:
        explanation: Data of the account.
        console: Where to print.
        full: Also print the timeline, the meaning of each feature, the rules' sources, what each
            outcome means, and all totals.

    """
    print_summary(explanation, console)
    if full and explanation.timeline is not None:
        whole = _window(explanation, explanation.timeline)
        for window in (whole, _close_up(explanation, whole)):
            if window is not None:
                print_lines(_sparks(explanation, explanation.timeline, window), console)
    if explanation.decisions:
        print_table(decisions_table(explanation, _LISTED if full else _LISTED_SHORT), console)
        for decision in decisions_to_explain(explanation)[: 2 if full else 1]:
            print_table(reasons_table(explanation, decision, meanings=full), console)
    if explanation.ties:
        print_table(ties_table(explanation, _LISTED if full else _LISTED_SHORT), console)
    if not full:
        return
    if explanation.decisions:
        print_table(rules_table(explanation), console)
        print_lines(outcome_meanings(explanation), console)
    print_table(totals_table(explanation), console)


def as_json(explanation: Explanation) -> dict[str, Any]:
    """Return the explanation as JSON values."""
    return {
        "account": explanation.account,
        "mode": explanation.mode,
        "status": status_sentence(explanation),
        "story": story_paragraphs(explanation),
        "decisions": explanation.decisions,
        "rules": explanation.rules,
        "ties": [msgspec.to_builtins(edge) for edge in explanation.ties],
        "actions": explanation.actions,
        "totals": explanation.row,
    }


def _sparks(explanation: Explanation, timeline: Timeline, window: tuple[int, int]) -> list[str]:
    """Draw the lanes as rows of bars, each scaled to its own maximum."""
    low, high = window
    lines = [f"From {moment(low)} to {moment(high)}:"]
    for label, times in _lanes(timeline).items():
        counts, _ = np.histogram(times, bins=_COLUMNS, range=(low, high))
        top = max(1, int(counts.max()))
        bars = "".join(_BARS[-(-int(c) * (len(_BARS) - 1) // top)] for c in counts)
        lines.append(f"{label:>16} │{bars}│ {int(counts.sum()):,}")
    row = [" "] * _COLUMNS
    for at, outcome in _marks(explanation):
        if low <= at <= high:
            row[min(_COLUMNS - 1, (at - low) * _COLUMNS // (high - low))] = outcome[0].upper()
    lines.append(f"{'decisions':>16} │{''.join(row)}│")
    return lines


def _pictures(explanation: Explanation) -> str:
    timeline = explanation.timeline
    if timeline is None:
        return paragraphs([explanation.gap or "The log is not available."], "note")
    whole = _window(explanation, timeline)
    lines = {label: timeline[kind] for label, kind in _LINES.items()}
    lanes = _lanes(timeline)
    close = _close_up(explanation, whole)
    shown = []
    if close is not None:
        svg = draw("closeup", "Around the first severe outcome", lines, lanes,
                   _marks(explanation), close)  # fmt: skip
        shown.append(
            html_figure(
                svg, f"Close-up, {moment(close[0])} to {moment(close[1])}. Dashed: decisions."
            )
        )
    svg = draw("whole", "The whole log", lines, lanes, _marks(explanation), whole)
    shown.append(
        html_figure(svg, "The whole log. Above: cumulative counts; below: one tick per event; "
                    "dashed lines: the first decision of each outcome. Times in UTC.")
    )  # fmt: skip
    return join_html(shown)


def write_html(explanation: Explanation, path: Path) -> None:
    """Write the explanation as one self-contained page; equal runs give equal bytes."""
    worst = str(explanation.row["worst"])
    kind = "act" if worst in SILENCING else "mild" if worst in REFUSING else ""
    state = paragraphs([status_sentence(explanation)], f"status {kind}".strip())
    sections = [
        ("Summary", state + paragraphs(story_paragraphs(explanation))),
        ("Timeline", _pictures(explanation)),
    ]
    if explanation.decisions:
        reasons = join_html(
            html_table(reasons_table(explanation, d)) for d in decisions_to_explain(explanation)
        )
        sections += [
            ("Decisions", html_table(decisions_table(explanation, 5 * _LISTED))),
            ("Reasons", html_table(rules_table(explanation)) + reasons),
            ("Outcomes", paragraphs(outcome_meanings(explanation))),
        ]
        last = explanation.decisions[-1]
        versions = [f"{n} {last[n]}" for n in ("policy", "model", "features") if last.get(n)]
        if versions:
            sections.append(("Versions", paragraphs([", ".join(versions)], "note")))
    if explanation.ties:
        sections.append(("Ties", html_table(ties_table(explanation, 5 * _LISTED))))
    sections.insert(-1, ("Totals", html_table(totals_table(explanation))))
    text = page(f"Account {explanation.account}", [], sections)
    path.write_text(text, encoding="utf-8")
