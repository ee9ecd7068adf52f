"""Events from a message broker: NATS JetStream and Redis Streams.

A message is acknowledged after its events are durable in the log. It carries what a body of
`/v1/events` carries, and its own number in the stream is its idempotency key: a message that comes
again, after a crash or a restart of the broker, is in the log once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, Protocol

import nats
import nats.errors
import nats.js.errors
import redis.asyncio
import redis.exceptions
from nats.js.api import AckPolicy, ConsumerConfig
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from wavebreak.errors import ServiceError, WavebreakError
from wavebreak.service.observability import Metrics
from wavebreak.service.pending_requests import BusyError, IdempotencyConflictError

logger = logging.getLogger("wavebreak.brokers")

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
    """A message: its idempotency key, body and form, and what its source knows it by."""

    key: str
    body: bytes
    form: str
    handle: Any


Accept = Callable[[bytes, str, str], Awaitable[int]]
"""Takes body, form and key; gives how many events are durable. Raises BusyError, or another
WavebreakError for a message that will never be taken."""


class BrokerSource(Protocol):
    """A broker's stream, as one durable consumer sees it."""

    name: str
    lost: tuple[type[Exception], ...]

    async def open(self) -> None: ...  # noqa: D102
    async def fetch(self) -> Sequence[Message]: ...  # noqa: D102
    async def done(self, messages: Sequence[Message]) -> None: ...  # noqa: D102
    async def later(self, messages: Sequence[Message]) -> None: ...  # noqa: D102
    async def close(self) -> None: ...  # noqa: D102


async def consume(source: BrokerSource, accept: Accept, metrics: Metrics) -> None:
    """Take messages until cancelled; a broker that is gone is asked again, ever less often."""
    pause = 0.1
    while _raise_if_cancelled():
        try:
            await source.open()
            while _raise_if_cancelled():
                messages = await source.fetch()
                taken = await asyncio.gather(
                    *(_accept_message(source.name, m, accept, metrics) for m in messages)
                )
                await source.done([m for m, t in zip(messages, taken, strict=True) if t])
                await source.later([m for m, t in zip(messages, taken, strict=True) if not t])
                pause = 0.1
        except source.lost as error:
            told = {"stream": source.name, "cause": type(error).__name__, "seconds": pause}
            logger.warning("the broker is not there; asking again", extra={"told": told})
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)
        finally:
            await source.close()


def _raise_if_cancelled() -> bool:
    """True until the task is cancelled; then it ends.

    A client may lose the cancellation: an error while it hangs up, or an answer in the same moment
    (`asyncio.wait_for` before Python 3.12).
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
    return True


async def _accept_message(stream: str, message: Message, accept: Accept, metrics: Metrics) -> bool:
    """Whether the message is done with: taken, or refused for ever."""
    try:
        taken = await accept(message.body, message.form, message.key)
    except BusyError:
        metrics.consumed.labels("later").inc()
        return False
    except WavebreakError as error:
        if isinstance(error, IdempotencyConflictError) and error.status == IN_PROGRESS_STATUS:
            return False
        # Its body may be personal, so that it cannot be kept.
        told = {"stream": stream, "cause": type(error).__name__}
        logger.warning("a message was refused", extra={"told": told})
        metrics.consumed.labels("refused").inc()
    else:
        metrics.consumed.labels("taken").inc(taken)
    return True


class NatsSource:
    """A durable pull consumer `durable` of a stream of NATS JetStream at `url`.

    What is not acknowledged within `redeliver_s` comes again (as the consumer was first made).
    """

    lost: tuple[type[Exception], ...] = (
        nats.errors.Error,
        OSError,
        asyncio.TimeoutError,
        ServiceError,
    )

    def __init__(
        self, url: str, stream: str, durable: str, *, redeliver_s: float = REDELIVER_S
    ) -> None:
        self.name, self._url, self._durable = stream, url, durable
        self._redeliver_s = redeliver_s
        self._client: Any = None
        self._held: Any = None

    async def open(self) -> None:
        """Connect; raises ServiceError where the stream is not there."""
        self._client = await nats.connect(
            self._url, allow_reconnect=False, connect_timeout=2, error_cb=_quiet
        )
        terms = ConsumerConfig(
            durable_name=self._durable,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=self._redeliver_s,
            max_ack_pending=4 * FETCH_SIZE,
        )
        try:
            self._held = await self._client.jetstream().pull_subscribe(
                "", durable=self._durable, stream=self.name, config=terms
            )
        except nats.js.errors.NotFoundError:
            fix = "make it first: nats stream add"
            raise ServiceError(f"the broker has no stream {self.name}", fix=fix) from None

    async def fetch(self) -> list[Message]:
        """Wait for some messages."""
        try:
            found = await self._held.fetch(FETCH_SIZE, timeout=WAIT_S)
        except nats.errors.TimeoutError:
            if not self._client.is_connected:
                raise
            return []
        return [Message(self._key(m), m.data, _form(m.headers), m) for m in found]

    def _key(self, message: Any) -> str:
        """A stream that is made anew counts from one again: its time tells it from the former."""
        told = message.metadata
        return f"{self.name}:{told.sequence.stream}:{told.timestamp.timestamp()}"

    async def done(self, messages: Sequence[Message]) -> None:
        """Acknowledge, and wait until the broker has heard it."""
        await asyncio.gather(*(m.handle.ack_sync(timeout=REDELIVER_S) for m in messages))

    async def later(self, messages: Sequence[Message]) -> None:
        """Have them again in a while."""
        await asyncio.gather(*(m.handle.nak(delay=WAIT_S) for m in messages))

    async def close(self) -> None:
        """End the connection."""
        if self._client is not None:
            await self._client.close()


async def _quiet(_error: Exception) -> None:
    """The client's own report of an error: the loop tells it, without what it says."""


