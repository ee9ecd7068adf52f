from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import patch

import pyarrow as pa
import pytest

from wavebreak_server.pipeline.engine_thread import ENGINE_BUSY, EngineThread
from wavebreak_server.pipeline.pending_requests import DecidedBatch, LoggedBatch, PendingRequest


class SlowEngine:
    """An engine that takes a batch when it is let."""

    def __init__(self) -> None:
        self.fanout = SimpleNamespace(position=0)
        self.started, self.let = threading.Event(), threading.Event()

    def take(self, log: pa.RecordBatch) -> list[Any]:
        self.started.set()
        assert self.let.wait(10)
        self.fanout.position += log.num_rows
        return []


@pytest.fixture
def decided() -> list[DecidedBatch]:
    return []


@pytest.fixture
def engine() -> SlowEngine:
    return SlowEngine()


@pytest.fixture
def decider(engine: SlowEngine, decided: list[DecidedBatch]) -> Iterator[EngineThread]:
    made: Any = engine
    decider = EngineThread(made, 0, decided.append, lambda _engine, _decisions: None)
    decider.start()
    yield decider
    if not decider.broken:
        engine.let.set()
    decider.stop()


def batch(first: int) -> LoggedBatch:
    return LoggedBatch(first, pa.RecordBatch.from_pydict({"id": ["a", "b"]}))


def position(engine: Any) -> tuple[int, int]:
    return threading.get_ident(), engine.fanout.position


def test_idle_engine_answers_on_the_callers_thread(decider: EngineThread) -> None:
    assert decider.try_ask_now(position) == (threading.get_ident(), 0)


def test_busy_engine_returns_engine_busy(decider: EngineThread, engine: SlowEngine) -> None:
    decider.put(batch(0))
    assert decider.try_ask_now(position) is ENGINE_BUSY
    assert engine.started.wait(10)
    assert decider.try_ask_now(position) is ENGINE_BUSY


def test_query_after_a_batch_sees_the_batch(
    decider: EngineThread, engine: SlowEngine, decided: list[DecidedBatch]
) -> None:
    engine.let.set()
    for first in range(0, 200, 2):
        decider.put(batch(first))
        while (found := decider.try_ask_now(position)) is ENGINE_BUSY:
            pass
        assert found == (threading.get_ident(), first + 2)
    assert [d.reached for d in decided] == list(range(2, 202, 2))


def test_broken_engine_returns_engine_busy(decider: EngineThread, engine: SlowEngine) -> None:
    engine.let = cast(Any, None)
    decider.put(batch(0))
    while not decider.broken:
        pass
    assert decider.try_ask_now(position) is ENGINE_BUSY


def test_queued_batches_are_decided_together_once(
    decider: EngineThread, engine: SlowEngine, decided: list[DecidedBatch]
) -> None:
    decider.put(batch(0))
    assert engine.started.wait(10)
    for first in range(2, 100, 2):
        decider.put(batch(first))
    engine.let.set()
    decider.stop()
    assert [d.reached for d in decided] == [2, 100]


def test_query_of_a_batch_runs_before_the_next_batch(
    decider: EngineThread, engine: SlowEngine, decided: list[DecidedBatch]
) -> None:
    asked, told = PendingRequest(None, None, None, ask=position), list[Any]()  # type: ignore[arg-type]
    engine.let.set()
    with patch("wavebreak_server.pipeline.pending_requests.resolve_futures", told.extend):
        for first in (0, 2, 4, 6):
            decider.put(replace(batch(first), asked=(asked,) if first == 2 else ()))
        decider.stop()
    assert [value for _, (_, value) in told] == [4]
    assert [d.reached for d in decided][-1] == 8
