"""Where webhooks of a test go: a receiver that remembers what it was told, and how often."""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from serving import Server


class Receiver(ThreadingHTTPServer):
    """`heard` has the ids of messages by a decision's number, `times` how often each came."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.heard: dict[int, set[str]] = {}
        self.times: Counter[int] = Counter()

    def known_to(self, server: Server) -> None:
        """Have a server send its decisions here."""
        hook = {"url": f"http://127.0.0.1:{self.server_port}/", "reason": "because a test asks"}
        text = (server.home.parent / f"{server.home.name}.out").read_text()
        key = re.search(r"wb_[0-9a-f]{8}_[0-9a-f]{64}", text)
        assert key is not None
        body = json.dumps(hook).encode()
        asked = server.post(body, "/v1/webhooks", authorization=f"Bearer {key[0]}")
        assert asked.status == 201, asked.body


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.heard.setdefault(body["number"], set()).add(self.headers["webhook-id"])
        self.server.times[body["number"]] += 1
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver that listens for as long as the block lasts."""
    with Receiver() as receiver:
        thread = threading.Thread(target=receiver.serve_forever)
        thread.start()
        try:
            yield receiver
        finally:
            receiver.shutdown()
            thread.join()
