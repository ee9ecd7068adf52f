"""Webhook dispatcher: decisions delivered at least once, signed, with exponential backoff.

`enqueue_deliveries` inserts a delivery for each webhook and decision that it receives, or for the
enforcement state that the decision left, in the transaction that moves the webhook's cursor. Who
received a restriction receives its lift. The delivery is deleted when the receiver returns 2xx and
dead-lettered when its attempts are used up. The message id is derived from the decision's, so that
receivers can ignore duplicates.

Signatures follow the Standard Webhooks convention (HMAC-SHA-256). Secrets are not stored: each is
derived from the key of webhooks, the webhook's id and a generation number, so that a copy of the
database cannot sign. Secrets that were derived from the pseudonymization key stay valid until the
webhook is rotated.

Receivers do not affect each other, nor anything else: attempts have threads of their own, and each
webhook has a place of its own among them. A webhook that works has up to four; one that fails has
one, and is disabled when it has failed for days.

Messages that are no decisions (`platform_messages`) are delivered in the same way.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from random import Random
from typing import NamedTuple

import httpx
import msgspec
import structlog
from django.db import models, transaction

from wavebreak.durations import HOUR_S
from wavebreak.errors import WavebreakError
from wavebreak.outcomes import outcomes_from, rank_of
from wavebreak.ssrf_guard import PinnedTransport, resolve_target
from wavebreak_server.http.app_context import AppContext, closing_connection, write_audit_entry
from wavebreak_server.pipeline import platform_messages
from wavebreak_server.pipeline.decide import outcome_in_force
from wavebreak_server.pipeline.holder_notices import Notice
from wavebreak_server.pipeline.service import Service
from wavebreak_server.pipeline.states import State, StateTerms, changed_states, state_of
from wavebreak_server.storage.authentic_rows import authentic, checked
from wavebreak_server.storage.ledger_store import LedgerStore
from wavebreak_server.storage.models import (
    DECISIONS,
    STATES,
    Decision,
    Delivery,
    StateChange,
    Webhook,
)

logger = structlog.stdlib.get_logger("wavebreak.webhooks")

PREFIX = "whsec_"
BATCH_SIZE, FIRST_BATCH_SIZE = 500, 16
MAX_IN_FLIGHT_PER_WEBHOOK, MAX_FURTHER_IN_FLIGHT = 4, 16
"""Attempts at once: of one webhook, and of all webhooks together beyond the first of each."""
MAX_RETRY_AFTER_S = float(HOUR_S)
"""The longest wait that a receiver may ask for."""
BY = "service"
"""In the audit log, who disables a webhook."""
PACE_S = 0.1
"""Minimum time between two queries for new decisions; the first after a pause is immediate."""
IDLE_S = 1.0
"""Maximum time between two queries for due deliveries."""
GONE = 410
PORTS, HTTP_PORTS = frozenset({443, 8443}), frozenset({80, 8080})
"""Ports that a new webhook may have, and those that it may have besides if http is allowed."""


def webhook_secret(key: bytes, webhook: str, generation: int) -> str:
    """Derive a webhook's secret of a generation: `whsec_` and 32 bytes in base64.

    >>> webhook_secret(b"0" * 16, "webhook", 1).startswith("whsec_")
    True
    >>> webhook_secret(b"0" * 16, "webhook", 1) == webhook_secret(b"0" * 16, "webhook", 2)
    False
    """
    message = f"wavebreak webhook\0{webhook}\0{generation}".encode()
    return PREFIX + base64.b64encode(hmac.digest(key, message, hashlib.sha256)).decode()


def secret_of(webhook: Webhook, generation: int, context: AppContext) -> str:
    """Return a webhook's secret of a generation, by the key that this generation derives from."""
    own = 0 < webhook.own_key_from <= generation
    key = context.webhook_key if own or not context.edge_key else context.edge_key
    return webhook_secret(key, webhook.id, generation)


