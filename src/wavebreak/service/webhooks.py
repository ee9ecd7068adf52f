"""Webhook dispatcher: decisions delivered at least once, signed, with exponential backoff.

`enqueue_deliveries` inserts a delivery for each webhook and decision, in the transaction that moves
the webhook's cursor. The delivery is deleted when the receiver returns 2xx and dead-lettered when
its attempts are used up. The message id is derived from the decision's, so that receivers can
ignore duplicates.

Signatures follow the Standard Webhooks convention (HMAC-SHA-256). Secrets are not stored: each is
derived from the deployment's key, the webhook's id and a generation number, so that a copy of the
database cannot sign.

Messages that are no decisions (`platform_messages`) are delivered in the same way.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import NamedTuple

import httpx
import msgspec
import structlog
from django.db import transaction

from wavebreak.errors import WavebreakError
from wavebreak.features.layout import OUTCOMES
from wavebreak.service.app_context import AppContext, closing_connection
from wavebreak.service.holder_notices import Notice
from wavebreak.service.ledger_store import LedgerStore
from wavebreak.service.models import Decision, Delivery, Webhook
from wavebreak.service.platform_messages import message_body, remove_delivered
from wavebreak.service.service import Service
from wavebreak.ssrf_guard import PinnedTransport

logger = structlog.stdlib.get_logger("wavebreak.webhooks")

PREFIX = "whsec_"
BATCH_SIZE = 500
MAX_IN_FLIGHT, MAX_IN_FLIGHT_PER_WEBHOOK = 16, 4
PACE_S = 0.1
"""Minimum time between two queries for new decisions; the first after a pause is immediate."""
IDLE_S = 1.0
"""Maximum time between two queries for due deliveries."""
GONE = 410


def webhook_secret(key: bytes, webhook: str, generation: int) -> str:
    """Derive a webhook's secret of a generation: `whsec_` and 32 bytes in base64.

    >>> webhook_secret(b"0" * 16, "webhook", 1).startswith("whsec_")
    True
    >>> webhook_secret(b"0" * 16, "webhook", 1) == webhook_secret(b"0" * 16, "webhook", 2)
    False
    """
    message = f"wavebreak webhook\0{webhook}\0{generation}".encode()
    return PREFIX + base64.b64encode(hmac.digest(key, message, hashlib.sha256)).decode()


def signature_headers(
    secrets: Sequence[str], message: str, at_s: int, body: bytes
) -> dict[str, str]:
    """Return headers that sign `body` as `message` at `at_s` (seconds), once per secret.

    During a rotation both secrets sign, so that a receiver may know either.

    >>> sorted(signature_headers(["whsec_MDAwMA=="], "msg_1", 0, b"{}"))
    ['webhook-id', 'webhook-signature', 'webhook-timestamp']
    """
    content = f"{message}.{at_s}.".encode() + body
    keys = [base64.b64decode(s.removeprefix(PREFIX)) for s in secrets]
    signed = (base64.b64encode(hmac.digest(k, content, hashlib.sha256)).decode() for k in keys)
    return {
        "webhook-id": message,
        "webhook-timestamp": str(at_s),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signed),
    }


@dataclass(frozen=True)
class RetryPolicy:
    """The retry schedule of deliveries. Times in seconds.

    The wait after the n-th attempt is `first_s * factor**(n-1)`, at most `longest_s`, times a
    random factor between 0.5 and 1.5; after `attempts` the delivery is dead-lettered. `answer_s`
    bounds each network operation of an attempt, `whole_s` the whole attempt.
    """

    attempts: int = 12
    first_s: float = 2.0
    factor: float = 3.0
    longest_s: float = 21_600.0
    answer_s: float = 10.0
    whole_s: float = 30.0

    def wait_s(self, attempts: int, draw: float) -> float:
        """Return the seconds to wait after this many attempts; `draw` is from 0 to 1.

        >>> [round(RetryPolicy().wait_s(n, 0.5)) for n in (1, 2, 3, 10)]
        [2, 6, 18, 21600]
        """
        wait = min(self.longest_s, self.first_s * self.factor ** (attempts - 1))
        return wait * (0.5 + draw)


class DueDelivery(NamedTuple):
    """A delivery that is due, with everything that an attempt needs."""

    delivery: int
    webhook: str
    number: int | None
    attempts: int
    url: str
    secrets: tuple[str, ...]
    message: str
    body: bytes


class AttemptResult(NamedTuple):
    """The result of an attempt: status (None: no response), error name, and requested wait."""

    status: int | None
    error: str = ""
    wait_s: float = 0.0

    @property
    def delivered(self) -> bool:
        """Whether the receiver returned 2xx."""
        return self.status is not None and 200 <= self.status < 300


def enqueue_deliveries(now_ms: int) -> int:
    """Insert deliveries of decisions behind each webhook's cursor; return how many were read.

    The cursor moves in the same transaction.
    """
    read = 0
    with transaction.atomic():
        for webhook in Webhook.objects.select_for_update():
            newer = Decision.objects.after(webhook.cursor).values_list("number", "outcome")
            numbers = list(newer[:BATCH_SIZE])
            if not numbers:
                continue
            minimum = OUTCOMES.index(webhook.min_outcome)
            deliveries = [
                Delivery(webhook=webhook, number=number, next_ms=now_ms)
                for number, outcome in numbers
                if OUTCOMES.index(outcome) >= minimum
            ]
            Delivery.objects.bulk_create(deliveries, ignore_conflicts=True)
            Webhook.objects.filter(id=webhook.id).update(cursor=numbers[-1][0])
            read += len(numbers)
    return read


def webhook_body(number: int, ts: int, decision: bytes, notice: Notice | None = None) -> bytes:
    """Return a message's body: its type, time, the decision as it is stored, and its notice.

    The notice is where the holder reads the statement of reasons, and from when.

    >>> webhook_body(7, 0, b"{}")
    b'{"type":"decision.made","timestamp":"1970-01-01T00:00:00.000Z","number":7,"data":{}}'
    """
    at = datetime.fromtimestamp(ts / 1000, UTC).isoformat(timespec="milliseconds")
    head = f'{{"type":"decision.made","timestamp":"{at[:-6]}Z","number":{number},"data":'
    if notice is None:
        return head.encode() + decision + b"}"
    return head.encode() + decision + b',"notice":' + msgspec.json.encode(notice) + b"}"


def load_due_deliveries(
    now_ms: int,
    key: bytes,
    in_flight: Counter[str],
    excluded: set[int],
    notice_of: Callable[[bytes], Notice | None] = lambda _decision: None,
) -> list[DueDelivery]:
    """Return deliveries to attempt now, within the limits that the running ones leave.

    `notice_of` returns where the holder of a decision's account reads its statement.
    """
    due = Delivery.objects.filter(dead_lettered=False, next_ms__lte=now_ms)
    due = due.select_related("webhook", "message").exclude(id__in=excluded)
    due = due.order_by("next_ms", "number", "id")
    loaded: list[DueDelivery] = []
    per_webhook = Counter(in_flight)
    for delivery in due[:BATCH_SIZE]:
        webhook = delivery.webhook
        full = len(loaded) + len(excluded) >= MAX_IN_FLIGHT
        if full or per_webhook[webhook.id] >= MAX_IN_FLIGHT_PER_WEBHOOK:
            continue
        content = _content(delivery, key, notice_of)
        if content is None:
            continue
        per_webhook[webhook.id] += 1
        generations = [webhook.generation]
        if now_ms < webhook.former_ends_ms:
            generations.append(webhook.generation - 1)
        loaded.append(
            DueDelivery(
                delivery=delivery.id,
                webhook=webhook.id,
                number=delivery.number,
                attempts=delivery.attempts,
                url=webhook.url,
                secrets=tuple(webhook_secret(key, webhook.id, g) for g in generations),
                message=content[0],
                body=content[1],
            )
        )
    return loaded


def _content(
    delivery: Delivery, key: bytes, notice_of: Callable[[bytes], Notice | None]
) -> tuple[str, bytes] | None:
    """Return the id and the body of a delivery's message; the same at each attempt."""
    if delivery.message is not None:
        return delivery.message.id, message_body(delivery.message, key)
    decision = Decision.objects.filter(number=delivery.number)
    row = decision.values_list("id", "ts", "body").first()
    if row is None:
        return None
    body = bytes(row[2])
    return f"dec_{row[0]}", webhook_body(delivery.number, row[1], body, notice_of(body))


