"""Bodies read in a process of their own come to what they come to here, whatever becomes of it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from wavebreak.errors import EventError
from wavebreak.privacy.pseudonymizer import Pseudonymizer, with_all_columns
from wavebreak.service import event_log
from wavebreak.service.decoder_pool import Intake, Reader
from wavebreak.service.pending_requests import Waiting
from wavebreak.service.request_decoder import Body, Decoded, Decoder, Read
from wavebreak.service.settings import Limits

EDGE = Pseudonymizer(b"a key for tests only")
POISON = Body(b"poison", "lines")


def body(name: str) -> Body:
    event = {"id": name, "ts": 1_772_366_400_000, "type": "message.sent", "account": name,
             "peer": "p", "size": 1}  # fmt: skip
    return Body(json.dumps([event]).encode(), "json")


class _Dying(Reader):
    """A reader whose process dies over POISON."""

    def _read(self, bodies: Sequence[Body]) -> Decoded | None:
        if POISON in bodies:
            os.kill(self._process.pid, signal.SIGKILL)
            self._process.wait()
        return super()._read(bodies)


@pytest.fixture
def reader() -> Iterator[_Dying]:
    made = _Dying(EDGE, Limits())
    yield made
    made.close()


def test_a_process_reads_what_is_read_here_and_packs_it_for_the_log(reader: Reader) -> None:
    bodies = [body("a"), Body(b"junk", "lines"), body("b")]
    made, here = reader.decode(bodies), Decoder(EDGE, Limits()).decode(bodies)
    assert with_all_columns(made.log).equals(here.log)
    assert [read.taken for read in made.reads if isinstance(read, Read)] == [1, 0, 1]
    assert bytes(made.blob) == bytes(event_log.packed(here.log))


def test_a_process_that_was_killed_is_begun_anew_and_nothing_is_lost(reader: Reader) -> None:
    first = reader._process.pid
    os.kill(first, signal.SIGKILL)
    reader._process.wait()
    made = reader.decode([body("a"), body("b")])
    assert made.log.column("account").to_pylist() == ["a", "b"]
    assert reader._process.pid != first


def test_a_body_that_kills_its_reader_twice_is_refused_and_the_others_are_read(
    reader: Reader,
) -> None:
    made = reader.decode([body("a"), POISON, body("b")])
    assert made.log.column("account").to_pylist() == ["a", "b"]
    assert isinstance(made.reads[1], EventError)
    assert [isinstance(read, Read) for read in made.reads] == [True, False, True]


def test_what_unpacks_within_arrow_beyond_the_memory_of_a_reader_is_refused_alone() -> None:
    wide = pa.RecordBatch.from_arrays([pa.array(np.zeros(450_000_000, np.int64))], ["ts"])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(
        sink, wide.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")
    ) as writer:
        writer.write_batch(wide)
    bomb = Body(sink.getvalue().to_pybytes(), "arrow")
    assert len(bomb.content) < Limits().body
    reader = Reader(EDGE, Limits(reader=3 << 30, events=1 << 30))
    try:
        made = reader.decode([body("a"), bomb, body("b")])
    finally:
        reader.close()
    assert made.log.column("account").to_pylist() == ["a", "b"]
    assert isinstance(made.reads[1], EventError)
    assert "cannot be read" in made.reads[1].what
    assert made.reads[0] == made.reads[2] == Read(1)


class _Slow:
    """Reads here, and is slow over the first body of all."""

    def __init__(self, begun: threading.Event, let: threading.Event) -> None:
        self._decoder, self._begun, self._let = Decoder(EDGE, Limits()), begun, let

    def decode(self, bodies: Sequence[Body]) -> Decoded:
        if bodies == [body("0")]:
            self._begun.set()
            assert self._let.wait(10)
        return self._decoder.decode(bodies)

    def close(self) -> None:
        pass


def test_bodies_go_on_in_the_order_in_which_they_came_whoever_reads_them() -> None:
    begun, let, reached = threading.Event(), threading.Event(), list[str]()
    readers: Any = [_Slow(begun, let), _Slow(begun, let)]

    def onward(waiting: list[Waiting], decoded: Decoded) -> None:
        assert len(waiting) == len(decoded.reads)
        reached.extend(decoded.log.column("account").to_pylist())

    loop = asyncio.new_event_loop()
    intake = Intake(readers, onward, retry_after_s=1)
    intake.put(Waiting(body("0"), loop.create_future(), loop))
    assert begun.wait(10)
    for n in range(1, 50):
        intake.put(Waiting(body(str(n)), loop.create_future(), loop))
    time.sleep(0.05)
    assert reached == []
    let.set()
    intake.stop()
    loop.close()
    assert reached == [str(n) for n in range(50)]


@pytest.mark.parametrize("ends", ["the engine catches up", "the service ends"])
def test_bodies_wait_while_the_engine_is_behind_and_none_is_lost(ends: str) -> None:
    behind, reached = threading.Event(), list[int]()
    behind.set()
    started = threading.Event()
    started.set()
    loop = asyncio.new_event_loop()
    intake = Intake(
        [_Slow(threading.Event(), started)],  # type: ignore[list-item]
        lambda waiting, _: reached.append(len(waiting)),
        retry_after_s=1, behind=behind.is_set,
    )  # fmt: skip
    for n in range(5):
        intake.put(Waiting(body(str(n)), loop.create_future(), loop))
    time.sleep(0.05)
    assert reached == []
    if ends == "the engine catches up":
        behind.clear()
    intake.stop()
    loop.close()
    assert sum(reached) == 5


def test_a_process_ends_with_its_reader(reader: Reader) -> None:
    process = reader._process
    reader.close()
    assert process.returncode == 0
    reader._begin()
