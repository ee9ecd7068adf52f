"""Webhooks: set up, rotated, looked into, played again, removed."""

from __future__ import annotations

import secrets
from functools import partial

from msgspec import UNSET

from wavebreak.errors import WavebreakError
from wavebreak.reaching import reach
from wavebreak.service import shapes, signing
from wavebreak.service.desk import changed, read, write
from wavebreak.service.models import Decision
from wavebreak.service.problems import RefusedError
from wavebreak.service.replying import Call
from wavebreak.service.tables import Hook, Letter

MOST = 100
SHOWN = 1000


def _shown(hook: Hook, secret: bytes | None = None) -> shapes.Webhook:
    letters = Letter.objects.filter(hook=hook)
    return shapes.Webhook(
        id=hook.id, url=hook.url, least=hook.least, created_ms=hook.created_ms,
        cursor=hook.cursor, waiting=letters.filter(dead=False).count(),
        dead=letters.filter(dead=True).count(),
        secret=UNSET if secret is None else signing.secret(secret, hook.id, hook.generation),
    )  # fmt: skip


def _hook(call: Call, *, lock: bool = True) -> Hook:
    held = Hook.objects.select_for_update() if lock else Hook.objects
    found: Hook | None = held.filter(id=call.path["webhook"]).first()
    if found is None:
        raise RefusedError(404, "there is no such webhook")
    return found


async def webhooks(_call: Call) -> shapes.Webhooks:
    """Answer with every webhook."""
    made = await read(lambda: [_shown(hook) for hook in Hook.objects.order_by("created_ms", "id")])
    return shapes.Webhooks(tuple(made))


async def add_webhook(call: Call) -> shapes.Webhook:
    """Set a webhook up; it gets decisions that are made from now on."""
    asked, desk = call.body, call.desk

    def add() -> shapes.Webhook:
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
        await read(partial(reach, asked.url, resolver=desk.resolver, allow_private=desk.private))
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


async def rotate_webhook(call: Call) -> shapes.Webhook:
    """Give a webhook a new secret; the former signs too for the grace that is asked."""

    def rotate() -> shapes.Webhook:
        hook = _hook(call)
        hook.generation += 1
        hook.former_ends_ms = call.now_ms + call.body.grace_s * 1000
        hook.save(update_fields=["generation", "former_ends_ms"])
        changed(call.now_ms, call.key, "rotate_webhook", hook.id, call.body.reason)
        return _shown(hook, call.desk.secret)

    return await write(rotate)


async def dead_letters(call: Call) -> shapes.Deliveries:
    """Answer with what could not be delivered."""

    def find() -> list[shapes.Delivery]:
        letters = Letter.objects.filter(hook=_hook(call, lock=False), dead=True).order_by("number")[
            :SHOWN
        ]
        ids = dict(
            Decision.objects.filter(number__in=[one.number for one in letters])
            .values_list("number", "id")
        )  # fmt: skip
        return [
            shapes.Delivery(
                number=one.number, message=f"dec_{ids[one.number]}", attempts=one.attempts,
                last_status=one.last_status, last_error=one.last_error,
            )
            for one in letters
        ]  # fmt: skip

    return shapes.Deliveries(tuple(await read(find)))


async def replay_webhook(call: Call) -> shapes.Replayed:
    """Have dead letters, or all decisions after a number, sent again."""
    since = call.body.since

    def revive() -> shapes.Replayed:
        hook = _hook(call)
        if isinstance(since, int):
            hook.cursor = min(since, hook.cursor)
            hook.save(update_fields=["cursor"])
        dead = Letter.objects.filter(hook=hook, dead=True)
        revived = dead.update(dead=False, attempts=0, next_ms=call.now_ms)
        changed(call.now_ms, call.key, "replay_webhook", hook.id, call.body.reason)
        return shapes.Replayed(revived=revived, cursor=hook.cursor)

    made = await write(revive)
    call.desk.due.set()
    return made
