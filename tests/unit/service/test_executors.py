"""Pools of daemon threads: work waits only where all threads of its own pool are busy."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import wait

import pytest

from wavebreak.service.executors import DaemonExecutor

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
