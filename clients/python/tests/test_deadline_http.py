"""Requests in a thread end at their deadline, whatever the other side does meanwhile."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpcore
import pytest

from fake_service import Answering, FakeService, fake_service
from wavebreak_client import Client
from wavebreak_client.deadline_http import ERRORS, DeadlineHttp, _Deadline, _Stream
from wavebreak_client.events import MessageSent

LINE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Slow: "


@pytest.fixture
def service() -> Iterator[FakeService]:
    with fake_service() as made:
        yield made


@pytest.fixture
def dripping() -> Iterator[str]:
    """A server that sends a byte of a header each 50 ms, for as long as somebody reads."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        ended = threading.Event()

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.sendall(LINE)
                while not ended.wait(0.05):
                    try:
                        connection.sendall(b"x")
                    except OSError:
                        return

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        ended.set()
        thread.join(5)


def test_an_answer_that_drips_ends_at_the_deadline(dripping: str) -> None:
    http = DeadlineHttp(dripping, {})
    began = time.monotonic()
    with pytest.raises(httpcore.ReadTimeout):
        http.post("/v1/decide", b"{}", 0.4)
    assert 0.35 < time.monotonic() - began < 2
    http.close()


def test_an_attempt_to_a_dripping_service_is_allowed(dripping: str) -> None:
    with Client(dripping, "wb_key", timeout_s=0.3, follow_states=False) as client:
        verdict = client.attempt(MessageSent(account="a", peer="b"))
        assert (verdict.allowed, verdict.answered) == (True, False)
        assert client.health().counts["no_answer"] == 1


def test_a_connection_is_used_again_and_made_anew_where_it_was_closed(service: FakeService) -> None:
    http = DeadlineHttp(service.url, {"Authorization": f"Bearer {service.key}"})
    ports = set()
    fault = service.fault

    def see(answering: Answering, body: bytes) -> bool:
        ports.add(answering.client_address[1])
        return fault(answering, body)

    service.fault = see
    asked = json.dumps(MessageSent(account="a", peer="b", id="e1").to_json()).encode()
    for _ in range(3):
        answer = http.post("/v1/decide?mode=ask", asked, 5)
        assert answer.status_code == 200
        assert answer.json()["allowed"]
    assert len(ports) == 1
    http.close()
    assert http.post("/v1/decide?mode=ask", asked, 5).status_code == 200
    assert len(ports) == 2
    http.close()


def test_nobody_listening_is_no_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    with pytest.raises(ERRORS):
        DeadlineHttp(url, {}).post("/v1/decide", b"{}", 1)


class _Recording(httpcore.NetworkStream):
    """Keeps the timeouts that it is given."""

    def __init__(self) -> None:
        self.timeouts: list[float | None] = []
        self.closed = False

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        self.timeouts.append(timeout)
        return b"x" * max_bytes

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.timeouts.append(timeout)

    def start_tls(
        self, ssl_context: Any, server_hostname: Any = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        self.timeouts.append(timeout)
        return self

    def close(self) -> None:
        self.closed = True


def test_every_wait_of_a_stream_is_bounded() -> None:
    recording, deadline = _Recording(), _Deadline()
    deadline.at = time.monotonic() + 10
    stream = _Stream(recording, deadline)
    encrypted = stream.start_tls(ssl.create_default_context(), "host", 60)
    assert encrypted.read(2, 3) == b"xx"
    encrypted.write(b"x")
    assert recording.timeouts[1] == 3
    assert all(each is not None and 9 < each <= 10 for each in recording.timeouts[::2])
    assert encrypted.get_extra_info("socket") is None
    encrypted.close()
    assert recording.closed
    deadline.at = time.monotonic()
    for late, call in (
        (httpcore.ReadTimeout, lambda: stream.read(1)),
        (httpcore.WriteTimeout, lambda: stream.write(b"x")),
        (httpcore.ConnectTimeout, lambda: stream.start_tls(ssl.create_default_context())),
    ):
        with pytest.raises(late):
            call()
