"""Operations of administrators: webhooks, API keys and the audit log."""

from __future__ import annotations

import secrets
from functools import partial
from typing import Annotated, Any

from django.http import HttpRequest
from ninja import Path, Router

from wavebreak.errors import WavebreakError
from wavebreak_server.errors import ApiError
from wavebreak_server.http.app_context import AppContext, run_query, run_write, write_audit_entry
from wavebreak_server.http.auth import SCOPES
from wavebreak_server.http.openapi import problems
from wavebreak_server.http.requests import ApiKeyAuth, RequestContext, StrictQuery
from wavebreak_server.slices import schemas
from wavebreak_server.slices.keys import service as api_keys
from wavebreak_server.slices.webhooks.service import check_url, message_id, secret_of
from wavebreak_server.storage.models import (
    DECISIONS,
    STATES,
    ApiKey,
    AuditEntry,
    Decision,
    Delivery,
    Webhook,
)

router = Router(auth=ApiKeyAuth("admin"), exclude_unset=True)

MAX_WEBHOOKS = 100
MAX_DEAD_LETTERS = 1000


def _webhook_response(webhook: Webhook, context: AppContext | None = None) -> schemas.Webhook:
    deliveries = Delivery.objects.filter(webhook=webhook)
    fields: dict[str, Any] = {
        "id": webhook.id,
        "url": webhook.url,
        "min_outcome": webhook.min_outcome,
        "kinds": webhook.kinds.split(),
        "created_ms": webhook.created_ms,
        "cursor": webhook.cursor,
        "pending": deliveries.filter(dead_lettered=False).count(),
        "dead_lettered": deliveries.filter(dead_lettered=True).count(),
        "failing_since_ms": webhook.failing_since_ms or None,
        "disabled_ms": webhook.disabled_ms or None,
    }
    if context is not None:
        fields["secret"] = secret_of(webhook, webhook.generation, context)
    return schemas.Webhook(**fields)


def _load_webhook(webhook_id: str, *, lock: bool = True) -> Webhook:
    rows = Webhook.objects.select_for_update() if lock else Webhook.objects
    webhook: Webhook | None = rows.filter(id=webhook_id).first()
    if webhook is None:
        raise ApiError(404, "the webhook does not exist", fix="list the webhooks")
    return webhook


@router.get("/v1/webhooks", response=schemas.Webhooks, summary="All webhooks.")
async def webhooks(request: HttpRequest) -> schemas.Webhooks:
    """Return every webhook."""
    ordered = Webhook.objects.order_by("created_ms", "id")
    listed = await run_query(lambda: [_webhook_response(webhook) for webhook in ordered])
    return schemas.Webhooks(webhooks=listed)


@router.post(
    "/v1/webhooks",
    response={201: schemas.Webhook},
    summary="Create a webhook: decisions, or enforcement states, are sent to its URL, signed. The "
    "secret is shown once.",
    openapi_extra=problems(409),
)
async def add_webhook(request: HttpRequest, new: schemas.NewWebhook) -> schemas.Webhook:
    """Create a webhook, which receives decisions made from now on."""
    context = RequestContext.of(request)
    app = context.app

    def create() -> schemas.Webhook:
        if Webhook.objects.count() >= MAX_WEBHOOKS:
            raise ApiError(409, f"there are already {MAX_WEBHOOKS} webhooks", fix="remove one")
        newest = Decision.objects.order_by("-number").values_list("number", flat=True).first()
        webhook = Webhook.objects.create(
            id=f"hook_{secrets.token_hex(8)}",
            url=new.url,
            min_outcome=new.min_outcome,
            kinds=" ".join(kind for kind in (DECISIONS, STATES) if kind in new.kinds),
            created_ms=context.now_ms,
            cursor=newest or 0,
            own_key_from=1,
        )
        write_audit_entry(context.now_ms, context.key, "add_webhook", webhook.id, new.reason)
        return _webhook_response(webhook, app)

    check = partial(check_url, new.url, app)
    try:
        await run_query(check)
    except WavebreakError as error:
        raise ApiError(422, error.what, fix=error.fix) from None
    return await run_write(create)


