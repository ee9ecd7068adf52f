"""Demo traffic keeps to the clock of the service that it is sent to."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from wavebreak.durations import DAY_MS
from wavebreak.schema.events import WIRE_SCHEMA
from wavebreak_lab.cli import demo, demo_stream
from wavebreak_server.app import demo_streams
from wavebreak_server.pipeline.pending_requests import Sender
from wavebreak_server.pipeline.request_decoder import Body

NOW = 1_772_366_400_000


def test_day_is_dated_anew_to_end_within_the_last_day(tmp_path: Path) -> None:
    first, last = 1_767_222_000_000, 1_767_300_000_000
    rows = [{"ts": ts, "type": "account.deleted", "account": "a"} for ts in (first, last)]
    pq.write_table(pa.Table.from_pylist(rows, WIRE_SCHEMA), tmp_path / "events.parquet")
    dated = tmp_path / "dated" / "events.parquet"
    demo_stream.write_dated(tmp_path / "events.parquet", dated, NOW)
    moved = pq.read_table(dated)
    times = moved.column("ts").to_pylist()
    assert times[1] - times[0] == last - first
    assert NOW - DAY_MS < times[1] <= NOW
    assert (times[0] - first) % DAY_MS == 0
    assert moved.schema == WIRE_SCHEMA


class _Service:
    """Keeps the events that it is sent."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def clock(self) -> int:
        return NOW

    async def accept(self, body: Body, _sender: Sender, **_: Any) -> None:
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


def test_served_demo_sends_the_simulated_day() -> None:
    assert demo_streams() == [demo_stream.send_day]


def test_demo_without_the_server_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "command_modules", dict)
    demo.serve_demo(tmp_path / "service", tmp_path, 0)
    assert "pip install wavebreak-server" in capsys.readouterr().out
    assert not (tmp_path / "service").exists()
