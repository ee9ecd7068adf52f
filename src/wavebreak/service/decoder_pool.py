"""Bodies read in a process of their own: reading holds Python's lock, and who decides waits for it.

What a body can do to its reader (a library that aborts on damaged columns) it does to that process
alone, which is then begun anew. It ends with the one that began it: its pipe has no other end then.

Bodies that wait, read as many as there are at once; each thread has a reader of its own.
"""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from queue import Empty, SimpleQueue
from socket import socketpair

from django.db import Error, connection

from wavebreak.errors import EventError, ServiceError
from wavebreak.io import jsonl
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.service import event_log
from wavebreak.service.idempotency import known
from wavebreak.service.pending_requests import (
    Accepted,
    BusyError,
    PendingAnswer,
    Waiting,
    error_location,
    resolve_futures,
)
from wavebreak.service.request_decoder import Body, Decoded, Decoder, joined
from wavebreak.service.settings import Limits

_DEADLY = EventError("the body cannot be read", fix="write it again")


class Reader:
    """Reads bodies over the edge as a `Decoder` does, and packs them for the log. For one thread.

    A body over which the process dies twice is refused; the others are read.
    """

    def __init__(self, edge: Pseudonymizer, limits: Limits) -> None:
        self._edge, self._limits = edge, limits
        self._begin()

    def _begin(self) -> None:
        here, there = socketpair()
        with there:
            self._process = subprocess.Popen(  # noqa: S603 - our own module, by number
                [sys.executable, "-m", __name__, str(there.fileno())], pass_fds=[there.fileno()],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
        self._pipe = Connection(here.detach())
        self._pipe.send((self._edge, self._limits))

    def close(self) -> None:
        """End the process."""
        self._pipe.close()
        self._process.wait()

    def decode(self, bodies: Sequence[Body]) -> Decoded:
        """Read bodies, together; raises ServiceError where reading failed for a fault of ours."""
        made = self._read(bodies)
        if made is not None:
            return made
        alone = [self._read([body]) or _nothing() for body in bodies]
        events = joined([one.log for one in alone])
        reads = tuple(read for one in alone for read in one.reads)
        return Decoded(events, reads, bytes(event_log.packed(events)))

    def _read(self, bodies: Sequence[Body]) -> Decoded | None:
        """What the process made of them; None where it died over them, and is another one now."""
        try:
            self._pipe.send(bodies)
            made = self._pipe.recv()
        except (EOFError, OSError):
            self.close()
            self._begin()
            return None
        if isinstance(made, ServiceError):
            raise made
        laid, blob, reads = made
        return Decoded(event_log.opened(laid), reads, blob)


def _nothing() -> Decoded:
    return Decoded(joined([]), (_DEADLY,))


def answered(decoder: Decoder, bodies: Sequence[Body]) -> object:
    """Give what the process answers: the events laid out and packed, and what each body came to."""
    try:
        made = decoder.decode(bodies, narrow=True)
        laid = event_log.laid(made.log)
    except MemoryError:
        # To die of it has the bodies read one by one.
        raise
    except Exception as error:
        return ServiceError(f"reading failed: {error_location(error)}")
    return bytes(laid), bytes(event_log.compressed(laid)), made.reads


def _bound(memory: int) -> None:
    """Let this process take so much at most, or less where less is allowed already."""
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if soft == resource.RLIM_INFINITY or soft > memory:
        resource.setrlimit(resource.RLIMIT_DATA, (memory, hard))


def main() -> None:
    """Read what comes through the pipe whose number is the first argument, until it ends."""
    for ends in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ends, signal.SIG_IGN)
    pipe = Connection(int(sys.argv[1]))
    with suppress(EOFError, OSError):
        edge, limits = pipe.recv()
        _bound(limits.reader)
        decoder = Decoder(edge, limits)
        jsonl.warm()
        while True:
            pipe.send(answered(decoder, pipe.recv()))


if __name__ == "__main__":
    main()

PACE_S = 0.003
"""From the beginning of one decoding to the next at least: bodies that come meanwhile are read
together, which costs a fraction of reading each alone. Who comes after a pause does not wait."""
AT_ONCE = 1 << 20
"""Bytes of bodies from which on no further one is read together with them: bounds the delay."""


class Intake:
    """A thread for each reader, between the event loop and the writer: `onward` is given what came.

    Whatever was read first, bodies go onward in the order in which they came. While `behind` says
    that the engine is, none are read: who sends waits, before anybody has to be refused. Ends the
    readers with itself.
    """

    def __init__(
        self, readers: Sequence[Reader],
        onward: Callable[[list[Waiting], Decoded], None], *, retry_after_s: float,
        behind: Callable[[], bool] = lambda: False,
    ) -> None:  # fmt: skip
        self._behind, self._stopping = behind, False
        self._retry_after_s = retry_after_s
        self._queue: SimpleQueue[Waiting | None] = SimpleQueue()
        self._onward = onward
        self._gathering, self._began = threading.Lock(), 0.0
        self._turns, self._given, self._turn = threading.Condition(), 0, 0
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
        self._stopping = True
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self, reader: Reader) -> None:
        while True:
            with self._gathering:
                if (first := self._queue.get()) is None:
                    break
                time.sleep(max(0.0, self._began + PACE_S - time.monotonic()))
                while self._behind() and not self._stopping:
                    time.sleep(PACE_S)
                self._began = time.monotonic()
                waiting = [first, *self._more(len(first.body.content))]
                turn, self._given = self._given, self._given + 1
            try:
                read = self._read(reader, waiting)
            except BaseException as error:
                # Whatever it was, who waits is told, and the thread goes on.
                read = [], None, [(w, error) for w in waiting]
            self._pass_on(turn, *read)
        reader.close()
        connection.close()

    def _pass_on(
        self, turn: int, on: list[Waiting], decoded: Decoded | None, answers: list[PendingAnswer]
    ) -> None:  # fmt: skip
        with self._turns:
            self._turns.wait_for(lambda: self._turn == turn)
            if on and decoded is not None:
                self._onward(on, decoded)
            self._turn += 1
            self._turns.notify_all()
        resolve_futures(answers)

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

    def _read(
        self, reader: Reader, waiting: list[Waiting]
    ) -> tuple[list[Waiting], Decoded | None, list[PendingAnswer]]:
        """Bodies with something for the log, what is for it, and answers to the others."""
        fresh, answers = [], list[PendingAnswer]()
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
        kept = tuple(r for r in decoded.reads if not isinstance(r, EventError) and r.taken)
        return on, replace(decoded, reads=kept), answers
