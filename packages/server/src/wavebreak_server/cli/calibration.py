"""Commands that calibrate a policy, and approve a proposal: calibrate, approve."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from wavebreak import calibration, io, model, rules
from wavebreak.cli.app import app
from wavebreak.cli.commands import Output
from wavebreak.cli.console import command, progress_bar
from wavebreak.cli.options import OutDir
from wavebreak.engine import batch_run
from wavebreak.errors import UsageError
from wavebreak.evaluation import scoring_points
from wavebreak.monitoring import run_diff
from wavebreak.privacy import pseudonymizer, secret_key
from wavebreak.schema import coverage
from wavebreak_server.cli.service_home import Home, Reason, holds_service, service_command
from wavebreak_server.slices.calibration import service as calibration_schedule
from wavebreak_server.storage import event_log

Batches = Iterator[Any]
"""Record batches of events."""
Show = Callable[[float, str], None]
PASSES = 2
"""How often a calibration replays the log."""


@service_command(
    app,
    "wavebreak run week.parquet -o out",
    "wavebreak calibrate out -o my-policy",
    "wavebreak calibrate out --slowed 0.005 -o my-policy",
    "wavebreak calibrate var --profile profile.json -o my-policy",
    reads="policy model profile key shards database",
)
def calibrate(
    source: Annotated[
        Home,
        typer.Argument(
            metavar="RUN", help="What `wavebreak run --shadow -o` wrote, or a service's directory."
        ),
    ],
    *,
    out: OutDir,
    contamination: Annotated[
        float | None,
        typer.Option(min=0, max=0.49, help="At most this share of the accounts is abusive."),
    ] = None,
    slowed: Annotated[
        float | None,
        typer.Option(
            min=0.0001, max=0.49, help="Share of accounts that one allowance or score may slow."
        ),
    ] = None,
) -> Output:
    """Propose a policy's numbers from a platform's own first days in shadow."""
    policy = source.decisions.policy
    in_force = rules.load_policy(policy)
    loaded = model.load_selected(source.decisions.model)
    with progress_bar("calibrate") as show:
        if (source.path / "summary.json").is_file():
            version = loaded.version if loaded else None
            logs, profile = _run_logs(source, in_force.version, version, show)
        else:
            logs, profile = _service_logs(source, show)
        proposal = calibration.calibrate(
            logs,
            in_force,
            policy,
            profile,
            loaded,
            calibration.load_settings(policy, contamination=contamination, slowed=slowed),
            out,
            workers=source.decisions.shards,
        )
    return Output(
        calibration.calibration_report(proposal),
        steps=[
            f"charts: {out}/calibration.html",
            command("wavebreak", "rules", "check", "--policy", out),
            command("wavebreak", "run", "EVENTS", "--policy", out, "-o", "out2"),
        ],
    )


def _run_logs(
    source: Home, policy: str, model: str | None, show: Show
) -> tuple[Callable[[], Batches], coverage.Profile | None]:
    """Return the log of a run in shadow, and its field coverage."""
    run, profile = source.path, source.decisions.profile
    summary = run_diff.read_summary(run)
    _check_run(run, summary, policy, model)
    events = scoring_points.open_run(run).events
    edge = pseudonymizer.Pseudonymizer(secret_key.load_key(source.key))
    named = profile or Path(summary["profile"])
    stream, _ = batch_run.stream_profile(events, named if named.is_file() else None, edge)
    passes = 0

    def logs() -> Batches:
        nonlocal passes
        done, passes = passes, passes + 1
        for batch in io.read(events, edge):
            show((done + batch.progress) / PASSES, f"replay {done + 1} of {PASSES}")
            yield batch.log

    return logs, stream


def _check_run(run: Path, summary: dict[str, Any], policy: str, model: str | None) -> None:
    """Raise UsageError where a run was enforced, or was made by another policy or model."""
    if summary["mode"] != "shadow":
        raise UsageError(
            f"{run} was run with enforcement: what was refused never reached anybody",
            fix="calibrate on a run in shadow: wavebreak run EVENTS --shadow -o out",
        )
    for name, own, option in (("policy", policy, "--policy"), ("model", model, "--model")):
        if summary["versions"][name] != own:
            raise UsageError(
                f"{run} was made with the {name} {summary['versions'][name]}, not {own}",
                fix=f"give the {name} of the run with {option}, or run again",
            )


def _service_logs(
    source: Home, show: Show
) -> tuple[Callable[[], Batches], coverage.Profile | None]:
    """Return the log of a service, which may run, and its field coverage."""
    if not holds_service(source.path, source.options):
        raise UsageError(
            f"{source.path} holds neither a run nor a service's database",
            fix="give what `wavebreak run -o` wrote, or the directory that `serve` uses",
        )
    source.connect(reading=True)
    profile = source.decisions.profile
    passes, end = 0, event_log.log_end()

    def logs() -> Batches:
        nonlocal passes
        done, passes = passes, passes + 1
        for stretch in event_log.read_log(event_log.log_start().position):
            # Both replays see the same events, however many arrive meanwhile.
            if stretch.events is not None and stretch.first < end:
                yield stretch.events.slice(0, end - stretch.first)
            share = min(1.0, stretch.end / end)
            show((done + share) / PASSES, f"replay {done + 1} of {PASSES}")
            if stretch.end >= end:
                return

    return logs, coverage.load(profile) if profile else None


@service_command(
    app, "wavebreak approve var --by Noa --reason 'read the report'", reads="key database"
)
def approve(
    home: Home, *, by: Annotated[str, "Who approves, for the audit log."], reason: Reason
) -> Output:
    """Approve a service's calibration proposal: the service enforces it within seconds."""
    version = home.in_database(
        lambda now_ms: calibration_schedule.approve(home.path, now_ms, by, reason)
    )
    serve = command("wavebreak", "serve", home.path)
    return Output(
        {"version": version, "by": by},
        f"{version} is approved by {by}",
        steps=[f"a service that runs with --calibrate-after enforces it; else: {serve} …"],
    )
