"""Command line of the benchmarks: `python -m experiments.benchmarks NAME`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from experiments import benchmarks
from experiments.benchmarks.metrics import Estimate, Recall
from wavebreak.cli import run_app
from wavebreak.cli.console import out, print_next_steps, progress_bar
from wavebreak.reports.tables import Table, print_table

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")


@app.command(
    epilog="Examples: `python -m experiments.benchmarks tagged`; "
    "`python -m experiments.benchmarks sichuan ../shared/data "
    "--test-labels labels.csv -o sichuan.json`"
)
def bench(
    name: Annotated[str, typer.Argument(help=f"One of {', '.join(benchmarks.BENCHES)}.")],
    directory: Annotated[
        Path, typer.Argument(metavar="DATA_DIR", help="Directory of the data sets.")
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
    seed: Annotated[int, typer.Option(help="The same seed gives the same figures.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
    out_path: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write the figures to this JSON file.")
    ] = None,
) -> None:  # fmt: skip
    """Measure on public labelled data, beside published results and plain baselines."""
    with progress_bar(f"bench {name}") as show:
        found = benchmarks.run(
            name, directory, test_labels=test_labels, events=events, seed=seed, progress=show
        )
    text = json.dumps(found.as_json(), indent=1, ensure_ascii=False)
    if out_path:
        out_path.write_text(text + "\n", encoding="utf-8")
    if as_json:
        typer.echo(text)
        return
    _print(found)
    if out_path:
        print_next_steps([f"figures: {out_path}"])


def _print(found: benchmarks.Result) -> None:
    for on in dict.fromkeys(row.on for row in found.rows):
        print_table(_table(on, [row for row in found.rows if row.on == on]), out)
    for met in found.bars:
        words = "[green]reached[/]" if met.met else "[red]missed[/]"
        out.print(f"{met.on}: {met.measure} {met.value:.4f}, bar {met.least:g}: {words}")
    for line in (*found.protocol, *found.notes, _READING):
        out.print(f"  {line}", style="dim")


_READING = (
    "below a figure are its 95 % interval (bootstrap over accounts), then abusive accounts "
    "found and false positives; precision is what those recalls, in their order, would have where "
    "1 account in 1,000 is abusive"
)
_HEADS = (
    "method", "AUC", "AP", "macro-\nF1", "wF1", "recall at\n0.1 % FPR", "recall at\n1 % FPR",
    "precision\n1 in 1,000",
)  # fmt: skip


def _table(on: str, rows: list[benchmarks.Row]) -> Table:
    sizes = {(r.figures.abusive, r.figures.accounts) for r in rows if r.figures}
    counts = "".join(f": {abusive:,} abusive of {n:,}" for abusive, n in sorted(sizes))
    cells = [(row.method, *_cells(row)) for row in rows]
    carried = [k for k in range(len(_HEADS)) if any(row[k] for row in cells)]
    return Table(
        f"{on}{counts}",
        tuple(_HEADS[k] for k in carried),
        [tuple(row[k] for k in carried) for row in cells],
    )


def _cells(row: benchmarks.Row) -> list[str]:
    if row.figures is None:
        stated = row.published
        keys = ("auc", "", "macro_f1", "weighted_f1", "", "recall_few", "")
        return [f"{stated[key]:.4g}" if key in stated else "" for key in keys]
    f = row.figures
    return [
        f"{f.auc.value:.4f}\n{f.auc.low:.3f}–{f.auc.high:.3f}",
        f"{f.average_precision.value:.4f}",
        _short(f.macro_f1), _short(f.weighted_f1), _found(f.at_fewer), _found(f.at_few),
        f"{f.at_fewer.precision:.1%}\n{f.at_few.precision:.1%}",
    ]  # fmt: skip


def _short(estimate: Estimate | None) -> str:
    return f"{estimate.value:.4f}" if estimate else ""


def _found(at: Recall) -> str:
    low, high = at.share.low, at.share.high
    return f"{at.share.value:.3f}\n{low:.2f}–{high:.2f}\n{at.found:,}; {at.false:,}"


if __name__ == "__main__":
    run_app(app)
