"""Demo traffic keeps to the clock of the service that it is sent to."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pyarrow as pa

from wavebreak.schema.events import WIRE_SCHEMA
from wavebreak.service import demo_stream
from wavebreak.service.request_decoder import Body

NOW = 1_772_366_400_000


class _Service:
    """Keeps the events that it is sent."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def clock(self) -> int:
        return NOW

    async def accept(self, body: Body, **_: Any) -> None:
        self.events += map(msgspec.json.decode, body.content.splitlines())


def test_demo_events_are_dated_up_to_the_clock() -> None:
    wire = pa.RecordBatch.from_pylist(
        [{"ts": ts, "type": "account.deleted", "account": "a"} for ts in (1_000, 61_000)],
        WIRE_SCHEMA,
    )
    service = _Service()
    asyncio.run(demo_stream.replay(service, lambda: wire))  # type: ignore[arg-type]
    first, last = (event["ts"] for event in service.events)
    assert last - first == 60_000
    assert NOW < last <= NOW + 60_000 / demo_stream.SPEED
