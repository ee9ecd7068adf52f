"""The server's transport: an answer's head and body leave together."""

from __future__ import annotations

import asyncio
from typing import Any

from wavebreak_server.http.protocol import ConnectionTransport


class Wire:
    """A transport that notes what is written to it."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def get_write_buffer_size(self) -> int:
        return 0

    def get_protocol(self) -> str:
        return "http"


def after(*steps: Any) -> list[bytes]:
    """What a transport has written after steps, each in a turn of the loop of its own."""
    wire = Wire()

    async def live() -> None:
        corked = ConnectionTransport(wire, asyncio.get_running_loop())
        for step in steps:
            step(corked)
            await asyncio.sleep(0)

    asyncio.run(live())
    return wire.written


def test_head_and_body_are_written_together() -> None:
    assert after(lambda to: (to.write(b"head "), to.write(b"body"))) == [b"head body"]


def test_single_write_is_sent_at_the_next_iteration() -> None:
    alone = after(lambda to: to.write(b"head"), lambda to: to.write(b"later"), lambda _: None)
    assert alone == [b"head", b"later"]


def test_two_responses_in_one_iteration_are_both_sent() -> None:
    parts = [b"1", b"2", b"3"]
    assert b"".join(after(lambda to: [to.write(part) for part in parts])) == b"123"


def test_close_flushes_pending_data() -> None:
    assert after(lambda to: (to.write(b"head"), to.close())) == [b"head"]
    assert after(lambda to: to.close(), lambda to: to.write(b"head")) == []


def test_other_calls_reach_the_transport() -> None:
    async def live() -> str:
        return str(ConnectionTransport(Wire(), asyncio.get_running_loop()).get_protocol())

    assert asyncio.run(live()) == "http"
