"""A stub of Wavebreak's HTTP interface: keeps what it is sent, answers as a test says."""

from __future__ import annotations

import contextlib
import hashlib
import json
import queue
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def sha256(text: str) -> str:
    """Return the hash of a text, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


ALLOW = {
    "outcome": "allow", "allowed": True, "until": None, "challenge": None, "retry_after_ms": None,
    "rules": [], "by_score": False, "notify_at_ms": None, "notice": None, "statement_url": None,
}  # fmt: skip


class Stub:
    """One stub on a free port.

    `decide(events)` returns the members of an answer that differ from "allowed"; `status` is an
    HTTP status that every request gets instead; `delay_s` holds each answer back; one that
    `is_another` service answers with a page, and that it asks for a password.
    """

    def __init__(self, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self.events: list[dict[str, Any]] = []
        self.asked: list[tuple[str, list[dict[str, Any]]]] = []
        self.attempted: list[dict[str, Any]] = []
        self.sources: list[dict[str, Any]] = []
        self.raw: list[bytes] = []
        self.batches: list[str] = []
        self.states: dict[str, dict[str, Any]] = {}
        self.key = "k"
        self.list_key = "lk"
        self.listed: list[dict[str, Any]] = []
        self.convicted: list[str] = []
        self.status = 0
        self.stopped = False
        self.delay_s = 0.0
        self.has_stream = True
        self.is_another = False
        self.decide: Callable[[list[dict[str, Any]]], dict[str, Any]] = lambda _events: {}
        self._number = 0
        self._streams: list[queue.Queue[dict[str, Any] | None]] = []
        self._lock = threading.Lock()
        self._keys: set[str] = set()
        self._ids: set[str] = set()
        self._server = _Server(("127.0.0.1", port), type("Handler", (_Handler,), {"stub": self}))
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        if tls is not None:
            self._server.socket = tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
            self.url = f"https://127.0.0.1:{self.port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        )
        self._thread.start()

    def set_state(self, account: str, outcome: str, **more: Any) -> None:
        """Change an account's state, and send it to whoever streams."""
        with self._lock:
            self._number += 1
            state = {"account": account, "outcome": outcome, "until_ms": None, "notify_at_ms": None}
            state |= {"number": self._number} | more
            self.states[account] = state
            for stream in self._streams:
                stream.put(state)

    def take(self, key: str, body: bytes, *, by_list: bool = False) -> dict[str, Any]:
        """Take a body of events once: by its Idempotency-Key and by the ids."""
        with self._lock:
            self.batches.append(key)
            events = [json.loads(line) for line in body.splitlines() if line]
            new = [event for event in events if event["id"] not in self._ids]
            if key not in self._keys:
                into = self.listed if by_list else self.events
                into += new
                self._ids |= {event["id"] for event in new}
            self._keys.add(key)
        return {"accepted": len(new), "late": 0, "duplicates": 0, "refused": [], "refused_total": 0}

    def answer(self, mode: str, body: Any) -> dict[str, Any]:
        """Answer a question."""
        events = body if isinstance(body, list) else [body]
        with self._lock:
            self.asked.append((mode, events))
        answer = ALLOW | {"account": events[0]["account"], "mode": mode} | self.decide(events)
        if mode == "attempt" and not answer["allowed"]:
            self.attempted += events
        return answer

    def wait(self, condition: Callable[[], Any], seconds: float = 15) -> Any:
        """Wait until a condition holds; fail where it does not in time."""
        end = time.monotonic() + seconds
        while not (result := condition()):
            assert time.monotonic() < end, f"it does not hold: {self.events[-5:]}"
            time.sleep(0.02)
        return result

    def snapshot(self) -> dict[str, Any]:
        """Return the states that are not allow."""
        with self._lock:
            states = [state for state in self.states.values() if state["outcome"] != "allow"]
            states.sort(key=lambda state: state["number"])
            return {"states": states, "next": None, "number": self._number}

    def subscribe(self) -> queue.Queue[dict[str, Any] | None]:
        """Return a queue of states that change from now on."""
        with self._lock:
            stream: queue.Queue[dict[str, Any] | None] = queue.Queue()
            self._streams.append(stream)
        return stream

    @property
    def streams(self) -> int:
        """How many streams have been opened."""
        return len(self._streams)

    def stop(self) -> None:
        """End it, for connections that are open too."""
        self.stopped = True
        with self._lock:
            for stream in self._streams:
                stream.put(None)
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that left."""


class _Handler(BaseHTTPRequestHandler):
    """Answers one connection; `stub` is set by the subclass of each stub."""

    protocol_version = "HTTP/1.1"
    stub: Stub

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet."""

    def _send(self, status: int, body: Any, **headers: str) -> None:
        is_page = isinstance(body, bytes)
        encoded = body if is_page else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html" if is_page else "application/json")
        self.send_header("Content-Length", str(len(encoded)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(encoded)

    def _handle(self) -> None:
        stub = self.stub
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if stub.stopped:
            self.close_connection = True
            return None
        stub.raw.append(self.requestline.encode() + b"\n" + bytes(self.headers) + body)
        if stub.delay_s:
            time.sleep(stub.delay_s)
        if stub.is_another:
            return self._send(401, b"<h1>Who are you?</h1>")
        if stub.status:
            more = {"Retry_After": "1"} if stub.status in (429, 503) else {}
            return self._send(stub.status, {"title": "no", "status": stub.status}, **more)
        by_list = self.headers.get("authorization") == f"Bearer {stub.list_key}"
        if not by_list and self.headers.get("authorization") != f"Bearer {stub.key}":
            return self._send(401, {"title": "wrong key", "status": 401})
        return self._route_of_list(body) if by_list else self._route(body)

    def _route_of_list(self, body: bytes) -> None:
        stub = self.stub
        if self.path == "/v1/events":
            key = self.headers["idempotency-key"]
            return self._send(202, stub.take(key, body, by_list=True))
        if self.path != "/v1/lists/convicted":
            return self._send(403, {"title": "no scope for this", "status": 403})
        etag = f'"{stub.convicted}"'.replace("'", "")
        if self.headers.get("if-none-match") == etag:
            return self._send(304, None)
        items = [{"account": account, "hash": sha256(account)} for account in stub.convicted]
        return self._send(200, {"items": items, "version": etag}, ETag=etag)

    def _route(self, body: bytes) -> None:
        stub = self.stub
        path, _, query = self.path.partition("?")
        if path == "/v1/states/stream" and stub.has_stream:
            return self._stream()
        status, answer = 200, {}
        if path == "/v1/events":
            status, answer = 202, stub.take(self.headers["idempotency-key"], body)
        elif path == "/v1/decide":
            answer = stub.answer(query.partition("mode=")[2] or "ask", json.loads(body))
        elif path == "/v1/states":
            answer = stub.snapshot()
        elif path == "/v1/sources/self":
            stub.sources.append(json.loads(body))
        else:
            status, answer = 404, {"title": "not found", "status": 404}
        return self._send(status, answer)

    def _stream(self) -> None:
        states = self.stub.subscribe()
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        with contextlib.suppress(OSError):
            self._chunk(b"retry: 2000\n\n")
            while (state := states.get()) is not None:
                data = f"event: state\nid: {state['number']}\ndata: {json.dumps(state)}\n\n"
                self._chunk(data.encode())
        self.close_connection = True

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    do_GET = do_POST = do_PUT = _handle  # noqa: N815


@contextlib.contextmanager
def stubbed(port: int = 0, tls: ssl.SSLContext | None = None) -> Iterator[Stub]:
    """Run a stub for as long as the block lasts."""
    stub = Stub(port, tls)
    try:
        yield stub
    finally:
        stub.stop()
