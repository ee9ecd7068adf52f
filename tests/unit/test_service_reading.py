"""Bodies read in a process of their own come to what they come to here, whatever becomes of it."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator, Sequence

import pytest

from wavebreak.edge import Edge
from wavebreak.errors import EventError
from wavebreak.service import log
from wavebreak.service.bodies import Body, Decoded, Decoder, Read
from wavebreak.service.reading import Reader
from wavebreak.service.settings import Limits

EDGE = Edge(b"a key for tests only")
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
    assert made.log.equals(here.log)
    assert [read.taken for read in made.reads if isinstance(read, Read)] == [1, 0, 1]
    assert bytes(made.blob) == bytes(log.packed(here.log))


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


def test_a_process_ends_with_its_reader(reader: Reader) -> None:
    process = reader._process
    reader.close()
    assert process.returncode == 0
    reader._begin()
