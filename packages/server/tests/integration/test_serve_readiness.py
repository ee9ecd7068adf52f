"""What a person who starts the service is told is true when it is told."""

from __future__ import annotations

import re
import time
from pathlib import Path

from support.service_process import Server


def where(server: Server, seconds: float = 300) -> int:
    """The port that it says it serves at."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if told := re.search(r"wavebreak serves http://127\.0\.0\.1:(\d+) ", server.said()):
            return int(told[1])
        time.sleep(0.01)
    raise AssertionError(server.said())


def test_service_accepts_events_once_it_reports_its_port(tmp_path: Path) -> None:
    server = Server(tmp_path / "home", port=0)
    server.start(wait=False)
    try:
        server.port = where(server)
        assert server.port != 0
        assert server.post(b"[]").status == 202
    finally:
        server.stop()


def test_port_in_use_is_named_and_not_served(tmp_path: Path) -> None:
    with Server(tmp_path / "one").started() as first:
        second = Server(tmp_path / "two", port=first.port)
        second.start(wait=False)
        try:
            assert second.ended() != 0
        finally:
            second.stop()
        assert "wavebreak serves" not in second.said()
        assert str(first.port) in second.said()
