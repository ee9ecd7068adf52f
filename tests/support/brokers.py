"""Real brokers of a test's own: one started, a source that reads it, and what publishes to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import nats
import redis

from support import external_servers
from wavebreak_server.pipeline.brokers import BrokerSource, NatsSource, RedisSource

STREAM = "events"
KINDS = ("subjects", "entries")
Broker = tuple[
    external_servers.Server,
    Callable[[], BrokerSource],
    Callable[[Sequence[bytes]], Awaitable[None]],
]


@contextmanager
def started(kind: str, home: Path, **fields: str) -> Iterator[Broker]:
    """A broker of one of KINDS that keeps its stream in `home`.

    `fields` stand beside the body of an entry; a subject's message has none.
    """
    made = _subjects(home) if kind == "subjects" else _entries(home, fields)
    made[0].start()
    yield made
    made[0].kill()


def _subjects(home: Path) -> Broker:
    server = external_servers.broker_of_subjects(home)
    url = f"nats://127.0.0.1:{server.port}"

    async def publish(bodies: Sequence[bytes]) -> None:
        client = await nats.connect(url)
        stream = client.jetstream()
        await stream.add_stream(name=STREAM, subjects=["events.>"])
        for body in bodies:
            await stream.publish("events.live", body)
        await client.close()

    return server, lambda: NatsSource(url, STREAM, "wavebreak", redeliver_s=1), publish


def _entries(home: Path, fields: dict[str, str]) -> Broker:
    server = external_servers.broker_of_entries(home)
    url = f"redis://127.0.0.1:{server.port}"

    async def publish(bodies: Sequence[bytes]) -> None:
        with redis.Redis.from_url(url) as client:
            for body in bodies:
                client.xadd(STREAM, {"body": body} | fields)

    return server, lambda: RedisSource(url, STREAM, "wavebreak"), publish
