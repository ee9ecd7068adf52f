"""The report of a red team over weeks."""

from __future__ import annotations

from wavebreak.evaluation import exact_interval, share_of
from wavebreak.reports.report import Report, Section
from wavebreak.reports.tables import Cell, Table, interval
from wavebreak_lab.red_team.report import format_money
from wavebreak_lab.red_team.weeks import Week, Weeks


def weeks_report(weeks: Weeks) -> Report:
    """Return the weeks as a report."""
    sections = [
        Section("Cost", [cost_table(weeks)]),
        Section("Families", [families_table(weeks.weeks[-1])]),
        Section("Benign accounts", [people_table(weeks)]),
    ]
    return Report("Red team over weeks", weeks_summary(weeks), sections, data=weeks.as_json())


def cost_table(weeks: Weeks) -> Table:
    """Return dollars per thousand delivered, by family and week."""
    rows: list[tuple[Cell, ...]] = [
        (
            name,
            *(
                _cost_text(week.families[name].per_thousand, week.families[name].interval)
                for week in weeks.weeks
            ),
            format_money(weeks.weeks[-1].families[name].cheapest),
        )
        for name in weeks.config.families
    ]
    costs = [_cost_text(week.per_thousand, week.interval) for week in weeks.weeks]
    return Table(
        "Dollars per 1,000 delivered, by week",
        ("family", *(f"week {week.number}" for week in weeks.weeks), "cheapest\noperator"),
        [*rows, ("all that deliver", *costs, "")],
        "Below: 95 %, by a bootstrap over a family's accounts, and over operators for all. The "
        "cheapest operator is of the last week. Prices are those of red_team.toml.",
    )


def _cost_text(cost: float | None, bounds: tuple[float, float] | None) -> str:
    ends = "" if bounds is None else f"{format_money(bounds[0])}–{format_money(bounds[1])}"
    return f"{format_money(cost)}\n{ends}"


def families_table(week: Week) -> Table:
    """Return what a week did to every family."""
    return Table(
        f"Week {week.number}: families",
        ("family", "accounts", "restricted", "attempted", "delivered", "dollars"),
        [
            (name, f.accounts, f.restricted, f.attempted, f.delivered, format_money(f.cost))
            for name, f in week.families.items()
        ],
        "Accounts of the week; restricted: or worse.",
    )


def people_table(weeks: Weeks) -> Table:
    """Return the effects on benign accounts by week, and on the accounts that brigades accuse."""
    return Table(
        "Benign accounts, by week",
        ("week", "first\ncontacts", "refused, %\n95 %", "restricted", "banned",
         "accused", "slowed", "convicted", "a score\nacted, days"),
        [
            (
                week.number, people.first_contacts, share_of(people.refused, people.first_contacts),
                people.restricted, people.banned, len(people.accused), people.slowed,
                people.convicted, week.days_acting,
            )
            for week in weeks.weeks
            for people in [week.people]
        ],
        "Refused: of the week. The others: all weeks so far. Accused: honest accounts of which "
        "senders complain on purpose; slowed: limited or asked; convicted: restricted or worse.",
    )  # fmt: skip


def weeks_summary(weeks: Weeks) -> list[str]:
    """Return the result in a few sentences."""
    first, last = weeks.weeks[0], weeks.weeks[-1]
    people = last.people
    refused = sum(w.people.refused for w in weeks.weeks)
    contacts = sum(w.people.first_contacts for w in weeks.weeks)
    learned = [f"{s['number']}: {s['state']} {s['why']}".strip() for s in last.learned]
    return [
        f"A thousand delivered cost {format_money(first.per_thousand)} dollars in the first week "
        f"and {format_money(last.per_thousand)} in week {last.number}, after "
        f"{weeks.config.rounds} rounds of adaptation and one each week.",
        f"Of {people.accounts:,} benign accounts {people.restricted:,} were restricted or worse "
        f"and {people.banned:,} banned; {refused:,} of {contacts:,} first contacts were refused "
        f"({100 * refused / max(1, contacts):.2f} %; "
        f"{interval(*exact_interval(refused, contacts))}).",
        f"Of {len(people.accused):,} honest accounts that were accused on purpose, "
        f"{sum(n for n, _ in people.accused):,} times in all, {people.convicted:,} were convicted "
        f"and {people.slowed:,} slowed.",
        f"Learned scores: {'; '.join(learned) or 'none'}.",
    ]
