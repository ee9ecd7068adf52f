"""Webhooks of a real server: deliveries a second, and the time from an act to its receipt.

The receiver is a process of its own that answers at once. Each delivery is signed, on a connection
of its own, and its end is stored and sealed.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.figures import Figure, figure
from benchmarks.service import serving

NAME = "webhooks"
RUNS = 3
PATIENCE_S = 300.0
_BECAUSE = "a benchmark asks for it"
_ANSWER = b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


async def _received(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer one request, and print when it came and which account it is about."""
    head = await reader.readuntil(b"\r\n\r\n")
    lower = head.lower()
    at = lower.index(b"content-length:") + 15
    body = await reader.readexactly(int(lower[at : lower.index(b"\r\n", at)]))
    now = time.monotonic()
    writer.write(_ANSWER)
    await writer.drain()
    writer.close()
    sys.stdout.write(f"{now} {json.loads(body)['data']['account']}\n")
    sys.stdout.flush()


async def _receive() -> None:
    server = await asyncio.start_server(_received, "127.0.0.1", 0, backlog=256)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


class _Receiver:
    """The receiver's process; `times` are when the first delivery about each account came (s)."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.webhooks"], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self._lines: Iterator[str] = self.process.stdout
        self.port = int(next(self._lines))
        self.times: dict[str, float] = {}
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self._lines:
            at, account = line.split()
            self.times.setdefault(account, float(at))

    def wait_for(self, accounts: list[str]) -> list[float]:
        """Wait for deliveries about accounts; return when they came (s)."""
        end = time.monotonic() + PATIENCE_S
        while missing := [account for account in accounts if account not in self.times]:
            if time.monotonic() > end:
                raise RuntimeError(f"{len(missing)} deliveries did not come")
            time.sleep(0.01)
        return [self.times[account] for account in accounts]


@contextmanager
def _receiving() -> Iterator[_Receiver]:
    receiver = _Receiver()
    try:
        yield receiver
    finally:
        receiver.process.kill()
        receiver.process.wait()


class _Sender:
    """A connection to the server."""

    def __init__(self, port: int, key: str) -> None:
        self._headers = {"content-type": "application/json", "authorization": f"Bearer {key}"}
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._connection.connect()
        self._connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def post(self, path: str, body: Any) -> float:
        """Post JSON; return when it was sent (s)."""
        began = time.monotonic()
        self._connection.request("POST", path, json.dumps(body).encode(), self._headers)
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{path}: {answer.status} {content[:200]!r}")
        return began


def _rate(sender: _Sender, receiver: _Receiver, run: int, many: int) -> float:
    """Label many accounts at once; return the deliveries a second from the first one on."""
    accounts = [f"r{run}-{n}" for n in range(many)]
    for start in range(0, many, 1000):
        labels = [
            {"account": account, "label": "abusive", "source": "analyst"}
            for account in accounts[start : start + 1000]
        ]
        sender.post("/v1/labels", {"labels": labels, "reason": _BECAUSE})
    came = sorted(receiver.wait_for(accounts))
    return (many - 1) / (came[-1] - came[0])


def _latencies(sender: _Sender, receiver: _Receiver, run: int, many: int) -> list[float]:
    """Label one account after the other, ten a second; return the time to each receipt (ms)."""
    accounts, sent = [f"l{run}-{n}" for n in range(many)], []
    for account in accounts:
        label = {"account": account, "label": "abusive", "source": "analyst"}
        sent.append(sender.post("/v1/labels", {"labels": [label], "reason": _BECAUSE}))
        time.sleep(max(0.0, sent[-1] + 0.1 - time.monotonic()))
    came = receiver.wait_for(accounts)
    return [(at - began) * 1000 for began, at in zip(sent, came, strict=True)]


def bench(quick: bool) -> list[Figure]:
    """Deliveries of a crowd of decisions, then of single ones."""
    many, single = (300, 30) if quick else (1500, 100)
    options = ("--model", "none", "--private-webhooks")
    with serving(*options) as server, _receiving() as receiver:
        key = server.create_key("admin", "override")
        time.sleep(3)  # Another process made it: the server reads it within two seconds.
        sender = _Sender(server.port, key)
        url = f"http://127.0.0.1:{receiver.port}/"
        sender.post("/v1/webhooks", {"url": url, "reason": _BECAUSE})
        _rate(sender, receiver, RUNS, 100)
        rates = [_rate(sender, receiver, run, many) for run in range(RUNS)]
        waits = [sorted(_latencies(sender, receiver, run, single)) for run in range(RUNS)]
    load = f"load {os.getloadavg()[0]:.1f}"
    return [
        figure(NAME, f"deliveries of {many:,} decisions at once, one webhook", "1/s", rates,
               note=load),
        figure(NAME, "from a label's request to the receipt of its decision, p50", "ms",
               [statistics.median(each) for each in waits], better="less",
               note=f"ten a second, {RUNS} times {single}"),
        figure(NAME, "the same, p99", "ms", [each[int(len(each) * 0.99)] for each in waits],
               better="less"),
    ]  # fmt: skip


if __name__ == "__main__":
    asyncio.run(_receive())
