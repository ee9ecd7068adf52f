"""The report of an evaluation: tables on a terminal, and an HTML page with charts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wavebreak.durations import HOUR_MS
from wavebreak.evaluation.intervals import exact_interval
from wavebreak.evaluation.metrics import BeforeAction, Evaluation, Family, Persona
from wavebreak.outcomes import REFUSING
from wavebreak.reports.charts import Interval, Spread, shares, spreads
from wavebreak.reports.html import html_figure, html_table, page, paragraphs
from wavebreak.reports.tables import (
    Console,
    Table,
    brief,
    count_of,
    interval,
    number,
    percent,
    print_lines,
    print_table,
)

ALL = "all abusive"
BACKGROUND = "no label (background)"


def share_of(count: int, of: int) -> str:
    """Write a share with its interval below it, both in percent."""
    if not of:
        return "–"
    written = f"{percent(count / of)}\n{interval(*exact_interval(count, of))}"
    return written.replace(" %", "")


def _count(count: int, of: int) -> str:
    """Write a count with the interval of its share, in percent, below it."""
    if not of:
        return "–"
    return f"{number(count)}\n{interval(*exact_interval(count, of)).removesuffix(' %')}"


def _named(evaluation: Evaluation) -> list[tuple[str, Family, BeforeAction]]:
    """List the families by name, and all of them together where there are several."""
    rows = [(n, f, evaluation.before_action[n]) for n, f in evaluation.families.items()]
    if len(rows) > 1:
        rows.append((ALL, evaluation.everyone, evaluation.everyone_before))
    return rows


def _benign(evaluation: Evaluation) -> list[tuple[str, Persona]]:
    """List the personas by name, then the accounts without a label where there are any."""
    rows = list(evaluation.personas.items())
    if evaluation.unlabelled.accounts:
        rows.append((BACKGROUND, evaluation.unlabelled))
    return rows


def _actions_table(evaluation: Evaluation) -> Table:
    return Table(
        "Abusive accounts: actions",
        (
            "family",
            "count",
            "chal-\nlenged",
            "limited",
            "actioned",
            "share, %\n95 %",
            "at regis-\ntration",
            "no report\nin 7 d",
            "no report\never",
        ),
        [
            (
                name,
                number(f.accounts),
                number(f.challenged),
                number(f.limited),
                number(f.actioned),
                share_of(f.actioned, f.accounts),
                number(f.at_registration),
                number(f.no_report_7d),
                number(f.no_report_ever),
            )
            for name, f, _ in _named(evaluation)
        ],
        "Each account counts once, at its worst outcome; actioned is restrict or worse. Below its "
        "share, the 95 % interval (Clopper–Pearson). No report: actioned accounts "
        "without a user report in the 7 days before, or at any time before.",
    )


def _ms(hours: float | None) -> float | None:
    return None if hours is None else hours * HOUR_MS


def _before_action_table(evaluation: Evaluation) -> Table:
    return Table(
        "Abusive accounts: before the first action",
        (
            "family",
            "time\nmedian; p90",
            "strangers\nmedian; p90",
            "unwanted\nmedian; p90",
            "unwanted\nmean",
        ),
        [
            (
                name,
                f"{brief(_ms(f.hours_median))}; {brief(_ms(b.hours_p90))}",
                f"{number(b.strangers_median)}; {number(b.strangers_p90)}",
                f"{number(f.unwanted_median)}; {number(f.unwanted_p90)}",
                number(f.unwanted_mean),
            )
            for name, f, b in _named(evaluation)
        ],
        "Time: from registration (else the first event seen) to the first restrict, suspend or "
        "ban, over actioned accounts. Strangers: messages to people who never wrote to the "
        "sender, sent before that. Unwanted: those the platform would have delivered, given all "
        "decisions. Both over every account of the family, actioned or not.",
    )


def _false_actions_table(evaluation: Evaluation) -> Table:
    return Table(
        "Benign accounts: false actions",
        (
            "persona",
            "count",
            *REFUSING,
            "restrict\nor worse",
        ),
        [
            (
                name,
                number(p.accounts),
                *(_count(count, p.accounts) for count in (*p.by_outcome.values(), p.actioned)),
            )
            for name, p in _benign(evaluation)
        ],
        "Accounts by their worst outcome; below each count the 95 % interval of its share, in "
        "percent (Clopper–Pearson).",
    )


def _refused_table(evaluation: Evaluation) -> Table:
    return Table(
        "Benign accounts: first messages refused",
        ("persona", "first\nmessages", "refused", "share, %\n95 %"),
        [
            (
                name,
                number(p.first_contacts),
                number(p.refused),
                share_of(p.refused, p.first_contacts),
            )
            for name, p in _benign(evaluation)
        ],
        "First messages: people written to first or asked for contact, each once. Refused: to whom "
        "it was refused at least once, also where it got through later. Below its share, the 95 % "
        "interval (Clopper–Pearson), as if they were independent.",
    )


def _background(value: Any) -> str:
    """Return the name of the background trace that a world.json records, or nothing."""
    if isinstance(value, dict):
        value = value.get("name") or value.get("source") or value.get("path")
    return Path(str(value)).name if value else ""


def _versions(run: dict[str, Any]) -> str:
    """Return the versions that a run records, as text."""
    versions = run.get("versions")
    named = sorted(versions.items()) if isinstance(versions, dict) else []
    return ", ".join(f"{name} {value}" for name, value in named if value)


def provenance(evaluation: Evaluation) -> list[str]:
    """Describe what was evaluated: the attacks, the background, missing accounts, the mode."""
    benign = sum(p.accounts for p in evaluation.personas.values())
    lines = []
    attacks = (
        f"{count_of(evaluation.everyone.accounts, 'abusive account')} in "
        f"{count_of(len(evaluation.families), 'family', 'families')} and "
        f"{count_of(benign, 'benign account')} in {count_of(len(evaluation.personas), 'persona')}"
    )
    rest = count_of(evaluation.unlabelled.accounts, "account") + " without a label"
    grounds = dict.fromkeys(_background(world.get("background")) for world in evaluation.worlds)
    if not all(evaluation.worlds):
        lines.append(
            f"Labelled: {attacks}; {rest}. No world.json says that the attacks were injected."
        )
    elif any(grounds):
        over = ", ".join(ground or "simulated people" for ground in grounds)
        lines.append(
            f"Injected attacks: {attacks}, inserted by the simulator into {over} ({rest})."
        )
    else:
        lines.append(f"Injected attacks: {attacks}, on a simulated platform ({rest}).")
    if len(evaluation.runs) > 1:
        lines.append(f"{len(evaluation.runs)} runs, counted together.")
    if evaluation.excluded:
        lines.append(f"Excluded: the families {', '.join(evaluation.excluded)}.")
    share = evaluation.equal_weight
    if len(evaluation.families) > 1 and share is not None:
        met = [f.met / f.accounts for f in evaluation.families.values()]
        lines.append(
            f"Each family weighing the same, {percent(sum(met) / len(met))} were slowed or worse, "
            f"{percent(share)} restricted or worse."
        )
    gone = [f"{count_of(n, f'{kind} account')}" for kind, n in evaluation.absent.items() if n]
    if gone:
        lines.append(
            f"Labelled but not in the log: {' and '.join(gone)}. They count as not "
            "actioned and as having delivered nothing."
        )
    modes = {run.get("mode") for run in evaluation.runs}
    if modes == {"shadow"}:
        lines.append(
            "The run was in shadow mode: decisions were recorded, and nothing was enforced."
        )
    elif modes == {"enforce"}:
        lines.append("The run enforced its decisions: what they refused was not delivered.")
    return lines


def print_tables(evaluation: Evaluation, console: Console) -> None:
    """Print the evaluation as tables."""
    print_lines(provenance(evaluation), console)
    if evaluation.families:
        print_table(_actions_table(evaluation), console)
        print_table(_before_action_table(evaluation), console)
    if _benign(evaluation):
        print_table(_false_actions_table(evaluation), console)
        print_table(_refused_table(evaluation), console)


def print_overview(
    evaluation: Evaluation, console: Console, limit: int = 8, more: Sequence[str] = ()
) -> None:
    """Print the result on one screen: four sentences, and the worst families and personas.

    Args:
        evaluation: What was measured.
        console: Where to print.
        limit: Rows of each table; the others are counted together in one row.
        more: Further sentences.

    """
    print_lines([*headline(evaluation), *more], console)
    if evaluation.families:
        print_table(_worst_families(evaluation, limit), console)
    if any(persona.met or persona.refused for _, persona in _benign(evaluation)):
        print_table(_worst_personas(evaluation, limit), console)


def _worst_families(evaluation: Evaluation, limit: int) -> Table:
    """Return the families that deliver most unwanted messages, worst first."""
    families = sorted(
        evaluation.families.items(), key=lambda item: (-item[1].unwanted_median, item[0])
    )
    rows = [(name, f, number(f.unwanted_median)) for name, f in families]
    return Table(
        "Abusive accounts by family, worst first",
        ("family", "accounts", "slowed", "actioned", "stopped, %", "unwanted messages\nmedian"),
        [
            *(_share_row(*row) for row in rows[:limit]),
            *_other_rows([f for _, f in families[limit:]], "families"),
        ],
        "Slowed: limited or challenged. Actioned: restricted, suspended or banned. Stopped: of the "
        "messages that its accounts tried to send to strangers.",
    )


def _worst_personas(evaluation: Evaluation, limit: int) -> Table:
    """Return the personas with false actions, the largest share actioned, then slowed, first."""
    personas = sorted(
        _benign(evaluation),
        key=lambda item: (
            -item[1].actioned / item[1].accounts, -item[1].met / item[1].accounts,
            -item[1].refused_share, item[0],
        ),
    )  # fmt: skip
    shown = [(name, p) for name, p in personas if p.met or p.refused][:limit]
    rest = [p for name, p in personas if name not in dict(shown)]
    return Table(
        "Benign accounts by persona, worst first",
        ("persona", "accounts", "slowed", "actioned", "met, %", "first messages\nrefused, %"),
        [
            *(_share_row(name, p, _refused_percent(p)) for name, p in shown),
            *_other_rows(rest, "personas"),
        ],
    )


def _refused_percent(persona: Persona) -> str:
    return percent(persona.refused_share).removesuffix(" %") if persona.first_contacts else "–"


def _share_row(name: str, counts: Family | Persona, last: str) -> tuple[str, ...]:
    share = percent(_share_of_overview([counts])).removesuffix(" %")
    slowed = counts.met - counts.actioned
    return name, number(counts.accounts), number(slowed), number(counts.actioned), share, last


def _share_of_overview(counts: Sequence[Family | Persona]) -> float:
    """Return what an overview says of families (messages stopped) or personas (accounts met)."""
    families = [one for one in counts if isinstance(one, Family)]
    if families:
        stopped = sum(f.stopped for f in families)
        return stopped / max(1, stopped + sum(f.delivered for f in families))
    return sum(one.met for one in counts) / sum(one.accounts for one in counts)


def _other_rows(others: Sequence[Family | Persona], plural: str) -> list[tuple[str, ...]]:
    """Return one row that counts the others together, or none."""
    accounts = sum(other.accounts for other in others)
    actioned = sum(other.actioned for other in others)
    met = sum(other.met for other in others)
    if not accounts:
        return []
    share = percent(_share_of_overview(others)).removesuffix(" %")
    name = f"{len(others)} other {plural}"
    return [(name, number(accounts), number(met - actioned), number(actioned), share, "")]


def _interval(count: int, of: int) -> Interval:
    low, high = exact_interval(count, of)
    return Interval(count / of if of else 0.0, low, high, f"{number(count)} of {number(of)}")


def _charts(evaluation: Evaluation) -> dict[str, str]:
    """Return the charts by name; a chart without data is left out."""
    charts: dict[str, str] = {}
    rows = _named(evaluation)
    names = [name for name, _, _ in rows]
    if rows:
        charts["caught"] = shares(
            "caught",
            "Share of each abusive family that was restricted or worse",
            names,
            {"actioned": [_interval(f.actioned, f.accounts) for _, f, _ in rows]},
            whole=True,
        )
        charts["unwanted"] = spreads(
            "unwanted",
            "Unwanted messages delivered per abusive account",
            names,
            [
                Spread(
                    *b.unwanted_spread,
                    f.unwanted_mean,
                    f"median {number(f.unwanted_median)}, p90 {number(f.unwanted_p90)}",
                )
                for _, f, b in rows
            ],
        )
    benign = _benign(evaluation)
    if benign:
        charts["spared"] = shares(
            "spared",
            "Share of each benign persona with a false action",
            [n for n, _ in benign],
            {
                "challenged or limited": [
                    _interval(p.challenged + p.limited, p.accounts) for _, p in benign
                ],
                "restricted or worse": [_interval(p.actioned, p.accounts) for _, p in benign],
            },
        )
    return charts


def headline(evaluation: Evaluation) -> list[str]:
    """Describe the result: unwanted messages stopped, abusive accounts met, honest people met."""
    lines = []
    everyone, equal = evaluation.everyone, evaluation.stopped_equal_weight
    if everyone.accounts and equal is not None:
        tried = everyone.delivered + everyone.stopped
        lines.append(
            f"Of {count_of(tried, 'unwanted message')}, {percent(everyone.stopped_share)} were "
            f"stopped (each family weighing the same: {percent(equal)}); half of all abusive "
            f"accounts delivered {number(everyone.unwanted_median)} or fewer."
        )
        lines.append(
            f"Of {count_of(everyone.accounts, 'abusive account')}, "
            f"{number(everyone.met - everyone.actioned)} were slowed and "
            f"{number(everyone.actioned)} ({percent(everyone.actioned / everyone.accounts)}) "
            "restricted or worse."
        )
    benign = list(evaluation.personas.values())
    total = sum(p.accounts for p in benign)
    if total:
        lines.append(
            f"Of {count_of(total, 'benign account')}, "
            f"{number(sum(p.met - p.actioned for p in benign))} were slowed, "
            f"{number(sum(p.actioned for p in benign))} restricted or worse, "
            f"{number(sum(p.banned for p in benign))} banned."
        )
    refused, first = evaluation.first_messages
    worst = evaluation.worst_persona
    if first and worst is not None:
        lines.append(
            f"Of their {count_of(first, 'first message')}, {number(refused)} "
            f"({percent(refused / first)}) were refused; of {worst}, the worst persona, "
            f"{percent(evaluation.personas[worst].refused_share)}."
        )
    return lines


def write_html(evaluation: Evaluation, path: Path) -> None:
    """Write the evaluation as one self-contained page; the same input gives the same bytes."""
    charts = _charts(evaluation)
    sections = [("Evaluated data", paragraphs(provenance(evaluation)))]
    if evaluation.families:
        caught = html_figure(
            charts["caught"],
            "Share of each family restricted or worse, with its 95 % Clopper–Pearson interval.",
        )
        sections.append(
            ("Abusive accounts actioned", caught + html_table(_actions_table(evaluation)))
        )
        unwanted = html_figure(
            charts["unwanted"],
            "Delivered messages to strangers per account. Thin line: from the 10th to "
            "the 90th percentile; thick: the middle half; logarithmic above 1.",
        )
        sections.append(
            ("Before the first action", unwanted + html_table(_before_action_table(evaluation)))
        )
    if "spared" in charts:
        spared = html_figure(
            charts["spared"],
            "Share of each persona challenged or limited, and restricted or worse, with 95 % "
            "intervals. A small persona has a wide interval even at none; the counts beside it are "
            "of restricted or worse.",
        )
        sections.append(("False actions", spared + html_table(_false_actions_table(evaluation))))
        sections.append(("First messages refused", html_table(_refused_table(evaluation))))
    versions = dict.fromkeys(_versions(run) for run in evaluation.runs)
    if any(versions):
        sections.append(("Versions", paragraphs(filter(None, versions), "note")))
    path.write_text(page("Evaluation", headline(evaluation), sections), encoding="utf-8")
