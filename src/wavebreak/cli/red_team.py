"""The verb that lets senders fight back: arena."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from wavebreak import model, red_team, rules
from wavebreak.cli.app import app
from wavebreak.cli.console import bar, nexts, out
from wavebreak.cli.run import ModelDir
from wavebreak.privacy.pseudonymizer import Edge, load_key


class Told(StrEnum):
    """How senders are told what was decided on them."""

    delayed = "delayed"
    instant = "instant"
    never = "never"


@app.command(
    "arena",
    epilog="Example: `wavebreak arena --family combination --family blast --rounds 2 "
    "--people 600 --days 2 -o arena`",
)
def play_arena(
    out_path: Annotated[Path, typer.Option("--out", "-o", help="Directory to write.")],
    family: Annotated[
        list[str] | None,
        typer.Option(help="A tactic by name, again for more (default: all of them)."),
    ] = None,
    rounds: Annotated[int, typer.Option(min=0, help="Rounds of adaptation.")] = 5,
    accounts: Annotated[int, typer.Option(min=4, help="Accounts a family.")] = 20,
    people: Annotated[int, typer.Option(min=100, help="Ordinary people.")] = 2500,
    days: Annotated[float, typer.Option(min=0.1, help="Length of each round in days.")] = 7.0,
    policy: Annotated[
        Path | None, typer.Option(help="Local rules, actions and arena.toml, over the shipped.")
    ] = None,
    model_dir: ModelDir = None,
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.")] = 0,
    feedback: Annotated[
        Told, typer.Option(help="When senders learn of decisions: as policy says, at once, never.")
    ] = Told.delayed,
    key: Annotated[Path | None, typer.Option(help="Key file of the privacy edge.")] = None,
) -> None:  # fmt: skip
    """Let every tactic play against the policy, see its answers and adapt; count what it costs."""
    setting = red_team.Setting(
        red_team.chosen(family or []), accounts, people, days, rounds, seed, feedback.value
    )
    with bar("arena") as show:
        match = red_team.play(
            setting, rules.load(policy), Edge(load_key(key)), red_team.load_terms(policy), out_path,
            model=model.load_selected(model_dir), progress=show,
        )  # fmt: skip
    red_team.save(match, out_path)
    red_team.write_html(match, out_path / "arena.html")
    red_team.print_match(match, out)
    nexts([
        f"plots: {out_path}/arena.html",
        f"wavebreak evaluate {out_path} --labels {out_path}/labels.csv",
    ])  # fmt: skip
