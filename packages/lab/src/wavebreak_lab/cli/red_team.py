"""The command that lets simulated attackers adapt to the policy: red-team."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from wavebreak.cli import console
from wavebreak.cli.app import app
from wavebreak.cli.commands import command
from wavebreak.cli.console import (
    command as command_line,
)
from wavebreak.cli.options import Json, Key, ModelDir, OutDir, Seed, Wide


class Feedback(StrEnum):
    """When attackers learn of the decisions about their accounts."""

    delayed = "delayed"
    instant = "instant"
    never = "never"


@command(
    app,
    "wavebreak red-team --family combination --family blast --rounds 2 --people 600 "
    "--days 2 -o red-team",
    name="red-team",
)
def run_red_team(
    *,
    out_path: OutDir,
    family: Annotated[
        list[str] | None,
        typer.Option(help="An attacker family; repeat for more (default: all but those of tools)."),
    ] = None,
    rounds: Annotated[int, typer.Option(min=0, help="Rounds of adaptation.")] = 5,
    accounts: Annotated[int, typer.Option(min=4, help="Accounts of each family.")] = 20,
    people: Annotated[int, typer.Option(min=100, help="Ordinary people.")] = 2500,
    days: Annotated[float, typer.Option(min=0.1, help="Length of a round or week in days.")] = 7.0,
    weeks: Annotated[
        int,
        typer.Option(
            min=1, help="Weeks of one world after the rounds, with learning at home between them."
        ),
    ] = 1,
    policy: Annotated[
        Path | None,
        typer.Option(help="Directory of local rules, actions and red_team.toml."),
    ] = None,
    model_dir: ModelDir = None,
    seed: Seed = 0,
    feedback: Annotated[
        Feedback,
        typer.Option(help="When attackers learn of decisions: as the policy says, at once, never."),
    ] = Feedback.delayed,
    key: Key = None,
    as_json: Json = False,
    wide: Wide = False,
) -> None:
    """Let attackers adapt to the policy round by round, and count what evasion costs them."""
    from wavebreak import model, rules
    from wavebreak.evaluation.home_learning import load_terms
    from wavebreak.privacy.pseudonymizer import Pseudonymizer
    from wavebreak.privacy.secret_key import load_key
    from wavebreak.reports.html import write_html
    from wavebreak.reports.report import print_report, write_json
    from wavebreak_lab import red_team

    options = red_team.RunOptions(
        red_team.resolve_families(family or []),
        accounts,
        people,
        days,
        rounds,
        weeks,
        seed,
        feedback.value,
    )
    edge, loaded_policy = Pseudonymizer(load_key(key)), rules.load_policy(policy)
    settings, terms = red_team.load_config(policy), load_terms(policy)
    with console.progress_bar("red-team") as show:
        result = red_team.run_red_team(
            options, loaded_policy, edge, settings, terms, out_path,
            model=model.load_selected(model_dir), progress=show,
        )  # fmt: skip
        report = red_team.red_team_report(result)
    write_json(report, out_path / "red_team.json")
    write_html(report, out_path / "red-team.html")
    if as_json:
        console.print_json(report.data)
        return
    print_report(report, console.out)
    last = out_path / "weeks" / str(weeks)
    console.print_next_steps([
        f"charts: {out_path}/red-team.html",
        command_line("wavebreak", "evaluate", last, "--labels", last / "labels.csv"),
        command_line("wavebreak", "run", out_path, "--enforce", "-o", "out"),
    ])  # fmt: skip