@router.delete(
    "/v1/webhooks/{webhook}",
    response={204: None},
    summary="Remove a webhook; nothing is sent to it any more.",
    openapi_extra=problems(404),
)
async def remove_webhook(
    request: HttpRequest,
    webhook: Path[schemas.WebhookId],
    query: Annotated[schemas.JustificationQuery, StrictQuery(...)],
) -> None:
    """Remove a webhook and its deliveries."""
    context = RequestContext.of(request)

    def remove() -> None:
        row = _load_webhook(webhook)
        write_audit_entry(context.now_ms, context.key, "remove_webhook", row.id, query.reason)
        row.delete()

    await run_write(remove)


@router.post(
    "/v1/webhooks/{webhook}/rotate",
    response=schemas.Webhook,
    summary="Rotate a webhook's secret; both secrets sign during the grace period.",
    openapi_extra=problems(404, 409),
)
async def rotate_webhook(
    request: HttpRequest, webhook: Path[schemas.WebhookId], change: schemas.Rotation
) -> schemas.Webhook:
    """Rotate a webhook's secret."""
    context = RequestContext.of(request)

    def rotate() -> schemas.Webhook:
        row = _load_webhook(webhook)
        if not row.is_authentic:
            raise ApiError(409, "the webhook was not made by this service", fix="remove it")
        row.generation += 1
        row.former_ends_ms = context.now_ms + change.grace_s * 1000
        row.own_key_from = row.own_key_from or row.generation
        row.save(update_fields=["generation", "former_ends_ms", "own_key_from"])
        write_audit_entry(context.now_ms, context.key, "rotate_webhook", row.id, change.reason)
        return _webhook_response(row, context.app)

    return await run_write(rotate)


@router.post(
    "/v1/webhooks/{webhook}/enable",
    response=schemas.Webhook,
    summary="Enable a webhook that was disabled after it had failed for too long; what it has "
    "missed is sent.",
    openapi_extra=problems(404, 409),
)
async def enable_webhook(
    request: HttpRequest, webhook: Path[schemas.WebhookId], change: schemas.Justification
) -> schemas.Webhook:
    """Enable a disabled webhook."""
    context = RequestContext.of(request)

    def enable() -> schemas.Webhook:
        row = _load_webhook(webhook)
        if not row.disabled_ms:
            raise ApiError(409, "the webhook is not disabled")
        row.disabled_ms = row.failing_since_ms = 0
        row.save(update_fields=["disabled_ms", "failing_since_ms"])
        write_audit_entry(context.now_ms, context.key, "enable_webhook", row.id, change.reason)
        return _webhook_response(row)

    enabled = await run_write(enable)
    context.app.deliveries_due.set()
    return enabled


@router.get(
    "/v1/webhooks/{webhook}/dead",
    response=schemas.DeadLetters,
    summary="A webhook's dead-lettered deliveries.",
    openapi_extra=problems(404),
)
async def dead_letters(
    request: HttpRequest, webhook: Path[schemas.WebhookId]
) -> schemas.DeadLetters:
    """Return the deliveries that used up their attempts."""

    def load() -> list[schemas.DeadLetter]:
        row = _load_webhook(webhook, lock=False)
        rows = Delivery.objects.filter(webhook=row, dead_lettered=True).order_by("number", "id")
        deliveries = rows[:MAX_DEAD_LETTERS]
        decisions = Decision.objects.filter(number__in=[one.number for one in deliveries])
        ids = dict(decisions.values_list("number", "id"))
        return [
            schemas.DeadLetter(
                number=one.number,
                message=one.message_id or message_id(ids[one.number], state=one.state),
                attempts=one.attempts,
                last_status=one.last_status,
                last_error=one.last_error,
            )
            for one in deliveries
        ]

    return schemas.DeadLetters(deliveries=await run_query(load))


