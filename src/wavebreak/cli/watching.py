"""Verbs that watch and change safely: replay, doctor, retrain."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from wavebreak import model, rules, training, watching
from wavebreak.cli.apps import app
from wavebreak.cli.deciding import Labels, ModelDir, PolicyDir
from wavebreak.cli.showing import bar, nexts, out, pace
from wavebreak.edge import Edge, load_key

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
        found = watching.examine(
            model, run, rules.load(policy), shifted=shifted, moved=moved,
            progress=lambda share, seen: show(share, f"{seen:,} events"),
        )  # fmt: skip
    if as_json:
        typer.echo(json.dumps(found.as_json(), indent=1, ensure_ascii=False))
    else:
        watching.print_checkup(found, out)
    if html:
        watching.write_checkup(found, html)
        if not as_json:
            nexts([f"plots: {html}"])
    if strict and found.verdict == "moved":
        raise typer.Exit(1)


FAMILIES = ("warm-up", "sharding", "proxies", "typing")
"""What `wavebreak retrain` lives through: senders that rules alone catch late."""


@app.command(epilog="Example: `wavebreak retrain --people 1500 -o weeks`")
def retrain(
    out_path: Annotated[Path, typer.Option("--out", "-o", help="Directory to write.")],
    family: Annotated[
        list[str] | None,
        typer.Option(help=f"A campaign, one a week; again for more (default: "
                          f"{', '.join(FAMILIES)})."),
    ] = None,
    people: Annotated[int, typer.Option(help="Ordinary people.")] = 1500,
    operators: Annotated[int, typer.Option(help="Operators of each family.")] = 6,
    accounts: Annotated[int, typer.Option(help="Accounts of each operator.")] = 10,
    days: Annotated[float, typer.Option(help="Length of each week that is lived.")] = 7.0,
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.")] = 0,
    policy: PolicyDir = None,
) -> None:  # fmt: skip
    """Live through weeks of new campaigns, training after each on what people confirmed.

    The weeks are simulated. For a platform's own runs there is `wavebreak train RUN… --labels CSV`,
    again after each week.
    """
    setting = watching.Setting(
        tuple(family or FAMILIES), people, operators, accounts, days, seed
    )  # fmt: skip
    with bar("retrain") as show:
        weeks = watching.live(
            out_path, rules.load(policy), training.load_settings(policy), setting, progress=show
        )
    text = json.dumps(watching.as_json(weeks), indent=1, ensure_ascii=False)
    (out_path / "weeks.json").write_text(text + "\n", encoding="utf-8")
    watching.write_weeks(weeks, out_path / "weeks.html")
    watching.print_weeks(weeks, out)
    nexts([f"plot: {out_path}/weeks.html", f"last model: {out_path}/week-{len(weeks) - 1}/model"])
