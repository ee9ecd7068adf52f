"""A service of a test's own: in this process, on SQLite or PostgreSQL, asked without a socket."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pyarrow as pa
from django.apps import apps
from django.core.handlers.asgi import ASGIHandler
from django.db import connection
from opentelemetry.trace import NoOpTracer, Tracer

from support.banning_policy import load_banning_policy
from support.external_servers import postgresql
from support.service_process import migrated_file
from wavebreak import engine
from wavebreak.ledger import new_signer
from wavebreak.model import Model
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.rules import Policy
from wavebreak.schema.coverage import Profile
from wavebreak_server.http.app_context import AppContext
from wavebreak_server.http.auth import SCOPES, TOGETHER, KeyRing
from wavebreak_server.http.ingest_app import IngestApp
from wavebreak_server.http.middleware import Operations, RequestMiddleware
from wavebreak_server.http.responses import App
from wavebreak_server.pipeline import decide
from wavebreak_server.pipeline.decide import load_quota_config
from wavebreak_server.pipeline.engine_switch import Observer
from wavebreak_server.pipeline.holder_notices import HolderNotices
from wavebreak_server.pipeline.observability import Metrics, rejected_by_cause, service_gauges
from wavebreak_server.pipeline.pending_requests import BusyError
from wavebreak_server.pipeline.service import Background, EngineSetup, Service
from wavebreak_server.service_plugins import plugin_models
from wavebreak_server.settings import Limits, Settings
from wavebreak_server.slices.keys.service import KeyTerms, create_key
from wavebreak_server.slices.routes import OPERATIONS
from wavebreak_server.slices.versions.policy_switch import PolicySwitch
from wavebreak_server.storage import database, event_log, row_macs, transaction_guard
from wavebreak_server.storage.ledger_store import LedgerStore
from wavebreak_server.storage.models import AuditEntry, Decision

DATABASES = ("sqlite", "postgresql")
SECRET = bytes(range(32))
SIGNER = new_signer("example.org/service", secret=SECRET)
transaction_guard.install()


@contextmanager
def fresh(kind: str, template: str = "") -> Iterator[str]:
    """A fresh database of a kind, by its URL (SQLite has none); it goes afterwards.

    On PostgreSQL it may be a copy of another.
    """
    if kind == "sqlite":
        yield ""
        return
    name = f"wavebreak_{secrets.token_hex(6)}"
    administer(f'CREATE DATABASE "{name}"' + (f' TEMPLATE "{template}"' if template else ""))
    try:
        yield f"{postgresql().url}/{name}"
    finally:
        administer(f'DROP DATABASE "{name}" WITH (FORCE)')


@contextmanager
def migrated(kind: str, home: Path) -> Iterator[None]:
    """Bind a fresh database of a kind, with its tables; a database of its own goes afterwards.

    It is a copy of one that this process has migrated: fifty migrations take a second each time.
    """
    row_macs.bind(SECRET)
    with fresh(kind, migrated_template(kind) if kind == "postgresql" else "") as url:
        if not url and not (home / database.FILE).exists():
            home.mkdir(parents=True, exist_ok=True)
            shutil.copy(migrated_template(kind), home / database.FILE)
        database.connect(url, home)
        try:
            yield
        finally:
            connection.close()
            database.connect("", home)


@cache
def migrated_template(kind: str) -> str:
    """Migrate a database of a kind that others are copies of; return its file or its name."""
    if kind == "sqlite":
        return str(migrated_file())
    name = f"wavebreak_migrated_{secrets.token_hex(6)}"
    administer(f'CREATE DATABASE "{name}"')
    # PostgreSQL writes nothing there.
    database.connect(f"{postgresql().url}/{name}", Path(tempfile.gettempdir()))
    database.migrate()
    connection.close()
    return name


def administer(statement: str) -> None:
    """Have the PostgreSQL server do something."""
    with psycopg.connect(f"{postgresql().url}/postgres", autocommit=True) as held:
        held.execute(statement.encode())


def context() -> AppContext:
    """A context whose webhooks may go to this machine."""
    ring = KeyRing(time.time, time.monotonic)
    return AppContext(
        ring,
        Metrics(),
        load_quota_config(),
        SECRET,
        allow_private_webhooks=True,
        resolver=lambda host, port: ["127.0.0.1"],
        holder_notices=_shipped_notices(),
    )


# Reading the shipped policy takes as long as the rest of a service of a test.
_shipped_notices = cache(HolderNotices)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def service(
    home: Path,
    background: Iterable[Background] = (),
    held: AppContext | None = None,
    ledger_store: LedgerStore | None = None,
    policy: Policy | None = None,
    accounts: int = 1024,
    limits: Limits | None = None,
    clock: Callable[[], int] | None = None,
    progress: Callable[[int, int], None] = lambda _at, _end: None,
    allow_identifiers: bool = False,
    profile: Profile | None = None,
    lateness_s: int = 60,
    switch: PolicySwitch | None = None,
    **settings: Any,
) -> Service:
    """A service over the bound database, with the rules of `banning_policy` and without a model.

    `profile` is what the stream carries (None: everything), `switch` what switches it, `settings`
    are further fields of Settings.
    """

    policy, edge = policy or load_banning_policy(), Pseudonymizer(SECRET)

    def make() -> engine.Engine:
        return engine.Engine(
            policy,
            profile,
            accounts=accounts,
            lateness_s=lateness_s,
            enforce=settings.get("enforce", False),
        )

    made = Service(
        Settings(
            home,
            allow_identifiers=allow_identifiers,
            limits=limits or Limits(),
            **settings,
        ),
        EngineSetup(
            make,
            decide.DecideResponder(
                policy,
                decide.load_decide_policy(None),
                edge,
                held.quota_extension if held else None,
            ),
            lateness_s,
        ),
        edge,
        clock=clock or now_ms,
        ledger_store=ledger_store or LedgerStore(SIGNER, now_ms),
        background=tuple(background),
        observer=Observer(progress=progress),
        switch=switch,
    )
    return made


def switch_of(home: Path) -> PolicySwitch:
    """What switches a service in a directory to another coverage or mode, in shadow at first."""

    def make(
        policy: Policy, loaded: Model | None, enforce: bool, profile: Profile | None = None
    ) -> engine.Engine:
        return engine.Engine(policy, profile, accounts=1024, model=loaded, enforce=enforce)

    def responder(policy: Policy, directory: Path | None) -> decide.DecideResponder:
        terms = decide.load_decide_policy(directory)
        return decide.DecideResponder(policy, terms, Pseudonymizer(SECRET))

    return PolicySwitch(home, None, make, responder, base_model="none")


class Running:
    """A service that runs: `client` asks it, `keys` have each scope alone, `key` all but `list`."""

    def __init__(
        self, made: Service, held: AppContext, client: httpx.AsyncClient, app: Any
    ) -> None:
        self.service, self.context, self.client, self.app = made, held, client, app
        self.key, self.keys = "", dict[str, str]()

    async def ask(self, method: str, path: str, key: str | None = None, **more: Any) -> Any:
        """Ask with a key (the one with all scopes, where none is named; "": without one)."""
        given = self.key if key is None else key
        headers = {"Authorization": f"Bearer {given}"} if given else {}
        return await self.client.request(
            method, path, headers=headers | more.pop("headers", {}), **more
        )

    async def send(self, events: Iterable[dict[str, Any]]) -> None:
        """Put events into the log, and wait until they are decided and written."""
        answer = await self.ask("POST", "/v1/events", json=list(events))
        assert answer.status_code == 202, answer.text
        assert answer.json()["refused"] == []
        await self.wait_until_applied()

    async def wait_until_applied(self, timeout_s: float = 20) -> None:
        """Wait until all that is in the log is decided and written."""
        async with asyncio.timeout(timeout_s):
            while (now := self.service.progress()).applied < now.logged or not now.ready:
                await asyncio.sleep(0.01)


Live = Callable[..., None]
"""Runs coroutines that take a running service: see the fixture `live` of the integration tests."""


def stop_answering(made: Running) -> None:
    """Let the engine of a running service answer nothing, as if it had stopped."""

    async def busy(*_arguments: Any, **_options: Any) -> Any:
        raise BusyError("the engine has stopped", retry_after_s=1)

    made.service.running.ask = busy  # type: ignore[method-assign]
    made.service.query = busy


@asynccontextmanager
async def running(
    home: Path,
    *,
    held: AppContext | None = None,
    background: Iterable[Background] = (),
    tracer: Tracer | None = None,
    ledger_store: LedgerStore | None = None,
    policy: Policy | None = None,
    pages: Callable[[App], App] = lambda api: api,
    accounts: int = 1024,
    limits: Limits | None = None,
    clock: Callable[[], int] | None = None,
    progress: Callable[[int, int], None] = lambda _at, _end: None,
    wait: bool = True,
    allow_identifiers: bool = False,
    **settings: Any,
) -> AsyncIterator[Running]:
    """Run a service over the bound database until the block ends; `wait`: once it is ready."""
    held = held or context()
    made = service(
        home,
        background,
        held,
        ledger_store,
        policy,
        accounts,
        limits,
        clock=clock,
        progress=progress,
        allow_identifiers=allow_identifiers,
        **settings,
    )
    app: Any = RequestMiddleware(
        IngestApp(made, held.key_ring.authorize, pages(ASGIHandler()), lambda: None),
        held,
        tracer or NoOpTracer(),
        Operations(OPERATIONS),
    )
    held.metrics.watch(
        lambda: service_gauges(made),
        lambda: rejected_by_cause(made),
        lambda: dict(made.skews.seconds),
    )
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=True)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        one = Running(made, held, client, app)
        one.keys = await asyncio.to_thread(_keys)
        one.key = one.keys.pop("all")
        await held.refresh()
        made.start(lambda: None)
        async with asyncio.timeout(60):
            while wait and not made.progress().ready:
                assert made.failed is None, made.failed
                await asyncio.sleep(0.01)
        try:
            yield one
        finally:
            await made.stop()


def _keys() -> dict[str, str]:
    try:
        wanted = {scope: [scope] for scope in SCOPES} | {"all": list(TOGETHER)}
        made = {
            name: create_key(name, scopes, 0, "test", "made for a test", KeyTerms(1e6, 1e6))
            for name, scopes in wanted.items()
        }
        return {name: text for name, (_, text) in made.items()}
    finally:
        connection.close()


def abuser(
    count: int = 120, account: str = "ann", ts: int = 1_767_222_000_000, age_ms: int = 0
) -> list[Any]:
    """Events of an account that registers and writes to so many strangers within fifteen seconds:
    the published instant ban. `age_ms`: by how much it has registered before; in its first minute
    a rule limits it."""
    begin = {
        "id": f"{account}-r",
        "ts": ts - age_ms,
        "type": "account.registered",
        "account": account,
        "phone": "+972541234567",
        "ip": "203.0.113.77",
        "device": "planted",
    }
    sends = [
        {
            "id": f"{account}-{n}",
            "ts": ts + 1000 + 100 * n,
            "type": "message.sent",
            "account": account,
            "peer": f"{account}-p{n}",
            "in_contacts": False,
        }
        for n in range(count)
    ]
    return [begin, *sends]


def names(*accounts: str) -> pa.Array:
    """Names as the engine takes them."""
    return pa.array(accounts)


def held() -> bytes:
    """All that stands in the database, every column of every table as it is kept."""
    try:
        tables = [*apps.get_app_config("service").get_models(), *plugin_models()]
        rows = [row for table in tables for row in table._base_manager.values_list()]
        cells = [cell for row in rows for cell in row]
        return b"\n".join(
            bytes(c) if isinstance(c, bytes | memoryview) else str(c).encode() for c in cells
        )
    finally:
        connection.close()


def logged() -> list[dict[str, Any]]:
    """Every event in the log."""
    try:
        found = [s.events.to_pylist() for s in event_log.read_log(0) if s.events is not None]
        return [event for some in found for event in some]
    finally:
        connection.close()


def decided() -> list[bytes]:
    """Every decision as it was written, in order."""
    try:
        rows = Decision.objects.order_by("number").values_list("body", flat=True)
        return [bytes(body) for body in rows]
    finally:
        connection.close()


def audited() -> list[dict[str, Any]]:
    """Every entry of the audit log, in order."""
    try:
        return list(AuditEntry.objects.order_by("number").values())
    finally:
        connection.close()


def wire(events: Iterable[dict[str, Any]], schema: pa.Schema) -> pa.RecordBatch:
    """Events as they arrive, in columns."""
    return pa.RecordBatch.from_pylist(list(events), schema)
