"""A simulated day as a live stream, for who wants to see the service at work."""

from __future__ import annotations

import asyncio

import pyarrow as pa

from wavebreak import simulator
from wavebreak.events import json_rows
from wavebreak.service.bodies import Body
from wavebreak.service.running import Service
from wavebreak.service.waiting import BusyError

PEOPLE, SPEED, STEP_S = 500, 240.0, 0.5
"""A day of so many people and every campaign in six minutes, sent twice a second."""


async def live(service: Service) -> None:
    """Send a simulated day, dated from now on; a coroutine of `Service(background=…)`."""
    wire = await asyncio.to_thread(_day)
    times = wire.column("ts").to_numpy()
    begins, now = int(times[0]), service.clock()
    moved = wire.set_column(
        wire.schema.get_field_index("ts"), "ts", pa.array(times - begins + now)
    )  # fmt: skip
    sent, step = 0, 0
    while sent < len(times):
        step += 1
        end = int((times <= begins + step * STEP_S * SPEED * 1000).sum())
        for start in range(sent, end, 5_000):
            rows = json_rows(moved.slice(start, min(5_000, end - start))).to_pylist()
            await _sent(service, "\n".join(rows).encode(), f"{now}-{start}")
        sent = end
        await asyncio.sleep(STEP_S)


async def _sent(service: Service, lines: bytes, key: str) -> None:
    while True:
        try:
            await service.accept(Body(lines, "lines"), sender="demo", key=key)
            return
        except BusyError as busy:
            await asyncio.sleep(busy.retry_after_s)


def _day() -> pa.RecordBatch:
    world = simulator.simulate(
        people=PEOPLE, days=1, campaigns=[(name, None) for name in simulator.CAMPAIGNS],
        innocents=["all"], seed=1,
    )  # fmt: skip
    return pa.Table.from_batches(world.batches()).combine_chunks().to_batches()[0]