@router.post(
    "/v1/webhooks/{webhook}/replay",
    response=schemas.ReplayResult,
    summary="Replay dead-lettered deliveries, or every decision after a number.",
    openapi_extra=problems(404),
)
async def replay_webhook(
    request: HttpRequest, webhook: Path[schemas.WebhookId], change: schemas.Replay
) -> schemas.ReplayResult:
    """Make dead-lettered deliveries pending again, and move the cursor back if asked."""
    context = RequestContext.of(request)

    def replay() -> schemas.ReplayResult:
        row = _load_webhook(webhook)
        if change.since is not None:
            row.cursor = min(change.since, row.cursor)
            Webhook.objects.filter(id=row.id).update(cursor=row.cursor)
        dead = Delivery.objects.filter(webhook=row, dead_lettered=True)
        replayed = dead.update(dead_lettered=False, attempts=0, next_ms=context.now_ms)
        write_audit_entry(context.now_ms, context.key, "replay_webhook", row.id, change.reason)
        return schemas.ReplayResult(replayed=replayed, cursor=row.cursor)

    result = await run_write(replay)
    context.app.deliveries_due.set()
    return result


def key_response(key: ApiKey, text: str = "") -> schemas.Key:
    """Return a key without its secret, or with its `text` when it is created."""
    scopes = key.scopes.split()
    fields: dict[str, Any] = {"text": text} if text else {}
    if key.source:
        fields["source"] = key.source
    if key.identifiers:
        fields["identifiers"] = True
    return schemas.Key(
        prefix=key.prefix,
        name=key.name,
        scopes=[scope for scope in SCOPES if scope in scopes],
        rate=key.rate,
        burst=key.burst,
        created_ms=key.created_ms,
        ends_ms=key.ends_ms,
        **fields,
    )


@router.get(
    "/v1/keys",
    response=schemas.Keys,
    summary="All API keys, without their secrets.",
)
async def keys(request: HttpRequest) -> schemas.Keys:
    """Return every key."""
    return schemas.Keys(keys=[key_response(key) for key in await run_query(api_keys.list_keys)])


@router.post(
    "/v1/keys",
    response={201: schemas.Key},
    summary="Create an API key. Its text is shown once.",
)
async def add_key(request: HttpRequest, new: schemas.NewKey) -> schemas.Key:
    """Create a key."""
    context = RequestContext.of(request)
    created = await run_write(
        lambda: api_keys.create_key(
            new.name,
            new.scopes,
            context.now_ms,
            context.key,
            new.reason,
            rate=new.rate,
            burst=new.burst,
            source=new.source or "",
            identifiers=new.identifiers,
        )
    )
    await context.app.refresh()
    return key_response(*created)


@router.post(
    "/v1/keys/{prefix}/rotate",
    response={201: schemas.Key},
    summary="Create a key's successor; the old key stays valid for a grace period.",
    openapi_extra=problems(404, 409),
)
async def rotate_key(
    request: HttpRequest, prefix: Path[schemas.KeyPrefix], change: schemas.Rotation
) -> schemas.Key:
    """Create a key's successor."""
    context = RequestContext.of(request)
    arguments = (prefix, change.grace_s, context.now_ms, context.key, change.reason)
    created = await run_write(lambda: api_keys.rotate_key(*arguments))
    await context.app.refresh()
    return key_response(*created)


@router.delete(
    "/v1/keys/{prefix}",
    response={204: None},
    summary="Revoke a key at once.",
    openapi_extra=problems(404),
)
async def revoke_key(
    request: HttpRequest,
    prefix: Path[schemas.KeyPrefix],
    query: Annotated[schemas.JustificationQuery, StrictQuery(...)],
) -> None:
    """Revoke a key."""
    context = RequestContext.of(request)
    arguments = (prefix, context.now_ms, context.key, query.reason)
    await run_write(lambda: api_keys.revoke_key(*arguments))
    await context.app.refresh()


@router.get(
    "/v1/audit",
    response=schemas.AuditLog,
    summary="The audit log: who changed what, when and why.",
)
async def audit(
    request: HttpRequest, query: Annotated[schemas.PageQuery, StrictQuery(...)]
) -> schemas.AuditLog:
    """Return a page of the audit log."""
    rows = await run_query(lambda: list(AuditEntry.objects.after(query.since)[: query.limit]))
    return schemas.AuditLog(
        entries=[schemas.AuditLogEntry.model_validate(row) for row in rows],
        next=query.next_page(row.number for row in rows),
    )
