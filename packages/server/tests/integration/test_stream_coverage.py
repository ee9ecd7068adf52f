"""What a log that nobody has described lacks is measured and reported, and decides nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from support import service_harness
from wavebreak.rules import load_policy
from wavebreak.schema.coverage import declared, known_names
from wavebreak_server.pipeline.observability import service_gauges
from wavebreak_server.slices.sources.coverage import CoverageReport, measure_begin, unseen

START = 1_767_222_000_000
HOUR_MS = 3_600_000


@pytest.fixture(params=service_harness.DATABASES)
def bound(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    with service_harness.migrated(request.param, tmp_path):
        yield tmp_path


def sends(count: int, span_ms: int) -> list[dict[str, Any]]:
    """Messages without any field but the parties, over a span."""
    return [
        {
            "id": f"e{n}", "ts": START + n * span_ms // count, "type": "message.sent",
            "account": f"a{n % 9}", "peer": f"a{(n + 1) % 9}",
        }
        for n in range(count)
    ]  # fmt: skip


def measured() -> Any:
    try:
        return measure_begin()
    finally:
        connection.close()


def test_missing_types_and_silent_rules_are_reported(bound: Path) -> None:
    async def live() -> None:
        report = CoverageReport()
        async with service_harness.running(bound, background=[report]) as made:
            await made.send(sends(300, 2 * HOUR_MS))
        said: list[str] = []
        async with service_harness.running(bound, wait=False, background=[report]) as made:
            made.service.report = said.append
            async with asyncio.timeout(60):
                while not said:
                    await asyncio.sleep(0.05)
            ready = await made.ask("GET", "/readyz", made.keys["read"])
            assert made.service.coverage.lacking in ready.text
            assert (await made.ask("GET", "/readyz", "")).text == "ready\n"
        assert "the log lacks account.deleted" in said[0]
        assert "these rules cannot hold" in said[0]

    asyncio.run(live())


def test_short_log_is_not_measured(bound: Path) -> None:
    async def live() -> None:
        async with service_harness.running(bound) as made:
            await made.send(sends(300, HOUR_MS // 2))
            assert await asyncio.to_thread(measured) is None
            later = {"id": "z", "ts": START + HOUR_MS, "type": "typing.started"}
            await made.send([later | {"account": "a1", "peer": "a2"}])
            profile = await asyncio.to_thread(measured)
            assert profile.events == 300
            assert not profile.covers("typing.started")

    asyncio.run(live())


def test_stream_that_carries_everything_lacks_nothing() -> None:
    assert unseen(declared(known_names()), load_policy()) is None


def test_a_model_that_abstains_is_told(bound: Path) -> None:
    async def live() -> None:
        async with service_harness.running(bound) as made:
            key = made.keys["read"]
            assert (await made.ask("GET", "/readyz", key)).text == "ready\n"
            pipeline = made.service.running.pipeline
            assert pipeline is not None
            core = pipeline.engine_thread.engine.core
            core.workers[0].record["abstains"] = 1
            ready = await made.ask("GET", "/readyz", key)
            assert "nearly all active accounts registered within a week" in ready.text
            assert service_gauges(made.service)["model_abstains"][1] == 1.0

    asyncio.run(live())
