"""Servers of a test's own that listen on the loopback; among them one that webhooks go to."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from typing import TypeVar

from support.service_process import Server

Made = TypeVar("Made", bound=HTTPServer)


@contextmanager
def listening(server: Made) -> Iterator[Made]:
    """A server that listens for as long as the block lasts."""
    with server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class HostileReceiver:
    """Takes any number of connections and never answers one: it is silent, or it drips.

    A dripping receiver sends a byte of an endless header again and again. `opened` counts the
    connections so far.
    """

    def __init__(self, *, drips: bool = False) -> None:
        self.opened, self._drips = 0, drips
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._listening.settimeout(0.1)
        self._open: list[socket.socket] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work)

    def url(self, path: str = "") -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._listening.getsockname()[1]}/{path}"

    def __enter__(self) -> HostileReceiver:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        for each in (*self._open, self._listening):
            each.close()

    def _work(self) -> None:
        while not self._ended.is_set():
            with contextlib.suppress(TimeoutError):
                taken, _ = self._listening.accept()
                self._open.append(taken)
                self.opened += 1
                continue
            for each in self._open if self._drips else ():
                with contextlib.suppress(OSError):
                    each.send(b"X", socket.MSG_DONTWAIT)


class Answer(BaseHTTPRequestHandler):
    """Answers GET and POST alike, with whole bodies, and prints nothing."""

    def do_GET(self) -> None:
        self.answer()

    def do_POST(self) -> None:
        self.answer()

    def answer(self) -> None:
        """What a test's server says."""
        raise NotImplementedError

    def body(self) -> bytes:
        """What was sent."""
        return self.rfile.read(int(self.headers["content-length"]))

    def whole(
        self, body: bytes = b"", media: str = "text/plain", status: int = 200, **more: str
    ) -> None:
        """Answer with a body, its length, and further headers."""
        self.send_response(status)
        told = {"Content-Type": media, "Content-Length": str(len(body)), **more}
        for name, value in told.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Receiver(ThreadingHTTPServer):
    """Keeps what it was sent; answers the statuses of `answers` in order, then 200.

    `requests` are headers and bodies; `heard` has the ids of messages by a decision's number (0:
    another message).
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Received)
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.heard: dict[int, set[str]] = {}
        self.answers: list[int] = []
        self.slow = False

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}/hook"

    def known_to(self, server: Server) -> None:
        """Have a server send its decisions here."""
        text = (server.home.parent / f"{server.home.name}.out").read_text()
        key = re.search(r"wb_[0-9a-f]{8}_[0-9a-f]{64}", text)
        assert key is not None
        body = json.dumps({"url": self.url, "reason": "because a test asks"}).encode()
        asked = server.post(body, "/v1/webhooks", authorization=f"Bearer {key[0]}")
        assert asked.status == 201, asked.body


class _Received(Answer):
    server: Receiver

    def answer(self) -> None:
        headers, body = {k.lower(): v for k, v in self.headers.items()}, self.body()
        number = json.loads(body).get("number", 0)
        self.server.heard.setdefault(number, set()).add(headers["webhook-id"])
        self.server.requests.append((headers, body))
        if self.server.slow:
            self._drip()
        else:
            status = self.server.answers.pop(0) if self.server.answers else 200
            self.whole(status=status, location="/elsewhere")

    def _drip(self) -> None:
        """A head that never ends."""
        try:
            for _ in range(50):
                self.wfile.write(b"X")
                self.wfile.flush()
                threading.Event().wait(0.2)
        except OSError:
            return
