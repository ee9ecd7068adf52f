"""A real `wavebreak serve` in a home of its own, with the API key that it made."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from support.external_servers import free_port

OPTIONS = ("--enforce", "--new-names-per-hour", "1000000")


@dataclass
class Wavebreak:
    """One service; `key` has all scopes."""

    home: Path
    options: tuple[str, ...] = OPTIONS
    port: int = field(default_factory=free_port)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def output(self) -> Path:
        """What it writes to its terminal."""
        return self.home.parent / f"{self.home.name}.out"

    @property
    def key(self) -> str:
        """The API key that it printed at its first start."""
        found = re.search(r"wb_[0-9a-f]{8}_[0-9a-f]{64}", self.output.read_text().replace("\n", ""))
        assert found is not None, self.output.read_text()[-2000:]
        return found[0]

    def start(self) -> Wavebreak:
        """Start it, and wait until it takes events."""
        self.home.mkdir(parents=True, exist_ok=True)
        secret = self.home.parent / f"{self.home.name}.secret"
        if not secret.exists():
            secret.write_text(secrets.token_hex(32))
        with self.output.open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-c", "from wavebreak.cli import main; main()", "serve",
                 str(self.home), "--port", str(self.port), *self.options],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                env=os.environ | {"WAVEBREAK_KEY": secret.read_text()},
            )  # fmt: skip
        end = time.monotonic() + 540
        while not self._ready():
            assert self._process.poll() is None, self.output.read_text()[-2000:]
            assert time.monotonic() < end, self.output.read_text()[-2000:]
            time.sleep(0.1)
        return self

    def _ready(self) -> bool:
        with contextlib.suppress(OSError):
            return self.request("POST", "/v1/events", [])[0] == 202 if self._listens() else False
        return False

    def _listens(self) -> bool:
        with urllib.request.urlopen(f"{self.url}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)

    def request(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Send one request; return the status and the decoded answer."""
        request = urllib.request.Request(
            self.url + path,
            None if body is None else json.dumps(body).encode(),
            {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"null")

    def _approve(self, source: str) -> None:
        """Approve what a module declares when it starts, as an administrator does."""
        end = time.monotonic() + 300
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                sources = self.request("GET", "/v1/sources")[1]["sources"]
                asked = [row["asked"] for row in sources if row["name"] == source and row["asked"]]
                if asked:
                    body = {"at_ms": asked[0]["at_ms"], "reason": "a test asks for it"}
                    self.request("POST", f"/v1/sources/{source}/approval", body)
                    return
            time.sleep(0.1)

    def adapter_key(self, source: str, *, identifiers: bool = True) -> str:
        """Make a module's key, as an operator does: of a source, for JIDs unless told not."""
        threading.Thread(target=self._approve, args=(source,), daemon=True).start()
        wanted = {"name": source, "source": source, "scopes": ["ingest", "decide", "read"]}
        more = {"identifiers": identifiers, "reason": "a test asks for it"}
        status, answer = self.request("POST", "/v1/keys", wanted | more)
        assert status == 201, answer
        return str(answer["text"])

    def lift(self, account: str) -> None:
        """Have an analyst find an account benign."""
        verdict = {"verdict": "benign", "by": "appeal", "reason": "a test asks for it"}
        path = f"/v1/accounts/{quote(account)}/override"
        status, answer = self.request("POST", path, verdict)
        assert status == 200, answer

    def outcome(self, account: str) -> str:
        """Return what applies to an account."""
        status, answer = self.request("POST", "/v1/states/query", {"accounts": [account]})
        assert status == 200, answer
        return str(answer["states"][0]["outcome"])

    def above_observe(self, accounts: list[str]) -> list[str]:
        """Return the accounts among some for which more than observation applies."""
        status, answer = self.request("POST", "/v1/states/query", {"accounts": accounts})
        assert status == 200, answer
        states = answer["states"]
        return [s["account"] for s in states if s["outcome"] not in ("allow", "observe")]

    def logged(self) -> int:
        """Return how many events of the log have been decided on."""
        path = self.home / "wavebreak.sqlite3"
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as found:
            return int(found.execute("SELECT position FROM log_applied").fetchone()[0])

    def wait(self, condition: Callable[[], Any], seconds: float = 30) -> Any:
        """Wait until a condition holds; fail where it does not in time."""
        end = time.monotonic() + seconds
        while not (result := condition()):
            assert time.monotonic() < end, "it does not hold"
            time.sleep(0.1)
        return result

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self) -> None:
        """End it as an operator would."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(60)
        self._process = None


@contextlib.contextmanager
def wavebreak(home: Path, *options: str) -> Iterator[Wavebreak]:
    """Run a service for as long as the block lasts."""
    service = Wavebreak(home, (*OPTIONS, *options))
    try:
        yield service.start()
    finally:
        service.stop()
