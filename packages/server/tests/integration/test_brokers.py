"""Messages of real brokers: killed consumers and brokers that restart lose and double nothing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support import brokers
from support.brokers import Broker
from wavebreak.errors import WavebreakError
from wavebreak_server.pipeline.brokers import consume
from wavebreak_server.pipeline.observability import Metrics
from wavebreak_server.pipeline.pending_requests import BusyError

COUNT = 400


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


@pytest.fixture(params=brokers.KINDS)
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    with brokers.started(request.param, tmp_path) as made:
        yield made


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


def test_killed_consumer_loses_and_doubles_nothing(broker: Broker) -> None:
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


def test_broker_restart_loses_and_doubles_nothing(broker: Broker) -> None:
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


def test_rejected_message_is_counted_and_not_redelivered(broker: Broker) -> None:
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
