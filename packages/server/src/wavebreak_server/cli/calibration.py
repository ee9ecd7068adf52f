"""Commands that calibrate a policy, and approve a proposal: calibrate, approve."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wavebreak.cli.app import app
from wavebreak.cli.console import (
    command as command_line,
)
from wavebreak.cli.console import (
    out,
    print_json,
    print_next_steps,
    progress_bar,
)
from wavebreak.cli.options import Json, OutDir, Wide
from wavebreak.errors import UsageError
from wavebreak_server.cli.service_home import (
    Home,
    holds_service,
    service_command,
)

if TYPE_CHECKING:
    import pyarrow as pa

    from wavebreak.rules import Policy
    from wavebreak.schema.coverage import Profile

    Logs = Callable[[], Iterator[pa.RecordBatch]]

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
    out_path: OutDir,
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
    as_json: Json = False,
    wide: Wide = False,
) -> None:
    """Propose a policy's numbers from a platform's own first days in shadow."""
    from wavebreak import calibration, model, rules
    from wavebreak.reports.report import print_report

    asked, key = source.decisions, source.key
    policy, profile = asked.policy, asked.profile
    in_force = rules.load_policy(policy)
    loaded = model.load_selected(asked.model)
    version = loaded.version if loaded else None
    with progress_bar("calibrate") as show:
        stream: Profile | None
        if (source.path / "summary.json").is_file():
            logs, stream = _run_logs(source.path, in_force, version, profile, key, show)
        else:
            logs, stream = _service_logs(source, show)
        made = calibration.calibrate(
            logs,
            in_force,
            policy,
            stream,
            loaded,
            calibration.load_settings(policy, contamination=contamination, slowed=slowed),
            out_path,
            workers=asked.shards,
        )
    report = calibration.calibration_report(made)
    if as_json:
        print_json(report.data)
        return
    print_report(report, out)
    print_next_steps(
        [
            f"charts: {out_path}/calibration.html",
            command_line("wavebreak", "rules", "check", "--policy", out_path),
            command_line("wavebreak", "run", "EVENTS", "--policy", out_path, "-o", "out2"),
        ]
    )


def _run_logs(
    run: Path, policy: Policy, model: str | None, profile: Path | None, key: Path | None, show: Show
) -> tuple[Logs, Profile]:
    """Return the log of a run in shadow, and its field coverage."""
    from wavebreak.engine.batch_run import stream_profile
    from wavebreak.evaluation.scoring_points import open_run
    from wavebreak.io import read
    from wavebreak.monitoring.run_diff import read_summary
    from wavebreak.privacy.pseudonymizer import Pseudonymizer
    from wavebreak.privacy.secret_key import load_key

    summary = read_summary(run)
    _check_run(run, summary, policy.version, model)
    events = open_run(run).events
    edge = Pseudonymizer(load_key(key))
    named = profile or Path(summary["profile"])
    stream, _ = stream_profile(events, named if named.is_file() else None, edge)
    passes = 0

    def logs() -> Iterator[pa.RecordBatch]:
        nonlocal passes
        done, passes = passes, passes + 1
        for batch in read(events, edge):
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


def _service_logs(home: Home, show: Show) -> tuple[Logs, Profile | None]:
    """Return the log of a service, which may run, and its field coverage."""
    from wavebreak.schema import coverage
    from wavebreak_server.storage import event_log

    if not holds_service(home.path, home.options):
        raise UsageError(
            f"{home.path} holds neither a run nor a service's database",
            fix="give what `wavebreak run -o` wrote, or the directory that `serve` uses",
        )
    home.connect(reading=True)
    profile = home.decisions.profile
    passes, end = 0, event_log.log_end()

    def logs() -> Iterator[pa.RecordBatch]:
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
    home: Home,
    *,
    by: Annotated[str, typer.Option(help="Who approves, for the audit log.")],
    reason: Annotated[str, typer.Option(help="Reason, for the audit log.")],
) -> None:
    """Approve a service's calibration proposal: the service enforces it within seconds."""
    from wavebreak_server.slices.calibration import service as calibration_schedule

    version = home.in_database(
        lambda now_ms: calibration_schedule.approve(home.path, now_ms, by, reason)
    )
    out.print(f"{version} is approved by {by}")
    serve = command_line("wavebreak", "serve", home.path)
    print_next_steps([f"a service that runs with --calibrate-after enforces it; else: {serve} …"])
