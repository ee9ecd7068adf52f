"""Pools of daemon threads: work waits only where all threads of its own pool are busy."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import wait

import pytest

from wavebreak_server.pipeline.executors import DaemonExecutor, SharedRuns

WAIT_S = 20


def test_work_runs_beside_work_that_hangs() -> None:
    pool, let = DaemonExecutor("test", 3), threading.Event()
    try:
        hanging = [pool.submit(let.wait, WAIT_S) for _ in range(2)]
        assert [pool.submit(sum, [n, n]).result(WAIT_S) for n in range(20)] == [
            2 * n for n in range(20)
        ]
        assert not any(each.done() for each in hanging)
    finally:
        let.set()
    assert len(wait(hanging, WAIT_S).done) == 2


def test_pool_starts_no_more_threads_than_it_may() -> None:
    pool, let = DaemonExecutor("bounded", 2), threading.Event()
    work = [pool.submit(let.wait, WAIT_S) for _ in range(10)]
    names = [t.name for t in threading.enumerate() if t.name.startswith("wavebreak-bounded")]
    assert sorted(names) == ["wavebreak-bounded-1", "wavebreak-bounded-2"]
    assert all(t.daemon for t in threading.enumerate() if t.name in names)
    let.set()
    assert all(each.result(WAIT_S) for each in work)
    pool.shutdown()


def test_error_reaches_who_waits() -> None:
    def fails() -> None:
        raise ArithmeticError

    with pytest.raises(ArithmeticError):
        asyncio.run(DaemonExecutor("failing", 1).run(fails))


def test_calls_during_a_run_share_the_next_one() -> None:
    began, let, runs = threading.Event(), threading.Event(), list[list[int]]()

    def square(numbers: list[int]) -> list[int]:
        runs.append(numbers)
        began.set()
        assert let.wait(WAIT_S)
        return [number**2 for number in numbers]

    shared = SharedRuns[int, int]("shared")

    async def ask() -> list[int]:
        first = asyncio.ensure_future(shared.run(1, square))
        await asyncio.to_thread(began.wait, WAIT_S)
        others = [asyncio.ensure_future(shared.run(n, square)) for n in (2, 3, 4)]
        await asyncio.sleep(0)
        others[1].cancel()
        await asyncio.sleep(0)
        let.set()
        found = await asyncio.wait_for(asyncio.gather(first, others[0], others[2]), WAIT_S)
        return list(found)

    assert asyncio.run(ask()) == [1, 4, 16]
    assert runs == [[1], [2, 4]]


def test_error_of_a_shared_run_reaches_all_of_it() -> None:
    shared = SharedRuns[str, int]("failing")

    def parse(words: list[str]) -> list[int]:
        return [int(word) for word in words]

    async def ask() -> int:
        with pytest.raises(ValueError, match="invalid literal"):
            await shared.run("one", parse)
        return await shared.run("2", parse)

    assert asyncio.run(ask()) == 2
