"""A calibration, and its report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from msgspec.structs import asdict

from wavebreak.calibration.config import Settings
from wavebreak.calibration.measurement import Measurement
from wavebreak.calibration.proposal import Proposal, Setting
from wavebreak.evaluation import share_interval
from wavebreak.outcomes import BY_RANK
from wavebreak.reports.charts import Curves, Interval, Line, Shares
from wavebreak.reports.report import Report, Section, Text
from wavebreak.reports.tables import Table, count_of, number, percent

MAX_POINTS = 200
"""Points of a curve."""
CURVE_MARGIN = 8.0
"""Distance from the thresholds to the start of the curve of scores (log-odds)."""


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
            "settings": [_setting_json(setting) for setting in self.proposal.settings],
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


def calibration_report(calibration: Calibration) -> Report:
    """Return the calibration as a report."""
    reasons = Table(
        "How each number came about",
        ("setting", "how"),
        [(setting.name, setting.why) for setting in calibration.proposal.settings],
        words=frozenset({0, 1}),
    )
    versions = [f"{name}: {version}" for name, version in calibration.versions.items() if version]
    sections = [
        Section("Settings", [_settings_table(calibration)]),
        Section("How each number came about", [reasons], page_only=True),
        Section("What the platform's own accounts do", [_rates(calibration)], page_only=True),
        Section("Whom each number would slow", _touched(calibration)),
        Section("Allowances", _allowances(calibration)),
        Section("Score", _scores(calibration)),
        Section("All rules together", [_outcomes_table(calibration)]),
        Section("Versions", [Text(versions, "note")], page_only=True),
    ]
    return Report("Calibration", headline(calibration), sections, data=calibration.as_json())


def _settings_table(calibration: Calibration) -> Table:
    return Table(
        "Settings",
        ("setting", "accounts", "now", "proposed", "slowed\nnow → then", "silenced\nnow → then"),
        [
            (
                setting.name,
                setting.accounts,
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
            (outcome, before.get(outcome, 0), after.get(outcome, 0))
            for outcome in BY_RANK
            if before.get(outcome) or after.get(outcome)
        ],
        "All rules together, by replaying the whole log in shadow under each policy.",
    )


def _rates(calibration: Calibration) -> Shares | Text:
    settings = [s for s in calibration.proposal.settings if s.interval is not None]
    if not settings:
        return Text(["Too few accounts: every floor and ceiling stays as it is."])
    proposed = []
    for setting in settings:
        low, high = setting.interval or (setting.proposed, setting.proposed)
        text = f"{percent(setting.now)} → {percent(setting.proposed)}"
        ends = min(low, setting.proposed), max(high, setting.proposed)
        proposed.append(Interval(setting.proposed, *ends, text))
    return Shares(
        "rates",
        "Floors and ceilings, in force and proposed",
        "The line reaches over the 95 % interval of the quantile of the platform's own accounts "
        "from which the number is taken; its end that is kinder to people is proposed, within the "
        "limits of calibration.toml.",
        [setting.name for setting in settings],
        {
            "in force": [
                Interval(setting.now, setting.now, setting.now, "") for setting in settings
            ],
            "proposed": proposed,
        },
    )


def _touched(calibration: Calibration) -> list[Shares]:
    settings, accounts = calibration.proposal.settings, calibration.measured.accounts
    if not accounts:
        return []
    chart = Shares(
        "touched",
        "Share of the platform's accounts that each number alone would slow",
        "With 95 % Clopper–Pearson intervals; the counts beside are of the proposed numbers.",
        [setting.name for setting in settings],
        {
            "in force": [share_interval(s.touched_now.limited, accounts) for s in settings],
            "proposed": [share_interval(s.touched_proposed.limited, accounts) for s in settings],
        },
    )
    return [chart]


def _allowances(calibration: Calibration) -> list[Curves]:
    reached, accounts = calibration.measured.reached, calibration.measured.accounts
    if not reached or not accounts:
        return []
    lines = [
        Line(rule_id, list(counts), [100 * count / accounts for count in counts.values()])
        for rule_id, counts in reached.items()
    ]
    allowances = [n for counts in reached.values() for n in counts]
    ends = [float(min(allowances)), float(max(allowances))]
    tolerated = Line("tolerated", ends, [100 * calibration.settings.slowed] * 2, guide=True)
    chart = Curves(
        "allowances",
        "Accounts that an hourly allowance would slow",
        "Each point is a copy of the rule that only counted.",
        [*lines, tolerated],
        across="strangers an hour, less those who answered",
        up="accounts slowed, %",
        marks=True,
    )
    return [chart]


def _scores(calibration: Calibration) -> list[Curves]:
    thresholds = [s for s in calibration.proposal.settings if s.name.startswith("score.")]
    start = min((setting.now for setting in thresholds), default=0.0) - CURVE_MARGIN
    margins = np.sort(calibration.measured.margins)
    margins = margins[margins >= start]
    if not margins.size:
        return []
    points = np.unique(np.linspace(0, margins.size - 1, MAX_POINTS).astype(int))
    above = 100 * (margins.size - points) / calibration.measured.accounts
    top = float(above.max())
    guides = [
        Line(f"{setting.name}, proposed", [setting.proposed] * 2, [0.0, top], guide=True)
        for setting in thresholds
    ]
    chart = Curves(
        "score",
        "Accounts by the highest score that they reached",
        "A threshold is only ever raised: never below the model's own, nor the policy's.",
        [Line("accounts at or above", margins[points].tolist(), above.tolist()), *guides],
        across="score (log-odds)",
        up="accounts, %",
    )
    return [chart]
