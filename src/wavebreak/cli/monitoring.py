"""Verbs that watch and change safely: replay, doctor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from wavebreak import model, monitoring, rules
from wavebreak.cli.app import app
from wavebreak.cli.console import bar, nexts, out, pace
from wavebreak.cli.run import Labels, ModelDir, PolicyDir
from wavebreak.privacy.pseudonymizer import Edge, load_key

RunDir = Annotated[Path, typer.Argument(help="What `wavebreak run -o` wrote.")]


@app.command(
    epilog="Examples: `wavebreak replay out --policy my-policy -o candidate`; "
    "`wavebreak replay out --model my-model --labels labels.csv -o candidate`"
)
def replay(
    run: RunDir,
    out_path: Annotated[
        Path, typer.Option("--out", "-o", help="Where the challenger's files go.")
    ],
    policy: Annotated[
        Path | None, typer.Option(help="The challenger's rules, over the shipped ones.")
    ] = None,
    model_dir: ModelDir = None, labels: Labels = None,
    key: Annotated[Path | None, typer.Option(help="Key file of the privacy edge.")] = None,
    shards: Annotated[int, typer.Option(min=1, max=64, help="Worker threads.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:  # fmt: skip
    """Say what another policy or model would have changed, account by account."""
    with bar("replay") as show:
        found = monitoring.replay(
            run, out_path, rules.load(policy), Edge(load_key(key)), labels=labels,
            progress=lambda p: show(p.share, pace(p)), workers=shards,
            model=model.load_selected(model_dir),
        )  # fmt: skip
    text = json.dumps(found.as_json(), indent=1, ensure_ascii=False)
    (out_path / "replay.json").write_text(text + "\n", encoding="utf-8")
    monitoring.write_html(found, out_path / "replay.html")
    if as_json:
        typer.echo(text)
        return
    monitoring.print_differences(found, out)
    nexts([f"plots: {out_path}/replay.html", f"all changes: {out_path}/replay.json"])


@app.command(epilog="Example: `wavebreak doctor model out --html doctor.html`")
def doctor(
    model: Annotated[Path, typer.Argument(help="A model directory: what `wavebreak train` wrote.")],
    run: Annotated[
        Path, typer.Argument(help="What `run -o` or `simulate -o` wrote, or a file of events.")
    ],
    policy: PolicyDir = None,
    html: Annotated[Path | None, typer.Option(help="Write a page with plots.")] = None,
    shifted: Annotated[float, typer.Option(help="Index from which a feature has shifted.")] = 0.1,
    moved: Annotated[float, typer.Option(help="Index from which it has moved far.")] = 0.25,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 when the score has moved far.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:  # fmt: skip
    """Say how far a stream has moved from what a model was trained on."""
    with bar("doctor") as show:
        found = monitoring.examine(
            model, run, rules.load(policy), shifted=shifted, moved=moved,
            progress=lambda share, seen: show(share, f"{seen:,} events"),
        )  # fmt: skip
    if as_json:
        typer.echo(json.dumps(found.as_json(), indent=1, ensure_ascii=False))
    else:
        monitoring.print_checkup(found, out)
    if html:
        monitoring.write_checkup(found, html)
        if not as_json:
            nexts([f"plots: {html}"])
    if strict and found.verdict == "moved":
        raise typer.Exit(1)
