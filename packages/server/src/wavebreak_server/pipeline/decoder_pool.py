"""Decoder pool: request bodies decoded in worker processes, several bodies at once.

Decoding holds Python's lock, which the engine needs, hence the processes. A body that crashes a
library (damaged columns can) crashes only its process, which is restarted. A process ends when its
pipe closes, so it never outlives the service. Each thread of the pool has a process of its own.

No sender delays the others: senders take turns, a large body is decoded in a process beside those
for small ones, and a body that takes too long is rejected.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from django.db import Error, connection

from wavebreak.errors import EventError, ServiceError
from wavebreak.io import jsonl, log_rows
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak_server.pipeline.fair_queue import FairQueue
from wavebreak_server.pipeline.idempotency import find_response
from wavebreak_server.pipeline.pending_requests import (
    Accepted,
    BusyError,
    PendingAnswer,
    PendingRequest,
    accepted_of,
    error_location,
    resolve_futures,
)
from wavebreak_server.pipeline.request_decoder import (
    Body,
    DecodedBatch,
    Postponed,
    RequestDecoder,
    concat_batches,
    seems_large,
)
from wavebreak_server.settings import Limits

_CRASHED = EventError("the body cannot be decoded", fix="encode the body again")
_LATE = EventError("the body takes too long to decode", fix="split the batch, or encode it again")
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["__main__", "wavebreak_server.pipeline.decoder_preload"])
START_S = 120.0
"""How long a process may take to start: it imports, and loads or compiles its functions. The time
that a body may take counts from then on."""


class DecoderProcess:
    """A process that decodes and pseudonymizes bodies, and encodes them for the log.

    For one thread. A body that crashes the process twice is rejected; the others are decoded. It
    starts with its first body, at once: the fork server, which starts here, has loaded everything.
    """

    def __init__(self, pseudonymizer: Pseudonymizer, limits: Limits) -> None:
        self._pseudonymizer, self._limits, self._late = pseudonymizer, limits, False
        self._running: _Running | None = None
        forkserver.ensure_running()

    def _start(self) -> _Running:
        if self._running is None:
            pipe, there = _FORKS.Pipe()
            process = _FORKS.Process(target=_run, args=(there,), daemon=True)
            with there:
                process.start()
            self._running = _Running(process, pipe)
            pipe.send((self._pseudonymizer, self._limits))
        return self._running

    def _started(self) -> Connection:
        """Return the pipe; raises BusyError where neither this process nor a second one starts."""
        for _ in range(2):
            with suppress(EOFError, OSError):
                running = self._start()
                if running.ready or (running.pipe.poll(START_S) and running.pipe.recv()):
                    running.ready = True
                    return running.pipe
            self._kill()
        raise BusyError("a decoder process does not start", retry_after_s=START_S)

    def _kill(self) -> None:
        if self._running is not None:
            self._running.process.kill()
        self.close()

    def close(self) -> None:
        """Stop the process."""
        if self._running is not None:
            self._running.pipe.close()
            self._running.process.join()
            self._running = None

    def decode(self, bodies: Sequence[Body], *, small: bool = False) -> DecodedBatch:
        """Decode bodies together; raises ServiceError if decoding fails through a bug.

        If only `small` bodies are wanted, the result of the others is `Postponed`.
        """
        decoded = self._read(bodies, small=small)
        if decoded is not None:
            return decoded
        if self._late and len(bodies) == 1:
            return _rejected(_LATE)
        single = [self._read([body]) or _rejected(self._cause()) for body in bodies]
        events = concat_batches([one.log for one in single])
        reads = tuple(read for one in single for read in one.reads)
        return DecodedBatch(events, reads, bytes(log_rows.encode_row(events)))

    def _cause(self) -> EventError:
        return _LATE if self._late else _CRASHED

    def _read(self, bodies: Sequence[Body], *, small: bool = False) -> DecodedBatch | None:
        """Return what the process decoded; None if it crashed or was late, and was stopped."""
        try:
            pipe = self._started()
            pipe.send((bodies, small))
            self._late = not pipe.poll(self._limits.decode_s)
            decoded = None if self._late else pipe.recv()
        except (EOFError, OSError):
            decoded = None
        if decoded is None:
            self._kill()
            return None
        if isinstance(decoded, ServiceError):
            raise decoded
        stream, blob, reads = decoded
        return DecodedBatch(log_rows.decode_stream(stream), reads, blob)


@dataclass
class _Running:
    """A process, and the pipe to it; `ready`: it has said that it reads."""

    process: BaseProcess
    pipe: Connection
    ready: bool = False


def _rejected(cause: EventError) -> DecodedBatch:
    return DecodedBatch(concat_batches([]), (cause,))


def decode_and_pack(
    decoder: RequestDecoder, bodies: Sequence[Body], *, small: bool = False
) -> object:
    """Return the process's result: the events as a stream and as a row, and each body's result."""
    try:
        decoded = decoder.decode(bodies, narrow=True, small=small)
        stream = log_rows.encode_stream(decoded.log)
    except MemoryError:
        # A crash makes the pool decode the bodies one by one.
        raise
    except Exception as error:
        return ServiceError(f"decoding failed: {error_location(error)}")
    return bytes(stream), bytes(log_rows.compress_stream(stream)), decoded.reads


def _run(pipe: Connection) -> None:
    """Decode what arrives through the pipe until it closes."""
    for ends in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ends, signal.SIG_IGN)
    silence = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(silence, standard)
    with suppress(EOFError, OSError):
        pseudonymizer, limits = pipe.recv()
        # Limit this process's memory, unless a lower limit is set already.
        soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
        if soft == resource.RLIM_INFINITY or soft > limits.reader:
            resource.setrlimit(resource.RLIMIT_DATA, (limits.reader, hard))
        decoder = RequestDecoder(pseudonymizer, limits)
        jsonl.warm()
        pipe.send(True)
        while True:
            bodies, small = pipe.recv()
            pipe.send(decode_and_pack(decoder, bodies, small=small))


PACE_S = 0.003
"""Minimum time between two decodings: bodies that arrive meanwhile are decoded together, at a
fraction of the cost. The first after a pause is decoded at once."""
MAX_BATCH_BYTES = 1 << 20
"""Bodies of this many bytes take no further one into their batch, which bounds the delay."""
IDLE_S = 60.0
"""A process for large bodies ends when it has had none for so long."""


class DecoderPool:
    """A thread for each process, between the event loop and the log writer.

    Small bodies have their own processes. A large one is decoded beside them by a process that
    starts with the first. The bodies of one sender are passed on in the order in which they
    arrived, whichever is decoded first; only a compressed body that is larger than it looked may
    be passed on after some that came later.

    Args:
        decoders: The processes for small bodies; the pool closes them when it stops.
        on_decoded: Called with the requests that have events, and their decoded batch.
        retry_after_s: For BusyError while the database cannot be read.
        on_unreadable: Called when it was not, on a decoding thread.
        pause: Whether decoding should wait for the engine.
        new_decoder: Starts a process for large bodies (None: those for small ones decode all).
    """

    def __init__(
        self,
        decoders: Sequence[DecoderProcess],
        on_decoded: Callable[[list[PendingRequest], DecodedBatch], None],
        *,
        retry_after_s: float,
        on_unreadable: Callable[[], None] = lambda: None,
        pause: Callable[[], bool] = lambda: False,
        new_decoder: Callable[[], DecoderProcess] | None = None,
    ) -> None:
        self._pause, self._stopping = pause, False
        self._retry_after_s, self._on_unreadable = retry_after_s, on_unreadable
        self._on_decoded = on_decoded
        self._small, self._large = _Lane(), _Lane()
        self._turns, self._next_turn = threading.Condition(), 0
        self._in_progress: dict[int, frozenset[str]] = {}
        self._large_of: Counter[str] = Counter()
        self._apart = new_decoder is not None
        self._threads = [self._thread(self._small, decoder) for decoder in decoders]
        self._large_threads = [
            self._thread(self._large, None, new_decoder)
            for _ in range(max(1, len(decoders) // 2) if new_decoder else 0)
        ]

    def start(self) -> None:
        """Start to decode."""
        for thread in (*self._threads, *self._large_threads):
            thread.start()

    def _thread(
        self,
        lane: _Lane,
        decoder: DecoderProcess | None,
        new_decoder: Callable[[], DecoderProcess] | None = None,
    ) -> threading.Thread:
        return threading.Thread(
            target=self._work,
            args=(lane, decoder, new_decoder),
            name="wavebreak-decode",
            daemon=True,
        )

    def put(self, waiting: PendingRequest) -> None:
        """Queue a body; the caller bounds what is queued."""
        with self._turns:
            # What follows a sender's large body waits for it.
            large = self._apart and (
                seems_large(waiting.body) or self._large_of[waiting.sender] > 0
            )
            if large:
                self._large_of[waiting.sender] += 1
        (self._large if large else self._small).queue.put(waiting)

    def stop(self) -> None:
        """Let the threads finish what is queued, and stop them."""
        self._stopping = True
        for lane, threads in ((self._small, self._threads), (self._large, self._large_threads)):
            lane.queue.close()
            for thread in threads:
                thread.join()

    def _work(
        self,
        lane: _Lane,
        decoder: DecoderProcess | None,
        new_decoder: Callable[[], DecoderProcess] | None,
    ) -> None:
        while True:
            with lane.collecting:
                first = lane.queue.get(IDLE_S if new_decoder and decoder else None)
                if first is None:
                    if lane.queue.ended:
                        break
                    if new_decoder and decoder:
                        decoder.close()
                        decoder = None
                    continue
                time.sleep(max(0.0, lane.began + PACE_S - time.monotonic()))
                while self._pause() and not self._stopping:
                    time.sleep(PACE_S)
                lane.began = time.monotonic()
                waiting = [first, *self._more_requests(lane.queue, first, apart=bool(new_decoder))]
                turn = self._take_turn(waiting)
            on: list[PendingRequest] = []
            decoded: DecodedBatch | None = None
            later: list[PendingRequest] = []
            try:
                if decoder is None:
                    assert new_decoder is not None  # noqa: S101 - else the lane has decoders
                    decoder = new_decoder()
                small = self._apart and not new_decoder
                on, decoded, answers, later = self._decode(decoder, waiting, small=small)
            except BaseException as error:
                # The requests fail with any error, and the thread goes on.
                answers = [(one, error) for one in waiting]
            self._pass_on(turn, on, decoded, answers)
            if new_decoder:
                self._count_off(waiting)
            lane.queue.put_back(later)
        if decoder is not None:
            decoder.close()
        connection.close()

    def _take_turn(self, waiting: list[PendingRequest]) -> int:
        with self._turns:
            turn, self._next_turn = self._next_turn, self._next_turn + 1
            self._in_progress[turn] = frozenset(one.sender for one in waiting)
            return turn

    def _count_off(self, decoded: list[PendingRequest]) -> None:
        with self._turns:
            self._large_of.subtract(one.sender for one in decoded)
            self._large_of += Counter()

    def _pass_on(
        self,
        turn: int,
        on: list[PendingRequest],
        decoded: DecodedBatch | None,
        answers: list[PendingAnswer],
    ) -> None:
        with self._turns:
            own = self._in_progress[turn]
            self._turns.wait_for(
                lambda: (
                    not any(
                        earlier < turn and own & senders
                        for earlier, senders in self._in_progress.items()
                    )
                )
            )
            if on and decoded is not None:
                self._on_decoded(on, decoded)
            del self._in_progress[turn]
            self._turns.notify_all()
        resolve_futures(answers)

    def _more_requests(
        self, queue: FairQueue, first: PendingRequest, *, apart: bool
    ) -> list[PendingRequest]:
        """Return requests to decode with the first; beside a large body, only of its sender."""
        requests, size = list[PendingRequest](), len(first.body.content)
        while size < MAX_BATCH_BYTES:
            waiting = queue.get_next_of(first.sender) if apart else queue.get_nowait()
            if waiting is None:
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
            self._on_unreadable()
            return BusyError("the log cannot be read", retry_after_s=self._retry_after_s)

    def _decode(
        self, decoder: DecoderProcess, waiting: list[PendingRequest], *, small: bool
    ) -> tuple[
        list[PendingRequest], DecodedBatch | None, list[PendingAnswer], list[PendingRequest]
    ]:
        """Decode requests.

        Returns:
            Requests with events for the log, their batch, results of the others, and requests that
            are to be decoded after others.
        """
        fresh, answers = [], list[PendingAnswer]()
        for one in waiting:
            earlier = self._stored_response(one) if one.repeat else None
            if earlier is None:
                fresh.append(one)
            else:
                answers.append((one, earlier))
        decoded = decoder.decode([one.body for one in fresh], small=small)
        on, later, kept = [], list[PendingRequest](), []
        for one, read in zip(fresh, decoded.reads, strict=True):
            if isinstance(read, Postponed):
                if read.large:
                    with self._turns:
                        self._large_of[one.sender] += 1
                    self._large.queue.put(one)
                else:
                    later.append(one)
            elif isinstance(read, EventError):
                answers.append((one, read))
            elif not read.taken:
                answers.append((one, accepted_of(read)))
            else:
                on.append(one)
                kept.append(read)
        return on, replace(decoded, reads=tuple(kept)), answers, later


class _Lane:
    """A queue, and what the threads that take from it share."""

    def __init__(self) -> None:
        self.queue = FairQueue()
        self.collecting, self.began = threading.Lock(), 0.0
