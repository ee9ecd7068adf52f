"""Verbs of the service: serve, backup, restore."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from wavebreak import model, pipeline, profile, rules
from wavebreak.cli.apps import app
from wavebreak.cli.deciding import (
    Enforce,
    IpDatabase,
    Key,
    Lateness,
    ModelDir,
    PolicyDir,
    Shards,
)
from wavebreak.cli.showing import err, nexts, out
from wavebreak.edge import Edge, load_key
from wavebreak.service import answering, database
from wavebreak.service import backup as backups
from wavebreak.service.ingest import anybody
from wavebreak.service.running import Service
from wavebreak.service.server import serve as serving
from wavebreak.service.settings import Settings

Home = Annotated[Path, typer.Argument(help="Directory of the service: its database, snapshots.")]
DatabaseUrl = Annotated[
    str, typer.Option("--database", metavar="URL",
                      help="postgresql://USER@HOST/NAME (default: SQLite in HOME)."),
]  # fmt: skip
Port = Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")]
StreamProfile = Annotated[
    Path | None,
    typer.Option("--profile", help="What the stream carries (see wavebreak profile; default: "
                                   "the whole contract)."),
]  # fmt: skip
SnapshotSeconds = Annotated[
    float, typer.Option(min=0.1, help="At most so long between snapshots of the engine's state.")
]
AcceptLoss = Annotated[
    bool, typer.Option("--accept-loss", help="Go on where rows of the log are damaged.")
]


@app.command(epilog="Example: `wavebreak serve var --profile world/profile.json`")
def serve(
    home: Home, database_url: DatabaseUrl = "",
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Port = 8480,
    policy: PolicyDir = None, enforce: Enforce = False, shards: Shards = 1,
    decoders: Annotated[int, typer.Option(min=1, max=16, help="Threads that read bodies.")] = 1,
    profile_file: StreamProfile = None, key: Key = None, ip_database: IpDatabase = None,
    lateness: Lateness = 60, model_dir: ModelDir = None,
    snapshot_seconds: SnapshotSeconds = 300, accept_loss: AcceptLoss = False,
) -> None:  # fmt: skip
    """Serve decisions over HTTP: events in, decisions out, nothing acknowledged lost."""
    home.mkdir(parents=True, exist_ok=True)
    settings = Settings(
        home, database_url, host, port, decoders=decoders, workers=shards, enforce=enforce,
        accept_loss=accept_loss, snapshot_s=snapshot_seconds,
    )  # fmt: skip
    database.connect(database_url, home)
    database.migrate()
    chosen, loaded = rules.load(policy), model.chosen(model_dir)
    stream = profile.load(profile_file) if profile_file else None
    if stream is None:
        err.print("[yellow]no --profile:[/] the stream is taken to carry the whole contract")

    def make() -> pipeline.Engine:
        return pipeline.Engine(
            chosen, stream, enforce=enforce, workers=shards, lateness_s=lateness, model=loaded
        )

    edge = Edge(load_key(key), ip_database)
    service = Service(
        settings, make, edge, lateness_s=lateness,
        answering=answering.Answering(chosen, answering.load(policy), edge),
        clock=lambda: time.time_ns() // 1_000_000, said=lambda line: err.print(line),
    )  # fmt: skip
    # The first body must not wait for a compiler.
    pipeline.warm()
    out.print(f"wavebreak serves [bold]http://{host}:{port}[/] from {home}")
    nexts([f"events: POST http://{host}:{port}/v1/events", "stop:   Ctrl-C"])
    serving(service, anybody)


@app.command(epilog="Example: `wavebreak backup var -o monday.wavebreak`")
def backup(
    home: Home,
    file: Annotated[Path, typer.Option("--out", "-o", help="File to write.")],
    database_url: DatabaseUrl = "",
) -> None:
    """Write the service's database and newest snapshot into one file, while it serves."""
    database.connect(database_url, home, reading=True)
    rows = backups.save(home, file)
    out.print(f"{rows['log_batch']:,} rows of the log, {rows['decision']:,} decisions: {file}")
    nexts([f"wavebreak restore {file} EMPTY-DIRECTORY", "keep the key of the edge apart from it"])


@app.command(epilog="Example: `wavebreak restore monday.wavebreak var2`")
def restore(
    file: Annotated[Path, typer.Argument(help="What `wavebreak backup` wrote.")],
    home: Home,
    database_url: DatabaseUrl = "",
) -> None:
    """Fill an empty directory, or an empty database, from a backup."""
    home.mkdir(parents=True, exist_ok=True)
    database.connect(database_url, home)
    rows = backups.restore(file, home)
    out.print(f"{rows['log_batch']:,} rows of the log, {rows['decision']:,} decisions in {home}")
    nexts([f"wavebreak serve {home}"])
