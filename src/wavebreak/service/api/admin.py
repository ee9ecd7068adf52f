"""Keys as they are kept: made, listed, rotated with grace, ended.

Webhooks: set up, rotated, looked into, played again, removed.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from functools import partial

from msgspec import UNSET

from wavebreak.errors import WavebreakError
from wavebreak.service import auth
from wavebreak.service import webhooks as signing
from wavebreak.service.api import schemas
from wavebreak.service.api.requests import Call
from wavebreak.service.app_context import changed, read, write
from wavebreak.service.errors import RefusedError
from wavebreak.service.models import ApiKey, Decision, Hook, Letter
from wavebreak.ssrf_guard import resolve_target

_UNKNOWN = "there is no such key, or it has ended"


def shown(key: ApiKey, text: str = "") -> schemas.Key:
    """A key as it may be shown; with its `text` when it is made."""
    scopes = key.scopes.split()
    return schemas.Key(
        prefix=key.prefix, name=key.name, scopes=tuple(s for s in auth.SCOPES if s in scopes),
        rate=key.rate, burst=key.burst, created_ms=key.created_ms, ends_ms=key.ends_ms,
        text=text or UNSET,
    )  # fmt: skip


def add(
    name: str, scopes: Iterable[str], now_ms: int, by: str, reason: str, *, rate: float = 1000.0,
    burst: float = 2000.0,
) -> schemas.Key:  # fmt: skip
    """Make a key and keep its hash; its text is in what is returned and nowhere else."""
    fresh = auth.make()
    made = ApiKey.objects.create(
        prefix=fresh.prefix, digest=fresh.digest, name=name, rate=rate, burst=burst,
        scopes=" ".join(s for s in auth.SCOPES if s in set(scopes)), created_ms=now_ms,
    )  # fmt: skip
    changed(now_ms, by, "add_key", fresh.prefix, reason)
    return shown(made, fresh.text)


def _living(prefix: str, now_ms: int) -> ApiKey:
    found: ApiKey | None = ApiKey.objects.filter(prefix=prefix).first()
    if found is None or (found.ends_ms is not None and found.ends_ms <= now_ms):
        raise RefusedError(404, _UNKNOWN)
    return found


def rotate(prefix: str, grace_s: int, now_ms: int, by: str, reason: str) -> schemas.Key:
    """Make a key's successor with the same scopes and rate; the former ends after the grace.

    Raises RefusedError for a key that has ended (404) or is being rotated already (409).
    """
    former = _living(prefix, now_ms)
    if former.ends_ms is not None:
        raise RefusedError(409, "the key has a successor already")
    former.ends_ms = now_ms + grace_s * 1000
    former.save()
    changed(now_ms, by, "rotate_key", prefix, reason)
    return add(
        former.name, former.scopes.split(), now_ms, by, f"successor of {prefix}",
        rate=former.rate, burst=former.burst,
    )  # fmt: skip


def revoke(prefix: str, now_ms: int, by: str, reason: str) -> None:
    """End a key at once; raises RefusedError (404) where there is none that lives."""
    former = _living(prefix, now_ms)
    former.ends_ms = now_ms
    former.save()
    changed(now_ms, by, "revoke_key", prefix, reason)


def listed() -> list[schemas.Key]:
    """Every key, oldest first."""
    return [shown(key) for key in ApiKey.objects.order_by("created_ms", "prefix")]


async def all_keys(_call: Call) -> schemas.Keys:
    """Answer with every key."""
    return schemas.Keys(tuple(await read(listed)))


async def add_key(call: Call) -> schemas.Key:
    """Answer with a new key."""
    asked = call.body
    made = await write(
        lambda: add(asked.name, asked.scopes, call.now_ms, call.key, asked.reason,
                    rate=asked.rate, burst=asked.burst)
    )  # fmt: skip
    await call.desk.refresh()
    return made


async def rotate_key(call: Call) -> schemas.Key:
    """Answer with a key's successor."""
    prefix, asked = call.path["prefix"], call.body
    made = await write(lambda: rotate(prefix, asked.grace_s, call.now_ms, call.key, asked.reason))
    await call.desk.refresh()
    return made


async def revoke_key(call: Call) -> None:
    """End a key."""
    prefix, reason = call.path["prefix"], call.query.reason
    await write(lambda: revoke(prefix, call.now_ms, call.key, reason))
    await call.desk.refresh()


