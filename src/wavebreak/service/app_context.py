"""What answers of the API need beside the service itself, made once at the start."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from asgiref.sync import sync_to_async
from django.db import connection, transaction

from wavebreak.service.auth import Entry, Ring
from wavebreak.service.decide import CYCLE_S, Terms
from wavebreak.service.models import ApiKey, Change, Extension
from wavebreak.service.observability import Metrics
from wavebreak.ssrf_guard import Resolver, resolve_host

T = TypeVar("T")

CYCLE_MS = CYCLE_S * 1000
EXTENSIONS = 10_000
"""So many extensions are remembered by `decide`."""


@dataclass
class Desk:
    """What every view is given.

    `secret` signs webhooks; `private` lets them go to addresses that are not public, `resolver`
    finds their addresses. `quota` is how many new chats a limited account has; `given`
    says when an account was last given more (ms). `streams` counts those that are open; `due`
    is set when letters are due anew.
    """

    ring: Ring
    metrics: Metrics
    terms: Terms
    quota: int
    secret: bytes
    private: bool = False
    resolver: Resolver = resolve_host
    given: dict[str, int] = field(default_factory=dict)
    streams: int = 0
    due: asyncio.Event = field(default_factory=asyncio.Event)

    async def refresh(self) -> None:
        """Read the keys again, and who was given more chats."""
        self.ring.replace(await asyncio.to_thread(closing(entries)))
        self.given = await asyncio.to_thread(closing(given))

    def quota_of(self, account: str, now_ms: int) -> int:
        """New chats that a limited account has in the cycle that ends now."""
        extended = self.given.get(account, 0) > now_ms - CYCLE_MS
        return self.quota + self.terms.extension * extended


def closing(work: Callable[[], T]) -> Callable[[], T]:
    """Work for a thread of a pool, which is to keep no connection."""

    def whole() -> T:
        try:
            return work()
        finally:
            connection.close()

    return whole


async def read(work: Callable[[], T]) -> T:
    """Read from the database, in a thread."""
    return await sync_to_async(work)()


async def write(work: Callable[[], T]) -> T:
    """Change the database, in a thread and one short transaction."""
    return await sync_to_async(_whole(work))()


def alone(work: Callable[[], T]) -> T:
    """Change the database in one transaction, by a command that then leaves it."""
    return closing(_whole(work))()


def _whole(work: Callable[[], T]) -> Callable[[], T]:
    def whole() -> T:
        with transaction.atomic():
            return work()

    return whole


def entries() -> list[Entry]:
    """Every key that is kept."""
    return [
        Entry(
            k.prefix, bytes(k.digest), k.name, frozenset(k.scopes.split()), k.rate, k.burst,
            None if k.ends_ms is None else k.ends_ms / 1000,
        )
        for k in ApiKey.objects.all()
    ]  # fmt: skip


def given() -> dict[str, int]:
    """When accounts were last given more chats, for the newest of them."""
    newest = Extension.objects.order_by("-id").values_list("account", "at_ms")[:EXTENSIONS]
    return dict(reversed(newest))


def changed(
    now_ms: int, key: str, action: str, what: str, reason: str, outcome: str = "done"
) -> int:
    """Write a line of the audit, in the transaction of what it tells; gives its number."""
    made = Change.objects.create(
        at_ms=now_ms, key=key, action=action, object=what, reason=reason, outcome=outcome
    )
    return int(made.number)
