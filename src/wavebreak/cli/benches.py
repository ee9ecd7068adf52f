"""The verb that measures on real labelled data: bench."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from wavebreak import benchmarks
from wavebreak.benchmarks.measuring import Estimate, Recall
from wavebreak.cli.apps import app
from wavebreak.cli.showing import bar, nexts, out


@app.command(
    epilog="Examples: `wavebreak bench tagged`; `wavebreak bench sichuan ../shared/data "
    "--test-labels labels.csv -o sichuan.json`"
)
def bench(
    name: Annotated[str, typer.Argument(help=f"One of {', '.join(benchmarks.BENCHES)}.")],
    directory: Annotated[
        Path, typer.Argument(metavar="DATA_DIR", help="Where the benchmarks' data lie.")
    ] = Path("../shared/data"),
    test_labels: Annotated[
        Path | None,
        typer.Option(help="CSV: id,label (0 or 1) for what the data leave unlabelled: the test "
                          "file of sichuan or github, another fold of tagged, another set of "
                          "botornot."),
    ] = None,
    events: Annotated[
        Path | None, typer.Option(help="botornot: the trace that --test-labels belongs to.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same figures.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
    out_path: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write the figures to this JSON file.")
    ] = None,
) -> None:  # fmt: skip
    """Measure on public labelled data, beside published values and plain baselines."""
    with bar(f"bench {name}") as show:
        found = benchmarks.run(
            name, directory, test_labels=test_labels, events=events, seed=seed, progress=show
        )
    told = json.dumps(found.as_json(), indent=1, ensure_ascii=False)
    if out_path:
        out_path.write_text(told + "\n", encoding="utf-8")
    if as_json:
        typer.echo(told)
        return
    _print(found)
    if out_path:
        nexts([f"figures: {out_path}"])


def _print(found: benchmarks.Result) -> None:
    for on in dict.fromkeys(row.on for row in found.rows):
        out.print(_table(on, [row for row in found.rows if row.on == on]))
    for met in found.bars:
        words = "[green]reached[/]" if met.met else "[red]missed[/]"
        out.print(f"{met.on}: {met.measure} {met.value:.4f}, bar {met.least:g}: {words}")
    for line in (*found.protocol, *found.notes):
        out.print(f"  {line}", style="dim")


def _table(on: str, rows: list[benchmarks.Row]) -> Table:
    sizes = {(r.figures.abusive, r.figures.accounts) for r in rows if r.figures}
    counts = "".join(f": {abusive:,} abusive of {n:,}" for abusive, n in sorted(sizes))
    table = Table(title=f"{on}{counts}", title_style="bold")
    table.add_column("method")
    for heading in (
        "AUC [95 %]", "AP", "macro-F1", "wF1", "recall, 0.1 % FPR", "recall, 1 % FPR",
        "precision at 0.1 % prevalence (0.1 %, 1 % FPR)",
    ):  # fmt: skip
        table.add_column(heading, justify="right")
    for row in rows:
        style = {"published": "dim", "ours": "bold"}.get(row.role, "")
        table.add_row(row.method, *_cells(row), style=style)
    return table


def _cells(row: benchmarks.Row) -> list[str]:
    if row.figures is None:
        stated = row.published
        keys = ("auc", "", "macro_f1", "weighted_f1", "", "recall_few", "")
        return [f"{stated[key]:.4g}" if key in stated else "" for key in keys]
    f = row.figures
    return [
        f"{f.auc.value:.4f} [{f.auc.low:.3f}, {f.auc.high:.3f}]",
        f"{f.average_precision.value:.4f}",
        _short(f.macro_f1), _short(f.weighted_f1), _found(f.at_fewer), _found(f.at_few),
        f"{f.at_fewer.precision:.1%}, {f.at_few.precision:.1%}",
    ]  # fmt: skip


def _short(estimate: Estimate | None) -> str:
    return f"{estimate.value:.4f}" if estimate else ""


def _found(at: Recall) -> str:
    low, high = at.share.low, at.share.high
    return (
        f"{at.share.value:.3f} [{low:.2f}, {high:.2f}]\n"
        f"{at.found:,}/{at.abusive:,}, {at.false:,}/{at.benign:,} false"
    )
