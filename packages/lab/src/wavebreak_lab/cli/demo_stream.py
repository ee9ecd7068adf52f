"""Demo traffic: recorded events sent to the service as a live stream, faster than real time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from wavebreak.durations import DAY_MS
from wavebreak.schema.events import json_rows
from wavebreak_lab.cli.demo_world import simulate_day
from wavebreak_lab.simulation.world import write_labels
from wavebreak_server.console.demo_story import STREAM_LABELS
from wavebreak_server.pipeline.pending_requests import BusyError, Sender
from wavebreak_server.pipeline.request_decoder import Body
from wavebreak_server.pipeline.service import Service

SPEED, STEP_S = 240.0, 0.5
"""A day passes in six minutes, sent twice a second."""


def write_dated(events: Path, dated_path: Path, now_ms: int) -> None:
    """Write a Parquet file of events once more, moved by whole days to end within the last day.

    Times of day stay. What people do in a console is dated with its clock: outcomes of a day long
    past would have ended, and could be neither seen nor restored.
    """
    table = pq.read_table(events)
    ts = table.column("ts")
    days = (now_ms - pc.max(ts).as_py()) // DAY_MS
    shifted = pc.add(ts, pa.scalar(days * DAY_MS, ts.type))
    dated_path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table.set_column(table.schema.get_field_index("ts"), "ts", shifted), dated_path)


async def send_day(service: Service) -> None:
    """Send a simulated day to a service: the background task of `serve --demo`."""
    await replay(service, partial(_simulated_day, service.settings.home / STREAM_LABELS))


def _simulated_day(labels: Path) -> pa.RecordBatch:
    """Simulate a day of 500 people and every campaign, in the wire schema; write its labels.

    It was simulated before: a service that enforces refuses what its people react to all the same.
    """
    world = simulate_day(500, seed=1)
    write_labels(world, labels)
    return pa.Table.from_batches(world.batches()).combine_chunks().to_batches()[0]


async def replay(service: Service, make_events: Callable[[], pa.RecordBatch]) -> None:
    """Send events, whose dates end now; with its arguments bound, a `Service(background=…)`.

    The service takes no date ahead of its clock, so the first is dated a day back, less the time
    that sending takes. `make_events` returns events in the wire schema, in time order; it runs in a
    thread.
    """
    wire = await asyncio.to_thread(make_events)
    times = wire.column("ts").to_numpy()
    begins, now = int(times[0]), service.clock()
    starts = now - int((int(times[-1]) - begins) * (1 - 1 / SPEED))
    dated = pa.array(times - begins + starts)
    moved = wire.set_column(wire.schema.get_field_index("ts"), "ts", dated)
    sent, step = 0, 0
    while sent < len(times):
        step += 1
        end = int((times <= begins + step * STEP_S * SPEED * 1000).sum())
        for start in range(sent, end, 5_000):
            rows = json_rows(moved.slice(start, min(5_000, end - start))).to_pylist()
            await _send_batch(service, "\n".join(rows).encode(), f"{now}-{start}")
        sent = end
        await asyncio.sleep(STEP_S)


async def _send_batch(service: Service, lines: bytes, key: str) -> None:
    while True:
        try:
            await service.accept(Body(lines, "lines"), Sender("demo"), key=key)
            return
        except BusyError as busy:
            await asyncio.sleep(busy.retry_after_s)
