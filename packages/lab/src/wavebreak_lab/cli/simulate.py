"""Command `simulate`: events of a simulated platform, with labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wavebreak.cli.app import app
from wavebreak.cli.commands import command
from wavebreak.cli.console import command as command_line
from wavebreak.cli.console import out, print_next_steps, progress_bar
from wavebreak.cli.options import OutDir, People, Seed
from wavebreak.errors import UsageError
from wavebreak_lab import simulation


def _campaigns(options: list[str]) -> list[tuple[str, int | None]]:
    campaigns: list[tuple[str, int | None]] = []
    for text in options:
        name, colon, count = text.partition(":")
        if colon and not count.isdigit():
            raise UsageError("--campaign is not NAME or NAME:ACCOUNTS", fix="write blast:20")
        accounts = int(count) if colon else None
        names = simulation.CAMPAIGNS if name == "all" else [name]
        campaigns += [(campaign, accounts) for campaign in names]
    return campaigns


@command(
    app,
    "wavebreak simulate --people 2000 --days 1 --campaign blast:20 --campaign jitter "
    "--personas all -o world",
)
def simulate(
    *,
    out_path: OutDir,
    people: People = 1000,
    days: Annotated[float, typer.Option(help="Length in days.")] = 1.0,
    campaign: Annotated[
        list[str] | None,
        typer.Option(
            help="Attack campaign, NAME or NAME:ACCOUNTS; repeat for more. All, or of "
            f"{', '.join(simulation.CAMPAIGNS)}; from the business app "
            f"{', '.join(simulation.APP_CAMPAIGNS)}; in public rooms "
            f"{', '.join(simulation.ROOM_CAMPAIGNS)}."
        ),
    ] = None,
    personas: Annotated[
        list[str] | None,
        typer.Option(
            help="Benign persona, NAME; repeat for more. All, or of "
            f"{', '.join(simulation.PERSONAS)}; firms on the business app "
            f"{', '.join(simulation.APP_FIRMS)}; in public rooms "
            f"{', '.join(simulation.ROOM_PERSONAS)}."
        ),
    ] = None,
    background: Annotated[
        Path | None, typer.Option(help="Insert the campaigns into these events of real people.")
    ] = None,
    requests: Annotated[
        bool,
        typer.Option(
            "--requests",
            help="Chats open by a request for contact that people accept, refuse or ignore.",
        ),
    ] = False,
    calls: Annotated[
        bool,
        typer.Option("--calls", help="People call those they talk with; see voice-calls."),
    ] = False,
    seed: Seed = 0,
    form: Annotated[str, typer.Option("--format", help="parquet, jsonl or arrow.")] = "parquet",
) -> None:
    """Simulate a platform of people, personas and attack campaigns; write events and labels."""
    with progress_bar("simulate") as show:
        world = simulation.simulate(
            people=people,
            days=days,
            campaigns=_campaigns(campaign or []),
            personas=personas or [],
            background=background,
            seed=seed,
            requests=requests,
            calls=calls,
            progress=lambda share: show(share, ""),
        )
        events = simulation.write(world, out_path, form=form)
    abusive = sum(label == "abusive" for _, label, _, _ in world.labels)
    out.print(
        f"{events:,} events of {len(world.labels):,} accounts, {abusive:,} of them abusive "
        f"(injected by this command), in {out_path}/"
    )
    print_next_steps(
        [
            command_line(
                "wavebreak", "run", out_path, "--labels", out_path / "labels.csv", "-o", "out"
            ),
            command_line("wavebreak", "evaluate", "out", "--labels", out_path / "labels.csv"),
        ]
    )
