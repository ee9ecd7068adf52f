"""The report of a red team over weeks: tables on a terminal."""

from __future__ import annotations

from wavebreak.evaluation import exact_interval, share_of
from wavebreak.reports.tables import Console, Table, interval, number, print_lines, print_table
from wavebreak_lab.red_team.weeks import Week, Weeks


def _dollars(value: float | None) -> str:
    return "–" if value is None else number(value, 0 if value >= 100 else 2)


def _bounds(bounds: tuple[float, float] | None) -> str:
    return "" if bounds is None else f"{_dollars(bounds[0])}–{_dollars(bounds[1])}"


def cost_by_week(weeks: Weeks) -> Table:
    """Return dollars per thousand delivered, by family and week."""
    rows = [
        (
            name,
            *(
                f"{_dollars(week.families[name].per_thousand)}\n"
                f"{_bounds(week.families[name].interval)}"
                for week in weeks.weeks
            ),
            _dollars(weeks.weeks[-1].families[name].cheapest),
        )
        for name in weeks.config.families
    ]
    rows.append((
        "all that deliver",
        *(f"{_dollars(week.per_thousand)}\n{_bounds(week.interval)}" for week in weeks.weeks),
        "",
    ))  # fmt: skip
    return Table(
        "Dollars per 1,000 delivered, by week",
        ("family", *(f"week {week.number}" for week in weeks.weeks), "cheapest\noperator"),
        rows,
        "Below: 95 %, by a bootstrap over a family's accounts, and over operators for all. The "
        "cheapest operator is of the last week. Prices are those of red_team.toml.",
    )


def families_table(week: Week) -> Table:
    """Return what a week did to every family."""
    return Table(
        f"Week {week.number}: families",
        ("family", "accounts", "restricted", "attempted", "delivered", "dollars"),
        [
            (
                name, number(f.accounts), number(f.restricted), number(f.attempted),
                number(f.delivered), _dollars(f.cost),
            )
            for name, f in week.families.items()
        ],
        "Accounts of the week; restricted: or worse.",
    )  # fmt: skip


def people_table(weeks: Weeks) -> Table:
    """Return what people felt, by week, and those whom brigades complained of."""
    return Table(
        "Benign accounts, by week",
        (
            "week", "first\ncontacts", "refused, %\n95 %", "restricted", "banned",
            "accused", "slowed", "convicted", "a score\nacted, days",
        ),
        [
            (
                number(w.number), number(w.people.first_contacts),
                share_of(w.people.refused, w.people.first_contacts),
                number(w.people.restricted), number(w.people.banned), number(len(w.people.accused)),
                number(w.people.slowed), number(w.people.convicted),
                number(w.days_acting),
            )
            for w in weeks.weeks
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
        f"A thousand delivered cost {_dollars(first.per_thousand)} dollars in the first week and "
        f"{_dollars(last.per_thousand)} in week {last.number}, after {weeks.config.rounds} rounds "
        "of adaptation and one each week.",
        f"Of {people.accounts:,} benign accounts {people.restricted:,} were restricted or worse "
        f"and {people.banned:,} banned; {refused:,} of {contacts:,} first contacts were refused "
        f"({100 * refused / max(1, contacts):.2f} %; "
        f"{interval(*exact_interval(refused, contacts))}).",
        f"Of {len(people.accused):,} honest accounts that were accused on purpose, "
        f"{sum(n for n, _ in people.accused):,} times in all, {people.convicted:,} were convicted "
        f"and {people.slowed:,} slowed.",
        f"Learned scores: {'; '.join(learned) or 'none'}.",
    ]


def print_weeks(weeks: Weeks, console: Console) -> None:
    """Print the weeks as tables."""
    print_lines(weeks_summary(weeks), console)
    print_table(cost_by_week(weeks), console)
    print_table(families_table(weeks.weeks[-1]), console)
    print_table(people_table(weeks), console)
