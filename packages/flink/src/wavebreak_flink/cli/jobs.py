"""Command group `flink`: submit, status, savepoint, rescale, replay, dead-letters."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec
import typer

from wavebreak.cli import console, options
from wavebreak.cli.commands import Output, command
from wavebreak.errors import UsageError
from wavebreak.features.layout import SHARDS
from wavebreak.io import log_rows
from wavebreak_flink import dead_letters as letters
from wavebreak_flink import environment as environments
from wavebreak_flink import event_log, rest_api, rows, settings, submission, switches
from wavebreak_flink.cli import flink

_MAX_REFUSED_LINES = 100
Home = Annotated[Path, "Directory of the job, as `submit --home` wrote it."]
Environment = Annotated[
    Path | None, "Python environment with Flink (default: $WAVEBREAK_FLINK or .venv-flink)."
]
Parallelism = Annotated[
    int, typer.Option(min=1, max=SHARDS, help="Groups of shards, each on a slot of its own.")
]
MaxMemory = Annotated[
    str,
    typer.Option(
        metavar="SIZE",
        help="Memory that each process of the job may use, as 4GiB (default: three quarters of its "
        "machine's; as before, of a job that goes on).",
    ),
]


def _check_database(option: str, url: str) -> None:
    """Check the URL of a database; a password in it would be stored in the job's settings."""
    if not url:
        return
    parts = urlsplit(url)
    if parts.scheme not in ("postgresql", "postgres"):
        raise UsageError(
            f"{option} is no URL of PostgreSQL", fix="write it as postgresql://user@host/database"
        )
    if parts.password:
        raise UsageError(
            f"{option} holds a password",
            fix="put it into ~/.pgpass (or PGPASSFILE) of whoever runs the TaskManagers",
        )


def _topic(log: str, database: str) -> str:
    """Return the URL of the log's topic; empty if the log is files."""
    if not log.startswith("kafka:"):
        if database:
            raise UsageError(
                "--database is of the log of a service", fix="give its topic: kafka://HOST:PORT/LOG"
            )
        return ""
    if log_rows.parse_topic_url(log).password:
        raise UsageError(
            "the URL of the topic holds a password",
            fix="put it into WAVEBREAK_LOG_PASSWORD of the TaskManagers, and leave it out here",
        )
    if not database:
        raise UsageError(
            "which records of a topic are in the log, the service's database says",
            fix="give it: --database postgresql://user@host/database",
        )
    return log


def _absolute(path: Path | None) -> str:
    return str(path.absolute()) if path else ""


@command(
    flink,
    "wavebreak flink submit events.jsonl --home job --profile p.json",
    "wavebreak flink submit log --home /shared/job --profile p.json --enforce --parallelism 4 "
    "--exchange postgresql://flink@db/wavebreak",
)
def submit(
    log: Annotated[str, "Events: a .jsonl file, a directory, or kafka://HOST/TOPIC."],
    *,
    home: Annotated[Path, "Directory for settings, state and rows, which every TaskManager sees."],
    profile: Annotated[
        Path | None, "Coverage profile of the stream (`wavebreak profile` learns it)."
    ] = None,
    deciding: options.Deciding,
    ip_database: options.IpDatabase = None,
    enforce: options.Enforce = False,
    lateness: options.Lateness = 60,
    parallelism: Parallelism = 1,
    database: Annotated[str, "PostgreSQL of the service whose log is in Kafka."] = "",
    publish: Annotated[bool, "Let that service answer from what the job decides."] = False,
    exchange: Annotated[
        str, "PostgreSQL in which groups exchange rows (default: files in HOME)."
    ] = "",
    flink_url: Annotated[
        str, typer.Option("--flink", help="REST API of the cluster.")
    ] = rest_api.DEFAULT,
    max_memory: MaxMemory = "",
    environment: Environment = None,
) -> Output:
    """Submit the job that decides on a log; its rows are those of `wavebreak run`."""
    programs = environments.find_environment(environment)
    directory = home.absolute()
    topic = _topic(log, database)
    if profile is None and not topic:
        raise UsageError(
            "--profile is missing", fix="learn one: wavebreak profile FILE -o profile.json"
        )
    if (directory / submission.FILE).exists():
        raise UsageError(
            f"{home} holds a job already",
            fix="give another --home, or remove the directory when its job has ended",
        )
    _check_database("--exchange", exchange)
    _check_database("--database", database)
    if publish and not database:
        raise UsageError(
            "--publish is for the service whose log the job reads",
            fix="give its topic and its database: kafka://HOST/TOPIC --database postgresql://…",
        )
    model = deciding.model
    job = settings.JobSettings(
        name=directory.name,
        home=str(directory),
        profile=_absolute(profile),
        policy=_absolute(deciding.policy),
        model="none" if model == "none" else _absolute(Path(model) if model else None),
        key=_absolute(deciding.key),
        ip_database=_absolute(ip_database),
        enforce=enforce,
        lateness_s=lateness,
        groups=parallelism,
        exchange=exchange,
        topic=topic,
        database=database,
        publish=publish,
        max_memory=max_memory,
        generation=secrets.token_hex(8),
    )
    # Errors that would stop the job on a TaskManager are raised here.
    job.engine()
    job.edge()
    job.ceiling()
    job.save()
    if not job.topic:
        event_log.cut(Path(log)).save(directory)
    submitted = submission.submit(job, programs, flink_url)
    return Output(
        {"job": submitted.job, "flink": submitted.flink, "home": job.home},
        f"Job {submitted.job} decides on {log} with parallelism {parallelism}.",
        steps=[console.command("wavebreak", "flink", verb, home) for verb in ("status", "replay")],
    )


