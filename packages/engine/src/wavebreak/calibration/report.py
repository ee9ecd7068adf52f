"""Report of a calibration: a table on the terminal, a page with charts, and plain JSON."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from msgspec.structs import asdict

from wavebreak.calibration.config import Settings
from wavebreak.calibration.measurement import Measurement
from wavebreak.calibration.proposal import Proposal, Setting
from wavebreak.evaluation import exact_interval
from wavebreak.outcomes import BY_RANK
from wavebreak.reports.charts import Interval, Line, curves, shares
from wavebreak.reports.html import html_figure, html_table, join_html, page, paragraphs
from wavebreak.reports.tables import (
    Console,
    Table,
    count_of,
    number,
    percent,
    print_lines,
    print_table,
)

_POINTS = 200
"""Most points of a curve."""
_BELOW = 8.0
"""How far below the thresholds the curve of scores begins (log-odds)."""


@dataclass(frozen=True)
class Calibration:
    """A calibration: what was measured, what is proposed, and what a replay of it shows.

    Attributes:
        measured: What the days in shadow showed.
        proposal: The proposed numbers.
        settings: Assumptions and limits.
        outcomes: Accounts by their most severe outcome under the proposed policy.
        versions: Policies in force and proposed, and the model.

    """

    measured: Measurement
    proposal: Proposal
    settings: Settings
    outcomes: dict[str, int]
    versions: dict[str, str | None]

    def as_json(self) -> dict[str, Any]:
        """Return the calibration as plain JSON values."""
        return {
            "events": self.measured.events,
            "days": round(self.measured.days, 3),
            "accounts": self.measured.accounts,
            "versions": self.versions,
            "assumed": asdict(self.settings),
            "settings": [_setting_json(each) for each in self.proposal.settings],
            "outcomes": {"now": self.measured.outcomes, "proposed": self.outcomes},
        }


def _setting_json(setting: Setting) -> dict[str, Any]:
    return {
        "name": setting.name,
        "now": setting.now,
        "proposed": setting.proposed,
        "accounts": setting.accounts,
        "interval": list(setting.interval) if setting.interval else None,
        "why": setting.why,
        "limited": {
            "now": setting.touched_now.limited,
            "proposed": setting.touched_proposed.limited,
        },
        "restricted": {
            "now": setting.touched_now.restricted,
            "proposed": setting.touched_proposed.restricted,
        },
    }


def headline(calibration: Calibration) -> list[str]:
    """Describe in sentences what the calibration rests on, and what it assumes."""
    measured, settings = calibration.measured, calibration.settings
    changed = sum(setting.changed for setting in calibration.proposal.settings)
    return [
        f"{number(measured.events)} events of {count_of(measured.accounts, 'account')} over "
        f"{number(measured.days)} days, replayed in shadow. "
        f"{changed} of {len(calibration.proposal.settings)} numbers change.",
        f"Assumed: at most {percent(settings.contamination)} of the accounts that a floor or "
        "ceiling rests on are abusive. At most so many were left out of it, the worst first. Who "
        "sends in bulk writes to many strangers: there the share is larger than on the platform. "
        "If there are more, floors and ceilings come out too generous; if there are none, up to "
        f"{percent(settings.contamination + settings.beyond)} of these accounts lie beyond one, "
        "and the bound of one in a hundred holds for the others only.",
        f"No allowance and no score may slow more than {percent(settings.slowed)} of all accounts.",
    ]


def _settings_table(calibration: Calibration) -> Table:
    return Table(
        "Settings",
        ("setting", "accounts", "now", "proposed", "slowed\nnow → then", "silenced\nnow → then"),
        [
            (
                setting.name,
                number(setting.accounts),
                f"{setting.now:g}",
                f"{setting.proposed:g}" if setting.changed else "kept",
                f"{setting.touched_now.limited:,} → {setting.touched_proposed.limited:,}",
                f"{setting.touched_now.restricted:,} → {setting.touched_proposed.restricted:,}",
            )
            for setting in calibration.proposal.settings
        ],
        "Own accounts that each number alone would meet. Of a test: those whose evidence reaches "
        "what a limit needs, and what a restriction needs besides a second test.",
    )


def _outcomes_table(calibration: Calibration) -> Table:
    before, after = calibration.measured.outcomes, calibration.outcomes
    return Table(
        "Accounts by their most severe outcome",
        ("outcome", "policy in force", "proposed"),
        [
            (outcome, number(before.get(outcome, 0)), number(after.get(outcome, 0)))
            for outcome in BY_RANK
            if before.get(outcome) or after.get(outcome)
        ],
        "All rules together, by replaying the whole log in shadow under each policy.",
    )


def print_calibration(calibration: Calibration, console: Console) -> None:
    """Print the calibration: sentences and two tables."""
    print_lines(headline(calibration), console)
    print_table(_settings_table(calibration), console)
    print_table(_outcomes_table(calibration), console)


def write_html(calibration: Calibration, path: Path) -> None:
    """Write the calibration as one self-contained page; the same input gives the same bytes."""
    reasons = Table(
        "How each number came about",
        ("setting", "how"),
        [(setting.name, setting.why) for setting in calibration.proposal.settings],
        words=frozenset({0, 1}),
    )
    sections = [
        ("Settings", join_html([html_table(_settings_table(calibration)), html_table(reasons)])),
        ("What the platform's own accounts do", _rates_figure(calibration)),
        ("Whom each number would slow", _touched_figure(calibration)),
        ("Allowances", _allowances_figure(calibration)),
        ("Score", _score_figure(calibration)),
        ("All rules together", html_table(_outcomes_table(calibration))),
    ]
    versions = [f"{name}: {version}" for name, version in calibration.versions.items() if version]
    sections.append(("Versions", paragraphs(versions, "note")))
    written = [(heading, content) for heading, content in sections if content]
    path.write_text(page("Calibration", headline(calibration), written), encoding="utf-8")


def _rates_figure(calibration: Calibration) -> str:
    shown = [s for s in calibration.proposal.settings if s.interval is not None]
    if not shown:
        return paragraphs(["Too few accounts: every floor and ceiling stays as it is."])
    proposed = []
    for setting in shown:
        low, high = setting.interval or (setting.proposed, setting.proposed)
        words = f"{percent(setting.now)} → {percent(setting.proposed)}"
        ends = min(low, setting.proposed), max(high, setting.proposed)
        proposed.append(Interval(setting.proposed, *ends, words))
    now = [Interval(setting.now, setting.now, setting.now, "") for setting in shown]
    chart = shares(
        "rates",
        "Floors and ceilings, in force and proposed",
        [setting.name for setting in shown],
        {"in force": now, "proposed": proposed},
    )
    return html_figure(
        chart,
        "The line reaches over the 95 % interval of the quantile of the platform's own accounts "
        "from which the number is taken; its end that is kinder to people is proposed, within the "
        "limits of calibration.toml.",
    )


def _touched_figure(calibration: Calibration) -> str:
    shown, accounts = calibration.proposal.settings, calibration.measured.accounts
    if not accounts:
        return ""

    def slowed(count: int) -> Interval:
        low, high = exact_interval(count, accounts)
        return Interval(count / accounts, low, high, f"{number(count)} of {number(accounts)}")

    chart = shares(
        "touched",
        "Share of the platform's accounts that each number alone would slow",
        [setting.name for setting in shown],
        {
            "in force": [slowed(setting.touched_now.limited) for setting in shown],
            "proposed": [slowed(setting.touched_proposed.limited) for setting in shown],
        },
    )
    return html_figure(
        chart, "With 95 % Clopper–Pearson intervals; the counts beside are of the proposed numbers."
    )


def _allowances_figure(calibration: Calibration) -> str:
    reached, accounts = calibration.measured.reached, calibration.measured.accounts
    if not reached or not accounts:
        return ""
    lines = [
        Line(rule_id, list(met), [100 * count / accounts for count in met.values()])
        for rule_id, met in reached.items()
    ]
    tried = [n for met in reached.values() for n in met]
    ends = [float(min(tried)), float(max(tried))]
    tolerated = [100 * calibration.settings.slowed] * 2
    chart = curves(
        "allowances",
        "Accounts that an hourly allowance would slow",
        [*lines, Line("tolerated", ends, tolerated, guide=True)],
        across="strangers an hour, less those who answered",
        up="accounts slowed, %",
        marks=True,
    )
    return html_figure(chart, "Each point is a copy of the rule that only counted.")


def _score_figure(calibration: Calibration) -> str:
    thresholds = [s for s in calibration.proposal.settings if s.name.startswith("score.")]
    least = min((setting.now for setting in thresholds), default=0.0) - _BELOW
    margins = np.sort(calibration.measured.margins)
    margins = margins[margins >= least]
    if not margins.size:
        return ""
    at = np.unique(np.linspace(0, margins.size - 1, _POINTS).astype(int))
    above = 100 * (margins.size - at) / calibration.measured.accounts
    top = float(above.max())
    guides = [
        Line(f"{setting.name}, proposed", [setting.proposed] * 2, [0.0, top], guide=True)
        for setting in thresholds
    ]
    chart = curves(
        "score",
        "Accounts by the highest score that they reached",
        [Line("accounts at or above", margins[at].tolist(), above.tolist()), *guides],
        across="score (log-odds)",
        up="accounts, %",
    )
    return html_figure(
        chart, "A threshold is only ever raised: never below the model's own, nor the policy's."
    )
