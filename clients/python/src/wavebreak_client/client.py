"""The two clients: AsyncClient for asyncio, Client for threads."""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import contextlib
import os
import threading
from collections.abc import Coroutine, Sequence
from functools import cached_property
from types import TracebackType
from typing import Any, TypeVar

from wavebreak_client.business import Send, SendAnswer
from wavebreak_client.core import AnyEvent, ClientCore, as_act, content_of, wall_ms
from wavebreak_client.deadline_http import ERRORS, DeadlineHttp
from wavebreak_client.event_base import Event
from wavebreak_client.states import State
from wavebreak_client.verdicts import Verdict, failed_verdict

T = TypeVar("T")

_GRACE_S = 1.0
_LOOP_S = 0.1
"""What an attempt waits longer than it may, where the client's own loop is late."""


class AsyncClient(ClientCore):
    """A client for asyncio. All of its methods are called in one event loop.

    The arguments are those of ClientCore. It starts with its first use in a running loop.

        async with AsyncClient("https://wavebreak.example.org", key) as client:
            verdict = await client.attempt(MessageSent(account="a", peer="b", size=212))
            if verdict.allowed:
                client.tell(*verdict.events)
    """

    def _begin(self) -> None:
        with contextlib.suppress(RuntimeError):
            self._start()

    async def __aenter__(self) -> AsyncClient:
        self._start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def attempt(self, event: AnyEvent | Sequence[AnyEvent]) -> Verdict:
        """Ask before an act happens.

        A refused act is in the service's log, with its decision. An allowed one is not: hand it
        to `tell`, under the same id, once it happened.

        Args:
            event: The act; or up to 50 events of one account that make one act, such as the
                invitations of a new group.

        Returns:
            The answer; or, where there was none in time, what `on_failure` says.

        Raises:
            EventError: Where an event does not fit the schema.

        """
        self._start()
        return await self._attempt(event)

    async def fetch_states(self, accounts: Sequence[str]) -> list[State]:
        """Ask the service for the states of up to 1,000 accounts, in their order.

        Raises:
            ServiceError: Where it does not answer.

        """
        self._start()
        return await self._fetch_states(accounts)

    async def decide_sends(self, portfolio: str, sends: Sequence[Send]) -> list[SendAnswer]:
        """Ask which of up to 500 sends of a business may go out; the answers, in their order.

        Those that may are counted as sent. After an error ask again with the same ids.

        Raises:
            ServiceError: Where it does not answer, or refuses the question as a whole.

        """
        self._start()
        return await self._decide_sends(portfolio, sends)

    async def declare(self, carries: Sequence[str], can: Sequence[str]) -> bool:
        """Declare what this source carries and can do, at its start.

        Args:
            carries: Types and fields, such as message.sent and message.sent.size.
            can: refuse, challenge, notify, suspend, lift.

        Returns:
            Whether the service took it.

        """
        self._start()
        return await self._declare(carries, can)

    async def flush(self, timeout_s: float = 5.0) -> bool:
        """Send what waits now; returns whether all of it is delivered."""
        self._start()
        return await self._flush(timeout_s)

    async def close(self, timeout_s: float = 5.0) -> bool:
        """Send what waits, and end; returns whether all of it is delivered.

        What is not stays in the spool, where there is one.
        """
        return await self._close(timeout_s)


