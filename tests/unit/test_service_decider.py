from __future__ import annotations

import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pyarrow as pa
import pytest

from wavebreak.service.decider import BUSY, Decider
from wavebreak.service.waiting import Decided, Logged


class SlowEngine:
    """An engine that takes a batch when it is let."""

    def __init__(self) -> None:
        self.fanout = SimpleNamespace(position=0)
        self.begun, self.let = threading.Event(), threading.Event()

    def take(self, log: pa.RecordBatch) -> list[Any]:
        self.begun.set()
        assert self.let.wait(10)
        self.fanout.position += log.num_rows
        return []


@pytest.fixture
def decided() -> list[Decided]:
    return []


@pytest.fixture
def engine() -> SlowEngine:
    return SlowEngine()


@pytest.fixture
def decider(engine: SlowEngine, decided: list[Decided]) -> Iterator[Decider]:
    made: Any = engine
    decider = Decider(made, 0, decided.append, lambda _engine, _decisions: None)
    decider.start()
    yield decider
    if not decider.broken:
        engine.let.set()
    decider.stop()


def batch(first: int) -> Logged:
    return Logged(first, pa.RecordBatch.from_pydict({"id": ["a", "b"]}))


def position(engine: Any) -> tuple[int, int]:
    return threading.get_ident(), engine.fanout.position


def test_an_engine_at_rest_answers_on_the_thread_of_who_asks(decider: Decider) -> None:
    assert decider.at_once(position) == (threading.get_ident(), 0)


def test_an_engine_at_work_has_no_answer_at_once(decider: Decider, engine: SlowEngine) -> None:
    decider.put(batch(0))
    assert decider.at_once(position) is BUSY
    assert engine.begun.wait(10)
    assert decider.at_once(position) is BUSY


def test_who_asks_after_a_batch_sees_it(
    decider: Decider, engine: SlowEngine, decided: list[Decided]
) -> None:
    engine.let.set()
    for first in range(0, 200, 2):
        decider.put(batch(first))
        while (found := decider.at_once(position)) is BUSY:
            pass
        assert found == (threading.get_ident(), first + 2)
    assert [d.reached for d in decided] == list(range(2, 202, 2))


def test_an_engine_that_broke_has_no_answer_at_once(decider: Decider, engine: SlowEngine) -> None:
    engine.let = cast(Any, None)
    decider.put(batch(0))
    while not decider.broken:
        pass
    assert decider.at_once(position) is BUSY
