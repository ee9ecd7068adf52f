"""Decoder pool: request bodies decoded in worker processes, several bodies at once.

Decoding holds Python's lock, which the engine needs, hence the processes. A body that crashes a
library (damaged columns can) crashes only its process, which is restarted. A process ends when its
pipe closes, so it never outlives the service. Each thread of the pool has a process of its own.
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
from wavebreak.service.idempotency import find_response
from wavebreak.service.pending_requests import (
    Accepted,
    BusyError,
    PendingAnswer,
    PendingRequest,
    error_location,
    resolve_futures,
)
from wavebreak.service.request_decoder import Body, DecodedBatch, RequestDecoder, concat_batches
from wavebreak.service.settings import Limits

_CRASHED = EventError("the body cannot be decoded", fix="encode the body again")


class DecoderProcess:
    """A process that decodes and pseudonymizes bodies, and encodes them for the log.

    For one thread. A body that crashes the process twice is rejected; the others are decoded.
    """

    def __init__(self, pseudonymizer: Pseudonymizer, limits: Limits) -> None:
        self._pseudonymizer, self._limits = pseudonymizer, limits
        self._spawn()

    def _spawn(self) -> None:
        here, there = socketpair()
        with there:
            self._process = subprocess.Popen(  # noqa: S603 - our own module, by number
                [sys.executable, "-m", __name__, str(there.fileno())],
                pass_fds=[there.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        self._pipe = Connection(here.detach())
        self._pipe.send((self._pseudonymizer, self._limits))

    def close(self) -> None:
        """Stop the process."""
        self._pipe.close()
        self._process.wait()

    def decode(self, bodies: Sequence[Body]) -> DecodedBatch:
        """Decode bodies together; raises ServiceError if decoding fails through a bug."""
        decoded = self._read(bodies)
        if decoded is not None:
            return decoded
        single = [self._read([body]) or _rejected() for body in bodies]
        events = concat_batches([one.log for one in single])
        reads = tuple(read for one in single for read in one.reads)
        return DecodedBatch(events, reads, bytes(event_log.encode_row(events)))

    def _read(self, bodies: Sequence[Body]) -> DecodedBatch | None:
        """Return what the process decoded; None if it crashed and was restarted."""
        try:
            self._pipe.send(bodies)
            decoded = self._pipe.recv()
        except (EOFError, OSError):
            self.close()
            self._spawn()
            return None
        if isinstance(decoded, ServiceError):
            raise decoded
        stream, blob, reads = decoded
        return DecodedBatch(event_log.decode_stream(stream), reads, blob)


def _rejected() -> DecodedBatch:
    return DecodedBatch(concat_batches([]), (_CRASHED,))


def decode_and_pack(decoder: RequestDecoder, bodies: Sequence[Body]) -> object:
    """Return the process's result: the events as a stream and as a row, and each body's result."""
    try:
        decoded = decoder.decode(bodies, narrow=True)
        stream = event_log.encode_stream(decoded.log)
    except MemoryError:
        # A crash makes the pool decode the bodies one by one.
        raise
    except Exception as error:
        return ServiceError(f"decoding failed: {error_location(error)}")
    return bytes(stream), bytes(event_log.compress_stream(stream)), decoded.reads


def _limit_memory(memory: int) -> None:
    """Limit this process's memory, unless a lower limit is set already."""
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if soft == resource.RLIM_INFINITY or soft > memory:
        resource.setrlimit(resource.RLIMIT_DATA, (memory, hard))


def main() -> None:
    """Decode what arrives through the pipe with the descriptor in argv, until it closes."""
    for ends in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ends, signal.SIG_IGN)
    pipe = Connection(int(sys.argv[1]))
    with suppress(EOFError, OSError):
        pseudonymizer, limits = pipe.recv()
        _limit_memory(limits.reader)
        decoder = RequestDecoder(pseudonymizer, limits)
        jsonl.warm()
        while True:
            pipe.send(decode_and_pack(decoder, pipe.recv()))


if __name__ == "__main__":
    main()

