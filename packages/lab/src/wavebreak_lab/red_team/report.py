"""The report of a red-team tournament."""

from __future__ import annotations

from dataclasses import asdict

from wavebreak.evaluation import exact_interval, share_of
from wavebreak.outcomes import REFUSING
from wavebreak.reports.charts import Curves, Line
from wavebreak.reports.report import KeyFigure, Report, Section, Text
from wavebreak.reports.tables import Cell, Table, interval, number, percent
from wavebreak_lab.red_team.metrics import FamilyCounts
from wavebreak_lab.red_team.tournament import FAMILIES, RoundSummary, Tournament

ALL_FAMILIES = "all families"
MAX_LINES = 7
"""Families in a chart, so that the lines stay legible."""
ROUNDS_NOTE = "Round 0 is before adaptation; in the last round the adapted senders play."


def tournament_report(tournament: Tournament) -> Report:
    """Return the tournament as a report."""
    first, adapted = first_round(tournament), adapted_round(tournament)
    config = ", ".join(f"{k} {v}" for k, v in asdict(tournament.config).items() if k != "families")
    versions = f"Configuration: {config}; policy {tournament.versions['policy']}."
    sections = [
        Section("Before adaptation", [detection_table(first)]),
        Section("After adaptation", [detection_table(adapted)]),
        Section("Cost", [cost_table(tournament)]),
        Section("Delivered, round by round", [
            Text([ROUNDS_NOTE], "note"),
            *_charts_by_round(
                tournament, "delivered", "delivered", "Acts that reached strangers", "delivered"
            ),
        ], page_only=True),
        Section("Cost, round by round", [
            Text([ROUNDS_NOTE], "note"),
            *_charts_by_round(
                tournament, "cost", "per_thousand", "Dollars per thousand acts delivered", "dollars"
            ),
        ], page_only=True),
        Section("Benign accounts", [persona_table(tournament)]),
        Section("Delayed feedback", [feedback_table(tournament)]),
        Section("Families", [_families_table(tournament)], page_only=True),
        Section("Versions", [Text([versions], "note")], page_only=True),
    ]  # fmt: skip
    personas = tournament.evaluation.personas.values()
    figures = [
        KeyFigure(
            "Family's accounts restricted",
            percent(equal_weight(adapted.counts, "actioned")),
            f"{percent(equal_weight(first.counts, 'actioned'))} before adaptation",
        ),
        KeyFigure(
            "Delivered after adaptation",
            number(sum(c.delivered for c in adapted.counts.values())),
            f"{number(sum(c.delivered for c in first.counts.values()))} before",
        ),
        KeyFigure(
            "Benign accounts restricted",
            number(sum(p.actioned for p in personas)),
            f"of {number(sum(p.accounts for p in personas))}",
        ),
    ]
    return Report(
        "Red-team report", summary(tournament), sections, figures, data=tournament.as_json()
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
    restricted, banned = sum(p.actioned for p in personas), sum(p.banned for p in personas)
    lines.append(
        f"Of the benign accounts {restricted:,} were restricted or worse and {banned:,} banned."
    )
    return lines


def first_round(tournament: Tournament) -> RoundSummary:
    """Return the round before any adaptation."""
    return tournament.rounds[0]


def adapted_round(tournament: Tournament) -> RoundSummary:
    """Return the round of the adapted senders."""
    return next(r for r in tournament.rounds if r.name == "adapted")


def equal_weight(counts: dict[str, FamilyCounts], name: str) -> float:
    """Return a count's share of a family's accounts, as the mean over families."""
    shares = [getattr(c, name) / c.accounts for c in counts.values() if c.accounts]
    return sum(shares) / len(shares) if shares else float("nan")


def detection_table(summary: RoundSummary) -> Table:
    """Return by family what a round detected, and what was delivered before detection."""
    counts = summary.counts
    rows: list[tuple[Cell, ...]] = [
        (
            name, c.accounts, share_of(c.actioned, c.accounts),
            share_of(c.correctly_handled, c.accounts), c.at_registration, c.without_report,
            c.delivered_median, c.delivered_p90,
        )
        for name, c in counts.items()
    ]  # fmt: skip
    if len(rows) > 1:
        means = [
            percent(equal_weight(counts, name)).removesuffix(" %")
            for name in ("actioned", "correctly_handled", "at_registration")
        ]
        accounts = sum(c.accounts for c in counts.values())
        without_report = sum(c.without_report for c in counts.values())
        rows.append((ALL_FAMILIES, accounts, *means, without_report, "", ""))
    return Table(
        f"Detection: {summary.name}",
        ("family", "count", "actioned,\n%, 95 %", "handled\ncorrectly, %", "at regis-\ntration",
         "no report\nbefore", "delivered\nmedian", "delivered\np90"),
        rows,
        "Actioned: restrict or worse. Handled correctly: actioned, or the owner of a hijacked "
        "account asked to recover it. Intervals are Clopper and Pearson's. Delivered: messages "
        "to strangers, group adds and reports of an account that reached someone. All families: "
        "the mean of the families' shares in percent, all weighing alike.",
    )  # fmt: skip


def cost_table(tournament: Tournament) -> Table:
    """Return by family what an attack cost before and after adaptation, and what changed."""
    before, after = first_round(tournament).counts, adapted_round(tournament).counts
    return Table(
        "Cost of an attack: dollars per 1,000 delivered",
        ("family", "before", "after", "delivered\nbefore", "delivered\nafter",
         "changed parameters"),
        [
            (name, format_money(c.per_thousand), format_money(after[name].per_thousand),
             c.delivered, after[name].delivered, tournament.changes[name])
            for name, c in before.items()
        ],
        "Prices are those of red_team.toml. –: nothing was delivered.",
        words=frozenset({0, 5}),
    )  # fmt: skip


def format_money(dollars: float | None) -> str:
    """Format an amount, with cents where it is small."""
    return "–" if dollars is None else number(dollars, 0 if dollars >= 100 else 2)


def persona_table(tournament: Tournament) -> Table:
    """Return by persona the actions on benign accounts, in the round of the adapted senders."""
    return Table(
        "Benign accounts by persona",
        ("persona", "count", *REFUSING),
        [
            (name, p.accounts, *p.by_outcome.values())
            for name, p in tournament.evaluation.personas.items()
        ],
        "Accounts by their worst outcome, in the round of the adapted senders.",
    )


def feedback_table(tournament: Tournament) -> Table:
    """Compare the same adapted senders with delayed and with instant feedback."""
    rows = []
    for summary in (adapted_round(tournament), tournament.rounds[-1]):
        counts = summary.counts.values()
        delivered = sum(c.delivered for c in counts)
        cost = sum(c.cost for c in counts)
        rows.append(
            (
                summary.feedback,
                delivered,
                sum(c.attempted for c in counts),
                percent(equal_weight(summary.counts, "actioned")).removesuffix(" %"),
                format_money(1000 * cost / delivered if delivered else None),
            )
        )
    return Table(
        "Effect of delayed feedback",
        ("feedback", "delivered", "attempted", "actioned, %", "$ per 1,000"),
        rows,
        "The same adapted senders and people; only the time of the feedback differs.",
    )


def _charts_by_round(
    tournament: Tournament, name: str, count: str, title: str, up: str
) -> list[Curves]:
    """Return charts of one count round by round, a few families in each chart."""
    rounds = tournament.rounds[:-1]
    x = [float(k) for k in range(len(rounds))]
    families = list(rounds[0].counts)
    charts = []
    for start in range(0, len(families), MAX_LINES):
        shown = families[start : start + MAX_LINES]
        lines = [
            Line(family, x, [float(getattr(r.counts[family], count)) for r in rounds])
            for family in shown
        ]
        caption = f"{title}: {', '.join(shown)}."
        part = f"{name}-{start // MAX_LINES + 1}"
        charts.append(Curves(part, title, caption, lines, "round", up, log=True, marks=True))
    return charts


def _families_table(tournament: Tournament) -> Table:
    return Table(
        "Families",
        ("family", "tactic", "what it does"),
        [
            (n, FAMILIES[n].tactic if FAMILIES[n].tactic >= 0 else None, FAMILIES[n].about)
            for n in tournament.config.families
        ],
        words=frozenset({0, 2}),
    )
