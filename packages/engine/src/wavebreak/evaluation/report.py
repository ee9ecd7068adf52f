"""The report of an evaluation, and its short form for one screen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wavebreak.durations import HOUR_MS
from wavebreak.evaluation.intervals import exact_interval
from wavebreak.evaluation.metrics import BeforeAction, Evaluation, Family, Persona
from wavebreak.outcomes import REFUSING
from wavebreak.reports.charts import Interval, Shares, Spread, Spreads
from wavebreak.reports.report import KeyFigure, Report, Section, Text
from wavebreak.reports.tables import Cell, Table, brief, count_of, interval, number, percent

ALL = "all abusive"
BACKGROUND = "no label (background)"


def share_of(count: int, total: int) -> str:
    """Write a share with its interval below it, both in percent."""
    if not total:
        return "–"
    return f"{percent(count / total)}\n{interval(*exact_interval(count, total))}".replace(" %", "")


def share_interval(count: int, total: int) -> Interval:
    """Return a share of a chart, with its 95 % interval and the two counts as text."""
    low, high = exact_interval(count, total)
    return Interval(
        count / total if total else 0.0, low, high, f"{number(count)} of {number(total)}"
    )


def evaluation_report(evaluation: Evaluation) -> Report:
    """Return the evaluation as a report."""
    sections = [Section("Evaluated data", [Text(provenance(evaluation))])]
    if evaluation.families:
        sections += _family_sections(_named_families(evaluation))
    if personas := _benign_personas(evaluation):
        sections += _persona_sections(personas)
    versions = dict.fromkeys(_versions_text(summary) for summary in evaluation.runs)
    if lines := [line for line in versions if line]:
        sections.append(Section("Versions", [Text(lines, "note")], page_only=True))
    return Report(
        "Evaluation",
        headline(evaluation),
        sections,
        _key_figures(evaluation),
        data=evaluation.as_json(),
    )


def evaluation_overview(evaluation: Evaluation, limit: int = 8, more: Sequence[str] = ()) -> Report:
    """Return the result for one screen: four sentences, and the worst families and personas.

    Args:
        evaluation: The evaluation.
        limit: Rows of each table; the others are counted together in one row.
        more: Further sentences.
    """
    tables = [_worst_families(evaluation, limit)] if evaluation.families else []
    if any(persona.met or persona.refused for _, persona in _benign_personas(evaluation)):
        tables.append(_worst_personas(evaluation, limit))
    return Report("Evaluation", [*headline(evaluation), *more], [Section("", tables)])


def headline(evaluation: Evaluation) -> list[str]:
    """Describe the result: messages stopped, and actions on abusive and benign accounts."""
    lines = []
    everyone, equal = evaluation.everyone, evaluation.stopped_equal_weight
    if everyone.accounts and equal is not None:
        messages = everyone.delivered + everyone.stopped
        lines += [
            f"Of {count_of(messages, 'unwanted message')}, {percent(everyone.stopped_share)} were "
            f"stopped (each family weighing the same: {percent(equal)}); half of all abusive "
            f"accounts delivered {number(everyone.unwanted_median)} or fewer.",
            f"Of {count_of(everyone.accounts, 'abusive account')}, "
            f"{number(everyone.met - everyone.actioned)} were slowed and "
            f"{number(everyone.actioned)} ({percent(everyone.actioned / everyone.accounts)}) "
            "restricted or worse.",
        ]
    benign = list(evaluation.personas.values())
    if accounts := sum(p.accounts for p in benign):
        lines.append(
            f"Of {count_of(accounts, 'benign account')}, "
            f"{number(sum(p.met - p.actioned for p in benign))} were slowed, "
            f"{number(sum(p.actioned for p in benign))} restricted or worse, "
            f"{number(sum(p.banned for p in benign))} banned."
        )
    refused_count, messages = evaluation.first_messages
    worst = evaluation.worst_persona
    if messages and worst is not None:
        lines.append(
            f"Of their {count_of(messages, 'first message')}, {number(refused_count)} "
            f"({percent(refused_count / messages)}) were refused; of {worst}, the worst persona, "
            f"{percent(evaluation.personas[worst].refused_share)}."
        )
    return lines


def provenance(evaluation: Evaluation) -> list[str]:
    """Describe the evaluated data: attacks, background, missing accounts, mode."""
    lines = [_data_sentence(evaluation)]
    if len(evaluation.runs) > 1:
        lines.append(f"{len(evaluation.runs)} runs, counted together.")
    if evaluation.excluded:
        lines.append(f"Excluded: the families {', '.join(evaluation.excluded)}.")
    share = evaluation.equal_weight
    if len(evaluation.families) > 1 and share is not None:
        met_shares = [f.met / f.accounts for f in evaluation.families.values()]
        lines.append(
            f"Each family weighing the same, {percent(sum(met_shares) / len(met_shares))} were "
            f"slowed or worse, {percent(share)} restricted or worse."
        )
    absent = [f"{count_of(n, f'{kind} account')}" for kind, n in evaluation.absent.items() if n]
    if absent:
        lines.append(
            f"Labelled but not in the log: {' and '.join(absent)}. They count as not "
            "actioned and as having delivered nothing."
        )
    modes = {summary.get("mode") for summary in evaluation.runs}
    if modes == {"shadow"}:
        lines.append(
            "The run was in shadow mode: decisions were recorded, and nothing was enforced."
        )
    elif modes == {"enforce"}:
        lines.append("The run enforced its decisions: what they refused was not delivered.")
    return lines


def _data_sentence(evaluation: Evaluation) -> str:
    benign = sum(p.accounts for p in evaluation.personas.values())
    attacks = (
        f"{count_of(evaluation.everyone.accounts, 'abusive account')} in "
        f"{count_of(len(evaluation.families), 'family', 'families')} and "
        f"{count_of(benign, 'benign account')} in {count_of(len(evaluation.personas), 'persona')}"
    )
    rest = count_of(evaluation.unlabelled.accounts, "account") + " without a label"
    if not all(evaluation.worlds):
        return f"Labelled: {attacks}; {rest}. No world.json says that the attacks were injected."
    traces = dict.fromkeys(_background_name(world.get("background")) for world in evaluation.worlds)
    if any(traces):
        names = ", ".join(trace or "simulated people" for trace in traces)
        return f"Injected attacks: {attacks}, inserted by the simulator into {names} ({rest})."
    return f"Injected attacks: {attacks}, on a simulated platform ({rest})."


def _background_name(background: Any) -> str:
    """Return the name of the background trace that a world.json records, or an empty text."""
    if isinstance(background, dict):
        background = background.get("name") or background.get("source") or background.get("path")
    return Path(str(background)).name if background else ""


def _versions_text(summary: dict[str, Any]) -> str:
    versions = summary.get("versions")
    pairs = sorted(versions.items()) if isinstance(versions, dict) else []
    return ", ".join(f"{name} {value}" for name, value in pairs if value)


def _key_figures(evaluation: Evaluation) -> list[KeyFigure]:
    everyone, benign = evaluation.everyone, list(evaluation.personas.values())
    figures = []
    if everyone.accounts:
        messages = everyone.delivered + everyone.stopped
        figures += [
            KeyFigure(
                "Unwanted messages stopped",
                percent(everyone.stopped_share),
                f"of {number(messages)}",
            ),
            _share_figure("Abusive accounts restricted", everyone.actioned, everyone.accounts),
        ]
    if accounts := sum(p.accounts for p in benign):
        actioned = sum(p.actioned for p in benign)
        figures.append(_share_figure("Benign accounts restricted", actioned, accounts))
    refused_count, messages = evaluation.first_messages
    if messages:
        figures.append(_share_figure("Benign first messages refused", refused_count, messages))
    return figures


def _share_figure(label: str, count: int, total: int) -> KeyFigure:
    return KeyFigure(label, percent(count / total), f"{number(count)} of {number(total)}")


def _named_families(evaluation: Evaluation) -> list[tuple[str, Family, BeforeAction]]:
    """List the families by name, and all of them together where there are several."""
    rows = [(n, f, evaluation.before_action[n]) for n, f in evaluation.families.items()]
    if len(rows) > 1:
        rows.append((ALL, evaluation.everyone, evaluation.everyone_before))
    return rows


def _benign_personas(evaluation: Evaluation) -> list[tuple[str, Persona]]:
    """List the personas by name, then the accounts without a label."""
    rows = list(evaluation.personas.items())
    if evaluation.unlabelled.accounts:
        rows.append((BACKGROUND, evaluation.unlabelled))
    return rows


def _family_sections(families: list[tuple[str, Family, BeforeAction]]) -> list[Section]:
    names = [name for name, _, _ in families]
    actioned_chart = Shares(
        "caught",
        "Share of each abusive family that was restricted or worse",
        "Share of each family restricted or worse, with its 95 % Clopper–Pearson interval.",
        names,
        {"actioned": [share_interval(f.actioned, f.accounts) for _, f, _ in families]},
        whole=True,
    )
    actions = Table(
        "Abusive accounts: actions",
        ("family", "count", "chal-\nlenged", "limited", "actioned", "share, %\n95 %",
         "at regis-\ntration", "no report\nin 7 d", "no report\never"),
        [
            (name, f.accounts, f.challenged, f.limited, f.actioned,
             share_of(f.actioned, f.accounts), f.at_registration, f.no_report_7d, f.no_report_ever)
            for name, f, _ in families
        ],
        "Each account counts once, at its worst outcome; actioned is restrict or worse. Below its "
        "share, the 95 % interval (Clopper–Pearson). No report: actioned accounts "
        "without a user report in the 7 days before, or at any time before.",
    )  # fmt: skip
    unwanted = Spreads(
        "unwanted",
        "Unwanted messages delivered per abusive account",
        "Delivered messages to strangers per account. Thin line: from the 10th to "
        "the 90th percentile; thick: the middle half; logarithmic above 1.",
        names,
        [
            Spread(
                *b.unwanted_spread,
                f.unwanted_mean,
                f"median {number(f.unwanted_median)}, p90 {number(f.unwanted_p90)}",
            )
            for _, f, b in families
        ],
    )
    before = Table(
        "Abusive accounts: before the first action",
        ("family", "time\nmedian; p90", "strangers\nmedian; p90", "unwanted\nmedian; p90",
         "unwanted\nmean"),
        [
            (name, f"{_hours(f.hours_median)}; {_hours(b.hours_p90)}",
             f"{number(b.strangers_median)}; {number(b.strangers_p90)}",
             f"{number(f.unwanted_median)}; {number(f.unwanted_p90)}", f.unwanted_mean)
            for name, f, b in families
        ],
        "Time: from registration (else the first event seen) to the first restrict, suspend or "
        "ban, over actioned accounts. Strangers: messages to people who never wrote to the "
        "sender, sent before that. Unwanted: those the platform would have delivered, given all "
        "decisions. Both over every account of the family, actioned or not.",
    )  # fmt: skip
    return [
        Section("Abusive accounts actioned", [actioned_chart, actions]),
        Section("Before the first action", [unwanted, before]),
    ]


def _hours(hours: float | None) -> str:
    return brief(None if hours is None else hours * HOUR_MS)


def _persona_sections(personas: list[tuple[str, Persona]]) -> list[Section]:
    chart = Shares(
        "spared",
        "Share of each benign persona with a false action",
        "Share of each persona challenged or limited, and restricted or worse, with 95 % "
        "intervals. A small persona has a wide interval even at none; the counts beside it are "
        "of restricted or worse.",
        [name for name, _ in personas],
        {
            "challenged or limited": [
                share_interval(p.challenged + p.limited, p.accounts) for _, p in personas
            ],
            "restricted or worse": [share_interval(p.actioned, p.accounts) for _, p in personas],
        },
    )
    actions = Table(
        "Benign accounts: false actions",
        ("persona", "count", *REFUSING, "restrict\nor worse"),
        [
            (name, p.accounts,
             *(_count_share(count, p.accounts) for count in (*p.by_outcome.values(), p.actioned)))
            for name, p in personas
        ],
        "Accounts by their worst outcome; below each count the 95 % interval of its share, in "
        "percent (Clopper–Pearson).",
    )  # fmt: skip
    messages = Table(
        "Benign accounts: first messages refused",
        ("persona", "first\nmessages", "refused", "share, %\n95 %"),
        [
            (name, p.first_contacts, p.refused, share_of(p.refused, p.first_contacts))
            for name, p in personas
        ],
        "First messages: people written to first or asked for contact, each once. Refused: to whom "
        "it was refused at least once, also where it got through later. Below its share, the 95 % "
        "interval (Clopper–Pearson), as if they were independent.",
    )
    return [
        Section("False actions", [chart, actions]),
        Section("First messages refused", [messages]),
    ]


def _count_share(count: int, total: int) -> str:
    """Write a count with the interval of its share, in percent, below it."""
    if not total:
        return "–"
    return f"{number(count)}\n{interval(*exact_interval(count, total)).removesuffix(' %')}"


def _worst_families(evaluation: Evaluation, limit: int) -> Table:
    """Return the families that deliver most unwanted messages, worst first."""
    families = sorted(
        evaluation.families.items(), key=lambda item: (-item[1].unwanted_median, item[0])
    )
    return Table(
        "Abusive accounts by family, worst first",
        ("family", "accounts", "slowed", "actioned", "stopped, %", "unwanted messages\nmedian"),
        [
            *(_overview_row(name, [f], f.unwanted_median) for name, f in families[:limit]),
            *_other_rows([f for _, f in families[limit:]], "families"),
        ],
        "Slowed: limited or challenged. Actioned: restricted, suspended or banned. Stopped: of the "
        "messages that its accounts tried to send to strangers.",
    )


def _worst_personas(evaluation: Evaluation, limit: int) -> Table:
    """Return the personas with false actions, the largest share actioned, then slowed, first."""

    def severity(item: tuple[str, Persona]) -> tuple[float, float, float, str]:
        name, p = item
        return -p.actioned / p.accounts, -p.met / p.accounts, -p.refused_share, name

    personas = sorted(_benign_personas(evaluation), key=severity)
    first_rows = [(name, p) for name, p in personas if p.met or p.refused][:limit]
    other_rows = [p for name, p in personas if name not in dict(first_rows)]
    return Table(
        "Benign accounts by persona, worst first",
        ("persona", "accounts", "slowed", "actioned", "met, %", "first messages\nrefused, %"),
        [
            *(
                _overview_row(
                    name,
                    [p],
                    percent(p.refused_share).removesuffix(" %") if p.first_contacts else "–",
                )
                for name, p in first_rows
            ),
            *_other_rows(other_rows, "personas"),
        ],
    )


def _other_rows(remaining: Sequence[Family | Persona], plural: str) -> list[tuple[Cell, ...]]:
    return [_overview_row(f"{len(remaining)} other {plural}", remaining, "")] if remaining else []


def _overview_row(name: str, counts: Sequence[Family | Persona], last: Cell) -> tuple[Cell, ...]:
    """Count families or personas together, with the share of messages stopped or accounts met."""
    accounts, actioned = sum(c.accounts for c in counts), sum(c.actioned for c in counts)
    slowed_count = sum(c.met for c in counts)
    families = [c for c in counts if isinstance(c, Family)]
    if families:
        stopped_share = sum(f.stopped for f in families)
        share = stopped_share / max(1, stopped_share + sum(f.delivered for f in families))
    else:
        share = slowed_count / accounts
    return (
        name,
        accounts,
        slowed_count - actioned,
        actioned,
        percent(share).removesuffix(" %"),
        last,
    )
