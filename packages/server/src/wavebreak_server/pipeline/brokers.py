"""Events from a message broker: NATS JetStream and Redis Streams.

A message is acknowledged after its events are durable in the log. Its body is that of a request to
`/v1/events`; its number in the stream is its idempotency key, so that a message delivered again,
after a crash or a restart of the broker, is in the log once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, Protocol

import structlog

from wavebreak import extras
from wavebreak.errors import ServiceError, WavebreakError
from wavebreak_server.pipeline.observability import Metrics
from wavebreak_server.pipeline.pending_requests import BusyError, IdempotencyConflictError

logger = structlog.stdlib.get_logger("wavebreak.brokers")

FETCH_SIZE = 256
WAIT_S = 1.0
REDELIVER_S = 30
IDLE_MS = 30_000
IN_PROGRESS_STATUS = 409
LONGEST_PAUSE_S = 5.0
CONTENT_TYPE, FORM = "Content-Type", "lines"
_FORMS = {
    "application/json": "json",
    "application/x-ndjson": "lines",
    "application/cloudevents+json": "cloudevents",
    "application/cloudevents-batch+json": "cloudevents-batch",
    "application/vnd.apache.arrow.stream": "arrow",
}


class Message(NamedTuple):
    """A message: its idempotency key, body and form, and the handle to acknowledge it by."""

    key: str
    body: bytes
    form: str
    handle: Any


Accept = Callable[[bytes, str, str], Awaitable[int]]
"""Takes body, form and key; returns how many events are durable. Raises BusyError, or another
WavebreakError for a message that can never be accepted."""


class BrokerSource(Protocol):
    """A broker's stream, read by one durable consumer.

    `labels` says whether its events may label accounts. `lost` are the errors after which `consume`
    connects again.
    """

    name: str
    labels: bool
    lost: tuple[type[Exception], ...]

    async def open(self) -> None: ...  # noqa: D102
    async def fetch(self) -> Sequence[Message]: ...  # noqa: D102
    async def acknowledge(self, messages: Sequence[Message]) -> None: ...  # noqa: D102
    async def redeliver(self, messages: Sequence[Message]) -> None: ...  # noqa: D102
    async def close(self) -> None: ...  # noqa: D102


async def consume(source: BrokerSource, accept: Accept, metrics: Metrics) -> None:
    """Consume messages until cancelled; reconnects with increasing pauses."""
    pause = 0.1
    while _raise_if_cancelled():
        try:
            await source.open()
            while _raise_if_cancelled():
                messages = await source.fetch()
                done = await asyncio.gather(
                    *(_accept_message(source.name, m, accept, metrics) for m in messages)
                )
                await source.acknowledge([m for m, d in zip(messages, done, strict=True) if d])
                await source.redeliver([m for m, d in zip(messages, done, strict=True) if not d])
                pause = 0.1
        except source.lost as error:
            logger.warning(
                "broker connection lost; reconnecting",
                stream=source.name,
                cause=type(error).__name__,
                seconds=pause,
            )
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)
        finally:
            await source.close()


def _raise_if_cancelled() -> bool:
    """Return True until the task is cancelled, then raise CancelledError.

    A client may swallow the cancellation: an error while it disconnects, or a response at the same
    moment (`asyncio.wait_for` before Python 3.12).
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
    return True


async def _accept_message(stream: str, message: Message, accept: Accept, metrics: Metrics) -> bool:
    """Return whether the message is done: its events are durable, or it is rejected for good."""
    try:
        accepted = await accept(message.body, message.form, message.key)
    except BusyError:
        metrics.consumed.labels("later").inc()
        return False
    except WavebreakError as error:
        if isinstance(error, IdempotencyConflictError) and error.status == IN_PROGRESS_STATUS:
            return False
        # The body may hold personal data, so it is not kept.
        logger.warning("message rejected", stream=stream, cause=type(error).__name__)
        metrics.consumed.labels("refused").inc()
    else:
        metrics.consumed.labels("taken").inc(accepted)
    return True


