"""Verbs that watch: replay."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from wavebreak import model, rules, watching
from wavebreak.cli.apps import app
from wavebreak.cli.deciding import ModelDir
from wavebreak.cli.showing import bar, nexts, out, pace
from wavebreak.edge import Edge, load_key

RunDir = Annotated[Path, typer.Argument(help="What `wavebreak run -o` wrote.")]
Labels = Annotated[Path | None, typer.Option(help="CSV: account,label,family,operator.")]


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
        found = watching.replay(
            run, out_path, rules.load(policy), Edge(load_key(key)), labels=labels,
            progress=lambda p: show(p.share, pace(p)), workers=shards,
            model=model.chosen(model_dir),
        )  # fmt: skip
    text = json.dumps(found.as_json(), indent=1, ensure_ascii=False)
    (out_path / "replay.json").write_text(text + "\n", encoding="utf-8")
    watching.write_html(found, out_path / "replay.html")
    if as_json:
        typer.echo(text)
        return
    watching.print_differences(found, out)
    nexts([f"plots: {out_path}/replay.html", f"all changes: {out_path}/replay.json"])
