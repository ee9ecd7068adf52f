"""Bodies that wait, read as many as there are at once; each thread has a reader of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from queue import Empty, SimpleQueue

from django.db import Error, connection

from wavebreak.errors import EventError, ServiceError
from wavebreak.service.bodies import Decoded
from wavebreak.service.idempotency import known
from wavebreak.service.reading import Reader
from wavebreak.service.waiting import Accepted, Answer, BusyError, Waiting, answer

PACE_S = 0.003
"""From the beginning of one decoding to the next at least: bodies that come meanwhile are read
together, which costs a fraction of reading each alone. Who comes after a pause does not wait."""
AT_ONCE = 1 << 20
"""Bytes of bodies from which on no further one is read together with them: bounds the delay."""


class Intake:
    """A thread for each reader, between the event loop and the writer: `onward` is given what came.

    Ends the readers with itself.
    """

    def __init__(
        self, readers: Sequence[Reader],
        onward: Callable[[list[Waiting], Decoded], None], *, retry_after_s: float,
    ) -> None:  # fmt: skip
        self._retry_after_s = retry_after_s
        self._queue: SimpleQueue[Waiting | None] = SimpleQueue()
        self._onward = onward
        self._threads = [
            threading.Thread(
                target=self._work, args=(reader,), name="wavebreak-decode", daemon=True
            )
            for reader in readers
        ]
        for thread in self._threads:
            thread.start()

    def put(self, waiting: Waiting) -> None:
        """Queue a body; who calls keeps what waits within bounds."""
        self._queue.put(waiting)

    def stop(self) -> None:
        """Let the threads finish what waits, and end them."""
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self, reader: Reader) -> None:
        began = 0.0
        while (first := self._queue.get()) is not None:
            time.sleep(max(0.0, began + PACE_S - time.monotonic()))
            began = time.monotonic()
            waiting = [first, *self._more(len(first.body.content))]
            try:
                self._decode(reader, waiting)
            except BaseException as error:
                # Whatever it was, who waits is told, and the thread goes on.
                answer((w, error) for w in waiting)
        reader.close()
        connection.close()

    def _more(self, size: int) -> list[Waiting]:
        found = []
        while size < AT_ONCE:
            try:
                waiting = self._queue.get_nowait()
            except Empty:
                break
            if waiting is None:
                self._queue.put(None)
                break
            found.append(waiting)
            size += len(waiting.body.content)
        return found

    def _known(self, one: Waiting) -> Accepted | ServiceError | None:
        """What a request that may come again was answered with, or why that cannot be said."""
        try:
            return known(one.repeat) if one.repeat else None
        except Error:
            # The next look opens a connection anew.
            connection.close()
            return BusyError("the log cannot be read just now", retry_after_s=self._retry_after_s)

    def _decode(self, reader: Reader, waiting: list[Waiting]) -> None:
        fresh, answers = [], list[Answer]()
        for one in waiting:
            earlier = self._known(one) if one.repeat else None
            if earlier is None:
                fresh.append(one)
            else:
                answers.append((one, earlier))
        decoded = reader.decode([one.body for one in fresh])
        on = []
        for one, read in zip(fresh, decoded.reads, strict=True):
            if isinstance(read, EventError):
                answers.append((one, read))
            elif not read.taken:
                answers.append((one, Accepted(0, read.refused)))
            else:
                on.append(one)
        if on:
            kept = tuple(r for r in decoded.reads if not isinstance(r, EventError) and r.taken)
            self._onward(on, replace(decoded, reads=kept))
        answer(answers)
