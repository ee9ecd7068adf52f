"""Tasks beside the service: each restarts after a failure, with pauses, and is named."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from wavebreak_server import app, bootstrap
from wavebreak_server.bootstrap import ServeOptions, background_tasks, task_name
from wavebreak_server.http.app_context import AppContext
from wavebreak_server.pipeline import backfill as backfilling
from wavebreak_server.pipeline.observability import Metrics
from wavebreak_server.slices.sources.service import SourceUpkeep


class Upkeep:
    """A task that fails some times, then ends."""

    def __init__(self, failures: int) -> None:
        self.failures, self.runs = failures, 0

    async def __call__(self, service: Any) -> None:
        self.runs += 1
        if self.runs <= self.failures:
            raise ValueError("no such row")


def supervised(*tasks: Any) -> tuple[list[Any], Metrics]:
    """The tasks as a service runs them, without those of every service."""
    metrics = Metrics()
    context = cast(AppContext, SimpleNamespace(metrics=metrics))
    return background_tasks(context, ServeOptions(), tasks)[-len(tasks) :], metrics


@pytest.fixture(name="service")
def _service() -> Any:
    return SimpleNamespace(lost=lambda: "", failing_tasks={})


@pytest.fixture(name="pauses")
def _pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    monkeypatch.setattr(bootstrap, "plugin_tasks", lambda *_: [])
    monkeypatch.setattr(bootstrap, "WebhookDispatcher", lambda *_: SourceUpkeep())
    return pauses


def test_failed_task_restarts_with_longer_pauses(service: Any, pauses: list[float]) -> None:
    task = Upkeep(8)
    (run,), metrics = supervised(task)
    asyncio.run(run(service))
    assert task.runs == 9
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]
    assert b'wavebreak_background_failures_total{task="upkeep"} 8.0' in metrics.text()
    assert service.failing_tasks == {}


def test_failing_task_is_named_until_it_recovers(
    service: Any, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, str]] = []

    class Watched(Upkeep):
        async def __call__(self, service: Any) -> None:
            seen.append(dict(service.failing_tasks))
            await super().__call__(service)

    (first, second), _ = supervised(Watched(1), Watched(1))
    asyncio.run(first(service))
    asyncio.run(second(service))
    assert seen == [{}, {"watched": "ValueError"}, {}, {"watched_2": "ValueError"}]
    assert service.failing_tasks == {}


def test_no_task_restarts_once_the_log_is_lost(service: Any, pauses: list[float]) -> None:
    task = Upkeep(5)

    async def failing(running: Any) -> None:
        running.lost = lambda: "another server"
        await task(running)

    (run,), _ = supervised(failing)
    asyncio.run(run(service))
    assert (task.runs, pauses) == (1, [1])


def test_tasks_are_named_after_what_makes_them() -> None:
    assert task_name(Upkeep(0)) == "upkeep"


def test_backfill_goes_on_after_a_failure(
    service: Any, pauses: list[float], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file, runs = tmp_path / "events.jsonl", list[bool]()
    file.write_bytes(b"{}\n")

    async def backfill(_service: Any, _path: Path, *, resumed: bool) -> None:
        runs.append(resumed)
        if not resumed:
            raise OSError("no answer from the disk")

    monkeypatch.setattr(backfilling, "backfill", backfill)
    (run,), _ = supervised(*app._backfill(file))
    asyncio.run(run(service))
    assert runs == [False, True]
