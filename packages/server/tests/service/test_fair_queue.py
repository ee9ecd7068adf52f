"""Senders take turns: many requests of one delay those of the others by one turn."""

from __future__ import annotations

from typing import Any

from wavebreak_server.pipeline.fair_queue import TURN_BYTES, FairQueue
from wavebreak_server.pipeline.pending_requests import PendingRequest
from wavebreak_server.pipeline.request_decoder import Body


def request(sender: str, size: int = 1) -> PendingRequest:
    nothing: Any = None
    return PendingRequest(Body(b"x" * size, "lines"), nothing, nothing, sender=sender)


def senders(queue: FairQueue) -> str:
    found = ""
    while (one := queue.get_nowait()) is not None:
        found += one.sender
    return found


def test_large_requests_of_senders_alternate() -> None:
    queue = FairQueue()
    for sender in "aaabbc":
        queue.put(request(sender, TURN_BYTES))
    assert senders(queue) == "abcaba"


def test_small_requests_share_a_turn() -> None:
    queue = FairQueue()
    for sender in "aaaab":
        queue.put(request(sender, TURN_BYTES // 2))
    assert senders(queue) == "aabaa"


def test_requests_of_a_sender_keep_their_order() -> None:
    queue, put = FairQueue(), [request("a", n) for n in range(1, 5)]
    for one in put[2:]:
        queue.put(one)
    queue.put_back(put[:2])
    assert [queue.get_next_of("a") for _ in range(5)] == [*put, None]


def test_closed_queue_gives_what_it_holds_and_ends() -> None:
    queue = FairQueue()
    queue.put(request("a"))
    queue.close()
    assert not queue.ended
    assert queue.get() is not None
    assert queue.get() is None
    assert queue.ended
    assert FairQueue().get(timeout_s=0.01) is None