def attempt_delivery(
    due: DueDelivery, now_s: int, retry_policy: RetryPolicy, transport: PinnedTransport
) -> AttemptResult:
    """Make one attempt; raises nothing. Redirects are not followed; the response is not read."""
    headers = signature_headers(due.secrets, due.message, now_s, due.body)
    headers |= {"content-type": "application/json", "user-agent": "wavebreak"}
    timeout = retry_policy.answer_s
    with httpx.Client(transport=transport, timeout=timeout, trust_env=False) as client:
        # Also cuts off a receiver that sends one byte at a time.
        watchdog = threading.Timer(retry_policy.whole_s, client.close)
        watchdog.start()
        try:
            with client.stream("POST", due.url, content=due.body, headers=headers) as response:
                asked = response.headers.get("retry-after", "")
                wait = min(float(asked), 3600.0) if asked.isdecimal() and len(asked) < 9 else 0.0
                return AttemptResult(response.status_code, "", wait)
        except WavebreakError:
            return AttemptResult(None, "not a public address")
        except Exception as error:
            return AttemptResult(None, type(error).__name__)
        finally:
            watchdog.cancel()


def record_attempt(
    due: DueDelivery,
    result: AttemptResult,
    now_ms: int,
    retry_policy: RetryPolicy,
    draw: float,
    ledger_store: LedgerStore,
) -> str:
    """Store the result of an attempt, and a receipt in the ledger if it was the last one.

    Returns "delivered", "failed" or "dead_lettered".
    """
    attempts = due.attempts + 1
    last = attempts >= retry_policy.attempts or result.status == GONE
    dead_lettered = not result.delivered and last
    with transaction.atomic():
        is_decision = due.message.startswith("dec_")
        if is_decision and (result.delivered or dead_lettered):
            effect = "delivered" if result.delivered else "failed"
            ledger_store.add_delivery_receipt(due.message.removeprefix("dec_"), due.webhook, effect)
        delivery = Delivery.objects.filter(id=due.delivery)
        if result.delivered:
            delivery.delete()
            if not is_decision:
                remove_delivered(due.message)
            return "delivered"
        wait_s = max(retry_policy.wait_s(attempts, draw), result.wait_s)
        delivery.update(
            attempts=attempts,
            dead_lettered=dead_lettered,
            next_ms=now_ms + int(wait_s * 1000),
            last_status=result.status,
            last_error=result.error,
        )
    return "dead_lettered" if dead_lettered else "failed"


