"""Measured figures with their targets: shown as tables, stored as JSON."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Figure:
    """One measured thing: median, lowest and highest of `runs` runs, and its target if it has one.

    `better` says which way is better; `value` None is "not measured", `note` says why or how.
    """

    bench: str
    what: str
    unit: str
    value: float | None
    low: float | None = None
    high: float | None = None
    runs: int = 1
    target: float | None = None
    better: Literal["more", "less"] = "more"
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without a target or a measurement."""
        if self.value is None or self.target is None:
            return None
        return self.value >= self.target if self.better == "more" else self.value <= self.target


def figure(bench: str, what: str, unit: str, values: Sequence[float], **more: Any) -> Figure:
    """A figure from the values of several runs."""
    middle = statistics.median(values)
    return Figure(bench, what, unit, middle, min(values), max(values), len(values), **more)


def _number(value: float | None) -> str:
    if value is None:
        return "not measured"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def _verdict(f: Figure) -> str:
    if f.target is None:
        return ""
    if f.met is None:
        return "[yellow]not measured[/]"
    return "[green]met[/]" if f.met else "[red]not met[/]"


def show(console: Console, title: str, figures: Sequence[Figure]) -> None:
    """Print a bench's figures as a table."""
    table = Table(title=title, title_justify="left", title_style="bold")
    for name, justify in (
        ("what", "left"), ("median", "right"), ("lowest–highest", "right"), ("runs", "right"),
        ("unit", "left"), ("target", "right"), ("", "left"), ("note", "left"),
    ):  # fmt: skip
        table.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for f in figures:
        spread = f"{_number(f.low)}–{_number(f.high)}" if f.runs > 1 else ""
        sign = "≥" if f.better == "more" else "≤"
        target = f"{sign} {_number(f.target)}" if f.target is not None else ""
        table.add_row(
            f.what, _number(f.value), spread, str(f.runs), f.unit, target, _verdict(f), f.note
        )
    console.print(table)


def keep(path: Path, machine: dict[str, str], figures: Sequence[Figure]) -> None:
    """Write the figures of this run and the machine they are from."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [asdict(f) | {"met": f.met} for f in figures]
    text = json.dumps({"machine": machine, "figures": rows}, indent=1, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
