"""Thread pools of the service, one for each kind of work, so that no kind waits for another.

The event loop's own pool is left to Django and the console. All threads are daemons: a process that
ends does not wait for a receiver that never answers, or for a database that is locked.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, Generic, TypeVar

K = TypeVar("K")
T = TypeVar("T")

MAX_ATTEMPTS = 116
"""Webhook attempts at once: one for each of a hundred webhooks, and sixteen more."""

_Work = tuple["Future[Any]", Callable[[], Any]]


class DaemonExecutor(Executor):
    """Runs work in at most `threads` daemon threads, which start when they are needed.

    >>> DaemonExecutor("example", 2).submit(sum, [1, 2]).result()
    3
    """

    def __init__(self, name: str, threads: int) -> None:
        self.name, self.threads = name, threads
        self._changed = threading.Condition()
        self._waiting: deque[_Work] = deque()
        self._started, self._idle, self._ended = 0, 0, False

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Queue a call; a thread starts where all are busy and there may be more."""
        future: Future[T] = Future()
        with self._changed:
            self._waiting.append((future, lambda: fn(*args, **kwargs)))
            if len(self._waiting) > self._idle and self._started < self.threads:
                self._started += 1
                name = f"wavebreak-{self.name}-{self._started}"
                threading.Thread(target=self._work, name=name, daemon=True).start()
            self._changed.notify()
        return future

    async def run(self, work: Callable[[], T]) -> T:
        """Run work in a thread, and wait for its result without blocking the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self, work)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let the threads end after what is queued; nothing is waited for."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _next(self) -> _Work | None:
        with self._changed:
            while not self._waiting:
                if self._ended:
                    return None
                self._idle += 1
                self._changed.wait()
                self._idle -= 1
            return self._waiting.popleft()

    def _work(self) -> None:
        while (item := self._next()) is not None:
            future, call = item
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(call())
                except BaseException as error:
                    future.set_exception(error)
            del item, future, call


class SharedRuns(Generic[K, T]):
    """Runs a job for everything that waits for it, one run at a time.

    What is asked for during a run shares the next one, so that a slow job is never run twice at
    once, however often it is asked for.

    >>> asyncio.run(SharedRuns("example").run(3, lambda numbers: [n * n for n in numbers]))
    9
    """

    def __init__(self, name: str) -> None:
        self._executor = DaemonExecutor(name, 1)
        self._waiting: deque[tuple[K, Future[T]]] = deque()

    async def run(self, key: K, job: Callable[[list[K]], list[T]]) -> T:
        """Wait for the run that `key` is part of; return its result, or raise the run's error.

        Args:
            key: What is asked for.
            job: Takes what was asked for, in order, and returns a result for each; the same job
                at each call.
        """
        future: Future[T] = Future()
        self._waiting.append((key, future))
        self._executor.submit(self._run, job)
        return await asyncio.wrap_future(future)

    def _run(self, job: Callable[[list[K]], list[T]]) -> None:
        shared = [self._waiting.popleft() for _ in range(len(self._waiting))]
        shared = [(key, future) for key, future in shared if future.set_running_or_notify_cancel()]
        if not shared:
            return
        try:
            results = job([key for key, _ in shared])
        except BaseException as error:
            for _, future in shared:
                future.set_exception(error)
        else:
            for (_, future), result in zip(shared, results, strict=True):
                future.set_result(result)


class Executors:
    """The pools of one service.

    Attributes:
        keys: Reloads API keys and quota extensions.
        streams: Reads decisions for server-sent event streams.
        notices: Reads decisions for what an answer says to the holder.
        deliveries: Reads due webhook deliveries, and stores the results of attempts.
        attempts: Makes webhook attempts; `webhooks` bounds how many run for one receiver.
        erasures: Erases: each erasure passes over the whole log, so what waits shares a pass.
    """

    def __init__(self) -> None:
        self.keys = DaemonExecutor("keys", 1)
        self.streams = DaemonExecutor("streams", 4)
        self.notices = DaemonExecutor("notices", 1)
        self.deliveries = DaemonExecutor("deliveries", 2)
        self.attempts = DaemonExecutor("attempts", MAX_ATTEMPTS)
        self.erasures: SharedRuns[Any, Any] = SharedRuns("erasures")
