"""Events of real brokers in the real log: each once, through restarts of either side."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from support import brokers, service_harness
from support.banning_policy import load_banning_policy
from support.brokers import Broker
from support.service_harness import abuser
from wavebreak.engine import Engine
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.schema.events import WIRE_SCHEMA
from wavebreak_server.bootstrap import ServeOptions, background_tasks


@pytest.fixture(params=brokers.KINDS)
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    with brokers.started(request.param, tmp_path, type="application/x-ndjson") as made:
        yield made


def _wanted(events: list[Any]) -> list[bytes]:
    """Decisions of an engine that takes the events in the order of the log."""
    engine = Engine(load_banning_policy(), accounts=1024)
    log = Pseudonymizer(service_harness.SECRET).apply(service_harness.wire(events, WIRE_SCHEMA))
    return [msgspec.json.encode(made) for made in engine.take(log)]


@pytest.mark.parametrize("kind", service_harness.DATABASES)
def test_broker_events_are_logged_once_across_restarts(
    broker: Broker, tmp_path: Path, kind: str
) -> None:
    server, source, publish = broker
    events = [e for n in range(6) for e in abuser(60, f"a{n}", 1_767_222_000_000 + n * 60_000)]
    bodies = [
        b"\n".join(map(msgspec.json.encode, events[at : at + 10]))
        for at in range(0, len(events), 10)
    ]

    async def life(until: int) -> None:
        """A service lives until so many events are in the log; its consumer ends where it is."""
        held = service_harness.context()
        options = ServeOptions(sources=[source()])
        work = background_tasks(held, options)
        async with service_harness.running(tmp_path, held=held, background=work) as made:
            async with asyncio.timeout(40):
                while made.service.progress().logged < until:
                    await asyncio.sleep(0.005)
            await made.wait_until_applied()

    async def lives() -> None:
        await publish(bodies[:20])
        await life(50)
        await publish(bodies[20:])
        server.kill()
        server.start()
        await life(len(events))

    with service_harness.migrated(kind, tmp_path):
        asyncio.run(lives())
        held = service_harness.logged()
        decided = service_harness.decided()
    assert len(held) == len(events)
    assert sorted(e["id"] for e in held) == sorted(e["id"] for e in events)
    by_id = {e["id"]: e for e in events}
    assert decided == _wanted([by_id[e["id"]] for e in held])
    assert len(decided) >= 6
