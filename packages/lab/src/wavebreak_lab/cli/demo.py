"""Command `demo`: a simulated day, its decisions, and the console on it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wavebreak.cli.app import app, command_modules
from wavebreak.cli.console import (
    err,
    out,
    print_json,
    print_next_steps,
    print_run_summary,
    progress_bar,
    styled,
)
from wavebreak.cli.options import Json, OutDir, People, Seed, Wide
from wavebreak.cli.run import example_account, run_engine
from wavebreak.errors import UsageError
from wavebreak.extras import SERVER

if TYPE_CHECKING:
    from wavebreak.evaluation import Evaluation
    from wavebreak.linking.operators import Operator


@app.command(epilog="Example: `wavebreak demo -o demo-out`")
def demo(
    out_path: OutDir = Path("demo-out"),
    people: People = 2000,
    seed: Seed = 1,
    as_json: Json = False,
    wide: Wide = False,
    console: Annotated[
        bool | None,
        typer.Option(
            "--console/--no-console",
            help="End with the console running on this day (default: at a terminal).",
        ),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the console.")] = 8480,
) -> None:
    """Simulate a day with attack campaigns and benign personas; run, evaluate and explain it."""
    if out_path.is_file():
        raise UsageError(f"{out_path} is a file", fix="give a directory with -o")
    # Before what takes seconds to import: somebody waits for the first line.
    err.print(f"Simulating a day of {people:,} people, with campaigns of abuse")
    from wavebreak import engine, evaluation, explain, model, rules
    from wavebreak.linking import storage
    from wavebreak.privacy.pseudonymizer import Pseudonymizer
    from wavebreak_lab import simulation
    from wavebreak_lab.cli.demo_world import DEMO_KEY, causal_day, simulate_day, slowed

    world_dir, run_dir = out_path / "world", out_path / "run"
    # Compilation is most of a first start: it runs beside the simulation and the rules' own.
    with engine.compiling_kernel() as wait_for_kernel:
        with progress_bar("simulate") as show:
            world = simulate_day(people, seed, lambda share: show(share, ""))
        err.print("Compiling what decides (once, below a minute); then the day's events follow")
        rules.compile_prefilter(rules.load_policy())
        with progress_bar("compile"):
            wait_for_kernel()
    err.print("Leaving out what follows from refused messages: nobody reports what never came")
    with progress_bar("replay") as show:
        world, played = causal_day(
            world, rules.load_policy(), model.load_selected(None), lambda share: show(share, "")
        )
    events, accounts = simulation.write(world, world_dir), len(world.labels)
    err.print(f"Deciding on its {events:,} events, as a service would")
    counts = run_engine(
        "run",
        world_dir,
        run_dir,
        policy=rules.load_policy(),
        edge=Pseudonymizer(DEMO_KEY),
        enforce=True,
        model=model.load_selected(None),
    )
    err.print("Comparing the decisions with what the simulation knows")
    measured = evaluation.evaluate(run_dir, world_dir / "labels.csv")
    evaluation.write_html(measured, out_path / "evaluation.html")
    if as_json:
        print_json({"summary": counts, "evaluation": measured.as_json()})
        return
    out.print(styled("[bold]1. A simulated day[/]: {:,} events of {:,} accounts", events, accounts))
    out.print(styled("\n[bold]2. Decisions[/]\n"))
    print_run_summary(counts, run_dir)
    out.print(styled("\n[bold]3. Decisions against the labels[/]"))
    for line in slowed(played):
        out.print(line)
    evaluation.print_overview(measured, out)
    out.print(styled("[bold]4. A campaign, an operator, a courier[/]\n"))
    for line in three_stories(measured, storage.load(run_dir), world_dir / "labels.csv"):
        out.print(line, soft_wrap=False)
    out.print()
    account = example_account(run_dir)
    if account:
        out.print(styled("[bold]5. The explanation of one account[/]"))
        explanation = explain.explain(run_dir, account)
        explain.print_summary(explanation, out)
        explain.write_html(explanation, out_path / "explain.html")
    print_next_steps(
        [
            f"every family and persona: {out_path}/evaluation.html",
            *([f"the account's timeline:   {out_path}/explain.html"] if account else []),
            f"every decision:           {run_dir}/decisions.jsonl",
            "next: wavebreak rules list; wavebreak run YOUR-EVENTS.jsonl -o out",
        ]
    )
    if sys.stdin.isatty() and sys.stdout.isatty() if console is None else console:
        serve_demo(out_path / "service", world_dir, port)


def three_stories(
    measured: Evaluation, operators: Sequence[Operator], labels: Path
) -> Iterator[str]:
    """Say how the campaign fared of which most was stopped, which operator was found, and couriers.

    Args:
        measured: The decisions against the labels.
        operators: Those that linking found.
        labels: The file of labels, with the simulation's operators.

    """
    from wavebreak.evaluation.labels import read_labels

    if measured.families:
        name, family = max(measured.families.items(), key=lambda each: each[1].stopped)
        yield (
            f"Stopped: {family.stopped:,} of {family.stopped + family.delivered:,} acts of "
            f"campaign {name} ({family.stopped_share:.0%}); {family.actioned} of its "
            f"{family.accounts} accounts restricted or worse."
        )
    of = {label.account: label.operator for label in read_labels(labels)}
    owners = {each.id: {of.get(account, "") for account in each.accounts} for each in operators}
    whole = [each for each in operators if len(owners[each.id]) == 1 and owners[each.id] != {""}]
    if whole:
        largest = max(whole, key=lambda each: len(each.accounts))
        (owner,) = owners[largest.id]
        yield (
            f"Found: {len(operators)} groups of linked accounts, {len(whole)} of them of one "
            f"operator alone; the largest of these has {len(largest.accounts)} accounts of "
            f"{owner}, of whose strangers {largest.complaints} of {largest.strangers:,} complained."
        )
    courier = measured.personas.get("courier")
    if courier is not None:
        yield (
            f"Not hurt: of {courier.accounts} couriers {courier.actioned} restricted; "
            f"{courier.refused} of their {courier.first_contacts:,} first messages refused."
        )


def serve_demo(home: Path, world_dir: Path, port: int) -> None:
    """Serve the console on the demo's day, with a person of each role; Ctrl-C ends it.

    The day is dated anew, to end within the last one; a service that is there already has it.
    Where the server is not installed, a line says how to install it.
    """
    if "serve" not in command_modules():
        out.print(f"The console on this day needs the server: pip install {SERVER}", soft_wrap=True)
        return
    from wavebreak.io.readers import events_file
    from wavebreak_lab.cli.demo_stream import write_dated
    from wavebreak_server.cli.serve import run
    from wavebreak_server.config_sources import resolve

    out.print(styled("\n[bold]6. The console[/], on the same day, dated yesterday and today"))
    profile = next(world_dir.glob("*.profile.json"), None)
    dated = home.parent / "dated" / "events.parquet"
    if not (home.exists() and dated.exists()):
        write_dated(events_file(world_dir), dated, time.time_ns() // 1_000_000)
    flags = {"port": port, "enforce": True, "profile": profile, "backfill": dated, "console": True}
    # The demo is the same everywhere: it reads no variable and no file of another service.
    run(home, resolve(None, flags, {}))
