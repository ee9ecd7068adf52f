"""A small Wavebreak: keeps what it is sent, and answers as a test wants."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Events = list[dict[str, Any]]
ALLOW: dict[str, Any] = {"outcome": "allow", "allowed": True}


class StubService:
    """Answers the routes that the module uses.

    Attributes:
        wire: Every request, as it arrived.
        events: What was delivered, each id once.
        attempts: What was asked, a list for each act.
        sources: The declarations.
        decide: Returns the members of an answer that differ from `allow`.
        status: Answered to everything, where set.
        delay_s: How long it waits before it answers anything.
        convicted: Whom it convicted, as `GET /v1/lists/convicted` shows them.
        keys: The types that were told by each key.
    """

    def __init__(self) -> None:
        self.wire: list[bytes] = []
        self.events: Events = []
        self.doubles = 0
        self.attempts: list[Events] = []
        self.sources: list[dict[str, Any]] = []
        self.decide: Callable[[Events], dict[str, Any]] = lambda events: {}
        self.status: int | None = None
        self.delay_s = 0.0
        self.states: dict[str, dict[str, Any]] = {}
        self.convicted: list[dict[str, Any]] = []
        self.keys: dict[str, set[str]] = {}
        self._number = 0
        self._changed = threading.Condition()
        self._ids: set[str] = set()
        self._lock = threading.Lock()
        self._ended = False
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

            def do_GET(self) -> None:
                stub.answer(self)

            do_POST = do_PUT = do_GET  # noqa: N815 - http.server's names

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        """End it."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._server.shutdown()
        self._server.server_close()

    def set_state(self, account: str, outcome: str, **more: Any) -> None:
        """Change an account's enforcement state, and stream it."""
        with self._changed:
            self._number += 1
            state = {"account": account, "outcome": outcome, "until_ms": None}
            state |= {"notify_at_ms": None, "number": self._number} | more
            self.states[account] = state
            self._changed.notify_all()

    def wait(self, condition: Callable[[StubService], bool], seconds: float = 30) -> None:
        """Wait until a condition holds."""
        end = time.monotonic() + seconds
        while not condition(self):
            assert time.monotonic() < end, [event["type"] for event in self.events]
            time.sleep(0.02)

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        body = request.rfile.read(int(request.headers.get("content-length") or 0))
        head = f"{request.command} {request.path}\n{request.headers}".encode()
        with self._lock:
            self.wire.append(head + body)
        time.sleep(self.delay_s)
        path = request.path.partition("?")[0]
        if self.status is not None:
            self._send(request, self.status, {"title": "no", "status": self.status})
        elif path == "/v1/events":
            told = json.loads(body)
            key = str(request.headers.get("authorization"))
            self.keys.setdefault(key, set()).update(event["type"] for event in told)
            self._send(request, 202, self._take(told))
        elif path == "/v1/lists/convicted":
            self._send(request, 200, {"items": self.convicted, "version": ""})
        elif path == "/v1/decide":
            self._send(request, 200, self._judge(json.loads(body)))
        elif path == "/v1/states":
            held = [each for each in self.states.values() if each["outcome"] != "allow"]
            self._send(request, 200, {"states": held, "next": None, "number": self._number})
        elif path == "/v1/states/stream":
            self._stream(request)
        elif path == "/v1/sources/self":
            self.sources.append(json.loads(body))
            self._send(request, 200, {})
        else:
            self._send(request, 404, {"title": "no such route", "status": 404})

    def _take(self, events: Events) -> dict[str, Any]:
        with self._lock:
            for event in events:
                if event["id"] in self._ids:
                    self.doubles += 1
                else:
                    self._ids.add(event["id"])
                    self.events.append(event)
        return {"accepted": len(events), "late": 0, "duplicates": 0, "refused": []}

    def _judge(self, body: Any) -> dict[str, Any]:
        events = body if isinstance(body, list) else [body]
        with self._lock:
            self.attempts.append(events)
        return {"account": events[0]["account"], **ALLOW, "mode": "attempt", **self.decide(events)}

    def _stream(self, request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("content-type", "text/event-stream")
        request.send_header("connection", "close")
        request.end_headers()
        sent = int(request.headers.get("last-event-id") or 0)
        try:
            request.wfile.write(b"retry: 300\n\n")
            while not self._ended:
                with self._changed:
                    due = [s for s in self.states.values() if s["number"] > sent]
                    if not due:
                        self._changed.wait(5)
                for state in sorted(due, key=lambda each: each["number"]):
                    line = f"event: state\nid: {state['number']}\ndata: {json.dumps(state)}\n\n"
                    request.wfile.write(line.encode())
                    sent = state["number"]
                if not due:
                    request.wfile.write(b": quiet\n\n")
                request.wfile.flush()
        except OSError:
            pass
        request.close_connection = True

    @staticmethod
    def _send(request: BaseHTTPRequestHandler, status: int, body: Any) -> None:
        encoded = json.dumps(body).encode()
        request.send_response(status)
        request.send_header("content-type", "application/json")
        request.send_header("content-length", str(len(encoded)))
        request.end_headers()
        request.wfile.write(encoded)
