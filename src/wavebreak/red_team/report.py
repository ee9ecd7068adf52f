"""A match as people read it: tables on a terminal, and a page with pictures."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from wavebreak.evaluation import exact_interval, share_of
from wavebreak.red_team.metrics import Count
from wavebreak.red_team.tournament import FAMILIES, Match, Round
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

_TOGETHER = "all families"
_LINES = 7  # in one picture


def _of(match: Match, name: str) -> Round:
    return next(r for r in match.rounds if r.name == name)


def first(match: Match) -> Round:
    """Return the round before any adaptation."""
    return match.rounds[0]


def adapted(match: Match) -> Round:
    """Return the round of the adapted senders."""
    return _of(match, "adapted")


def equal_weight(counts: dict[str, Count], name: str) -> float:
    """Return the mean over families of a count's share of the family's accounts."""
    shares = [getattr(c, name) / c.accounts for c in counts.values() if c.accounts]
    return sum(shares) / len(shares) if shares else float("nan")


def caught(match: Match, one: Round) -> Table:
    """Tell by family what was caught in a round, and what got through before."""
    rows: list[tuple[str, ...]] = [
        (
            name,
            number(c.accounts),
            share_of(c.actioned, c.accounts),
            share_of(c.rightly, c.accounts),
            number(c.at_registration),
            number(c.no_report),
            number(c.delivered_median),
            number(c.delivered_p90),
        )
        for name, c in one.counts.items()
    ]
    if len(rows) > 1:
        means = [equal_weight(one.counts, n) for n in ("actioned", "rightly", "at_registration")]
        accounts = sum(c.accounts for c in one.counts.values())
        silent = sum(c.no_report for c in one.counts.values())
        rows.append(
            (
                _TOGETHER,
                number(accounts),
                *(percent(m).removesuffix(" %") for m in means),
                number(silent),
                "",
                "",
            )
        )
    return Table(
        f"What was caught: {one.name}",
        (
            "family",
            "count",
            "actioned,\n%, 95 %",
            "answered\nrightly, %",
            "at regis-\ntration",
            "no report\nbefore",
            "delivered\nmedian",
            "delivered\np90",
        ),
        rows,
        "Actioned is restrict or worse; answered rightly counts a hijacked account too whose owner "
        "was asked to recover it. Intervals are Clopper and Pearson's. Delivered: messages to "
        "strangers, group adds and reports of an account that reached someone. All families: the "
        "mean of the families' shares in percent, each weighing the same.",
    )


def costs(match: Match) -> Table:
    """Tell by family what an attack cost before and after adaptation, and what changed."""
    before, after = first(match).counts, adapted(match).counts
    return Table(
        "What an attack costs: dollars for 1,000 delivered",
        ("family", "before", "after", "delivered\nbefore", "delivered\nafter", "what it turned to"),
        [
            (
                name,
                _money(c.per_thousand),
                _money(after[name].per_thousand),
                number(c.delivered),
                number(after[name].delivered),
                match.moves[name],
            )
            for name, c in before.items()
        ],
        "Prices are those of arena.toml. –: nothing was delivered at all.",
        words=frozenset({0, 5}),
    )


def _money(value: float) -> str:
    return number(value, 0 if value >= 100 else 2)


def innocents(match: Match) -> Table:
    """Tell by persona what people suffered in the round of the adapted senders."""
    return Table(
        "People and innocents in the same world",
        ("persona", "count", "challenge", "limit", "restrict", "suspend", "ban"),
        [
            (
                name,
                number(p.accounts),
                number(p.challenged),
                number(p.limited),
                number(p.restricted),
                number(p.suspended),
                number(p.banned),
            )
            for name, p in match.found.personas.items()
        ],
        "Accounts by the worst that happened to them, in the round of the adapted senders.",
    )


def feedback(match: Match) -> Table:
    """Tell what it is worth to answer late: the same adapted senders, told one way and another."""
    rows = [adapted(match), match.rounds[-1]]
    total = {r.name: sum(c.delivered for c in r.counts.values()) for r in rows}
    paid = {r.name: sum(c.cost for c in r.counts.values()) for r in rows}
    return Table(
        "What late answers are worth",
        ("senders are told", "delivered", "tried", "actioned, %", "$ for 1,000"),
        [
            (
                r.telling,
                number(total[r.name]),
                number(sum(c.tried for c in r.counts.values())),
                percent(equal_weight(r.counts, "actioned")).removesuffix(" %"),
                _money(1000 * paid[r.name] / total[r.name] if total[r.name] else float("nan")),
            )
            for r in rows
        ],
        "The same adapted senders in the same world; only when they learn of decisions differs.",
    )


def headline(match: Match) -> list[str]:
    """Say the result in a few sentences."""
    before, after = first(match).counts, adapted(match).counts
    lines = [
        f"{len(before)} families, {sum(c.accounts for c in before.values()):,} accounts of bulk "
        f"senders among {sum(p.accounts for p in match.found.personas.values()):,} honest ones: "
        f"{percent(equal_weight(before, 'actioned'))} of a family's accounts were restricted or "
        f"worse before adaptation, {percent(equal_weight(after, 'actioned'))} after "
        f"{match.setting.rounds} rounds of it.",
        f"Answered rightly, with owners of hijacked accounts asked to recover them: "
        f"{percent(equal_weight(before, 'rightly'))} before, "
        f"{percent(equal_weight(after, 'rightly'))} after.",
    ]
    if "combination" in after:
        c = after["combination"]
        low, high = exact_interval(c.week, c.accounts)
        lines.append(
            f"Of the combination's accounts {c.week} of {c.accounts} ({interval(low, high)}) were "
            "caught within seven days of their registration."
        )
    harmed = sum(p.actioned for p in match.found.personas.values())
    banned = sum(p.banned for p in match.found.personas.values())
    lines.append(
        f"Of the honest accounts {harmed:,} were restricted or worse and {banned:,} banned."
    )
    return lines


def print_match(match: Match, console: Console) -> None:
    """Print the match as tables."""
    print_lines(headline(match), console)
    print_table(caught(match, first(match)), console)
    print_table(caught(match, adapted(match)), console)
    print_table(costs(match), console)
    print_table(innocents(match), console)
    print_table(feedback(match), console)


def _drawn(match: Match, name: str, title: str, up: str, what: str) -> str:
    """Draw one number round by round, a few families a picture so that lines can be told apart."""
    rounds = match.rounds[:-1]
    across = [float(k) for k in range(len(rounds))]
    families = list(rounds[0].counts)
    pictures = []
    for first_one in range(0, len(families), _LINES):
        lines = [
            Line(family, across, [float(getattr(r.counts[family], what)) for r in rounds])
            for family in families[first_one : first_one + _LINES]
        ]
        part = f"{name}-{first_one // _LINES + 1}"
        svg = curves(part, title, lines, across="round", up=up, log=True, marks=True)
        pictures.append(html_figure(svg, f"{title}: {', '.join(line.label for line in lines)}."))
    note = "Round 0 is before adaptation, the last one that of the adapted senders."
    return paragraphs([note], "note") + join_html(pictures)


def _pictures(match: Match) -> list[tuple[str, str]]:
    return [
        (
            "Delivered, round by round",
            _drawn(match, "delivered", "Acts that reached strangers", "delivered", "delivered"),
        ),
        (
            "Cost, round by round",
            _drawn(
                match, "cost", "Dollars for a thousand acts delivered", "dollars", "per_thousand"
            ),
        ),
    ]


def _families(match: Match) -> Table:
    return Table(
        "The families",
        ("family", "tactic", "what it does"),
        [
            (n, number(FAMILIES[n].tactic) if FAMILIES[n].tactic >= 0 else "–", FAMILIES[n].about)
            for n in match.setting.families
        ],
        words=frozenset({0, 2}),
    )


def write_html(match: Match, path: Path) -> None:
    """Write the match as one self-contained page; the same match gives the same bytes."""
    setting = ", ".join(f"{k} {v}" for k, v in asdict(match.setting).items() if k != "families")
    sections = [
        ("Before adaptation", html_table(caught(match, first(match)))),
        ("After adaptation", html_table(caught(match, adapted(match)))),
        ("What it costs", html_table(costs(match))),
        *_pictures(match),
        ("The innocent", html_table(innocents(match))),
        ("Late answers", html_table(feedback(match))),
        ("The families", html_table(_families(match))),
    ]
    lead = [*headline(match), f"Played with {setting}; policy {match.versions['policy']}."]
    path.write_text(page("Arena", lead, sections), encoding="utf-8")