class NatsSource:
    """A durable pull consumer of a NATS JetStream stream.

    Messages that are not acknowledged within `redeliver_s` are delivered again (set when the
    consumer was created).
    """

    def __init__(
        self,
        url: str,
        stream: str,
        durable: str,
        *,
        labels: bool = False,
        redeliver_s: float = REDELIVER_S,
    ) -> None:
        self.name, self.labels, self._url, self._durable = stream, labels, url, durable
        self._redeliver_s = redeliver_s
        self._nats = extras.load("nats")
        self._errors, self._api = extras.load("nats.errors"), extras.load("nats.js.api")
        self.lost: tuple[type[Exception], ...] = (
            self._errors.Error,
            OSError,
            asyncio.TimeoutError,
            ServiceError,
        )
        self._client: Any = None
        self._subscription: Any = None

    async def open(self) -> None:
        """Connect; raises ServiceError if the stream does not exist."""
        self._client = await self._nats.connect(
            self._url, allow_reconnect=False, connect_timeout=2, error_cb=_ignore_error
        )
        config = self._api.ConsumerConfig(
            durable_name=self._durable,
            ack_policy=self._api.AckPolicy.EXPLICIT,
            ack_wait=self._redeliver_s,
            max_ack_pending=4 * FETCH_SIZE,
        )
        try:
            self._subscription = await self._client.jetstream().pull_subscribe(
                "", durable=self._durable, stream=self.name, config=config
            )
        except extras.load("nats.js.errors").NotFoundError:
            fix = "create it: nats stream add"
            raise ServiceError(f"the broker has no stream {self.name}", fix=fix) from None

    async def fetch(self) -> list[Message]:
        """Wait for messages, at most WAIT_S."""
        try:
            messages = await self._subscription.fetch(FETCH_SIZE, timeout=WAIT_S)
        except self._errors.TimeoutError:
            if not self._client.is_connected:
                raise
            return []
        return [Message(self._key(m), m.data, _form(m.headers), m) for m in messages]

    def _key(self, message: Any) -> str:
        """Return the idempotency key; the timestamp distinguishes a stream that was recreated."""
        metadata = message.metadata
        return f"{self.name}:{metadata.sequence.stream}:{metadata.timestamp.timestamp()}"

    async def acknowledge(self, messages: Sequence[Message]) -> None:
        """Acknowledge messages, and wait for the broker's confirmation."""
        await asyncio.gather(*(m.handle.ack_sync(timeout=REDELIVER_S) for m in messages))

    async def redeliver(self, messages: Sequence[Message]) -> None:
        """Request messages again after WAIT_S."""
        await asyncio.gather(*(m.handle.nak(delay=WAIT_S) for m in messages))

    async def close(self) -> None:
        """Disconnect."""
        if self._client is not None:
            await self._client.close()


async def _ignore_error(_error: Exception) -> None:
    """Ignore the client's own error report: `consume` logs the error without its text."""


def _form(headers: Any) -> str:
    return _FORMS.get((headers or {}).get(CONTENT_TYPE, ""), FORM)


class RedisSource:
    """Consumer `consumer` of the group `group` of a Redis stream.

    An entry's field `body` holds the body, its field `type` the media type.
    """

    def __init__(
        self,
        url: str,
        stream: str,
        group: str,
        consumer: str = "wavebreak",
        *,
        labels: bool = False,
    ) -> None:
        self.name, self.labels = stream, labels
        self._url, self._group, self._consumer = url, group, consumer
        self._redis, self._errors = extras.load("redis.asyncio"), extras.load("redis.exceptions")
        self.lost: tuple[type[Exception], ...] = (self._errors.RedisError, OSError)
        self._client: Any = None
        self._has_pending = True
        self._round = 0

    async def open(self) -> None:
        """Connect, and create the group at the oldest entry if it does not exist."""
        # The client must not retry: a lost response leaves entries pending that only reading from
        # the beginning finds.
        no_retry = extras.load("redis.asyncio.retry").Retry(
            extras.load("redis.backoff").NoBackoff(), 0
        )
        self._client = self._redis.Redis.from_url(self._url, retry=no_retry)
        self._has_pending = True
        try:
            await self._client.xgroup_create(self.name, self._group, "0", mkstream=True)
        except self._errors.ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise

    async def fetch(self) -> list[Message]:
        """Return own pending entries, then entries that other consumers left, then new ones."""
        if self._has_pending:
            pending = await self._read("0")
            self._has_pending = bool(pending)
            if pending:
                return pending
        self._round += 1
        if self._round % 10 == 1:
            claimed = await self._client.xautoclaim(
                self.name, self._group, self._consumer, IDLE_MS, count=FETCH_SIZE
            )
            if claimed[1]:
                return self._messages(claimed[1])
        return await self._read(">")

    async def _read(self, since: str) -> list[Message]:
        block = int(WAIT_S * 1000) if since == ">" else None
        streams = await self._client.xreadgroup(
            self._group, self._consumer, {self.name: since}, count=FETCH_SIZE, block=block
        )
        return self._messages(streams[0][1]) if streams else []

    def _messages(self, entries: Sequence[tuple[bytes, dict[bytes, bytes]]]) -> list[Message]:
        return [self._message(number, fields or {}) for number, fields in entries]

    def _message(self, number: bytes, fields: dict[bytes, bytes]) -> Message:
        media = fields.get(b"type", b"").decode("ascii", "replace")
        key = f"{self.name}:{number.decode()}"
        return Message(key, fields.get(b"body", b""), _FORMS.get(media, FORM), number)

    async def acknowledge(self, messages: Sequence[Message]) -> None:
        """Acknowledge entries."""
        if messages:
            await self._client.xack(self.name, self._group, *(m.handle for m in messages))

    async def redeliver(self, messages: Sequence[Message]) -> None:
        """Leave entries pending, and read pending entries first."""
        if messages:
            self._has_pending = True
            await asyncio.sleep(WAIT_S / 10)

    async def close(self) -> None:
        """Disconnect."""
        if self._client is not None:
            await self._client.aclose()


def configured_sources(
    nats_url: str, redis_url: str, stream: str, durable: str, group: str, *, labels: bool = False
) -> list[BrokerSource]:
    """Return a source for each URL that is not empty; `labels`: its events may label accounts."""
    sources: list[BrokerSource] = []
    if nats_url:
        sources.append(NatsSource(nats_url, stream, durable, labels=labels))
    if redis_url:
        sources.append(RedisSource(redis_url, stream, group, labels=labels))
    return sources
