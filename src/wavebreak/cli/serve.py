"""Verbs of the service: serve, backup, restore.

Verbs for keys of the service: create, list, rotate, revoke.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, TypeVar

import pyarrow as pa
import typer
from rich.table import Table

from wavebreak import engine, model, rules, simulation
from wavebreak.cli.app import app, keys
from wavebreak.cli.console import err, nexts, out
from wavebreak.cli.run import (
    Enforce,
    IpDatabase,
    Key,
    Lateness,
    LedgerKey,
    ModelDir,
    PolicyDir,
    Shards,
)
from wavebreak.errors import UsageError
from wavebreak.ledger.checkpoints import own_signer, verifier_key
from wavebreak.model.storage import SHIPPED
from wavebreak.privacy.pseudonymizer import Edge, load_key
from wavebreak.reports.tables import stamp
from wavebreak.schema import coverage
from wavebreak.service import (
    api_keys,
    app_context,
    bootstrap,
    brokers,
    database,
    decide,
    demo_stream,
    observability,
)
from wavebreak.service import backup as backups
from wavebreak.service.auth import SCOPES, allow_all
from wavebreak.service.errors import ApiError
from wavebreak.service.ledger_store import LEDGER_KEY, LedgerStore
from wavebreak.service.models import ApiKey
from wavebreak.service.server import serve as serving
from wavebreak.service.service import Service
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
    sources = brokers.configured_sources(nats, redis, stream, durable, group)
    _prepare(settings)
    chosen, loaded, secret = rules.load(policy), model.chosen(model_dir), load_key(key)
    carried = coverage.load(profile_file) if profile_file else None
    if carried is None:
        err.print("[yellow]no --profile:[/] the stream is taken to carry the whole contract")
    edge = Edge(secret, ip_database)
    options = bootstrap.ServeOptions(
        traces, private_webhooks, sources, Path(model_dir or SHIPPED) if loaded else None
    )  # fmt: skip
    context = bootstrap.create_context(chosen, policy, secret, options)
    service = Service(
        settings,
        partial(engine.Engine, chosen, carried, enforce=enforce, workers=shards,
                lateness_s=lateness, model=loaded),
        edge, lateness_s=lateness,
        responder=decide.DecideResponder(
            chosen, decide.load_decide_policy(policy), edge, context.quota_of
        ),
        clock=_now_ms, report=err.print, progress=_reading(),
        ledger_store=_ledger_store(home, ledger_key),
        background=[*bootstrap.background_tasks(context, options), *[_demo_traffic] * demo],
    )  # fmt: skip
    serving(
        service, allow_all if no_keys else context.key_ring.authorize,
        ready=partial(_show_addresses, settings),
        middleware=bootstrap.request_middleware(service, context, options),
    )  # fmt: skip


async def _demo_traffic(service: Service) -> None:
    await demo_stream.replay(service, _simulated_day)


def _simulated_day() -> pa.RecordBatch:
    """Simulate a day of 500 people and every campaign, in the wire schema."""
    world = simulation.simulate(
        people=500, days=1, campaigns=[(name, None) for name in simulation.CAMPAIGNS],
        personas=["all"], seed=1,
    )  # fmt: skip
    return pa.Table.from_batches(world.batches()).combine_chunks().to_batches()[0]


def _ledger_store(home: Path, key: Path | None) -> LedgerStore:
    """What seals; says by which key others verify it, and keeps that beside the ledger."""
    signer = own_signer(key)
    told = verifier_key(signer.key)
    (home / LEDGER_KEY).write_text(f"{told}\n", "utf-8")
    out.print(f"its ledger's checkpoints are signed by [bold]{told}[/]", soft_wrap=True)
    return LedgerStore(signer, _now_ms)


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
    observability.configure_logging(sys.stderr)
    database.connect(settings.database, settings.home)
    database.migrate()
    if first := bootstrap.create_first_key(_now_ms()):
        out.print(f"the first key, for everything; it is told this once: [bold]{first}[/]")
    # The first body must not wait for a compiler.
    err.print("starting (a minute longer where the decision code was never compiled)")
    engine.warm()


def _show_addresses(settings: Settings, port: int) -> None:
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


T = TypeVar("T")

KeysHome = Annotated[Path, typer.Argument(help="Directory of the service.")]
Prefix = Annotated[str, typer.Argument(help="The key's prefix, as `key list` shows it.")]
Reason = Annotated[str, typer.Option(help="Why, for the audit.")]
BY = "command line"


def _bound(url: str, home: Path, work: Callable[[int], T]) -> T:
    """Work on the service's database; it is given the time in milliseconds."""
    if not url and not (home / database.FILE).exists():
        raise UsageError(f"no service lives in {home}", fix="give the directory of `serve`")
    database.connect(url, home)
    database.migrate()
    now = time.time_ns() // 1_000_000
    try:
        return app_context.run_in_transaction(lambda: work(now))
    except ApiError as error:
        raise UsageError(error.what, fix=error.fix or "see `wavebreak key list`") from None