@command(flink, "wavebreak flink status job")
def status(home: Home) -> Output:
    """Show a job's state: checkpoints, restarts, and what it has published."""
    job = submission.load(home)
    overview = job.api.overview(job.job)
    counts = {kind: len(submission.rows_of(home, kind)) for kind in ("decision", "operator")}
    deciding = switches.noted(home)
    lines = [
        f"Job {job.job} at {job.flink}: {overview.state}, parallelism {overview.parallelism}",
        f"checkpoints {overview.checkpoints:,}, restored {overview.restarts:,}; "
        f"decisions published {counts['decision']:,}",
    ]
    if deciding:
        policy, model, *_ = deciding.versions.split()
        since = f"since position {deciding.position:,}" if deciding.switches else "as submitted"
        lines.append(f"decides by policy {policy}, model {model}, {since}")
    if job.savepoint:
        lines.append(f"savepoint {job.savepoint}")
    failure = [console.styled("[yellow]{}", f"last failure: {overview.reason}")]
    value: dict[str, Any] = {"job": job.job, "flink": job.flink, "savepoint": job.savepoint}
    value |= overview._asdict() | counts
    value["deciding"] = msgspec.structs.asdict(deciding) if deciding else None
    return Output(value, *lines, *(failure if overview.failure else []))


@command(flink, "wavebreak flink savepoint job --stop")
def savepoint(
    home: Home, *, stop: Annotated[bool, "Stop the job there, such as before an upgrade."] = False
) -> None:
    """Make a savepoint, from which a job goes on."""
    job = submission.savepoint(home.absolute(), stop=stop)
    console.out.print(f"savepoint {job.savepoint}")


@command(flink, "wavebreak flink rescale job --parallelism 4")
def rescale(
    home: Home,
    *,
    parallelism: Parallelism,
    flink_url: Annotated[
        str, typer.Option("--flink", help="Cluster on which it goes on (default: where it ran).")
    ] = "",
    max_memory: MaxMemory = "",
    environment: Environment = None,
    lost: Annotated[
        bool, "The cluster lost it, or restarts it in vain: go on from its last checkpoint."
    ] = False,
) -> None:
    """Let a job go on with a parallelism, from where it was stopped or a savepoint made now."""
    programs = environments.find_environment(environment)
    job = submission.rescale(
        home.absolute(), parallelism, programs, flink_url, lost=lost, max_memory=max_memory
    )
    start = job.savepoint or "the log's beginning"
    console.out.print(f"Job {job.job} goes on with parallelism {parallelism}, from {start}")


@command(flink, "wavebreak flink replay job")
def replay(home: Home) -> Output:
    """Decide on a job's log with the embedded engine, and compare what the job published."""
    comparison = submission.compare(home)
    same, count = comparison.same, comparison.engine
    value = {"same": same, "engine": count, "equal": comparison.other is None}
    if comparison.other is None:
        return Output(value, f"{same:,} of {count:,} decisions published, the same to the byte")
    error = UsageError(
        "the job published a decision that the engine does not make, after "
        f"{same:,} that are the same",
        fix="compare versions, policy, model, key and machine of both; the log decides",
    )
    return Output(value, error=error)


@command(
    flink, "wavebreak flink dead-letters job", "wavebreak flink dead-letters job --accept 120400"
)
def dead_letters(
    home: Home,
    *,
    accept: Annotated[
        int | None,
        typer.Option(min=0, help="Give up the row of the log that begins at this position."),
    ] = None,
) -> Output:
    """List what a job could not read or refused, each with its place and reason."""
    store = letters.DeadLetters(settings.load(home / settings.FILE))
    lines = []
    if accept is not None:
        row = store.accept(accept)
        lines.append(f"The job reads over the {row.events:,} events at position {row.first:,}.")
    unread, refused = store.all(), list(submission.lines_of(home / settings.REFUSED))
    for row in unread:
        state = "given up" if row.accepted else "the job stops there"
        lines.append(f"positions {row.first:,} to {row.end - 1:,}: {row.cause}; {state}")
    for line in refused[:_MAX_REFUSED_LINES]:
        event = msgspec.json.decode(line, type=rows.RefusedEvent)
        lines.append(f"{event.file}, {event.message}" if event.file else event.message)
    if len(refused) > _MAX_REFUSED_LINES:
        lines.append(f"and {len(refused) - _MAX_REFUSED_LINES:,} more: --json has all")
    if not unread and not refused:
        lines.append("There are none.")
    value = {
        "rows": [msgspec.structs.asdict(row) for row in unread],
        "refused": [msgspec.json.decode(line) for line in refused],
    }
    return Output(value, *lines)
