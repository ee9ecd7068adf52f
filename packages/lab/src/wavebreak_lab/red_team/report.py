"""The report of a red-team run."""

from __future__ import annotations

from dataclasses import asdict

import msgspec

from wavebreak.evaluation import exact_interval, share_of
from wavebreak.outcomes import REFUSING
from wavebreak.reports.charts import Curves, Line
from wavebreak.reports.report import KeyFigure, Report, Section, Text
from wavebreak.reports.tables import Cell, Table, interval, number, percent
from wavebreak_lab.red_team.counts import FamilyCounts
from wavebreak_lab.red_team.programme import FAMILIES, RedTeamResult, Stage

ALL_FAMILIES = "all families"
MAX_LINES = 7
"""Families in a chart, so that the lines stay legible."""


def red_team_report(result: RedTeamResult) -> Report:
    """Return the run as a report."""
    before, last = result.before, result.weeks[-1]
    options = ", ".join(f"{k} {v}" for k, v in asdict(result.options).items() if k != "families")
    versions = f"Configuration: {options}; policy {result.versions['policy']}."
    detection = [before] if before is last else [before, last]
    sections = [
        *(Section(f"Detection: {stage.name}", [detection_table(stage)]) for stage in detection),
        Section("Cost", [cost_table(result)]),
        Section("Cost by stage", cost_charts(result), page_only=True),
        Section("Benign accounts", [people_table(result), persona_table(last)]),
        Section("Families", [_families_table(result)], page_only=True),
        Section("Versions", [Text([versions], "note")], page_only=True),
    ]
    figures = [
        KeyFigure(
            "Family's accounts restricted",
            percent(equal_weight(last.families, "actioned")),
            f"{percent(equal_weight(before.families, 'actioned'))} {before.name}",
        ),
        KeyFigure(
            "Dollars per 1,000 delivered",
            format_money(last.per_thousand),
            f"{format_money(before.per_thousand)} {before.name}",
        ),
        KeyFigure(
            "Benign accounts restricted",
            number(last.people.restricted),
            f"of {number(last.people.accounts)}",
        ),
    ]
    return Report(
        "Red-team report", summary(result), sections, figures, data=msgspec.to_builtins(result)
    )


def summary(result: RedTeamResult) -> list[str]:
    """Return the result in a few sentences."""
    before, last = result.before, result.weeks[-1]
    people, weeks = last.people, [week.people for week in result.weeks]
    refused_count, contacts = sum(p.refused for p in weeks), sum(p.first_contacts for p in weeks)
    lines = [
        f"{len(last.families)} families, {sum(c.accounts for c in last.families.values()):,} "
        f"accounts of bulk senders among {people.accounts:,} benign ones: "
        f"{percent(equal_weight(before.families, 'actioned'))} of a family's accounts were "
        f"restricted or worse in the stage {before.name}, "
        f"{percent(equal_weight(last.families, 'actioned'))} in {last.name}, after "
        f"{result.options.rounds} rounds of adaptation.",
        "Handled correctly, which includes hijacked accounts with a request to their owners to "
        f"recover them: {percent(equal_weight(before.families, 'correctly_handled'))}; "
        f"{percent(equal_weight(last.families, 'correctly_handled'))}.",
        f"A thousand delivered cost {format_money(before.per_thousand)} dollars in the stage "
        f"{before.name} and {format_money(last.per_thousand)} in {last.name}.",
        f"Of the benign accounts {people.restricted:,} were restricted or worse and "
        f"{people.banned:,} banned; {refused_count:,} of {contacts:,} first contacts were refused "
        f"({interval(*exact_interval(refused_count, contacts))}).",
    ]
    if people.accused:
        lines.append(
            f"Of {len(people.accused):,} honest accounts that were accused on purpose, "
            f"{sum(n for n, _ in people.accused):,} times in all, {people.convicted:,} were "
            f"convicted and {people.slowed:,} slowed."
        )
    if last.learned:
        states = "; ".join(f"{s['number']}: {s['state']} {s['why']}".strip() for s in last.learned)
        lines.append(f"Learned scores: {states}.")
    return lines


def equal_weight(families: dict[str, FamilyCounts], name: str) -> float:
    """Return a count's share of a family's accounts, as the mean over families."""
    shares = [getattr(c, name) / c.accounts for c in families.values() if c.accounts]
    return sum(shares) / len(shares) if shares else float("nan")