MOST = 100
SHOWN = 1000


def _shown(hook: Hook, secret: bytes | None = None) -> schemas.Webhook:
    letters = Letter.objects.filter(hook=hook)
    return schemas.Webhook(
        id=hook.id, url=hook.url, least=hook.least, created_ms=hook.created_ms,
        cursor=hook.cursor, waiting=letters.filter(dead=False).count(),
        dead=letters.filter(dead=True).count(),
        secret=UNSET if secret is None
        else signing.webhook_secret(secret, hook.id, hook.generation),
    )  # fmt: skip


def _hook(call: Call, *, lock: bool = True) -> Hook:
    held = Hook.objects.select_for_update() if lock else Hook.objects
    found: Hook | None = held.filter(id=call.path["webhook"]).first()
    if found is None:
        raise RefusedError(404, "there is no such webhook")
    return found


async def webhooks(_call: Call) -> schemas.Webhooks:
    """Answer with every webhook."""
    made = await read(lambda: [_shown(hook) for hook in Hook.objects.order_by("created_ms", "id")])
    return schemas.Webhooks(tuple(made))


async def add_webhook(call: Call) -> schemas.Webhook:
    """Set a webhook up; it gets decisions that are made from now on."""
    asked, desk = call.body, call.desk

    def add() -> schemas.Webhook:
        if Hook.objects.count() >= MOST:
            raise RefusedError(409, f"there are {MOST} webhooks already", fix="remove one")
        newest = Decision.objects.order_by("-number").values_list("number", flat=True).first()
        hook = Hook.objects.create(
            id=f"hook_{secrets.token_hex(8)}", url=asked.url, least=asked.least,
            created_ms=call.now_ms, cursor=newest or 0,
        )  # fmt: skip
        changed(call.now_ms, call.key, "add_webhook", hook.id, asked.reason)
        return _shown(hook, call.desk.secret)

    try:
        await read(
            partial(resolve_target, asked.url, resolver=desk.resolver, allow_private=desk.private)
        )
    except WavebreakError as error:
        raise RefusedError(422, error.what, fix=error.fix) from None
    return await write(add)


async def remove_webhook(call: Call) -> None:
    """Remove a webhook and its letters."""

    def remove() -> None:
        hook = _hook(call)
        changed(call.now_ms, call.key, "remove_webhook", hook.id, call.query.reason)
        hook.delete()

    await write(remove)


async def rotate_webhook(call: Call) -> schemas.Webhook:
    """Give a webhook a new secret; the former signs too for the grace that is asked."""

    def rotate() -> schemas.Webhook:
        hook = _hook(call)
        hook.generation += 1
        hook.former_ends_ms = call.now_ms + call.body.grace_s * 1000
        hook.save(update_fields=["generation", "former_ends_ms"])
        changed(call.now_ms, call.key, "rotate_webhook", hook.id, call.body.reason)
        return _shown(hook, call.desk.secret)

    return await write(rotate)


async def dead_letters(call: Call) -> schemas.Deliveries:
    """Answer with what could not be delivered."""

    def find() -> list[schemas.Delivery]:
        letters = Letter.objects.filter(hook=_hook(call, lock=False), dead=True).order_by("number")[
            :SHOWN
        ]
        ids = dict(
            Decision.objects.filter(number__in=[one.number for one in letters])
            .values_list("number", "id")
        )  # fmt: skip
        return [
            schemas.Delivery(
                number=one.number, message=f"dec_{ids[one.number]}", attempts=one.attempts,
                last_status=one.last_status, last_error=one.last_error,
            )
            for one in letters
        ]  # fmt: skip

    return schemas.Deliveries(tuple(await read(find)))


async def replay_webhook(call: Call) -> schemas.Replayed:
    """Have dead letters, or all decisions after a number, sent again."""
    since = call.body.since

    def revive() -> schemas.Replayed:
        hook = _hook(call)
        if isinstance(since, int):
            hook.cursor = min(since, hook.cursor)
            hook.save(update_fields=["cursor"])
        dead = Letter.objects.filter(hook=hook, dead=True)
        revived = dead.update(dead=False, attempts=0, next_ms=call.now_ms)
        changed(call.now_ms, call.key, "replay_webhook", hook.id, call.body.reason)
        return schemas.Replayed(revived=revived, cursor=hook.cursor)

    made = await write(revive)
    call.desk.due.set()
    return made
