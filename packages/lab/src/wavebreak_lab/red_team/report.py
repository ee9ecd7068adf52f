"""The report of a tournament: tables on a terminal, and an HTML page with charts."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from wavebreak.evaluation import exact_interval, share_of
from wavebreak.outcomes import REFUSING
from wavebreak.reports.charts import Line, curves
from wavebreak.reports.html import html_figure, html_table, join_html, page, paragraphs
from wavebreak.reports.tables import (
    Console,
    Table,
    interval,
    number,
    percent,
    print_lines,
    print_table,
)
from wavebreak_lab.red_team.metrics import FamilyCounts
from wavebreak_lab.red_team.tournament import FAMILIES, RoundSummary, Tournament

_ALL_FAMILIES = "all families"
_LINES_PER_CHART = 7  # in one picture


def _round_named(tournament: Tournament, name: str) -> RoundSummary:
    return next(r for r in tournament.rounds if r.name == name)


def first_round(tournament: Tournament) -> RoundSummary:
    """Return the round before any adaptation."""
    return tournament.rounds[0]


def adapted_round(tournament: Tournament) -> RoundSummary:
    """Return the round of the adapted senders."""
    return _round_named(tournament, "adapted")


def equal_weight(counts: dict[str, FamilyCounts], name: str) -> float:
    """Return a count's share of a family's accounts, as the mean over families."""
    shares = [getattr(c, name) / c.accounts for c in counts.values() if c.accounts]
    return sum(shares) / len(shares) if shares else float("nan")


def detection_table(tournament: Tournament, one: RoundSummary) -> Table:
    """Return by family what a round detected, and what was delivered before detection."""
    rows: list[tuple[str, ...]] = [
        (
            name,
            number(c.accounts),
            share_of(c.actioned, c.accounts),
            share_of(c.correctly_handled, c.accounts),
            number(c.at_registration),
            number(c.without_report),
            number(c.delivered_median),
            number(c.delivered_p90),
        )
        for name, c in one.counts.items()
    ]
    if len(rows) > 1:
        means = [
            equal_weight(one.counts, n)
            for n in ("actioned", "correctly_handled", "at_registration")
        ]
        accounts = sum(c.accounts for c in one.counts.values())
        unreported = sum(c.without_report for c in one.counts.values())
        rows.append(
            (
                _ALL_FAMILIES,
                number(accounts),
                *(percent(m).removesuffix(" %") for m in means),
                number(unreported),
                "",
                "",
            )
        )
    return Table(
        f"Detection: {one.name}",
        (
            "family",
            "count",
            "actioned,\n%, 95 %",
            "handled\ncorrectly, %",
            "at regis-\ntration",
            "no report\nbefore",
            "delivered\nmedian",
            "delivered\np90",
        ),
        rows,
        "Actioned: restrict or worse. Handled correctly: actioned, or the owner of a hijacked "
        "account asked to recover it. Intervals are Clopper and Pearson's. Delivered: messages "
        "to strangers, group adds and reports of an account that reached someone. All families: "
        "the mean of the families' shares in percent, all weighing alike.",
    )


def cost_table(tournament: Tournament) -> Table:
    """Return by family what an attack cost before and after adaptation, and what changed."""
    before, after = first_round(tournament).counts, adapted_round(tournament).counts
    return Table(
        "Cost of an attack: dollars per 1,000 delivered",
        (
            "family",
            "before",
            "after",
            "delivered\nbefore",
            "delivered\nafter",
            "changed parameters",
        ),
        [
            (
                name,
                _format_money(c.per_thousand),
                _format_money(after[name].per_thousand),
                number(c.delivered),
                number(after[name].delivered),
                tournament.changes[name],
            )
            for name, c in before.items()
        ],
        "Prices are those of red_team.toml. –: nothing was delivered.",
        words=frozenset({0, 5}),
    )


def _format_money(value: float) -> str:
    return number(value, 0 if value >= 100 else 2)


def persona_table(tournament: Tournament) -> Table:
    """Return by persona the actions on benign accounts, in the round of the adapted senders."""
    return Table(
        "Benign accounts by persona",
        ("persona", "count", *REFUSING),
        [
            (
                name,
                number(p.accounts),
                *map(number, p.by_outcome.values()),
            )
            for name, p in tournament.evaluation.personas.items()
        ],
        "Accounts by their worst outcome, in the round of the adapted senders.",
    )


def feedback_table(tournament: Tournament) -> Table:
    """Compare the same adapted senders with delayed and with instant feedback."""
    rows = [adapted_round(tournament), tournament.rounds[-1]]
    total = {r.name: sum(c.delivered for c in r.counts.values()) for r in rows}
    cost = {r.name: sum(c.cost for c in r.counts.values()) for r in rows}
    return Table(
        "Effect of delayed feedback",
        ("feedback", "delivered", "attempted", "actioned, %", "$ per 1,000"),
        [
            (
                r.feedback,
                number(total[r.name]),
                number(sum(c.attempted for c in r.counts.values())),
                percent(equal_weight(r.counts, "actioned")).removesuffix(" %"),
                _format_money(
                    1000 * cost[r.name] / total[r.name] if total[r.name] else float("nan")
                ),
            )
            for r in rows
        ],
        "The same adapted senders and people; only the time of the feedback differs.",
    )


def summary(tournament: Tournament) -> list[str]:
    """Return the result in a few sentences."""
    before, after = first_round(tournament).counts, adapted_round(tournament).counts
    personas = tournament.evaluation.personas.values()
    lines = [
        f"{len(before)} families, {sum(c.accounts for c in before.values()):,} accounts of bulk "
        f"senders among {sum(p.accounts for p in personas):,} benign ones: "
        f"{percent(equal_weight(before, 'actioned'))} of a family's accounts were restricted or "
        f"worse before adaptation, {percent(equal_weight(after, 'actioned'))} after "
        f"{tournament.config.rounds} rounds of it.",
        "Handled correctly, which includes hijacked accounts whose owners were asked to recover "
        f"them: {percent(equal_weight(before, 'correctly_handled'))} before, "
        f"{percent(equal_weight(after, 'correctly_handled'))} after.",
    ]
    if "combination" in after:
        c = after["combination"]
        ends = interval(*exact_interval(c.within_a_week, c.accounts))
        lines.append(
            f"Of the combination's accounts {c.within_a_week} of {c.accounts} ({ends}) were "
            "actioned within seven days of registration."
        )
    harmed, banned = sum(p.actioned for p in personas), sum(p.banned for p in personas)
    lines.append(
        f"Of the benign accounts {harmed:,} were restricted or worse and {banned:,} banned."
    )
    return lines


def print_report(tournament: Tournament, console: Console) -> None:
    """Print the tournament as tables."""
    print_lines(summary(tournament), console)
    print_table(detection_table(tournament, first_round(tournament)), console)
    print_table(detection_table(tournament, adapted_round(tournament)), console)
    print_table(cost_table(tournament), console)
    print_table(persona_table(tournament), console)
    print_table(feedback_table(tournament), console)


def _charts_by_round(tournament: Tournament, name: str, title: str, up: str, what: str) -> str:
    """Draw one count round by round, a few families to a chart so that lines stay legible."""
    rounds = tournament.rounds[:-1]
    rounds_axis = [float(k) for k in range(len(rounds))]
    families = list(rounds[0].counts)
    figures = []
    for start in range(0, len(families), _LINES_PER_CHART):
        lines = [
            Line(family, rounds_axis, [float(getattr(r.counts[family], what)) for r in rounds])
            for family in families[start : start + _LINES_PER_CHART]
        ]
        part = f"{name}-{start // _LINES_PER_CHART + 1}"
        svg = curves(part, title, lines, across="round", up=up, log=True, marks=True)
        figures.append(html_figure(svg, f"{title}: {', '.join(line.label for line in lines)}."))
    note = "Round 0 is before adaptation; in the last round the adapted senders play."
    return paragraphs([note], "note") + join_html(figures)


def _charts(tournament: Tournament) -> list[tuple[str, str]]:
    return [
        (
            "Delivered, round by round",
            _charts_by_round(
                tournament, "delivered", "Acts that reached strangers", "delivered", "delivered"
            ),
        ),
        (
            "Cost, round by round",
            _charts_by_round(
                tournament, "cost", "Dollars per thousand acts delivered", "dollars", "per_thousand"
            ),
        ),
    ]


def _families_table(tournament: Tournament) -> Table:
    return Table(
        "Families",
        ("family", "tactic", "what it does"),
        [
            (n, number(FAMILIES[n].tactic) if FAMILIES[n].tactic >= 0 else "–", FAMILIES[n].about)
            for n in tournament.config.families
        ],
        words=frozenset({0, 2}),
    )


def write_html(tournament: Tournament, path: Path) -> None:
    """Write one self-contained page; the same tournament gives the same bytes."""
    config = ", ".join(f"{k} {v}" for k, v in asdict(tournament.config).items() if k != "families")
    sections = [
        ("Before adaptation", html_table(detection_table(tournament, first_round(tournament)))),
        ("After adaptation", html_table(detection_table(tournament, adapted_round(tournament)))),
        ("Cost", html_table(cost_table(tournament))),
        *_charts(tournament),
        ("Benign accounts", html_table(persona_table(tournament))),
        ("Delayed feedback", html_table(feedback_table(tournament))),
        ("Families", html_table(_families_table(tournament))),
    ]
    lead = [
        *summary(tournament),
        f"Configuration: {config}; policy {tournament.versions['policy']}.",
    ]
    path.write_text(page("Red-team report", lead, sections), encoding="utf-8")