class Client(ClientCore):
    """A client for threads. Its methods may be called from any thread.

    The arguments are those of ClientCore. It has one thread of its own, which starts with the
    first use: so a server that forks may make it before, and use it after the fork.

        with Client("https://wavebreak.example.org", key) as client:
            verdict = client.attempt(MessageSent(account="a", peer="b", size=212))
            if verdict.allowed:
                client.tell(*verdict.events)
    """

    _thread: threading.Thread | None = None
    _owner = 0

    def _begin(self) -> None:
        if self._thread is not None or self._closed:
            return
        with self._lock:
            if self._thread is not None:
                return
            started = threading.Event()
            thread = threading.Thread(
                target=self._work, args=(started,), name="wavebreak-client", daemon=True
            )
            thread.start()
            started.wait()
            self._thread, self._owner = thread, os.getpid()
        atexit.register(self.close, 2.0)

    def _work(self, started: threading.Event) -> None:
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        loop.call_soon(self._start)
        loop.call_soon(started.set)
        try:
            loop.run_forever()
        finally:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()

    def _run(self, work: Coroutine[Any, Any, T], timeout_s: float) -> T:
        """Run in the client's own loop.

        Raises:
            concurrent.futures.TimeoutError: Where it takes longer than it may.

        """
        self._begin()
        loop = self._loop
        if loop is None or loop.is_closed() or self._owner != os.getpid():
            work.close()
            raise concurrent.futures.TimeoutError
        future = asyncio.run_coroutine_threadsafe(work, loop)
        try:
            return future.result(timeout_s)
        except concurrent.futures.TimeoutError:
            future.cancel()
            raise
        except concurrent.futures.CancelledError:
            raise concurrent.futures.TimeoutError from None

    def __enter__(self) -> Client:
        self._begin()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def attempt(self, event: AnyEvent | Sequence[AnyEvent]) -> Verdict:
        """Ask before an act happens; see AsyncClient.attempt."""
        events = as_act(event)
        one = events if isinstance(event, Sequence) else events[0]
        if self._closed:
            return failed_verdict(events, self._on_failure, shadow=self._shadow)
        if self._own_transport:
            return self._attempt_here(events, array=isinstance(event, Sequence))
        with contextlib.suppress(concurrent.futures.TimeoutError):
            return self._run(self._attempt(one), self._timeout_s + _LOOP_S)
        return failed_verdict(events, self._on_failure, shadow=self._shadow)

    def _attempt_here(self, events: tuple[Event, ...], *, array: bool) -> Verdict:
        """Ask in the calling thread: through the client's own loop it takes twice as long."""
        self._begin()
        if self._owner != os.getpid() or not self._may_ask():
            return failed_verdict(events, self._on_failure, shadow=self._shadow)
        sent_ms = wall_ms()
        try:
            answer = self._connections.post(
                self._attempt_path, content_of(events, array=array), self._timeout_s
            )
        except ERRORS:
            return self._unanswered(events)
        self._observe(answer, sent_ms)
        return self._judge(answer, events)

    @cached_property
    def _connections(self) -> DeadlineHttp:
        return DeadlineHttp(self._url, self._headers, self._verify)

    def fetch_states(self, accounts: Sequence[str]) -> list[State]:
        """Ask the service for the states of up to 1,000 accounts; see AsyncClient."""
        return self._run(self._fetch_states(accounts), 60.0)

    def decide_sends(self, portfolio: str, sends: Sequence[Send]) -> list[SendAnswer]:
        """Ask which sends of a business may go out; see AsyncClient."""
        return self._run(self._decide_sends(portfolio, sends), 60.0)

    def declare(self, carries: Sequence[str], can: Sequence[str]) -> bool:
        """Declare what this source carries and can do; see AsyncClient."""
        return self._run(self._declare(carries, can), 60.0)

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Send what waits now; returns whether all of it is delivered."""
        with contextlib.suppress(concurrent.futures.TimeoutError):
            return self._run(self._flush(timeout_s), timeout_s + _GRACE_S)
        return False

    def close(self, timeout_s: float = 5.0) -> bool:
        """Send what waits, and end; returns whether all of it is delivered.

        What is not stays in the spool, where there is one.
        """
        atexit.unregister(self.close)
        if "_connections" in self.__dict__:
            self._connections.close()
        if self._closed:
            return not len(self._queue)
        if self._thread is None and not len(self._queue):
            self._closed = True
            self._queue.close()
            return True
        done = False
        with contextlib.suppress(concurrent.futures.TimeoutError):
            done = self._run(self._close(timeout_s), timeout_s + 2 * _GRACE_S)
        loop, thread = self._loop, self._thread
        if loop is not None and thread is not None and thread.is_alive():
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(loop.stop)
            thread.join(_GRACE_S)
        return done
