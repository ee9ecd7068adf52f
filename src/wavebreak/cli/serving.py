"""Verbs of the service: serve, backup, restore."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
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
    LedgerKey,
    ModelDir,
    PolicyDir,
    Shards,
)
from wavebreak.cli.showing import err, nexts, out
from wavebreak.edge import Edge, load_key
from wavebreak.evidence.notes import own_signer, verifier_key
from wavebreak.model.keeping import SHIPPED
from wavebreak.service import answering, brokers, database, furnishing, logs
from wavebreak.service import backup as backups
from wavebreak.service.ingest import anybody
from wavebreak.service.pretending import live
from wavebreak.service.running import Service
from wavebreak.service.sealing import LEDGER_KEY, Seals
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
Demo = Annotated[bool, typer.Option("--demo", help="Send a simulated day to it as a live stream.")]
AcceptLoss = Annotated[
    bool, typer.Option("--accept-loss", help="Go on where rows of the log are damaged.")
]


Nats = Annotated[str, typer.Option("--nats", metavar="URL", help="Read events from NATS too.")]
Redis = Annotated[str, typer.Option("--redis", metavar="URL", help="Read events from Redis too.")]
Stream = Annotated[str, typer.Option(help="The broker's stream of events.")]
Durable = Annotated[str, typer.Option(help="Name of the durable consumer on NATS.")]
Group = Annotated[str, typer.Option(help="Name of the consumer group on Redis.")]
Traces = Annotated[
    str, typer.Option(metavar="URL", help="Send traces there (OTLP over HTTP; default: nowhere).")
]
Private = Annotated[
    bool, typer.Option("--private-webhooks", help="Let webhooks go to private addresses.")
]
Keyless = Annotated[
    bool, typer.Option("--no-keys", help="Take events and decide for who has no key (tests).")
]

READING_S = 5
"""Seconds between two lines about how far the log is read."""


@app.command(
    epilog="Examples: `wavebreak serve var --profile world/profile.json`; "
    "`wavebreak serve var --nats nats://127.0.0.1:4222 --stream events --durable wavebreak`"
)
def serve(
    home: Home, database_url: DatabaseUrl = "",
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Port = 8480,
    policy: PolicyDir = None, enforce: Enforce = False, shards: Shards = 1,
    decoders: Annotated[int, typer.Option(min=1, max=16, help="Processes that read bodies.")] = 1,
    profile_file: StreamProfile = None, key: Key = None, ip_database: IpDatabase = None,
    lateness: Lateness = 60, model_dir: ModelDir = None,
    nats: Nats = "", redis: Redis = "", stream: Stream = "events", durable: Durable = "wavebreak",
    group: Group = "wavebreak", traces: Traces = "", private_webhooks: Private = False,
    no_keys: Keyless = False, demo: Demo = False, ledger_key: LedgerKey = None,
    snapshot_seconds: SnapshotSeconds = 300, accept_loss: AcceptLoss = False,
) -> None:  # fmt: skip
    """Serve decisions over HTTP: events in, decisions out, nothing acknowledged lost."""
    settings = Settings(
        home, database_url, host, port, decoders=decoders, workers=shards, enforce=enforce,
        accept_loss=accept_loss, snapshot_s=snapshot_seconds,
    )  # fmt: skip
    sources = brokers.sources(nats, redis, stream, durable, group)
    _prepare(settings)
    chosen, loaded, secret = rules.load(policy), model.chosen(model_dir), load_key(key)
    carried = profile.load(profile_file) if profile_file else None
    if carried is None:
        err.print("[yellow]no --profile:[/] the stream is taken to carry the whole contract")
    edge = Edge(secret, ip_database)
    wishes = furnishing.Wishes(
        traces, private_webhooks, sources, Path(model_dir or SHIPPED) if loaded else None
    )  # fmt: skip
    desk = furnishing.desk_of(chosen, policy, secret, wishes)
    service = Service(
        settings,
        partial(pipeline.Engine, chosen, carried, enforce=enforce, workers=shards,
                lateness_s=lateness, model=loaded),
        edge, lateness_s=lateness,
        answering=answering.Answering(chosen, answering.load(policy), edge, desk.quota_of),
        clock=_now_ms, said=err.print, progress=_reading(), seals=_seals(home, ledger_key),
        background=[*furnishing.background(desk, wishes), *[live] * demo],
    )  # fmt: skip
    guard, front = anybody if no_keys else desk.ring.guard, furnishing.front(service, desk, wishes)
    serving(service, guard, ready=partial(_told, settings), front=front)


def _seals(home: Path, key: Path | None) -> Seals:
    """What seals; says by which key others verify it, and keeps that beside the ledger."""
    signer = own_signer(key)
    told = verifier_key(signer.key)
    (home / LEDGER_KEY).write_text(f"{told}\n", "utf-8")
    out.print(f"its ledger's checkpoints are signed by [bold]{told}[/]", soft_wrap=True)
    return Seals(signer, _now_ms)


def _reading() -> Callable[[int, int], None]:
    """Say each few seconds how far the log is read: a long one takes minutes."""
    told = time.monotonic()

    def show(at: int, end: int) -> None:
        nonlocal told
        if time.monotonic() - told >= READING_S:
            told = time.monotonic()
            err.print(f"reading the log: {at:,} of {end:,} events")

    return show


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _prepare(settings: Settings) -> None:
    """Directory, tables, logs and machine code; tells the first key once."""
    settings.home.mkdir(parents=True, exist_ok=True)
    logs.set_up(sys.stderr)
    database.connect(settings.database, settings.home)
    database.migrate()
    if first := furnishing.first_key(_now_ms()):
        out.print(f"the first key, for everything; it is told this once: [bold]{first}[/]")
    # The first body must not wait for a compiler.
    err.print("starting (a minute longer where the decision code was never compiled)")
    pipeline.warm()


def _told(settings: Settings, port: int) -> None:
    """Say where to click."""
    at = f"http://{settings.host}:{port}"
    out.print(f"wavebreak serves [bold]{at}[/] from {settings.home}")
    nexts([f"events: POST {at}/v1/events", f"API:    {at}/api/docs", "stop:   Ctrl-C"])


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
