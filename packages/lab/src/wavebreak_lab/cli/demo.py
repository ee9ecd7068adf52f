"""Command `demo`: a simulated day, its decisions, and the console on it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from wavebreak.cli.app import app, command_modules
from wavebreak.cli.commands import command
from wavebreak.cli.console import (
    err,
    out,
    print_json,
    print_next_steps,
    progress_bar,
    styled,
)
from wavebreak.cli.options import Json, OutDir, People, Seed, Wide
from wavebreak.cli.run import example_account
from wavebreak.errors import UsageError
from wavebreak.extras import SERVER

if TYPE_CHECKING:
    from wavebreak.engine.decision import Decision
    from wavebreak.evaluation import Evaluation
    from wavebreak.library import Report
    from wavebreak.linking.operators import Operator
    from wavebreak_lab.causal_replay import CausalReplay


@command(app, "wavebreak demo -o demo-out")
def demo(
    *,
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
    day = _decide_day(people, seed, out_path)
    if as_json:
        print_json({"summary": day.counts.to_dict(), "evaluation": day.measured.as_json()})
        return
    _print_day(day, out_path)
    if sys.stdin.isatty() and sys.stdout.isatty() if console is None else console:
        serve_demo(out_path / "service", out_path / "world", port)


class _Day(NamedTuple):
    """A day: its accounts, its replay, what a run over it counted, and how that compares."""

    accounts: int
    played: CausalReplay
    counts: Report
    measured: Evaluation


def _decide_day(people: int, seed: int, directory: Path) -> _Day:
    began = time.monotonic()
    from wavebreak import engine, evaluation, library, rules
    from wavebreak.reports.html import write_html
    from wavebreak_lab import simulation
    from wavebreak_lab.cli.demo_world import DEMO_KEY, causal_day, simulate_day

    world_dir, run_dir = directory / "world", directory / "run"
    # Compilation is most of a first start: it runs beside the simulation and the rules' own.
    with engine.compiling_kernel() as wait_for_kernel:
        with progress_bar("simulate") as show:
            world = simulate_day(people, seed, lambda share: show(share, ""))
        err.print("Compiling what decides (once, below a minute)")
        policy = rules.load_policy()
        rules.compile_prefilter(policy)
        with progress_bar("compile"):
            wait_for_kernel()
        err.print("Playing the day: nobody answers or reports what was refused")
        with progress_bar("play") as show:
            world, replay = causal_day(
                world, policy, lambda share: show(share, ""),
                lambda first: err.print(_first_decision(first, time.monotonic() - began)),
            )  # fmt: skip
        events = simulation.write(world, world_dir)
        err.print(f"Deciding on its {events:,} events once more, as a service would")
        result = library.decide(
            library.Events(world_dir, DEMO_KEY), policy, enforce=True, out=run_dir
        )
    err.print("Comparing the decisions with what the simulation knows")
    evaluated = evaluation.evaluate(run_dir, world_dir / "labels.csv")
    write_html(evaluation.evaluation_report(evaluated), directory / "evaluation.html")
    return _Day(len(world.labels), replay, result.report(), evaluated)


def _first_decision(decision: Decision, seconds: float) -> str:
    time = datetime.fromtimestamp(decision.ts / 1000, UTC)
    rule_text = f" by {decision.rules[0]}" if decision.rules else ""
    return (
        f"First decision, after {seconds:.0f} s: {decision.outcome} of {decision.account}"
        f"{rule_text}, at {time:%H:%M:%S} of the day"
    )


def _print_day(day: _Day, directory: Path) -> None:
    from wavebreak import evaluation, explain
    from wavebreak.linking import storage
    from wavebreak.reports.html import write_html
    from wavebreak.reports.report import print_report
    from wavebreak_lab.cli.demo_world import slowed

    world_dir, run_dir = directory / "world", directory / "run"
    out.print(
        styled(
            "[bold]1. A simulated day[/]: {:,} events of {:,} accounts",
            day.counts.to_dict()["events"], day.accounts,
        )
    )  # fmt: skip
    out.print(styled("\n[bold]2. Decisions[/]"))
    print_report(day.counts.full, out)
    out.print(styled("\n[bold]3. Decisions against the labels[/]"))
    overview = evaluation.evaluation_overview(day.measured, more=[*slowed(day.played)])
    print_report(overview, out)
    out.print(styled("[bold]4. A campaign, an operator, a courier[/]\n"))
    for line in three_stories(day.measured, storage.load(run_dir), world_dir / "labels.csv"):
        out.print(line, soft_wrap=False)
    out.print()
    account = example_account(run_dir)
    if account:
        out.print(styled("[bold]5. The explanation of one account[/]"))
        explanation = explain.explain(run_dir, account)
        print_report(explain.explanation_summary(explanation, story_only=True), out)
        write_html(explain.explanation_report(explanation), directory / "explain.html")
    print_next_steps(
        [
            f"every family and persona: {directory}/evaluation.html",
            *([f"the account's timeline:   {directory}/explain.html"] if account else []),
            f"every decision:           {run_dir}/decisions.jsonl",
            "next: wavebreak rules list; wavebreak run YOUR-EVENTS.jsonl -o out",
        ]
    )


def three_stories(
    evaluation: Evaluation, operators: Sequence[Operator], labels: Path
) -> Iterator[str]:
    """Say how the campaign fared of which most was stopped, which operator was found, and couriers.

    Args:
        evaluation: The decisions against the labels.
        operators: Those that linking found.
        labels: The file of labels, with the simulation's operators.
    """
    from wavebreak.evaluation.labels import read_labels

    if evaluation.families:
        name, family = max(evaluation.families.items(), key=lambda item: item[1].stopped)
        yield (
            f"Stopped: {family.stopped:,} of {family.stopped + family.delivered:,} acts of "
            f"campaign {name} ({family.stopped_share:.0%}); {family.actioned} of its "
            f"{family.accounts} accounts restricted or worse."
        )
    operator_of = {label.account: label.operator for label in read_labels(labels)}
    owners = {
        item.id: {operator_of.get(account, "") for account in item.accounts} for item in operators
    }
    pure = [item for item in operators if len(owners[item.id]) == 1 and owners[item.id] != {""}]
    if pure:
        largest = max(pure, key=lambda item: len(item.accounts))
        (owner,) = owners[largest.id]
        yield (
            f"Found: {len(operators)} groups of linked accounts, {len(pure)} of them of one "
            f"operator alone; the largest of these has {len(largest.accounts)} accounts of "
            f"{owner}, of whose strangers {largest.complaints} of {largest.strangers:,} complained."
        )
    courier = evaluation.personas.get("courier")
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
    dated_path = home.parent / "dated" / "events.parquet"
    if not (home.exists() and dated_path.exists()):
        write_dated(events_file(world_dir), dated_path, time.time_ns() // 1_000_000)
    flags = {
        "port": port,
        "enforce": True,
        "profile": profile,
        "backfill": dated_path,
        "console": True,
    }
    # The demo is the same everywhere: it reads no variable and no file of another service.
    run(home, resolve(None, flags, {}))
