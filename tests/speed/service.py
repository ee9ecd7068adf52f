"""The service under load, durable: a real server, and a load generator in a process of its own.

Both share the machine's processors. Peers, as their makers and others measured them on such a
machine: a rules engine behind a durable HTTP path answers 54 requests a second, and 9 where it
computes its own windows over 100,000 events an hour.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg

from .figures import Figure

NAME = "service"
POSTGRES = os.environ.get("WAVEBREAK_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432")
PEERS = "a rules engine with a durable HTTP path: 54 requests/s; with windows of its own: 9"
_PROGRAM = "from wavebreak.cli import main; main()"
_MIB = 1 << 20


class _Server:
    """`wavebreak serve` in a directory of its own."""

    def __init__(self, *options: str) -> None:
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.port = int(found.getsockname()[1])
        self.home = tempfile.TemporaryDirectory(prefix="wavebreak-speed-")
        command = [sys.executable, "-c", _PROGRAM, "serve", self.home.name, "--port",
                   str(self.port), "--no-keys", *options]  # fmt: skip
        self.process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env=os.environ | {"WAVEBREAK_KEY": secrets.token_hex(32)},
        )  # fmt: skip

    def wait(self) -> None:
        """Wait until it takes events."""
        url = f"http://127.0.0.1:{self.port}/v1/events"
        asked = urllib.request.Request(url, b"[]", {"content-type": "application/json"})
        for _ in range(1200):
            with contextlib.suppress(urllib.error.URLError, OSError), urllib.request.urlopen(asked):
                return
            time.sleep(0.1)
        raise RuntimeError("the service did not start")

    def resident(self) -> int:
        """Bytes of memory that the process holds."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        return 0

    def close(self) -> None:
        """End it as a person would."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(120)
        self.home.cleanup()


@contextlib.contextmanager
def _serving(*options: str) -> Iterator[_Server]:
    server = _Server(*options)
    try:
        server.wait()
        yield server
    finally:
        server.close()


def _load(server: _Server, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.speed.load", "--port", str(server.port), "--wait"]
    return subprocess.Popen(
        [*command, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def _sent(load: subprocess.Popen[str]) -> dict[str, Any]:
    told, _ = load.communicate("\n")
    found: dict[str, Any] = json.loads(told)
    return found


def bench(quick: bool) -> list[Figure]:
    """Rates, latencies, decide beside a background, an hour's events, PostgreSQL."""
    seconds = "3" if quick else "10"
    events = ("--events", "300000" if quick else "2000000", "--seconds", seconds)
    return [
        *_rates(events),
        *_model(events),
        *_deciding(seconds, quick),
        *_hour(quick),
        *_postgresql(events),
    ]


def _rates(events: tuple[str, ...]) -> list[Figure]:
    with _serving("--model", "none") as server:
        whole = _sent(_load(server, *events))
        # On the same, warm service: what grows at its first sight of a million accounts has grown.
        rate = str(0.7 * whole["rate"])
        steady = _sent(_load(server, *events, "--rate", rate, "--cycle", "50"))
    with _serving("--model", "none") as server:
        arrow = _sent(_load(server, *events, "--form", "arrow"))
    at = f"at {steady['rate']:,.0f} events/s; p50 {steady['p50_ms']:.1f} ms"
    return [
        Figure(NAME, "durable, JSON bodies of 500, SQLite", "events/s", whole["rate"],
               target=300_000, note=PEERS),
        Figure(NAME, "p99 at 70 % of that", "ms", steady["p99_ms"], target=20, better="less",
               note=at),
        Figure(NAME, "durable, Arrow bodies of 500, SQLite", "events/s", arrow["rate"],
               target=600_000),
    ]  # fmt: skip


def _model(events: tuple[str, ...]) -> list[Figure]:
    with _serving() as server:
        told = _sent(_load(server, *events))
    return [Figure(NAME, "the same in JSON, the shipped model asked", "events/s", told["rate"])]


def _deciding(seconds: str, quick: bool) -> list[Figure]:
    with _serving("--model", "none") as server:
        many = 300_000 if quick else 1_000_000
        background = _load(server, "--rate", "50000", "--seconds", str(int(seconds) + 4),
                           "--events", str(many))  # fmt: skip
        asked = _load(server, "--form", "decide", "--connections", "8", "--rate", "200",
                      "--seconds", seconds, "--events", "20000")  # fmt: skip
        time.sleep(1)
        assert background.stdin is not None
        background.stdin.write("\n")
        background.stdin.flush()
        time.sleep(2)
        told = _sent(asked)
        beside = json.loads(background.communicate()[0])
    note = f"200 a second beside {beside['rate']:,.0f} events/s; {told['refused']} without engine"
    return [
        Figure(NAME, "decide, p50", "ms", told["p50_ms"], target=1, better="less", note=note),
        Figure(NAME, "decide, p99", "ms", told["p99_ms"], target=5, better="less"),
    ]


def _hour(quick: bool) -> list[Figure]:
    """As many events as an hour at 10,000 a second, as fast as they go; memory in between."""
    parts, each = (3, 300_000) if quick else (6, 6_000_000)
    held: list[int] = []
    with _serving("--model", "none") as server:
        for part in range(parts):
            load = _load(server, "--events", "2000000" if not quick else "300000", "--seconds",
                         "600", "--cycle", str(20 * part), "--at-most", str(each))  # fmt: skip
            _sent(load)
            held.append(server.resident())
    grown = (held[-1] - held[1]) / max(1, (parts - 2) * each)
    shown = ", ".join(f"{h / _MIB:,.0f}" for h in held)
    note = f"MiB after each {each:,} events: {shown}; an id seen costs 16 B up to 33 million"
    return [Figure(NAME, "memory, later in an hour at 10,000/s", "B/event", grown, note=note)]


def _postgresql(events: tuple[str, ...]) -> list[Figure]:
    what, target = "durable, JSON bodies of 500, PostgreSQL", 150_000
    name = f"wavebreak_speed_{secrets.token_hex(4)}"
    try:
        with psycopg.connect(f"{POSTGRES}/postgres", autocommit=True) as asked:
            asked.execute(f"CREATE DATABASE {name}".encode())
    except psycopg.OperationalError:
        note = "no PostgreSQL answers: name one with WAVEBREAK_TEST_POSTGRES"
        return [Figure(NAME, what, "events/s", None, target=target, note=note)]
    try:
        with _serving("--model", "none", "--database", f"{POSTGRES}/{name}") as server:
            told = _sent(_load(server, *events))
    finally:
        with psycopg.connect(f"{POSTGRES}/postgres", autocommit=True) as asked:
            asked.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
    note = f"p50 {told['p50_ms']:.1f} ms, p99 {told['p99_ms']:.1f} ms"
    return [Figure(NAME, what, "events/s", told["rate"], target=target, note=note)]