def _show_new_key(created: tuple[ApiKey, str]) -> None:
    key, text = created
    out.print(f"key for {', '.join(key.scopes.split())}; it is told this once:")
    typer.echo(text)


@keys.command("create", epilog="Example: `wavebreak key create var gateway --scope ingest`")
def create(
    home: KeysHome,
    name: Annotated[str, typer.Argument(help="Whose key it is.")],
    scope: Annotated[
        list[str], typer.Option(help=f"What it may do: {', '.join(SCOPES)}; again for more.")
    ],
    rate: Annotated[float, typer.Option(min=0.01, help="Requests a second.")] = 1000.0,
    burst: Annotated[float, typer.Option(min=1, help="Requests at once.")] = 2000.0,
    reason: Reason = "made by command", database_url: DatabaseUrl = "",
) -> None:  # fmt: skip
    """Make a key. Its text is told once."""
    if wrong := set(scope) - set(SCOPES):
        raise UsageError(f"no scope {sorted(wrong)[0]}", fix=f"give some of {', '.join(SCOPES)}")
    if not 0 < len(name) <= 100:
        raise UsageError("the name has no or over 100 characters", fix="give a shorter one")
    _show_new_key(_bound(
        database_url, home,
        lambda now: api_keys.create_key(name, scope, now, BY, reason, rate=rate, burst=burst),
    ))  # fmt: skip


@keys.command("list", epilog="Example: `wavebreak key list var`")
def list_(home: KeysHome, database_url: DatabaseUrl = "") -> None:
    """List keys: prefix, name, scopes, rate, when they end."""
    table = Table("prefix", "name", "scopes", "a second", "made", "ends", box=None)
    for key in _bound(database_url, home, lambda _: api_keys.list_keys()):
        table.add_row(
            key.prefix, key.name, key.scopes, f"{key.rate:g}", stamp(key.created_ms),
            stamp(key.ends_ms),
        )  # fmt: skip
    out.print(table)


@keys.command("rotate", epilog="Example: `wavebreak key rotate var 1a2b3c4d --grace 3600`")
def rotate(
    home: KeysHome, prefix: Prefix,
    grace: Annotated[
        int, typer.Option(min=0, help="Seconds in which the former key goes on.")
    ] = 86_400,
    reason: Reason = "rotated by command", database_url: DatabaseUrl = "",
) -> None:  # fmt: skip
    """Make a key's successor; the former goes on for a time."""
    made = _bound(
        database_url, home, lambda now: api_keys.rotate_key(prefix, grace, now, BY, reason)
    )
    _show_new_key(made)


@keys.command("revoke", epilog="Example: `wavebreak key revoke var 1a2b3c4d`")
def revoke(
    home: KeysHome, prefix: Prefix, reason: Reason = "ended by command",
    database_url: DatabaseUrl = "",
) -> None:  # fmt: skip
    """End a key at once (within two seconds, where the service runs)."""
    _bound(database_url, home, lambda now: api_keys.revoke_key(prefix, now, BY, reason))
    out.print(f"{prefix} has ended")
