"""Application context: what API operations need beside the service, and database helpers."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import msgspec
from asgiref.sync import sync_to_async
from django.db import Error, connection

from wavebreak.engine.account_queries import CYCLE_S
from wavebreak.ssrf_guard import Resolver, resolve_host
from wavebreak_server.http.auth import KeyEntry, KeyRing
from wavebreak_server.http.rate_limit import TokenBucket
from wavebreak_server.pipeline.decide import QuotaConfig
from wavebreak_server.pipeline.executors import Executors
from wavebreak_server.pipeline.holder_notices import HolderNotices, Notice
from wavebreak_server.pipeline.observability import Metrics
from wavebreak_server.storage import database
from wavebreak_server.storage.authentic_rows import authentic
from wavebreak_server.storage.models import ApiKey, AuditEntry, QuotaExtension

T = TypeVar("T")

CYCLE_MS = CYCLE_S * 1000
RELOADS_PER_S, RELOADS_AT_ONCE = 2.0, 10.0
"""How often the keys are reloaded for an unknown one; see `bootstrap.REFRESH_S` for all others."""
MAX_EXTENSIONS = 10_000
"""Quota extensions that are held in memory for `decide`."""


@dataclass
class AppContext:
    """The application context, created once at the start.

    Attributes:
        key_ring: All API keys.
        metrics: The Prometheus registry.
        quota_config: Warning thresholds and the size of an extension.
        webhook_key: Key that webhook secrets are derived from.
        edge_key: Key that they were derived from before they had one of their own.
        allow_private_webhooks: Whether webhooks may go to private addresses, any port, and http.
        allow_insecure_webhooks: Whether webhooks may go to http.
        resolver: Resolves the host names of webhooks.
        quota_extensions: When accounts were last granted an extension (ms).
        executors: Thread pools, one for each kind of work.
        open_streams: Server-sent event streams that are open, by key.
        deliveries_due: Set when a delivery becomes due, to wake the dispatcher.
        holder_notices: What statements of reasons need beside a decision.
        shows_codes: Whether an appeal's page shows its code: in a demonstration, which has no app
            that would bring it.
        reloads: How often keys are reloaded for one that is not known.
        states: What slices and pages keep in memory as long as the service runs, by its class.
    """

    key_ring: KeyRing
    metrics: Metrics
    quota_config: QuotaConfig
    webhook_key: bytes
    edge_key: bytes = b""
    allow_private_webhooks: bool = False
    allow_insecure_webhooks: bool = False
    resolver: Resolver = resolve_host
    quota_extensions: dict[str, int] = field(default_factory=dict)
    executors: Executors = field(default_factory=Executors)
    open_streams: Counter[str] = field(default_factory=Counter)
    deliveries_due: asyncio.Event = field(default_factory=asyncio.Event)
    holder_notices: HolderNotices = field(default_factory=HolderNotices)
    shows_codes: bool = False
    reloads: TokenBucket = field(
        default_factory=lambda: TokenBucket(RELOADS_PER_S, RELOADS_AT_ONCE, time.monotonic)
    )
    states: dict[type, Any] = field(default_factory=dict)

    def state_of(self, kind: type[T], *arguments: Any) -> T:
        """Return the one object of a class that this service has, made when first asked for."""
        if kind not in self.states:
            self.states.setdefault(kind, kind(*arguments))
        state: T = self.states[kind]
        return state

    async def load_unknown(self, authorization: bytes | None) -> None:
        """Reload the keys for one that is not known yet: it may be new.

        Bounded: who guesses keys does not keep the database busy.
        """
        if self.key_ring.lacks(authorization) and not self.reloads.take():
            with suppress(Error):
                await self.executors.keys.run(closing_connection(self.load_keys))

    def load_keys(self) -> None:
        """Load the keys; again after the first start of an upgrade, which makes their MACs."""
        self.key_ring.replace(load_key_entries())

    async def refresh(self) -> None:
        """Reload keys and quota extensions from the database."""
        run = self.executors.keys.run
        await run(closing_connection(self.load_keys))
        self.quota_extensions = await run(closing_connection(load_quota_extensions))

    def set_public_url(self, url: str) -> None:
        """Set the address that links for holders begin with."""
        self.holder_notices = replace(self.holder_notices, public_url=url.rstrip("/"))

    def notice_of(self, decision: bytes) -> Notice | None:
        """Return where the holder reads a stored decision's statement, if an address is known."""
        return self.holder_notices.notice(msgspec.json.decode(decision))

    def quota_extension(self, account: str, now_ms: int) -> int:
        """Return the new chats that an account was given beyond its limit's in this cycle."""
        extended = self.quota_extensions.get(account, 0) > now_ms - CYCLE_MS
        return self.quota_config.extension * extended


def closing_connection(work: Callable[[], T]) -> Callable[[], T]:
    """Wrap work for a pool thread, so that the thread keeps no database connection."""

    def wrapped() -> T:
        try:
            return work()
        finally:
            # Closing within an open transaction would roll it back, and say nothing.
            if not connection.in_atomic_block:
                connection.close()

    return wrapped


async def run_query(work: Callable[[], T]) -> T:
    """Run a database query of a request in a thread."""
    return await sync_to_async(work)()


async def run_background_query(work: Callable[[], T]) -> T:
    """Run a database query of a background task in a thread, which keeps no connection.

    A request ends the connections of its threads; nothing ends that of a task, and one that broke
    with its database would stay broken.
    """
    return await asyncio.to_thread(closing_connection(work))


async def run_write(work: Callable[[], T]) -> T:
    """Run a database change in a thread, in one short transaction (`database.in_transaction`)."""
    return await sync_to_async(lambda: database.in_transaction(work))()


def run_in_transaction(work: Callable[[], T]) -> T:
    """Run a database change in one transaction and close the connection; for commands."""
    return closing_connection(lambda: database.in_transaction(work))()


def load_key_entries() -> list[KeyEntry]:
    """Load every stored key; one that this service did not make is reported, and not loaded."""
    return [
        KeyEntry(
            key.prefix,
            bytes(key.digest),
            key.name,
            frozenset(key.scopes.split()),
            key.rate,
            key.burst,
            None if key.ends_ms is None else key.ends_ms / 1000,
            key.owner or key.prefix,
            key.source,
            key.identifiers,
        )
        for key in authentic(ApiKey.objects.all())
    ]


def load_quota_extensions() -> dict[str, int]:
    """Load when accounts were last granted a quota extension, for the newest extensions."""
    newest = QuotaExtension.objects.order_by("-id").values_list("account", "at_ms")
    return dict(reversed(newest[:MAX_EXTENSIONS]))


def write_audit_entry(
    now_ms: int, key: str, action: str, target: str, reason: str, outcome: str = "done"
) -> int:
    """Write an audit entry in the transaction of the change; return its number."""
    entry = AuditEntry.objects.create(
        at_ms=now_ms, key=key, action=action, object=target, reason=reason, outcome=outcome
    )
    return int(entry.number)
