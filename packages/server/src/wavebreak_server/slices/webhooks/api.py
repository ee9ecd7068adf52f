"""Operations on webhooks, and on their deliveries that failed."""

from __future__ import annotations

import secrets
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta

from wavebreak.errors import WavebreakError
from wavebreak.outcomes import RefusingOutcome
from wavebreak_server.errors import ApiError
from wavebreak_server.http.app_context import AppContext, run_query, run_write, write_audit_entry
from wavebreak_server.http.operations import RequestContext, Router
from wavebreak_server.http.schemas import DecisionNumber, Justification, Response, Rotation
from wavebreak_server.service_plugins import plugin_webhook_kinds
from wavebreak_server.slices.webhooks.service import check_url, message_id, secret_of
from wavebreak_server.storage import models
from wavebreak_server.texts import translate

WEBHOOK_KINDS: tuple[str, ...] = (models.DECISIONS, models.STATES, *plugin_webhook_kinds())
"""What a webhook may receive: of each decision, and the messages of plug-ins by their kind."""
if TYPE_CHECKING:
    WebhookKind = str
else:
    WebhookKind = Literal[WEBHOOK_KINDS]
WebhookId = Annotated[str, Meta(description="the webhook's id")]


class NewWebhook(Justification):
    """A webhook to create: its URL, and the least severe outcome that it receives.

    What lifts such an outcome is received too, as `state.changed` where it is no decision. `kinds`:
    the decisions, the enforcement states that they leave, or both.
    """

    url: Annotated[str, Meta(min_length=10, max_length=2000, pattern=r"^https?://[^\s\x00-\x1f]+$")]
    min_outcome: RefusingOutcome = "challenge"
    kinds: Annotated[tuple[WebhookKind, ...], Meta(min_length=1, max_length=len(WEBHOOK_KINDS))] = (
        "decisions",
    )

    def __post_init__(self) -> None:
        """Raise ValueError for a kind that is named twice, and a reason of blanks."""
        super().__post_init__()
        if len(set(self.kinds)) < len(self.kinds):
            raise ValueError("kinds: name each once")


class Webhook(Response):
    """A webhook; `secret` is present only when it is created or rotated.

    `failing_since_ms` is its first failure since the last success, `disabled_ms` when it was
    disabled because it had failed for too long.
    """

    id: str
    url: str
    min_outcome: str
    kinds: list[WebhookKind]
    created_ms: int
    cursor: int
    pending: int
    dead_lettered: int
    failing_since_ms: int | None
    disabled_ms: int | None
    secret: str | msgspec.UnsetType = msgspec.UNSET


class Webhooks(Response):
    """All webhooks."""

    webhooks: list[Webhook]


class DeadLetter(Response):
    """A delivery that used up its attempts, with the result of the last one.

    `number` is the decision's; null for another message.
    """

    number: int | None
    message: str
    attempts: int
    last_status: int | None
    last_error: str


class DeadLetters(Response):
    """Dead-lettered deliveries of a webhook, oldest first."""

    deliveries: list[DeadLetter]


class Replay(Justification):
    """What to replay: dead-lettered deliveries and, with `since`, all decisions after a number."""

    since: DecisionNumber | None = None


class ReplayResult(Response):
    """How many dead-lettered deliveries are pending again, and the webhook's cursor."""

    replayed: int
    cursor: int


router = Router("admin")

MAX_WEBHOOKS = 100
MAX_DEAD_LETTERS = 1000


def _webhook_response(webhook: models.Webhook, context: AppContext | None = None) -> Webhook:
    deliveries = models.Delivery.objects.filter(webhook=webhook)
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
    return Webhook(**fields)


def _load_webhook(webhook_id: str, *, lock: bool = True) -> models.Webhook:
    rows = models.Webhook.objects.select_for_update() if lock else models.Webhook.objects
    webhook: models.Webhook | None = rows.filter(id=webhook_id).first()
    if webhook is None:
        raise ApiError(
            404, translate("the webhook does not exist"), fix=translate("list the webhooks")
        )
    return webhook


@router.operation("GET", "/v1/webhooks", "All webhooks.")
async def webhooks(context: RequestContext) -> Webhooks:
    """Return every webhook."""
    ordered = models.Webhook.objects.order_by("created_ms", "id")
    listed = await run_query(lambda: [_webhook_response(webhook) for webhook in ordered])
    return Webhooks(webhooks=listed)


@router.operation(
    "POST",
    "/v1/webhooks",
    "Create a webhook: decisions, or enforcement states, are sent to its URL, signed. The "
    "secret is shown once.",
    409,
    statuses=(201,),
)
async def add_webhook(context: RequestContext, body: NewWebhook) -> Webhook:
    """Create a webhook, which receives decisions made from now on."""
    app = context.app

    def create() -> Webhook:
        if models.Webhook.objects.count() >= MAX_WEBHOOKS:
            raise ApiError(
                409,
                translate("there are already {max_webhooks} webhooks", max_webhooks=MAX_WEBHOOKS),
                fix=translate("remove one"),
            )
        newest = (
            models.Decision.objects.order_by("-number").values_list("number", flat=True).first()
        )
        webhook = models.Webhook.objects.create(
            id=f"hook_{secrets.token_hex(8)}",
            url=body.url,
            min_outcome=body.min_outcome,
            kinds=" ".join(kind for kind in WEBHOOK_KINDS if kind in body.kinds),
            created_ms=context.now_ms,
            cursor=newest or 0,
            own_key_from=1,
        )
        write_audit_entry(context.now_ms, context.key, "add_webhook", webhook.id, body.reason)
        return _webhook_response(webhook, app)

    check = partial(check_url, body.url, app)
    try:
        await run_query(check)
    except WavebreakError as error:
        raise ApiError(422, error.what, fix=error.fix) from None
    return await run_write(create)


