"""Messages of real brokers: killed consumers and brokers that restart lose and double nothing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path

import nats
import pytest
import redis

import servers
from wavebreak.errors import WavebreakError
from wavebreak.service.brokers import Entries, Source, Subjects, consume
from wavebreak.service.metrics import Metrics
from wavebreak.service.waiting import BusyError

STREAM, COUNT = "events", 400
Broker = tuple[servers.Server, Callable[[], Source], Callable[[Sequence[bytes]], Awaitable[None]]]


class Log:
    """Stands for the log: a body once for each key, durable before it is acknowledged."""

    def __init__(self) -> None:
        self.bodies: dict[str, bytes] = {}
        self.calls = 0

    async def accept(self, body: bytes, _form: str, key: str) -> int:
        self.calls += 1
        await asyncio.sleep(self.calls % 5 * 0.02)
        if body == b"poison":
            raise WavebreakError("no such form")
        if self.calls % 7 == 0:
            raise BusyError("the queue is full", retry_after_s=1)
        assert self.bodies.setdefault(key, body) == body
        return 1


@pytest.fixture(params=["subjects", "entries"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    made = _subjects(tmp_path) if request.param == "subjects" else _entries(tmp_path)
    made[0].start()
    yield made
    made[0].kill()


def _subjects(home: Path) -> Broker:
    server = servers.broker_of_subjects(home)
    url = f"nats://127.0.0.1:{server.port}"

    async def publish(bodies: Sequence[bytes]) -> None:
        client = await nats.connect(url)
        stream = client.jetstream()
        await stream.add_stream(name=STREAM, subjects=["events.>"])
        for body in bodies:
            await stream.publish("events.live", body)
        await client.close()

    return server, lambda: Subjects(url, STREAM, "wavebreak", redeliver_s=1), publish


def _entries(home: Path) -> Broker:
    server = servers.broker_of_entries(home)
    url = f"redis://127.0.0.1:{server.port}"

    async def publish(bodies: Sequence[bytes]) -> None:
        with redis.Redis.from_url(url) as client:
            for body in bodies:
                client.xadd(STREAM, {"body": body})

    return server, lambda: Entries(url, STREAM, "wavebreak"), publish


def _bodies(begin: int, end: int) -> list[bytes]:
    return [f'{{"id":"e{n}"}}'.encode() for n in range(begin, end)]


async def _until(task: asyncio.Task[None], done: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not done():
            assert not task.done(), task.exception()
            await asyncio.sleep(0.01)


async def _stopped(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def test_a_consumer_killed_in_the_middle_loses_and_doubles_nothing(broker: Broker) -> None:
    _, source, publish = broker
    log, wanted = Log(), _bodies(0, COUNT)

    async def live() -> None:
        await publish(wanted)
        for share in (0.2, 0.5, 0.8):
            task = asyncio.create_task(consume(source(), log.accept, Metrics()))
            await _until(task, lambda share=share: len(log.bodies) >= share * COUNT)  # type: ignore[misc]
            await _stopped(task)
        task = asyncio.create_task(consume(source(), log.accept, Metrics()))
        await _until(task, lambda: len(log.bodies) == COUNT)
        await _stopped(task)

    asyncio.run(live())
    assert sorted(log.bodies.values()) == sorted(wanted)


def test_a_broker_that_restarts_loses_and_doubles_nothing(broker: Broker) -> None:
    server, source, publish = broker
    log, wanted = Log(), _bodies(0, COUNT)

    async def live() -> None:
        await publish(wanted[: COUNT // 2])
        task = asyncio.create_task(consume(source(), log.accept, Metrics()))
        await _until(task, lambda: len(log.bodies) >= 50)
        server.kill()
        await asyncio.sleep(0.3)
        await asyncio.to_thread(server.start)
        await publish(wanted[COUNT // 2 :])
        await _until(task, lambda: len(log.bodies) == COUNT)
        await _stopped(task)

    asyncio.run(live())
    assert sorted(log.bodies.values()) == sorted(wanted)


def test_a_message_that_is_never_taken_is_counted_and_does_not_come_again(broker: Broker) -> None:
    _, source, publish = broker
    log, metrics = Log(), Metrics()

    async def live() -> None:
        await publish([b"poison", *_bodies(0, 20)])
        task = asyncio.create_task(consume(source(), log.accept, metrics))
        await _until(task, lambda: len(log.bodies) == 20)
        await asyncio.sleep(0.2)
        await _stopped(task)

    asyncio.run(live())
    assert b'wavebreak_stream_events_total{result="refused"} 1.0' in metrics.text()
    assert b'wavebreak_stream_events_total{result="taken"} 20.0' in metrics.text()
