"""Differences as people read them: a table, examples, a page with a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from wavebreak.charts import Interval, shares
from wavebreak.evaluation import exact_interval
from wavebreak.pages import (
    Console,
    Table,
    brief,
    count_of,
    html_figure,
    html_table,
    interval,
    number,
    page,
    paragraphs,
    print_lines,
    print_table,
)
from wavebreak.watching.differences import KINDS, Change, Differences

EXAMPLES = 3
"""Examples shown of each kind of change; all of them stand in replay.json."""


def headline(found: Differences) -> list[str]:
    """Say in sentences what the challenger would change, and what it would cost."""
    champion, challenger = (sum(of.values()) for of in found.actioned)
    lines = [
        f"Of {count_of(found.accounts, 'account')}, the champion restricted {number(champion)} or "
        f"worse, the challenger {number(challenger)}: "
        f"{number(len(found.of('newly actioned')))} newly actioned, "
        f"{number(len(found.of('newly spared')))} newly spared, "
        f"{number(len(found.of('earlier')))} earlier, {number(len(found.of('later')))} later."
    ]
    if found.labelled.get("abusive"):
        before, after = found.unwanted
        lines.append(
            f"Unwanted messages delivered by accounts labelled abusive: {number(before)} under "
            f"the champion, {number(after)} under the challenger."
        )
    return [*lines, _false_actions(found)]


def _false_actions(found: Differences) -> str:
    told = found.false_actions()
    if not found.of("newly actioned"):
        return "Nobody is newly actioned, so no innocent is."
    parts = []
    if told["labelled"]:
        low, high = told["interval"]
        parts.append(
            f"{number(told['labelled_benign'])} of the {number(told['labelled'])} newly actioned "
            f"accounts with a label are benign ({interval(low, high)})"
        )
    if told["expected"] is not None:
        parts.append(
            f"of the {number(told['scored'])} without a label, "
            f"{number(told['expected'], 2)} are expected to be innocent by the model's calibration"
        )
    if told["unscored"]:
        parts.append(
            f"{number(told['unscored'])} have neither label nor score: look at the examples"
        )
    return "False actions: " + "; ".join(parts) + "."


def _changes(found: Differences) -> Table:
    labels = sorted({change.label for change in found.changes})
    counts = found.counts()
    return Table(
        "What would change",
        ("accounts", "all", *(label or "no label" for label in labels), "time gained\nmedian"),
        [
            (
                kind, number(len(found.of(kind))),
                *(number(counts[kind].get(label, 0)) for label in labels),
                _gained(found.of(kind)),
            )
            for kind in KINDS
        ],
        "Actioned is restrict or worse. Earlier and later: the first such action. Harsher and "
        "milder: accounts whose worst outcome alone differs.",
    )  # fmt: skip


def _gained(changes: list[Change]) -> str:
    """Write the median time by which accounts are acted on earlier (or later, negative)."""
    both = sorted(
        change.champion.action_ms - change.challenger.action_ms
        for change in changes
        if change.champion.action_ms is not None and change.challenger.action_ms is not None
    )
    if not both:
        return "–"
    middle = both[len(both) // 2]
    return brief(middle) if middle >= 0 else f"-{brief(-middle)}"


def _examples(found: Differences, kind: str) -> Table:
    return Table(
        f"Examples: {kind}",
        ("account", "label", "champion", "challenger", "why"),
        [
            (
                change.account, change.family or change.label or "–", change.champion.worst,
                change.challenger.worst, _why(change.decision),
            )
            for change in found.of(kind)[:EXAMPLES]
        ],
        words=frozenset({0, 1, 2, 3, 4}),
    )  # fmt: skip


def _why(decision: dict[str, Any] | None) -> str:
    if decision is None:
        return "–"
    score = "" if decision["score"] is None else f"score {number(decision['score'], 3)}"
    reasons = [f"{r['feature']} {number(r['value'], 2)}" for r in decision["reasons"][:3]]
    return "\n".join(filter(None, [", ".join(decision["rules"][:2]), score, ", ".join(reasons)]))


def print_differences(found: Differences, console: Console) -> None:
    """Print what would change: sentences, the table, a few examples of each kind."""
    print_lines(headline(found), console)
    print_table(_changes(found), console)
    for kind in KINDS[:4]:
        if found.of(kind):
            print_table(_examples(found, kind), console)


def write_html(found: Differences, path: Path) -> None:
    """Write the differences as one self-contained page; the same ones give the same bytes."""
    sections = [("What would change", html_table(_changes(found)))]
    if picture := _picture(found):
        sections.append((
            "Who is actioned",
            html_figure(
                picture, "Share restricted or worse by label, champion and challenger, with 95 % "
                "Clopper-Pearson intervals.",
            ),
        ))  # fmt: skip
    sections += [
        (kind.capitalize(), html_table(_examples(found, kind))) for kind in KINDS if found.of(kind)
    ]
    made = [
        f"{name}: " + ", ".join(f"{key} {value}" for key, value in sorted(of.items()) if value)
        for name, of in zip(("champion", "challenger"), found.versions, strict=True)
    ]
    sections.append(("Made with", paragraphs(made, "note")))
    path.write_text(page("Replay", headline(found), sections), encoding="utf-8")


def _picture(found: Differences) -> str:
    labels = [label for label, of in found.labelled.items() if of]
    if not labels:
        return ""

    def series(of: dict[str, int]) -> list[Interval]:
        made = []
        for label in labels:
            count, total = of.get(label, 0), found.labelled[label]
            low, high = exact_interval(count, total)
            words = f"{number(count)} of {number(total)}"
            made.append(Interval(count / total, low, high, words))
        return made

    champion, challenger = (series(of) for of in found.actioned)
    return shares(
        "replayed", "Share of accounts restricted or worse", labels,
        {"champion": champion, "challenger": challenger},
    )  # fmt: skip