def check_url(url: str, context: AppContext) -> None:
    """Check where a new webhook goes: https, a usual port, and public addresses only.

    Raises:
        ForbiddenAddressError: The URL is not allowed.
    """
    schemes, ports = frozenset({"https"}), PORTS
    if context.allow_insecure_webhooks or context.allow_private_webhooks:
        schemes, ports = schemes | {"http"}, ports | HTTP_PORTS
    private = context.allow_private_webhooks
    resolve_target(
        url,
        resolver=context.resolver,
        allow_private=private,
        ports=None if private else ports,
        schemes=schemes,
    )


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
    bounds each network operation of an attempt, `whole_s` the whole attempt. A webhook that has
    failed for `disable_after_s` without one success is disabled.
    """

    attempts: int = 12
    first_s: float = 2.0
    factor: float = 3.0
    longest_s: float = 21_600.0
    answer_s: float = 10.0
    whole_s: float = 30.0
    disable_after_s: float = 259_200.0

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
    failing_since_ms: int = 0


class AttemptResult(NamedTuple):
    """The result of an attempt: status (None: no response), error name, and requested wait."""

    status: int | None
    error: str = ""
    wait_s: float = 0.0

    @property
    def delivered(self) -> bool:
        """Whether the receiver returned 2xx."""
        return self.status is not None and 200 <= self.status < 300


def enqueue_deliveries(now_ms: int, terms: StateTerms | None = None) -> int:
    """Insert deliveries of decisions behind each webhook's cursor; return how many were read.

    The cursor moves in the same transaction. With `terms`, states that changed without a decision
    are then sent: lifts to every webhook, the others to who receives states.
    """
    read = _enqueue_decisions(now_ms)
    return read + (_enqueue_changes(now_ms, terms) if terms and read < BATCH_SIZE else 0)


def _enqueue_changes(now_ms: int, terms: StateTerms) -> int:
    """Enqueue states that changed without a decision; return how many were read.

    A webhook receives those of accounts whose decision, or whose state now, is one that it asks
    for: every lift, and the others where it receives states. For one that is disabled it waits, as
    decisions do, until the webhook is enabled.
    """
    if not StateChange.objects.filter(sent=False).exists():
        return 0
    with transaction.atomic():
        webhooks = list(authentic(Webhook.objects.all()))
        changes = checked(StateChange.objects.filter(sent=False).order_by("number")[:BATCH_SIZE])
        numbers = [change.decision for change in changes]
        made = Decision.objects.filter(number__in=numbers).values_list("number", "outcome")
        before = dict(made)
        for change, state in zip(changes, changed_states(changes, terms), strict=True):
            former = outcome_in_force(
                before.get(change.decision, "allow"), challenges=terms.challenges
            )
            worst = max(map(rank_of, (former, state.outcome)))
            to = [
                each
                for each in webhooks
                if rank_of(each.min_outcome) <= worst
                and (change.lifted or STATES in each.kinds.split())
            ]
            platform_messages.enqueue_message("state.changed", state, now_ms, to=to)
        StateChange.objects.filter(number__in=[change.number for change in changes]).update(
            sent=True
        )
    return len(changes)


def _enqueue_decisions(now_ms: int) -> int:
    read = 0
    with transaction.atomic():
        for webhook in authentic(Webhook.objects.filter(disabled_ms=0).select_for_update()):
            newer = Decision.objects.after(webhook.cursor).values_list("number", "outcome")
            rows = list(newer[:BATCH_SIZE])
            if not rows:
                continue
            kinds = [kind for kind in webhook.kinds.split() if kind in (DECISIONS, STATES)]
            deliveries = [
                Delivery(webhook=webhook, number=number, next_ms=now_ms, state=kind == STATES)
                for number in _numbers_of(webhook, rows)
                for kind in kinds
            ]
            Delivery.objects.bulk_create(deliveries, ignore_conflicts=True)
            Webhook.objects.filter(id=webhook.id).update(cursor=rows[-1][0])
            read += len(rows)
    return read


def _numbers_of(webhook: Webhook, rows: Sequence[tuple[int, str]]) -> list[int]:
    """Return which decisions a webhook receives: those from its outcome on, and lifts.

    A lift is a milder decision on an account whose decision before was one that it received.
    """
    wanted = outcomes_from(webhook.min_outcome)
    milder = [number for number, outcome in rows if outcome not in wanted]
    lifts = set(_lifts(milder, wanted))
    return [n for n, outcome in rows if outcome in wanted or n in lifts]


def _lifts(numbers: Sequence[int], received: Sequence[str]) -> list[int]:
    """Return which decisions follow one of the outcomes on the same account."""
    if not numbers:
        return []
    earlier = Decision.objects.filter(
        account=models.OuterRef("account"), number__lt=models.OuterRef("number")
    ).order_by("-number")
    followed = Decision.objects.filter(number__in=numbers).annotate(
        former=models.Subquery(earlier.values("outcome")[:1])
    )
    return list(followed.filter(former__in=received).values_list("number", flat=True))


def bring_forward(now_ms: int, retry_policy: RetryPolicy) -> int:
    """Make deliveries due that would wait longer than any wait; return how many.

    The clock was ahead when their last attempt was made, or when they were enqueued. A message that
    is to be sent at a later date waits for it.
    """
    longest_s = max(retry_policy.longest_s * 1.5, MAX_RETRY_AFTER_S)
    waiting = Delivery.objects.filter(
        models.Q(attempts__gt=0) | models.Q(message=None),
        dead_lettered=False,
        next_ms__gt=now_ms + int(longest_s * 1000),
    )
    return waiting.update(next_ms=now_ms) if waiting.exists() else 0


def webhook_body(
    number: int, ts: int, decision: bytes, webhook: str, notice: Notice | None = None
) -> bytes:
    """Return a message's body: type, time, webhook, the decision as it is stored, and its notice.

    The notice is where the holder reads the statement of reasons, and from when.

    >>> webhook_body(7, 0, b"{}", "w1")[:72]
    b'{"type":"decision.made","timestamp":"1970-01-01T00:00:00.000Z","webhook"'
    """
    head = f'{{"type":"decision.made","timestamp":"{_instant(ts)}","webhook":"{webhook}",'
    whole = f'{head}"number":{number},"data":'.encode() + decision
    return whole + (b"}" if notice is None else b',"notice":' + msgspec.json.encode(notice) + b"}")


def state_body(ts: int, state: State, webhook: str) -> bytes:
    """Return the body of a message about an enforcement state that has changed.

    >>> state_body(0, State("ann", "allow", number=7), "w1")[-66:]
    b'"outcome":"allow","until_ms":null,"notify_at_ms":null,"number":7}}'
    """
    message = {"type": "state.changed", "timestamp": _instant(ts), "webhook": webhook}
    return msgspec.json.encode(message | {"data": state})


def _instant(ts: int) -> str:
    at = datetime.fromtimestamp(ts / 1000, UTC).isoformat(timespec="milliseconds")
    return f"{at[:-6]}Z"


class _Places:
    """Which webhooks may make a further attempt now.

    Each has a place of its own. One that works has up to three more, of those that all share.
    """

    def __init__(self, in_flight: Counter[str]) -> None:
        self._taken = Counter(in_flight)
        self._further = sum(count - 1 for count in self._taken.values() if count)
        self.full: set[str] = set()

    def has_one(self, webhook: Webhook) -> bool:
        """Whether a webhook has a place left; otherwise it is full."""
        taken = self._taken[webhook.id]
        most = 1 if webhook.failing_since_ms else MAX_IN_FLIGHT_PER_WEBHOOK
        if taken and (taken >= most or self._further >= MAX_FURTHER_IN_FLIGHT):
            self.full.add(webhook.id)
            return False
        return True

    def take(self, webhook: Webhook) -> None:
        """Take a place that a webhook has left."""
        self._further += bool(self._taken[webhook.id])
        self._taken[webhook.id] += 1


def load_due_deliveries(
    now_ms: int,
    context: AppContext,
    in_flight: Counter[str],
    excluded: set[int],
    terms: StateTerms | None = None,
) -> list[DueDelivery]:
    """Return deliveries to attempt now, in the places that the running ones leave.

    Args:
        now_ms: The service's clock.
        context: Has the keys of secrets, and says where holders read their statements.
        in_flight: How many attempts run, by webhook.
        excluded: Deliveries whose attempts run.
        terms: What states depend on (None: the context's feedback, and challenges can be asked).
    """
    terms = terms or StateTerms(context.holder_notices.feedback)
    loaded: list[DueDelivery] = []
    places = _Places(in_flight)
    for delivery in _due(now_ms, excluded, places):
        webhook = delivery.webhook
        if not places.has_one(webhook) or not webhook.is_authentic:
            continue
        content = _content(delivery, context, terms)
        if content is None:
            continue
        places.take(webhook)
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
                secrets=tuple(secret_of(webhook, g, context) for g in generations),
                message=content[0],
                body=content[1],
                failing_since_ms=webhook.failing_since_ms,
            )
        )
    return loaded


def _due(now_ms: int, excluded: set[int], places: _Places) -> Iterator[Delivery]:
    """Yield due deliveries of webhooks that are not full.

    A webhook with many of them fills a batch: the next batch has those of the others. The first one
    is small: it is read after each attempt, and has what its place needs.
    """
    due = Delivery.objects.filter(
        dead_lettered=False, next_ms__lte=now_ms, webhook__disabled_ms=0
    ).select_related("webhook", "message")
    due = due.order_by("next_ms", "number", "id")
    seen, size = set(excluded), FIRST_BATCH_SIZE
    while True:
        batch = list(due.exclude(id__in=seen).exclude(webhook__in=places.full)[:size])
        for delivery in batch:
            if delivery.webhook_id not in places.full:
                seen.add(delivery.id)
                yield delivery
        if len(batch) < size:
            return
        size = BATCH_SIZE


def message_id(decision: str, *, state: bool) -> str:
    """Return the id of the message about a decision, or about the state that it left.

    >>> message_id("1f", state=False), message_id("1f", state=True)
    ('dec_1f', 'sta_1f')
    """
    return f"{'sta' if state else 'dec'}_{decision}"


def _content(
    delivery: Delivery, context: AppContext, terms: StateTerms
) -> tuple[str, bytes] | None:
    """Return the id and the body of a delivery's message; the same at each attempt."""
    webhook = str(delivery.webhook_id)
    if delivery.message is not None:
        body = platform_messages.message_body(delivery.message, context.webhook_key, webhook)
        return delivery.message.id, body
    for row in authentic(Decision.objects.filter(number=delivery.number)):
        name = message_id(row.id, state=delivery.state)
        if delivery.state:
            return name, state_body(row.ts, state_of(row, terms), webhook)
        made = bytes(row.body)
        return name, webhook_body(row.number, row.ts, made, webhook, context.notice_of(made))
    return None


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
        watchdog.daemon = True
        watchdog.start()
        try:
            with client.stream("POST", due.url, content=due.body, headers=headers) as response:
                asked = response.headers.get("retry-after", "")
                wait = (
                    min(float(asked), MAX_RETRY_AFTER_S)
                    if asked.isdecimal() and len(asked) < 9
                    else 0.0
                )
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
            if due.failing_since_ms:
                Webhook.objects.filter(id=due.webhook).update(failing_since_ms=0)
            delivery.delete()
            if not is_decision:
                platform_messages.remove_delivered(due.message)
            return "delivered"
        wait_s = max(retry_policy.wait_s(attempts, draw), result.wait_s)
        delivery.update(
            attempts=attempts,
            dead_lettered=dead_lettered,
            next_ms=now_ms + int(wait_s * 1000),
            last_status=result.status,
            last_error=result.error,
        )
        _note_failure(due, now_ms, retry_policy)
    return "dead_lettered" if dead_lettered else "failed"


def _note_failure(due: DueDelivery, now_ms: int, retry_policy: RetryPolicy) -> None:
    """Note since when a webhook fails, and disable one that has failed for long."""
    webhook = Webhook.objects.filter(id=due.webhook)
    webhook.filter(failing_since_ms=0).update(failing_since_ms=now_ms)
    since = due.failing_since_ms
    if not since or now_ms - since < retry_policy.disable_after_s * 1000:
        return
    if webhook.filter(disabled_ms=0, failing_since_ms=since).update(disabled_ms=now_ms):
        at = datetime.fromtimestamp(since / 1000, UTC).isoformat(timespec="seconds")
        reason = f"no delivery has succeeded since {at[:-6]}Z"
        write_audit_entry(now_ms, BY, "disable_webhook", due.webhook, reason)
        logger.warning("webhook disabled: it has failed for too long", webhook=due.webhook)


class WebhookDispatcher:
    """Makes deliveries while the service runs; a coroutine of `Service(background=…)`."""

    def __init__(
        self, context: AppContext, random: Random, retry_policy: RetryPolicy | None = None
    ) -> None:
        self.context, self.random = context, random
        self.retry_policy = retry_policy or RetryPolicy()
        self._in_flight: dict[asyncio.Task[None], DueDelivery] = {}
        self._counted, self._looked_s = -1, -IDLE_S

    @property
    def in_flight(self) -> int:
        """How many attempts are running."""
        return len(self._in_flight)

    async def __call__(self, service: Service) -> None:
        """Dispatch until cancelled: enqueue new decisions, start due attempts, wait."""
        self._counted = service.progress().decisions
        try:
            await self._dispatch(service)
        finally:
            # What is not recorded is delivered again after the next start.
            for task in tuple(self._in_flight):
                task.cancel()

    async def _dispatch(self, service: Service) -> None:
        while True:
            began, running = asyncio.get_running_loop().time(), tuple(self._in_flight.values())
            poll = closing_connection(partial(self._poll, service, running))
            try:
                for delivery in await self.context.executors.deliveries.run(poll):
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

    def _poll(self, service: Service, running: Sequence[DueDelivery]) -> list[DueDelivery]:
        """Count new decisions, enqueue their deliveries, and return those that are due."""
        now_ms = service.clock()
        newer = Decision.objects.after(self._counted).values_list("number", "outcome", "stage")
        for number, outcome, stage in newer.iterator():
            self.context.metrics.decisions.labels(outcome, stage).inc()
            self._counted = number
        terms = StateTerms(self.context.holder_notices.feedback, service.responder.challenges)
        while enqueue_deliveries(now_ms, terms) >= BATCH_SIZE:
            pass
        if time.monotonic() >= self._looked_s + IDLE_S:
            self._look_over(now_ms)
        per_webhook = Counter(due.webhook for due in running)
        excluded = {due.delivery for due in running}
        return load_due_deliveries(now_ms, self.context, per_webhook, excluded, terms)

    def _look_over(self, now_ms: int) -> None:
        """Count all deliveries, and those that wait for too long: what each attempt need not do."""
        self._looked_s = time.monotonic()
        bring_forward(now_ms, self.retry_policy)
        metrics = self.context.metrics
        metrics.pending.set(Delivery.objects.filter(dead_lettered=False).count())
        metrics.dead_lettered.set(Delivery.objects.filter(dead_lettered=True).count())

    async def _deliver(self, service: Service, due: DueDelivery) -> None:
        context, now_s = self.context, service.clock() // 1000

        def attempt() -> AttemptResult:
            transport = PinnedTransport(
                resolver=context.resolver, allow_private=context.allow_private_webhooks
            )
            return attempt_delivery(due, now_s, self.retry_policy, transport)

        result = await context.executors.attempts.run(attempt)
        draw = self.random.random()
        state = await context.executors.deliveries.run(
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
