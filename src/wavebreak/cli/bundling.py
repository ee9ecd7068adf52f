"""Verbs of bundles: bundle, verify."""

from __future__ import annotations

import json
import secrets
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from wavebreak.bundles.keeping import desk
from wavebreak.bundles.packing import pack
from wavebreak.bundles.verifying import exit_code
from wavebreak.bundles.verifying import verify as checked
from wavebreak.cli.apps import app
from wavebreak.cli.showing import nexts, out
from wavebreak.evidence.notes import load_key, own_signer, verifier_key


@app.command(epilog="Example: `wavebreak bundle cases/C-7 -o C-7.zip`")
def bundle(
    place: Annotated[Path, typer.Argument(help="The case's directory.")],
    out_path: Annotated[Path, typer.Option("--out", "-o", help="The zip file to write.")],
    seal_key: Annotated[Path | None, typer.Option(help="Key file that sealed the case.")] = None,
) -> None:
    """Pack a case into one file that another party can verify without trusting us."""
    signer = own_signer(seal_key)
    with desk(place, signer, lambda: time.time_ns() // 10**6, secrets.token_bytes) as at:
        counts = pack(at, out_path)
    out.print(
        f"{out_path}: {counts['files']:,} files, {counts['bytes']:,} bytes, "
        f"{counts['entries']:,} sealed entries"
    )
    nexts([f"wavebreak verify {out_path} --key {verifier_key(signer.key)}"])


@app.command(
    epilog="Example: `wavebreak verify C-7.zip --key example.org/log+1a2b3c4d+AQ...`. Ends with 0 "
    "where everything was checked and holds, 1 where something does not, 3 where not all could be."
)
def verify(
    source: Annotated[Path, typer.Argument(help="A bundle.")],
    key: Annotated[
        list[str] | None,
        typer.Option(help="Verifier key of its maker, or of a witness, or a file with it."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Check a bundle: files, seals, custody, and every decision and number computed again."""
    found = checked(source, [load_key(told) for told in key or []])
    if as_json:
        typer.echo(json.dumps([finding._asdict() for finding in found], indent=1))
    else:
        table = Table(title=str(source), title_justify="left", title_style="bold")
        for name in ("what", "", "found"):
            table.add_column(name)
        marks = {
            True: "[green]holds[/]",
            False: "[red]does not hold[/]",
            None: "[yellow]not checked[/]",
        }
        for finding in found:
            table.add_row(finding.what, marks[finding.holds], finding.said.replace("[", r"\["))
        out.print(table)
    raise typer.Exit(exit_code(found))
