"""The report of weeks of retraining: what each family delivers, with a chart."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.weekly_retraining.retraining import Cut, Week, as_json, cuts
from wavebreak.reports.charts import Curves, Line
from wavebreak.reports.report import Report, Section
from wavebreak.reports.tables import Table, number, percent


def headline(weeks: Sequence[Week]) -> list[str]:
    """Say in sentences what retraining cut, and what it cost the benign."""
    made = cuts(weeks)
    first = sum(cut.first for cut in made) / max(1, len(made))
    second = sum(cut.second for cut in made) / max(1, len(made))
    share = 1 - second / first if first else 0.0
    false_actions = sum(week.false_actions for week in weeks[1:])
    before = sum(week.false_actions_before for week in weeks[1:])
    benign = sum(week.benign for week in weeks[1:])
    return [
        f"From a family's first week to its second, unwanted messages delivered fell from "
        f"{number(first)} to {number(second)} an account ({percent(max(0.0, share))} less), over "
        f"{len(made)} families. The attacks are injected, into simulated weeks.",
        f"Benign accounts restricted or worse from the second week on: {number(false_actions)} of "
        f"{number(benign)}; under the models a week older: {number(before)}.",
    ]


def _cuts(made: Sequence[Cut]) -> Table:
    return Table(
        "Unwanted messages delivered, an account",
        ("family", "first\nweek", "second\nweek", "cut", "second week,\nhad nothing\nbeen learned"),
        [
            (
                cut.family, number(cut.first), number(cut.second),
                percent(cut.share), number(cut.unlearned),
            )
            for cut in made
        ],
        "Means over all accounts of the family; a cut below nought is a rise. Last column: the "
        "same second week, decided with the model that had not seen the first.",
    )  # fmt: skip


def _weeks(weeks: Sequence[Week]) -> Table:
    return Table(
        "Each week",
        ("week", "model", "new family", "accounts", "actioned", "benign", "false\nactions",
         "reviewed:\nconfirmed", "cleared"),
        [
            (
                str(week.number), week.model or "rules alone",
                week.faced[-1].family if week.number <= len(weeks) - 1 else "–",
                number(sum(f.accounts for f in week.faced)),
                number(sum(f.actioned for f in week.faced)), number(week.benign),
                number(week.false_actions), number(week.confirmed), number(week.cleared),
            )
            for week in weeks
        ],
        "False actions: benign accounts restricted or worse. Reviewed: every account acted on or "
        "reported, and those that the training after it suspected "
        f"({number(sum(week.suspected for week in weeks))} in all); only these verdicts train "
        "the next model.",
        words=frozenset({0, 1, 2}),
    )  # fmt: skip


def weeks_report(weeks: Sequence[Week]) -> Report:
    """Return the weeks as a report."""
    families = cuts(weeks)
    lines = [
        Line(cut.family, [k + 1.0, k + 2.0], [cut.first, cut.second])
        for k, cut in enumerate(families)
    ]
    lines += [
        Line("had nothing been learned", [k + 1.0, k + 2.0], [cut.first, cut.unlearned], True)
        for k, cut in enumerate(families)
    ]
    chart = Curves(
        "weeks",
        "Unwanted messages delivered an account, week by week",
        "Each family from the week it is first seen to the next; dashed: had the model not "
        "learned from the first.",
        lines,
        across="week",
        up="unwanted messages an account",
        marks=True,
    )
    sections = [
        Section("What retraining cuts", [chart, _cuts(families)]),
        Section("Week by week", [_weeks(weeks)]),
    ]
    return Report("Retraining", headline(weeks), sections, data=as_json(weeks))
