"""Command line of the claims corpus: `python -m experiments.claims_corpus`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from experiments.claims_corpus import corpus, learn_pages, learn_weights, real_pages
from wavebreak.cli import run_app
from wavebreak.cli.console import out, progress_bar
from wavebreak.cli.options import Json
from wavebreak_cases.cli.claims import print_evaluation

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode="markdown")

Split = StrEnum("Split", ["development", "heldout"])
RealSplit = StrEnum("RealSplit", ["learning", "held", "fresh"])


@app.command(epilog="Example: `python -m experiments.claims_corpus evaluate --split heldout`")
def evaluate(
    split: Annotated[Split | None, typer.Option(help="Only pages of this split.")] = None,
    as_json: Json = False,
) -> None:
    """Measure the shipped reader on the corpus: precision and recall with intervals, and errors."""
    pages = [page for page in corpus.generate_pages() if split in (None, page.split)]
    results = []
    with progress_bar("reading") as show:
        for number, result in enumerate(corpus.evaluate_corpus(pages), 1):
            show(number / len(pages), f"{number:,} pages")
            results.append(result)
    print_evaluation(results, as_json=as_json)


@app.command(epilog="Example: `python -m experiments.claims_corpus real DIR --split held`")
def real(
    directory: Annotated[Path, typer.Argument(help="Folder with the pages of real_pages.csv.")],
    split: Annotated[RealSplit | None, typer.Option(help="Only pages of this split.")] = None,
    as_json: Json = False,
) -> None:
    """Measure the shipped reader on real pages, which are not in the repository."""
    pages = real_pages.load_pages(directory, split or "")
    results = []
    with progress_bar("reading") as show:
        for number, result in enumerate(real_pages.evaluate_pages(pages), 1):
            show(number / len(pages), f"{number:,} pages")
            results.append(result)
    print_evaluation(results, as_json=as_json)


@app.command(epilog="Example: `python -m experiments.claims_corpus pages -o pages`")
def pages(
    out_path: Annotated[Path, typer.Option("--out", "-o", help="Directory to write.")],
) -> None:
    """Write the pages with labels.csv, as `wavebreak claim evaluate` reads them."""
    count = corpus.write_pages(out_path)
    out.print(f"{count:,} pages and labels.csv written to {out_path}")


@app.command(
    epilog="Examples: `python -m experiments.claims_corpus learn`; "
    "`python -m experiments.claims_corpus learn --without nineteenth`"
)
def learn(
    cross_validate: Annotated[
        bool, typer.Option("--cross-validate", help="Write nothing; classify left-out families.")
    ] = False,
    without: Annotated[
        str, typer.Option(help="Write nothing; classify this part, learned from all others.")
    ] = "",
    out_path: Annotated[
        Path, typer.Option("--out", "-o", help="Directory of learned.toml and meaning.toml.")
    ] = learn_weights.OUT,
    as_json: Json = False,
) -> None:
    """Learn the weights of the reader from the development split; takes minutes."""
    if not cross_validate and not without:
        for path in learn_weights.learn(out_path):
            out.print(f"{path}: {path.stat().st_size:,} bytes")
        return
    rows, _ = learn_weights.development_rows()
    results = (
        learn_weights.leave_part_out(rows, without)
        if without
        else learn_weights.cross_validate(rows)
    )
    print_evaluation(results, as_json=as_json)


@app.command("learn-pages", epilog="Example: `python -m experiments.claims_corpus learn-pages DIR`")
def learn_from_pages(
    directory: Annotated[Path, typer.Argument(help="Folder with the pages of real_pages.csv.")],
    out_path: Annotated[
        Path, typer.Option("--out", "-o", help="Directory of pages.toml.")
    ] = learn_weights.OUT,
) -> None:
    """Learn what real pages add to the reader, from the split `learning` alone."""
    path, said = learn_pages.learn(directory, out_path)
    out.print(f"{path}: {path.stat().st_size:,} bytes; {said}")


if __name__ == "__main__":
    run_app(app)
