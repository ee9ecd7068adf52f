"""A real server in a process of its own, as tests start, ask, kill and start it again."""

from __future__ import annotations

import atexit
import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import psycopg

from support import warm_process
from support.external_servers import free_port
from support.warm_process import WarmProcess
from wavebreak.ledger import new_signer
from wavebreak.ledger.audit import SERVICE_DATABASE
from wavebreak.ledger.checkpoints import encode_signer

KEY = "00112233445566778899aabbccddeeff" * 2
SIGNER = new_signer("example.org/served", secret=bytes(range(32)))
LEDGER_KEY = encode_signer(SIGNER)
JSON = {"content-type": "application/json"}


_MIGRATE = """
import sys
from pathlib import Path
from wavebreak_server.storage import database, row_macs
row_macs.bind(bytes(32))
database.connect("", Path(sys.argv[1]))
database.migrate()
"""


@cache
def migrated_file() -> Path:
    """Return an SQLite file with all tables and no rows of a service; tests begin with copies.

    Fifty migrations are a third of what a first start costs. A process of its own makes it, since
    Django's connection of this one may be in use.
    """
    home = Path(tempfile.mkdtemp(prefix="wavebreak-migrated-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    subprocess.run([sys.executable, "-c", _MIGRATE, str(home)], check=True)
    made = home / SERVICE_DATABASE
    made.chmod(0o600)
    return made


@dataclass(frozen=True)
class Answered:
    """A status, headers in lower case, a body."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def _skewed(seconds: int) -> str:
    """Return statements that set a process's clock ahead; they run before anything reads it."""
    if not seconds:
        return ""
    return (
        "import time; s, ns = time.time, time.time_ns; "
        f"time.time = lambda: s() + {seconds}; time.time_ns = lambda: ns() + {seconds * 10**9}; "
    )


@dataclass
class Server:
    """`wavebreak serve` over `home`; `options` are those of its command line.

    `skew_s` is how far its clock is ahead of the machine's.
    """

    home: Path
    options: tuple[str, ...] = ()
    port: int = field(default_factory=free_port)
    limits: Any = None
    database: str = ""
    keyed: bool = False
    skew_s: int = 0
    _process: subprocess.Popen[bytes] | WarmProcess | None = None

    def start(self, *more: str, wait: bool = True) -> Server:
        """Start it, and wait until it takes events."""
        if not self.database and not self.home.exists():
            self.home.mkdir(mode=0o700)
        if not self.database and self.home.is_dir() and not any(self.home.iterdir()):
            shutil.copy(migrated_file(), self.home / SERVICE_DATABASE)
        words = ["serve", str(self.home), "--port", str(self.port), "--model", "none"]
        words += [*([] if self.keyed else ["--no-keys"]), *self.options, *more]
        if self.database:
            words += ["--database", self.database]
        environment = os.environ | {"WAVEBREAK_KEY": KEY, "WAVEBREAK_LEDGER_KEY": LEDGER_KEY}
        log = self.home.parent / f"{self.home.name}.out"
        with log.open("ab") as out:
            if self.skew_s or self.limits:
                program = f"{_skewed(self.skew_s)}from wavebreak.cli import main; main()"
                self._process = subprocess.Popen(
                    [sys.executable, "-c", program, *words],
                    stdout=out,
                    stderr=out,
                    preexec_fn=self.limits,
                    env=environment,
                )
            else:
                self._process = warm_process.start(words, environment, out)
        if wait:
            self.wait()
        return self

    @contextlib.contextmanager
    def started(self) -> Iterator[Server]:
        """It runs for as long as the block lasts."""
        try:
            yield self.start()
        finally:
            self.stop()

    def wait(self, seconds: float = 300) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self._takes(b"[]", seconds):
                    return
            if self._process is not None and self._process.poll() is not None:
                raise AssertionError(f"the server ended: {self.said()}")
            time.sleep(0.02)
        raise AssertionError(f"the server takes nothing: {self.said()}")

    def _takes(self, body: bytes, seconds: float) -> bool:
        if not self.keyed:
            return self.post(body).status == 202
        # The first body waits for a process that decodes.
        key = {"authorization": f"Bearer {self.first_key()}"} if self.ready() else {}
        return bool(key) and self.post(body, timeout=seconds, **key).status == 202

    def said(self) -> str:
        """What it has written to its terminal."""
        return (self.home.parent / f"{self.home.name}.out").read_text()[-2000:]

    def ready(self) -> bool:
        """Whether it takes events; needs no key."""
        url = f"http://127.0.0.1:{self.port}/readyz"
        with contextlib.suppress(urllib.error.HTTPError), urllib.request.urlopen(url) as answer:
            return bool(answer.status == 200)
        return False

    def first_key(self) -> str:
        """The API key that it printed at its first start."""
        text = (self.home.parent / f"{self.home.name}.out").read_text().replace("\n", "")
        found = re.search(r"wb_[0-9a-f]{8}_[0-9a-f]{64}", text)
        assert found is not None, text
        return found[0]

    def ended(self, seconds: float = 60) -> int:
        """Wait until it has ended; its exit code."""
        assert self._process is not None
        return self._process.wait(seconds)

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        """End it as a person would."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(60)

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process is not None
        return self._process.pid

    def terminate(self) -> None:
        """Ask it to end, and do not wait."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)

    def post(
        self,
        body: bytes,
        path: str = "/v1/events",
        timeout: float = 30,
        *,
        method: str = "POST",
        **headers: str,
    ) -> Answered:
        """Send one request; headers are written with underscores."""
        named = JSON | {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, body, named)
            answer = connection.getresponse()
            told = {name.lower(): value for name, value in answer.getheaders()}
            return Answered(answer.status, told, answer.read())
        finally:
            connection.close()

    def settled(self, events: int, seconds: float = 300) -> None:
        """Wait until what is in the log has been decided on, and written."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.rows("SELECT position FROM log_applied") == [(events,)]:
                return
            time.sleep(0.05)
        raise AssertionError(f"not decided up to {events}: {self.said()}")

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Ask its database."""
        if self.database:
            with psycopg.connect(self.database) as asked:
                return asked.execute(query.encode()).fetchall()
        path = self.home / "wavebreak.sqlite3"
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as found:
            return found.execute(query).fetchall()


@contextlib.contextmanager
def serving(home: Path, *options: str, keyed: bool = False) -> Iterator[Server]:
    """A server for as long as the block lasts; `keyed`: it asks for API keys."""
    home.mkdir(parents=True, exist_ok=True)
    with Server(home, options, keyed=keyed).started() as server:
        yield server
