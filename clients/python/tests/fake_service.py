"""A service of a test's own, on the loopback, with the faults that a test asks for."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Fault = Callable[["Answering", bytes], bool]
"""Answers in place of the service, and returns True; or returns False."""


class FakeService(ThreadingHTTPServer):
    """Keeps the log as the service does: an id once, an Idempotency-Key once.

    `fault` is called first for each request but the stream's. `verdict` answers decide. `states`
    are what a snapshot has; `publish` sends one on the streams that are open.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.lock = threading.Lock()
        self.log: list[dict[str, Any]] = []
        self.keys: dict[str, bytes] = {}
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self.fault: Fault = lambda _answering, _body: False
        self.verdict: dict[str, Any] = {"outcome": "allow", "allowed": True}
        self.states: list[dict[str, Any]] = []
        self.number = 0
        self.page = 10_000
        self.streams: list[Answering] = []
        self.published: list[bytes] = []
        self.skew_s = 0.0
        self.key = "wb_key"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def publish(self, state: dict[str, Any]) -> None:
        """Send a state on the streams that are open, and keep it for later ones."""
        self.number = state["number"]
        line = f"event: state\nid: {state['number']}\ndata: {json.dumps(state)}\n\n".encode()
        with self.lock:
            self.published.append(line)
            for stream in self.streams:
                with contextlib.suppress(OSError):
                    stream.wfile.write(line)

    def asked(self, path: str) -> list[tuple[str, str, dict[str, str], bytes]]:
        return [each for each in list(self.requests) if each[1].startswith(path)]

    def handle_error(self, *_: Any) -> None:
        """A client that went is no error here."""


class Answering(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    server: FakeService

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def date_time_string(self, timestamp: float | None = None) -> str:
        return super().date_time_string(time.time() + self.server.skew_s)

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def reply(self, status: int, members: object = None, **headers: str) -> None:
        body = b"" if members is None else json.dumps(members).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def drop(self) -> None:
        """Close the connection without an answer."""
        self.close_connection = True
        self.connection.close()

    def truncate(self, body: bytes) -> None:
        """Take the events, and cut the answer short."""
        self.accept(body, silent=True)
        self.send_response(202)
        self.send_header("Content-Length", "100")
        self.end_headers()
        self.wfile.write(b'{"acc')
        self.drop()

    def accept(self, body: bytes, *, silent: bool = False) -> None:
        key = self.headers.get("Idempotency-Key", "")
        with self.server.lock:
            known = self.server.keys.setdefault(key, body)
            if known != body:
                self.reply(422, {"title": "Invalid value", "status": 422})
                return
            events = json.loads(body)
            seen = {each["id"] for each in self.server.log}
            fresh = [each for each in events if each["id"] not in seen]
            refused = [each for each in fresh if each["account"] == "refused"]
            self.server.log += [each for each in fresh if each not in refused]
        if silent:
            return
        causes = [{"index": 0, "cause": "bad_value", "field": "account"} for _ in refused]
        members = {
            "accepted": len(events) - len(refused),
            "refused": causes,
            "refused_total": len(refused),
            "late": 0,
            "duplicates": len(events) - len(fresh),
        }
        if len(refused) == len(events):
            self.reply(422, {"title": "no event was accepted", "status": 422, **members})
        else:
            self.reply(202, members)

    def _answer(self) -> None:
        server, split = self.server, urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        server.requests.append((self.command, self.path, headers, body))
        if split.path != "/v1/states/stream" and server.fault(self, body):
            return
        if self.headers.get("Authorization") != f"Bearer {server.key}":
            self.reply(401, {"title": "Unauthorized", "status": 401})
        elif split.path == "/v1/events":
            self.accept(body)
        elif split.path == "/v1/decide":
            events = json.loads(body)
            first = events[0] if isinstance(events, list) else events
            mode = parse_qs(split.query)["mode"][0]
            self.reply(200, {"account": first["account"], "mode": mode, **server.verdict})
        elif split.path == "/v1/states":
            since = int(parse_qs(split.query)["since"][0])
            found = [each for each in server.states if each["number"] > since]
            page, more = found[: server.page], found[server.page :]
            following = page[-1]["number"] if more else None
            self.reply(200, {"states": page, "next": following, "number": server.number})
        elif split.path == "/v1/states/query":
            held = {each["account"]: each for each in server.states}
            unknown = {"outcome": "allow", "until_ms": None, "number": 0}
            asked = json.loads(body)["accounts"]
            self.reply(200, {"states": [held.get(a) or {"account": a, **unknown} for a in asked]})
        elif split.path == "/v1/states/stream":
            self._stream()
        else:
            self.reply(404, {"title": "Not found", "status": 404})

    def _stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        last = int(self.headers.get("Last-Event-ID") or 0)
        with self.server.lock:
            self.wfile.write(b"retry: 200\n\n")
            for line in self.server.published:
                if int(line.split(b"id: ")[1].split(b"\n")[0]) > last:
                    self.wfile.write(line)
            self.server.streams.append(self)
        self.close_connection = True
        # The client closes, or the test ends the connection.
        with contextlib.suppress(OSError):
            self.connection.recv(1)
        with self.server.lock:
            self.server.streams.remove(self)


@contextlib.contextmanager
def fake_service() -> Iterator[FakeService]:
    """A service for as long as the block lasts."""
    with FakeService() as service:
        thread = threading.Thread(target=service.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield service
        finally:
            service.shutdown()
            for stream in list(service.streams):
                with contextlib.suppress(OSError):
                    stream.connection.shutdown(socket.SHUT_RDWR)
            thread.join()


def wait_until(holds: Callable[[], object], seconds: float = 20) -> None:
    """Wait until something holds; fails where it does not."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():
            return
        time.sleep(0.01)
    raise AssertionError("what was waited for did not happen")