@router.operation(
    "DELETE",
    "/v1/webhooks/{webhook}",
    "Remove a webhook; nothing is sent to it any more.",
    404,
    statuses=(204,),
)
async def remove_webhook(context: RequestContext, webhook: WebhookId, query: Justification) -> None:
    """Remove a webhook and its deliveries."""

    def remove() -> None:
        row = _load_webhook(webhook)
        write_audit_entry(context.now_ms, context.key, "remove_webhook", row.id, query.reason)
        row.delete()

    await run_write(remove)


@router.operation(
    "POST",
    "/v1/webhooks/{webhook}/rotate",
    "Rotate a webhook's secret; both secrets sign during the grace period.",
    404,
    409,
)
async def rotate_webhook(context: RequestContext, webhook: WebhookId, body: Rotation) -> Webhook:
    """Rotate a webhook's secret."""

    def rotate() -> Webhook:
        row = _load_webhook(webhook)
        if not row.is_authentic:
            raise ApiError(
                409,
                translate("the webhook was not made by this service"),
                fix=translate("remove it"),
            )
        if body.grace_s and context.now_ms < row.former_ends_ms:
            # A request that is sent twice would end the grace of the secret in use.
            raise ApiError(
                409,
                translate("the secret was rotated, and the grace of the former one lasts"),
                fix=translate(
                    "wait for its end, or rotate with grace_s 0, which ends both former secrets"
                ),
            )
        row.generation += 1
        row.former_ends_ms = context.now_ms + body.grace_s * 1000
        row.own_key_from = row.own_key_from or row.generation
        row.save(update_fields=["generation", "former_ends_ms", "own_key_from"])
        write_audit_entry(context.now_ms, context.key, "rotate_webhook", row.id, body.reason)
        return _webhook_response(row, context.app)

    return await run_write(rotate)


@router.operation(
    "POST",
    "/v1/webhooks/{webhook}/enable",
    "Enable a webhook that was disabled after it had failed for too long; what it has "
    "missed is sent.",
    404,
    409,
)
async def enable_webhook(
    context: RequestContext, webhook: WebhookId, body: Justification
) -> Webhook:
    """Enable a disabled webhook."""

    def enable() -> Webhook:
        row = _load_webhook(webhook)
        if not row.disabled_ms:
            raise ApiError(409, translate("the webhook is not disabled"))
        row.disabled_ms = row.failing_since_ms = 0
        row.save(update_fields=["disabled_ms", "failing_since_ms"])
        write_audit_entry(context.now_ms, context.key, "enable_webhook", row.id, body.reason)
        return _webhook_response(row)

    enabled = await run_write(enable)
    context.app.deliveries_due.set()
    return enabled


@router.operation(
    "GET", "/v1/webhooks/{webhook}/dead", "A webhook's dead-lettered deliveries.", 404
)
async def dead_letters(context: RequestContext, webhook: WebhookId) -> DeadLetters:
    """Return the deliveries that used up their attempts."""

    def load() -> list[DeadLetter]:
        row = _load_webhook(webhook, lock=False)
        rows = models.Delivery.objects.filter(webhook=row, dead_lettered=True).order_by(
            "number", "id"
        )
        deliveries = rows[:MAX_DEAD_LETTERS]
        decisions = models.Decision.objects.filter(number__in=[one.number for one in deliveries])
        ids = dict(decisions.values_list("number", "id"))
        return [
            DeadLetter(
                number=one.number,
                message=one.message_id or message_id(ids[one.number], state=one.state),
                attempts=one.attempts,
                last_status=one.last_status,
                last_error=one.last_error,
            )
            for one in deliveries
        ]

    return DeadLetters(deliveries=await run_query(load))


@router.operation(
    "POST",
    "/v1/webhooks/{webhook}/replay",
    "Replay dead-lettered deliveries, or every decision after a number.",
    404,
)
async def replay_webhook(context: RequestContext, webhook: WebhookId, body: Replay) -> ReplayResult:
    """Make dead-lettered deliveries pending again, and move the cursor back if asked."""

    def replay() -> ReplayResult:
        row = _load_webhook(webhook)
        if body.since is not None:
            row.cursor = min(body.since, row.cursor)
            models.Webhook.objects.filter(id=row.id).update(cursor=row.cursor)
        dead = models.Delivery.objects.filter(webhook=row, dead_lettered=True)
        replayed = dead.update(dead_lettered=False, attempts=0, next_ms=context.now_ms)
        write_audit_entry(context.now_ms, context.key, "replay_webhook", row.id, body.reason)
        return ReplayResult(replayed=replayed, cursor=row.cursor)

    result = await run_write(replay)
    context.app.deliveries_due.set()
    return result
