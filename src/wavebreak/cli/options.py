"""Options and arguments that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wavebreak.cli.console import widen

Events = Annotated[
    str,
    typer.Argument(
        help="Events: .jsonl .json .parquet .arrow (also .gz .zst), a directory with one, or - for "
        "JSON Lines on standard input."
    ),
]
RunDir = Annotated[Path, typer.Argument(help="Directory that `wavebreak run -o` wrote.")]
OutDir = Annotated[Path, typer.Option("--out", "-o", help="Directory to write.")]
OutFile = Annotated[Path, typer.Option("--out", "-o", help="File to write.")]
Labels = Annotated[Path | None, typer.Option(help="CSV: account,label,family,operator.")]
RunLabels = Annotated[
    Path | None,
    typer.Option(
        help="CSV: account,label,family,operator[,source,ts] (default: labels.csv beside each "
        "run's events)."
    ),
]
PolicyDir = Annotated[
    Path | None,
    typer.Option("--policy", help="Directory of local rules and actions that extend the shipped."),
]
ModelDir = Annotated[
    str | None,
    typer.Option(
        "--model", metavar="DIR|none", help="Model directory, or none (default: the shipped model)."
    ),
]
Key = Annotated[
    Path | None, typer.Option("--key", help="Key file for pseudonyms (created at first use).")
]
LedgerKey = Annotated[
    Path | None,
    typer.Option("--ledger-key", help="Key file that signs checkpoints (created at first use)."),
]
IpDatabase = Annotated[
    Path | None, typer.Option(help="MaxMind-format file for AS numbers and countries.")
]
Enforce = Annotated[
    bool,
    typer.Option(
        "--enforce/--shadow",
        help="Drop the events that decisions refuse, or only record decisions.",
    ),
]
Shards = Annotated[int, typer.Option(min=1, max=64, help="Worker threads.")]
Lateness = Annotated[int, typer.Option(min=0, help="Seconds that an event may be late.")]
Seed = Annotated[int, typer.Option(help="Seed; the same inputs and seed give the same bytes.")]
People = Annotated[int, typer.Option(help="Ordinary people.")]
DatabaseUrl = Annotated[
    str,
    typer.Option(
        "--database",
        metavar="URL",
        envvar="WAVEBREAK_DATABASE",
        help="postgresql://USER@HOST/NAME (default: SQLite in HOME).",
    ),
]
HtmlPage = Annotated[Path | None, typer.Option("--html", help="Write an HTML page with charts.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
Wide = Annotated[
    bool,
    typer.Option("--wide", callback=widen, help="Print tables at full width, without wrapping."),
]
