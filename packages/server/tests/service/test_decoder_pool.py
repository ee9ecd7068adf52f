"""Bodies read in a process of their own come to what they come to here, whatever becomes of it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from wavebreak.errors import EventError
from wavebreak.io import log_rows
from wavebreak.privacy.pseudonymizer import Pseudonymizer, with_all_columns
from wavebreak_server.pipeline import decoder_pool
from wavebreak_server.pipeline.decoder_pool import DecoderPool, DecoderProcess
from wavebreak_server.pipeline.pending_requests import BusyError, PendingRequest
from wavebreak_server.pipeline.request_decoder import (
    Body,
    DecodedBatch,
    DecodeResult,
    RequestDecoder,
    TooLargeError,
)
from wavebreak_server.settings import Limits

EDGE = Pseudonymizer(b"a key for tests only")
POISON = Body(b"poison", "lines")


def body(name: str) -> Body:
    event = {
        "id": name,
        "ts": 1_772_366_400_000,
        "type": "message.sent",
        "account": name,
        "peer": "p",
        "size": 1,
    }
    return Body(json.dumps([event]).encode(), "json")


class _Dying(DecoderProcess):
    """A reader whose process dies over POISON."""

    def _read(self, bodies: Sequence[Body], *, small: bool = False) -> DecodedBatch | None:
        if POISON in bodies:
            self._started()
            kill(self)
        return super()._read(bodies, small=small)


def pid(reader: DecoderProcess) -> int:
    """The number of its process, which starts if it does not run."""
    return reader._start().process.pid or 0


def kill(reader: DecoderProcess) -> None:
    """Kill its process, and wait until it is gone."""
    running = reader._start()
    running.process.kill()
    running.process.join()


@pytest.fixture
def reader() -> Iterator[_Dying]:
    made = _Dying(EDGE, Limits())
    yield made
    made.close()


def test_process_decodes_like_a_local_decoder_and_encodes_rows(reader: DecoderProcess) -> None:
    bodies = [body("a"), Body(b"junk", "lines"), body("b")]
    made, here = reader.decode(bodies), RequestDecoder(EDGE, Limits()).decode(bodies)
    assert with_all_columns(made.log).equals(here.log)
    assert [read.taken for read in made.reads if isinstance(read, DecodeResult)] == [1, 0, 1]
    assert bytes(made.blob) == bytes(log_rows.encode_row(here.log))


def test_killed_process_restarts_without_loss(
    reader: DecoderProcess,
) -> None:
    first = pid(reader)
    kill(reader)
    made = reader.decode([body("a"), body("b")])
    assert made.log.column("account").to_pylist() == ["a", "b"]
    assert pid(reader) != first


def test_body_that_crashes_a_process_twice_is_rejected_alone(
    reader: DecoderProcess,
) -> None:
    made = reader.decode([body("a"), POISON, body("b")])
    assert made.log.column("account").to_pylist() == ["a", "b"]
    assert isinstance(made.reads[1], EventError)
    assert [isinstance(read, DecodeResult) for read in made.reads] == [True, False, True]


def packed(columns: dict[str, Any], codec: str = "zstd") -> Body:
    """An Arrow stream whose buffers are compressed."""
    batch, sink = pa.record_batch(columns), pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=codec)
    with pa.ipc.new_stream(sink, batch.schema, options=options) as writer:
        writer.write_batch(batch)
    return Body(sink.getvalue().to_pybytes(), "arrow")


def test_columns_beyond_the_limit_are_not_decompressed(reader: DecoderProcess) -> None:
    first = pid(reader)
    bomb = packed({"ts": pa.array(np.zeros(20_000_000, np.int64))})
    assert len(bomb.content) < 100_000
    made = reader.decode([body("a"), bomb, body("b")])
    assert made.log.column("account").to_pylist() == ["a", "b"]
    assert isinstance(made.reads[1], TooLargeError)
    assert pid(reader) == first
    assert made.reads[0] == made.reads[2] == DecodeResult(1)


def test_body_that_takes_too_long_is_rejected_alone() -> None:
    slow = Body(b"{}\n" * 99_000, "lines")
    reader = DecoderProcess(EDGE, Limits())
    try:
        assert isinstance(reader.decode([body("a")]).reads[0], DecodeResult)
        reader._limits = replace(Limits(), decode_s=0.001)
        (read,) = reader.decode([slow]).reads
        assert isinstance(read, EventError)
        assert "too long" in read.what
        reader._limits = Limits()
        assert reader.decode([body("b")]).reads == (DecodeResult(1),)
    finally:
        reader.close()


def test_start_of_a_process_is_no_part_of_a_body_s_time() -> None:
    reader = DecoderProcess(EDGE, Limits(decode_s=0.2))
    try:
        os.kill(pid(reader), signal.SIGSTOP)
        threading.Timer(1.0, os.kill, (pid(reader), signal.SIGCONT)).start()
        assert reader.decode([body("a")]).reads == (DecodeResult(1),)
    finally:
        reader.close()


def test_process_that_never_starts_leaves_the_body_to_be_sent_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(decoder_pool, "START_S", 0.0)
    reader = DecoderProcess(EDGE, Limits())
    try:
        with pytest.raises(BusyError, match="does not start"):
            reader.decode([body("a")])
        monkeypatch.setattr(decoder_pool, "START_S", 60.0)
        assert reader.decode([body("a")]).reads == (DecodeResult(1),)
    finally:
        reader.close()


class _Slow:
    """Reads here, and is slow over the first body of all."""

    def __init__(self, begun: threading.Event, let: threading.Event) -> None:
        self._decoder, self._begun, self._let = RequestDecoder(EDGE, Limits()), begun, let
        self.waits_for = body("0")

    def decode(self, bodies: Sequence[Body], *, small: bool = False) -> DecodedBatch:
        if bodies == [self.waits_for]:
            self._begun.set()
            assert self._let.wait(10)
        return self._decoder.decode(bodies, small=small)

    def close(self) -> None:
        pass


def test_bodies_keep_their_order_across_processes() -> None:
    begun, let, reached = threading.Event(), threading.Event(), list[str]()
    readers: Any = [_Slow(begun, let), _Slow(begun, let)]

    def onward(waiting: list[PendingRequest], decoded: DecodedBatch) -> None:
        assert len(waiting) == len(decoded.reads)
        reached.extend(decoded.log.column("account").to_pylist())

    loop = asyncio.new_event_loop()
    intake = DecoderPool(readers, onward, retry_after_s=1)
    intake.start()
    intake.put(PendingRequest(body("0"), loop.create_future(), loop))
    assert begun.wait(10)
    for n in range(1, 50):
        intake.put(PendingRequest(body(str(n)), loop.create_future(), loop))
    time.sleep(0.05)
    assert reached == []
    let.set()
    intake.stop()
    loop.close()
    assert reached == [str(n) for n in range(50)]


def large(name: str) -> Body:
    """A body of one event and blanks, too large to be decoded beside others."""
    return Body(body(name).content + b" " * (1 << 20), "json")


def test_large_body_of_a_sender_delays_no_other() -> None:
    begun, let, reached = threading.Event(), threading.Event(), list[str]()
    alone, apart = _Slow(begun, let), _Slow(begun, let)
    apart.waits_for = large("A0")
    loop = asyncio.new_event_loop()
    arrived = threading.Event()

    def onward(_waiting: list[PendingRequest], decoded: DecodedBatch) -> None:
        reached.extend(decoded.log.column("account").to_pylist())
        arrived.set()

    intake = DecoderPool(
        [alone],  # type: ignore[list-item]
        onward,
        retry_after_s=1,
        new_decoder=lambda: apart,  # type: ignore[arg-type,return-value]
    )
    intake.start()

    def put(one: Body, sender: str) -> None:
        intake.put(PendingRequest(one, loop.create_future(), loop, sender=sender))

    put(large("A0"), "A")
    assert begun.wait(10)
    put(body("A1"), "A")
    put(body("B0"), "B")
    assert arrived.wait(10)
    assert reached == ["B0"]
    let.set()
    intake.stop()
    loop.close()
    assert reached == ["B0", "A0", "A1"]


@pytest.mark.parametrize("ends", ["the engine catches up", "the service ends"])
def test_paused_pool_keeps_bodies_until_it_resumes(ends: str) -> None:
    behind, reached = threading.Event(), list[int]()
    behind.set()
    started = threading.Event()
    started.set()
    loop = asyncio.new_event_loop()
    intake = DecoderPool(
        [_Slow(threading.Event(), started)],  # type: ignore[list-item]
        lambda waiting, _: reached.append(len(waiting)),
        retry_after_s=1,
        pause=behind.is_set,
    )
    intake.start()
    for n in range(5):
        intake.put(PendingRequest(body(str(n)), loop.create_future(), loop))
    time.sleep(0.05)
    assert reached == []
    if ends == "the engine catches up":
        behind.clear()
    intake.stop()
    loop.close()
    assert sum(reached) == 5


def test_process_ends_when_its_pipe_closes(reader: DecoderProcess) -> None:
    process = reader._start().process
    reader.close()
    assert process.exitcode == 0
