"""Command group `flink`: submit, status, savepoint, rescale, replay."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import msgspec
import typer

from wavebreak.cli.commands import command
from wavebreak.cli.console import command as command_line
from wavebreak.cli.console import out, print_json, print_next_steps
from wavebreak.cli.options import Enforce, IpDatabase, Json, Key, Lateness, ModelDir, PolicyDir
from wavebreak.errors import UsageError
from wavebreak.features.layout import SHARDS
from wavebreak.io.topic_url import parse_topic_url
from wavebreak_flink.cli import flink
from wavebreak_flink.rest_api import DEFAULT

_MOST_SHOWN = 100
Home = Annotated[Path, typer.Argument(help="Directory of the job, as `submit --home` wrote it.")]
Environment = Annotated[
    Path | None,
    typer.Option(help="Python environment with Flink (default: $WAVEBREAK_FLINK or .venv-flink)."),
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


def _postgresql(option: str, url: str) -> str:
    """Check the URL of a database; its password would lie in the job's settings."""
    if not url:
        return url
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
    return url


def _topic(log: str, database: str) -> str:
    """Return the topic that a log names ("": it names files)."""
    if not log.startswith("kafka:"):
        if database:
            raise UsageError(
                "--database is of the log of a service", fix="give its topic: kafka://HOST:PORT/LOG"
            )
        return ""
    if parse_topic_url(log).password:
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


def _published(publish: bool, database: str) -> bool:
    """Check that what is published has a service that reads it."""
    if publish and not database:
        raise UsageError(
            "--publish is for the service whose log the job reads",
            fix="give its topic and its database: kafka://HOST/TOPIC --database postgresql://…",
        )
    return publish


@command(
    flink,
    "wavebreak flink submit events.jsonl --home job --profile p.json",
    "wavebreak flink submit log --home /shared/job --profile p.json --enforce "
    "--parallelism 4 --exchange postgresql://flink@db/wavebreak",
)
def submit(
    log: Annotated[
        str, typer.Argument(help="Events: a .jsonl file, a directory, or kafka://HOST/TOPIC.")
    ],
    *,
    home: Annotated[
        Path,
        typer.Option(help="Directory for settings, state and rows, which every TaskManager sees."),
    ],
    profile: Annotated[
        Path | None,
        typer.Option(help="Coverage profile of the stream (`wavebreak profile` learns it)."),
    ] = None,
    policy: PolicyDir = None,
    model_dir: ModelDir = None,
    key: Key = None,
    ip_database: IpDatabase = None,
    enforce: Enforce = False,
    lateness: Lateness = 60,
    parallelism: Parallelism = 1,
    database: Annotated[
        str, typer.Option(help="PostgreSQL of the service whose log is in Kafka.")
    ] = "",
    publish: Annotated[
        bool, typer.Option("--publish", help="Let that service answer from what the job decides.")
    ] = False,
    exchange: Annotated[
        str, typer.Option(help="PostgreSQL in which groups exchange rows (default: files in HOME).")
    ] = "",
    flink_url: Annotated[str, typer.Option("--flink", help="REST API of the cluster.")] = DEFAULT,
    max_memory: MaxMemory = "",
    environment: Environment = None,
    as_json: Json = False,
) -> None:
    """Submit the job that decides on a log; its rows are those of `wavebreak run`."""
    from wavebreak_flink import event_log, submission
    from wavebreak_flink.environment import find_environment
    from wavebreak_flink.settings import JobSettings

    found = find_environment(environment)
    place = home.absolute()
    topic = _topic(log, database)
    if profile is None and not topic:
        raise UsageError(
            "--profile is missing", fix="learn one: wavebreak profile FILE -o profile.json"
        )
    if (place / submission.FILE).exists():
        raise UsageError(
            f"{home} holds a job already",
            fix="give another --home, or remove the directory when its job has ended",
        )
    job = JobSettings(
        name=place.name, home=str(place), profile=_path(profile), policy=_path(policy),
        model="none" if model_dir == "none" else _path(Path(model_dir) if model_dir else None),
        key=_path(key), ip_database=_path(ip_database), enforce=enforce, lateness_s=lateness,
        groups=parallelism, exchange=_postgresql("--exchange", exchange),
        topic=topic, database=_postgresql("--database", database),
        publish=_published(publish, database), max_memory=max_memory,
    )  # fmt: skip
    # What the job would find wrong on a TaskManager is found here.
    job.engine()
    job.edge()
    job.ceiling()
    job.save()
    if not job.topic:
        event_log.cut(Path(log)).save(place)
    made = submission.submit(job, found, flink_url)
    if as_json:
        print_json({"job": made.job, "flink": made.flink, "home": job.home})
        return
    out.print(f"Job {made.job} decides on {log} with parallelism {parallelism}.")
    print_next_steps(
        [command_line("wavebreak", "flink", verb, home) for verb in ("status", "replay")]
    )  # fmt: skip