PACE_S = 0.003
"""Minimum time between two decodings: bodies that arrive meanwhile are decoded together, at a
fraction of the cost. The first after a pause is decoded at once."""
MAX_BATCH_BYTES = 1 << 20
"""Bodies of this many bytes take no further one into their batch, which bounds the delay."""


class DecoderPool:
    """A thread for each process, between the event loop and the log writer.

    Bodies are passed on in the order in which they arrived, whichever is decoded first.

    Args:
        decoders: The processes; the pool closes them when it stops.
        on_decoded: Called with the requests that have events, and their decoded batch.
        retry_after_s: For BusyError while the database cannot be read.
        pause: Whether decoding should wait for the engine.
    """

    def __init__(
        self,
        decoders: Sequence[DecoderProcess],
        on_decoded: Callable[[list[PendingRequest], DecodedBatch], None],
        *,
        retry_after_s: float,
        pause: Callable[[], bool] = lambda: False,
    ) -> None:
        self._pause, self._stopping = pause, False
        self._retry_after_s = retry_after_s
        self._queue: SimpleQueue[PendingRequest | None] = SimpleQueue()
        self._on_decoded = on_decoded
        self._collecting, self._began = threading.Lock(), 0.0
        self._turns, self._next_turn, self._turn = threading.Condition(), 0, 0
        self._threads = [
            threading.Thread(
                target=self._work, args=(decoder,), name="wavebreak-decode", daemon=True
            )
            for decoder in decoders
        ]
        for thread in self._threads:
            thread.start()

    def put(self, waiting: PendingRequest) -> None:
        """Queue a body; the caller bounds what is queued."""
        self._queue.put(waiting)

    def stop(self) -> None:
        """Let the threads finish what is queued, and stop them."""
        self._stopping = True
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self, decoder: DecoderProcess) -> None:
        while True:
            with self._collecting:
                if (first := self._queue.get()) is None:
                    break
                time.sleep(max(0.0, self._began + PACE_S - time.monotonic()))
                while self._pause() and not self._stopping:
                    time.sleep(PACE_S)
                self._began = time.monotonic()
                waiting = [first, *self._more_requests(len(first.body.content))]
                turn, self._next_turn = self._next_turn, self._next_turn + 1
            try:
                read = self._decode(decoder, waiting)
            except BaseException as error:
                # The requests fail with any error, and the thread goes on.
                read = [], None, [(w, error) for w in waiting]
            self._pass_on(turn, *read)
        decoder.close()
        connection.close()

    def _pass_on(
        self,
        turn: int,
        on: list[PendingRequest],
        decoded: DecodedBatch | None,
        answers: list[PendingAnswer],
    ) -> None:
        with self._turns:
            self._turns.wait_for(lambda: self._turn == turn)
            if on and decoded is not None:
                self._on_decoded(on, decoded)
            self._turn += 1
            self._turns.notify_all()
        resolve_futures(answers)

    def _more_requests(self, size: int) -> list[PendingRequest]:
        requests = []
        while size < MAX_BATCH_BYTES:
            try:
                waiting = self._queue.get_nowait()
            except Empty:
                break
            if waiting is None:
                self._queue.put(None)
                break
            requests.append(waiting)
            size += len(waiting.body.content)
        return requests

    def _stored_response(self, one: PendingRequest) -> Accepted | ServiceError | None:
        """Return the stored response to a request with an Idempotency-Key, or an error."""
        try:
            return find_response(one.repeat) if one.repeat else None
        except Error:
            # The next query opens a new connection.
            connection.close()
            return BusyError("the log cannot be read", retry_after_s=self._retry_after_s)

    def _decode(
        self, decoder: DecoderProcess, waiting: list[PendingRequest]
    ) -> tuple[list[PendingRequest], DecodedBatch | None, list[PendingAnswer]]:
        """Return requests with events for the log, their batch, and results of the others."""
        fresh, answers = [], list[PendingAnswer]()
        for one in waiting:
            earlier = self._stored_response(one) if one.repeat else None
            if earlier is None:
                fresh.append(one)
            else:
                answers.append((one, earlier))
        decoded = decoder.decode([one.body for one in fresh])
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