def detection_table(stage: Stage) -> Table:
    """Return by family the detection of a stage, and the acts delivered before it."""
    families = stage.families
    rows: list[tuple[Cell, ...]] = [
        (
            name, c.accounts, share_of(c.actioned, c.accounts),
            share_of(c.correctly_handled, c.accounts), c.at_registration, c.within_a_week,
            c.without_report, c.delivered_median, c.delivered_p90,
        )
        for name, c in families.items()
    ]  # fmt: skip
    if len(rows) > 1:
        means = [
            percent(equal_weight(families, name)).removesuffix(" %")
            for name in ("actioned", "correctly_handled", "at_registration", "within_a_week")
        ]
        accounts = sum(c.accounts for c in families.values())
        without_report = sum(c.without_report for c in families.values())
        rows.append((ALL_FAMILIES, accounts, *means, without_report, "", ""))
    return Table(
        f"Detection: {stage.name}",
        ("family", "count", "actioned,\n%, 95 %", "handled\ncorrectly, %", "at regis-\ntration",
         "within\na week", "no report\nbefore", "delivered\nmedian", "delivered\np90"),
        rows,
        "Actioned: restrict or worse. Handled correctly: actioned, or the owner of a hijacked "
        "account asked to recover it. Intervals are Clopper and Pearson's. Delivered: messages "
        "to strangers, group adds and reports of an account that reached a person. All families: "
        "the mean of the families' shares in percent, with equal weights.",
    )  # fmt: skip


def cost_table(result: RedTeamResult) -> Table:
    """Return dollars per thousand delivered by family and stage, and the changed parameters."""
    stages = [*result.rounds[:1], *result.weeks]
    last = result.weeks[-1]
    rows: list[tuple[Cell, ...]] = [
        (
            name,
            *(_cost(s.families[name].per_thousand, s.families[name].interval) for s in stages),
            format_money(last.families[name].cheapest),
            last.families[name].delivered,
            result.changes[name],
        )
        for name in result.options.families
    ]
    delivered = sum(c.delivered for c in last.families.values())
    total = [_cost(stage.per_thousand, stage.interval) for stage in stages]
    return Table(
        "Cost of an attack: dollars per 1,000 delivered",
        ("family", *(stage.name.replace(" ", "\n") for stage in stages), "cheapest\noperator",
         "delivered", "changed parameters"),
        [*rows, ("all that deliver", *total, "", delivered, "")],
        "Below: 95 %, by a bootstrap over a family's accounts, and over operators for all. "
        "Cheapest operator and delivered: of the last week. Changed parameters: of the senders of "
        "the first week. Prices are those of red_team.toml. –: nothing was delivered.",
        words=frozenset({0, len(stages) + 3}),
    )  # fmt: skip


def _cost(cost: float | None, bounds: tuple[float, float] | None) -> str:
    ends = "" if bounds is None else f"{format_money(bounds[0])}–{format_money(bounds[1])}"
    return f"{format_money(cost)}\n{ends}".strip()


def format_money(dollars: float | None) -> str:
    """Format an amount, with cents where it is small."""
    return "–" if dollars is None else number(dollars, 0 if dollars >= 100 else 2)


def people_table(result: RedTeamResult) -> Table:
    """Return the effects on benign accounts by week, and on the accused ones."""
    return Table(
        "Benign accounts, by week",
        ("week", "first\ncontacts", "refused, %\n95 %", "delayed", "restricted", "banned",
         "accused", "slowed", "convicted", "a score\nacted, days"),
        [
            (
                week.name, people.first_contacts, share_of(people.refused, people.first_contacts),
                people.delayed, people.restricted, people.banned, len(people.accused),
                people.slowed, people.convicted, week.days_acting,
            )
            for week in result.weeks
            for people in [week.people]
        ],
        "First contacts, refused (never arrived), delayed: of the week. The others: all weeks so "
        "far. Accused: honest accounts of which senders complain on purpose; slowed: limited or "
        "challenged; convicted: restricted or worse.",
    )  # fmt: skip


def persona_table(stage: Stage) -> Table:
    """Return by persona the actions on benign accounts at the end of a stage."""
    return Table(
        "Benign accounts by persona",
        ("persona", "count", *REFUSING),
        [(name, p.accounts, *p.by_outcome.values()) for name, p in stage.personas.items()],
        "Accounts by their worst outcome.",
    )


def cost_charts(result: RedTeamResult) -> list[Text | Curves]:
    """Return charts of the cost by round and week, a few families in each chart."""
    stages, families = [*result.rounds, *result.weeks], result.options.families
    title, x = "Dollars per thousand acts delivered", [float(k) for k in range(len(stages))]
    charts: list[Text | Curves] = [Text([", ".join(s.name for s in stages)], "note")]
    for start in range(0, len(families), MAX_LINES):
        names = families[start : start + MAX_LINES]
        lines = [
            Line(name, x, [s.families[name].per_thousand or float("nan") for s in stages])
            for name in names
        ]
        caption, part = f"{title}: {', '.join(names)}.", f"cost-{start // MAX_LINES + 1}"
        charts.append(Curves(part, title, caption, lines, "stage", "dollars", log=True, marks=True))
    return charts


def _families_table(result: RedTeamResult) -> Table:
    return Table(
        "Families",
        ("family", "tactic", "method"),
        [
            (n, FAMILIES[n].tactic if FAMILIES[n].tactic >= 0 else None, FAMILIES[n].about)
            for n in result.options.families
        ],
        words=frozenset({0, 2}),
    )