def _form(headers: Any) -> str:
    return _FORMS.get((headers or {}).get(CONTENT_TYPE, ""), FORM)


class RedisSource:
    """Consumer `consumer` of the group `group` of a Redis stream at `url`.

    An entry's field `body` is what a body of `/v1/events` is, `type` its media type.
    """

    lost: tuple[type[Exception], ...] = (redis.exceptions.RedisError, OSError)

    def __init__(self, url: str, stream: str, group: str, consumer: str = "wavebreak") -> None:
        self.name, self._url, self._group, self._consumer = stream, url, group, consumer
        self._client: Any = None
        self._own = True
        self._round = 0

    async def open(self) -> None:
        """Connect, and make the group where it is not there; it begins with the oldest entry."""
        # The client must not ask again by itself: an answer that was lost holds entries that are
        # ours by now, and only reading from the beginning finds them.
        once = Retry(NoBackoff(), 0)
        self._client = redis.asyncio.Redis.from_url(self._url, retry=once)
        self._own = True
        try:
            await self._client.xgroup_create(self.name, self._group, "0", mkstream=True)
        except redis.exceptions.ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise

    async def fetch(self) -> list[Message]:
        """Entries left from before a restart, then those that others left, then new ones."""
        if self._own:
            found = await self._read("0")
            self._own = bool(found)
            if found:
                return found
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
        found = await self._client.xreadgroup(
            self._group, self._consumer, {self.name: since}, count=FETCH_SIZE, block=block
        )
        return self._messages(found[0][1]) if found else []

    def _messages(self, entries: Sequence[tuple[bytes, dict[bytes, bytes]]]) -> list[Message]:
        return [self._message(number, fields or {}) for number, fields in entries]

    def _message(self, number: bytes, fields: dict[bytes, bytes]) -> Message:
        media = fields.get(b"type", b"").decode("ascii", "replace")
        key = f"{self.name}:{number.decode()}"
        return Message(key, fields.get(b"body", b""), _FORMS.get(media, FORM), number)

    async def done(self, messages: Sequence[Message]) -> None:
        """Acknowledge."""
        if messages:
            await self._client.xack(self.name, self._group, *(m.handle for m in messages))

    async def later(self, messages: Sequence[Message]) -> None:
        """Leave them pending, and read what is pending first."""
        if messages:
            self._own = True
            await asyncio.sleep(WAIT_S / 10)

    async def close(self) -> None:
        """End the connection."""
        if self._client is not None:
            await self._client.aclose()


def configured_sources(
    nats_url: str, redis_url: str, stream: str, durable: str, group: str
) -> list[BrokerSource]:
    """The streams to be read: one for each URL that is not empty."""
    made: list[BrokerSource] = []
    if nats_url:
        made.append(NatsSource(nats_url, stream, durable))
    if redis_url:
        made.append(RedisSource(redis_url, stream, group))
    return made