def _path(given: Path | None) -> str:
    return str(given.absolute()) if given else ""


@command(flink, "wavebreak flink status job")
def status(home: Home, *, as_json: Json = False) -> None:
    """Say how a job is: its state, checkpoints, restarts, and what it has published."""
    from wavebreak_flink import submission
    from wavebreak_flink.switches import noted

    known = submission.load(home)
    said = known.api.overview(known.job)
    rows = {kind: len(submission.rows_of(home, kind)) for kind in ("decision", "operator")}
    deciding = noted(home)
    if as_json:
        print_json(
            {"job": known.job, "flink": known.flink, "savepoint": known.savepoint}
            | said._asdict() | rows
            | {"deciding": msgspec.structs.asdict(deciding) if deciding else None}
        )  # fmt: skip
        return
    out.print(f"Job {known.job} at {known.flink}: {said.state}, parallelism {said.parallelism}")
    out.print(
        f"checkpoints {said.checkpoints:,}, restored {said.restarts:,}; decisions published "
        f"{rows['decision']:,}"
    )
    if deciding:
        policy, model, *_ = deciding.versions.split()
        since = f"since position {deciding.position:,}" if deciding.switches else "as submitted"
        out.print(f"decides by policy {policy}, model {model}, {since}", markup=False)
    if known.savepoint:
        out.print(f"savepoint {known.savepoint}")
    if said.failure:
        out.print(f"last failure: {said.reason}", style="yellow", markup=False)


@command(flink, "wavebreak flink savepoint job --stop")
def savepoint(
    home: Home,
    *,
    stop: Annotated[
        bool, typer.Option("--stop", help="Stop the job there, such as before an upgrade.")
    ] = False,
) -> None:
    """Make a savepoint, from which a job goes on."""
    from wavebreak_flink import submission

    made = submission.savepoint(home.absolute(), stop=stop)
    out.print(f"savepoint {made.savepoint}")


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
        bool,
        typer.Option(
            "--lost",
            help="The cluster lost it, or restarts it in vain: go on from its last checkpoint.",
        ),
    ] = False,
) -> None:
    """Let a job go on with a parallelism, from where it was stopped or a savepoint made now."""
    from wavebreak_flink import submission
    from wavebreak_flink.environment import find_environment

    found = find_environment(environment)
    made = submission.rescale(
        home.absolute(), parallelism, found, flink_url, lost=lost, max_memory=max_memory
    )  # fmt: skip
    where = made.savepoint or "the log's beginning"
    out.print(f"Job {made.job} goes on with parallelism {parallelism}, from {where}")


@command(flink, "wavebreak flink replay job")
def replay(home: Home, *, as_json: Json = False) -> None:
    """Decide on a job's log with the embedded engine, and compare what the job published."""
    from wavebreak_flink import submission

    found = submission.compare(home)
    if as_json:
        print_json({"same": found.same, "engine": found.engine, "equal": found.other is None})
    if found.other is not None:
        raise UsageError(
            "the job published a decision that the engine does not make, after "
            f"{found.same:,} that are the same",
            fix="compare versions, policy, model, key and machine of both; the log decides",
        )
    if not as_json:
        out.print(f"{found.same:,} of {found.engine:,} decisions published, the same to the byte")


@command(
    flink,
    "wavebreak flink dead-letters job",
    "wavebreak flink dead-letters job --accept 120400",
    name="dead-letters",
)
def dead_letters(
    home: Home,
    *,
    accept: Annotated[
        int | None,
        typer.Option(min=0, help="Give up the row of the log that begins at this position."),
    ] = None,
    as_json: Json = False,
) -> None:
    """List what a job could not read or refused, each with its place and reason."""
    from wavebreak_flink import settings, submission
    from wavebreak_flink.dead_letters import DeadLetters
    from wavebreak_flink.rows import RefusedEvent

    settings.load(home / settings.FILE)
    letters = DeadLetters(home)
    if accept is not None:
        lost = letters.accept(accept)
        out.print(f"The job reads over the {lost.events:,} events at position {lost.first:,}.")
    rows, refused = letters.all(), list(submission.lines_of(home / settings.REFUSED))
    if as_json:
        print_json({"rows": [msgspec.structs.asdict(row) for row in rows],
                    "refused": [msgspec.json.decode(line) for line in refused]})  # fmt: skip
        return
    for row in rows:
        what = "given up" if row.accepted else "the job stops there"
        out.print(f"positions {row.first:,} to {row.end - 1:,}: {row.cause}; {what}")
    for line in refused[:_MOST_SHOWN]:
        event = msgspec.json.decode(line, type=RefusedEvent)
        where = f"{event.file}, " if event.file else ""
        out.print(where + event.message, markup=False)
    if len(refused) > _MOST_SHOWN:
        out.print(f"and {len(refused) - _MOST_SHOWN:,} more: --json has all")
    if not rows and not refused:
        out.print("There are none.")