class WebhookDispatcher:
    """Makes deliveries while the service runs; a coroutine of `Service(background=…)`."""

    def __init__(
        self, context: AppContext, random: Random, retry_policy: RetryPolicy | None = None
    ) -> None:
        self.context, self.random = context, random
        self.retry_policy = retry_policy or RetryPolicy()
        self._in_flight: dict[asyncio.Task[None], DueDelivery] = {}
        self._counted = -1

    @property
    def in_flight(self) -> int:
        """How many attempts are running."""
        return len(self._in_flight)

    async def __call__(self, service: Service) -> None:
        """Dispatch until cancelled: enqueue new decisions, start due attempts, wait."""
        self._counted = service.progress().decisions
        while True:
            began = asyncio.get_running_loop().time()
            try:
                due = await asyncio.to_thread(
                    closing_connection(lambda: self._poll(service.clock()))
                )
                for delivery in due:
                    self._start(service, delivery)
            except Exception as error:
                logger.exception("webhook dispatch failed", cause=type(error).__name__)
                await asyncio.sleep(1.0)
            await self._wait_for_work(service, began + PACE_S)

    def _start(self, service: Service, due: DueDelivery) -> None:
        task = asyncio.ensure_future(self._deliver(service, due))
        self._in_flight[task] = due
        task.add_done_callback(self._on_done)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._in_flight.pop(task, None)
        self.context.deliveries_due.set()
        if not task.cancelled() and task.exception() is not None:
            logger.warning("a delivery attempt was not recorded")

    def _poll(self, now_ms: int) -> list[DueDelivery]:
        """Count new decisions, enqueue their deliveries, and return those that are due."""
        self._count_decisions()
        while enqueue_deliveries(now_ms) >= BATCH_SIZE:
            pass
        per_webhook = Counter(due.webhook for due in self._in_flight.values())
        running = {due.delivery for due in self._in_flight.values()}
        metrics = self.context.metrics
        metrics.pending.set(Delivery.objects.filter(dead_lettered=False).count())
        metrics.dead_lettered.set(Delivery.objects.filter(dead_lettered=True).count())
        return load_due_deliveries(
            now_ms, self.context.webhook_key, per_webhook, running, self.context.notice_of
        )

    def _count_decisions(self) -> None:
        newer = Decision.objects.after(self._counted).values_list("number", "outcome", "stage")
        for number, outcome, stage in newer.iterator():
            self.context.metrics.decisions.labels(outcome, stage).inc()
            self._counted = number

    async def _deliver(self, service: Service, due: DueDelivery) -> None:
        context, now_s = self.context, service.clock() // 1000
        transport = PinnedTransport(
            resolver=context.resolver, allow_private=context.allow_private_webhooks
        )
        result = await asyncio.to_thread(attempt_delivery, due, now_s, self.retry_policy, transport)
        draw = self.random.random()
        state = await asyncio.to_thread(
            closing_connection(
                lambda: record_attempt(
                    due, result, service.clock(), self.retry_policy, draw, service.ledger_store
                )
            )
        )
        context.metrics.deliveries.labels(state).inc()
        logger.info(
            "delivery attempted",
            webhook=due.webhook,
            status=result.status,
            attempt=due.attempts + 1,
            cause=state,
        )

    async def _wait_for_decision(self, service: Service, earliest: float) -> None:
        await asyncio.sleep(earliest - asyncio.get_running_loop().time())
        await service.wait_for_decision(self._counted)

    async def _wait_for_work(self, service: Service, earliest: float) -> None:
        """Wait for a new decision, a finished attempt or a replay, at most IDLE_S.

        New decisions count from `earliest` (the event loop's time); a finished attempt counts at
        once, because it frees a place for the webhook's next delivery.
        """
        decision = asyncio.ensure_future(self._wait_for_decision(service, earliest))
        due = asyncio.ensure_future(self.context.deliveries_due.wait())
        try:
            await asyncio.wait({decision, due}, timeout=IDLE_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            decision.cancel()
            due.cancel()
            self.context.deliveries_due.clear()
