"""What waits for the log is bounded, overall and by sender."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from wavebreak_server.pipeline.backpressure import Backpressure
from wavebreak_server.settings import Limits

LIMITS = Limits(body=100, queue_bytes=400, bodies=4)
IDLE: Any = SimpleNamespace(
    log_writer=SimpleNamespace(failing="", stalled_s=0.0),
    decider=SimpleNamespace(broken=""),
    lag=0,
)


def test_bodies_of_one_sender_keep_nobody_out() -> None:
    waiting = Backpressure(LIMITS)
    with waiting.hold(1, None, "one"), waiting.hold(1, None, "one"):
        assert "its share" in waiting.reason_to_refuse(IDLE, 1, "one")
        assert waiting.reason_to_refuse(IDLE, 1, "another") == ""


def test_unfinished_bodies_count_by_sender_until_they_end() -> None:
    waiting = Backpressure(LIMITS)
    with waiting.receiving("one") as arrived:
        arrived(150)
        assert "its share" in waiting.reason_to_refuse(IDLE, 51, "one")
        assert waiting.reason_to_refuse(IDLE, 50, "one") == ""
        assert waiting.reason_to_refuse(IDLE, 51, "another") == ""
    assert waiting.reason_to_refuse(IDLE, 100, "one") == ""
    assert waiting.bytes == 0
