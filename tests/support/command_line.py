"""Wavebreak as its users have it: its commands, and a service asked over HTTP.

Nothing here imports the package, so that these tests live through any renaming of its modules.
Commands and services are forked from a process that has imported everything.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from support import warm_process
from support.warm_process import WarmProcess

EDGE_KEY = "00112233445566778899aabbccddeeff" * 2
SIGNER = "PRIVATE+KEY+example.org/digests+56e9400e+AaWk8AerxN/h6xn2he/elMp2933/cnneYg3VIHSzP6HG"
VERIFIER = "example.org/digests+56e9400e+AUvGfSWOpag/gopfQFpoREcJpxy+bw1hZDDVms0R3tUN"
"""Test keys, made for these tests and used nowhere else."""
KEYS = {"WAVEBREAK_KEY": EDGE_KEY, "WAVEBREAK_LEDGER_KEY": SIGNER}


def wavebreak(*arguments: str | Path, status: int = 0, **environment: str) -> str:
    """Run a command, hold it to its exit status, and give what it printed."""
    done = warm_process.run([*map(str, arguments)], os.environ | KEYS | environment)
    assert done.returncode == status, f"{done.args}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@dataclass
class Service:
    """`wavebreak serve` over `home`, on a free port; `key` is sent with each request."""

    home: Path
    key: str = ""
    port: int = field(init=False)

    def __post_init__(self) -> None:
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.port = int(found.getsockname()[1])

    @property
    def _said(self) -> Path:
        """What the running service has printed."""
        return self.home.with_name(f"{self.home.name}.out")

    def wait_for_report(self, text: str) -> None:
        """Wait until the running service has printed a text."""
        end = time.monotonic() + 120
        while text not in self._said.read_text("utf-8"):
            assert time.monotonic() < end, self._said.read_text("utf-8")
            time.sleep(0.1)

    @contextlib.contextmanager
    def started(self, *options: str) -> Iterator[Service]:
        """Run it for as long as the block lasts, from when it is ready; then end it in order."""
        words = ["serve", str(self.home), "--port", str(self.port), *options]
        said = self._said
        with said.open("wb") as out:
            process = warm_process.start(words, os.environ | KEYS, out)
        try:
            self._until_ready(process, said)
            yield self
        finally:
            process.send_signal(signal.SIGTERM)
            ended = process.wait(60)
        assert ended in (0, -signal.SIGTERM), said.read_text("utf-8")

    def _until_ready(self, process: WarmProcess, said: Path) -> None:
        end = time.monotonic() + 300
        while time.monotonic() < end:
            assert process.poll() is None, said.read_text("utf-8")
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self.ask("GET", "/readyz")[0] == 200:
                    return
            time.sleep(0.1)
        raise AssertionError(said.read_text("utf-8"))

    def ask(self, method: str, path: str, sent: Any = None) -> tuple[int, Any]:
        """Send one request; its status, and its body, read where it is JSON."""
        headers = {"content-type": "application/json"}
        if self.key:
            headers["authorization"] = f"Bearer {self.key}"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, None if sent is None else json.dumps(sent), headers)
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        is_json = "json" in (answer.getheader("content-type") or "")
        return answer.status, json.loads(body) if is_json and body else body.decode()

    def get(self, path: str) -> Any:
        """Ask for what is there; its body."""
        status, body = self.ask("GET", path)
        assert status == 200, body
        return body

    def settled(self, positions: int) -> None:
        """Wait until the first events of the log, so many, are decided on."""
        end = time.monotonic() + 120
        while time.monotonic() < end:
            if rows(self.home, "SELECT position FROM log_applied")[0][0] >= positions:
                return
            time.sleep(0.05)
        raise AssertionError(f"not decided up to {positions}")


class Browser:
    """A person's browser on the pages of a service: cookies, and forms with their CSRF token."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._cookies: dict[str, str] = {}

    def send(self, method: str, path: str, body: str = "") -> tuple[int, str, str]:
        """Send one request; its status, its text and where it leads on to."""
        headers = {"cookie": "; ".join(f"{name}={value}" for name, value in self._cookies.items())}
        if body:
            headers["content-type"] = "application/x-www-form-urlencoded"
        connection = http.client.HTTPConnection("127.0.0.1", self._service.port, timeout=120)
        try:
            connection.request(method, path, body or None, headers)
            answer = connection.getresponse()
            text = answer.read().decode("utf-8", "replace")
        finally:
            connection.close()
        for cookie in answer.headers.get_all("set-cookie") or []:
            name, _, value = cookie.partition(";")[0].partition("=")
            self._cookies[name] = value
        return answer.status, text, answer.getheader("location") or ""

    def page(self, path: str) -> str:
        """Open a page; its text."""
        status, text, _ = self.send("GET", path)
        assert status == 200, (status, path, text)
        return text

    def value(self, path: str, name: str) -> str:
        """The value that a form of a page sends unchanged."""
        (value, *_) = re.findall(rf'name="{name}" value="([^"]*)"', self.page(path))
        return str(value)

    def post(self, path: str, page: str, **fields: str) -> str:
        """Send a form with the token of a page; where it leads on to."""
        status, text, location = self._submit(path, page, fields)
        assert status in (302, 303), (status, path, text)
        return location

    def confirm(self, path: str, page: str, **fields: str) -> str:
        """Send a form that is answered with an effect sheet, then confirm that sheet."""
        _, text, _ = self._submit(path, page, fields)
        sheet = re.search(r'name="sheet" value="([^"]+)"', text)
        assert sheet, (path, text)
        return self.post(path, page, **fields, sheet=sheet[1])

    def _submit(self, path: str, page: str, fields: dict[str, str]) -> tuple[int, str, str]:
        token = re.search(
            r'name="csrf(?:-token" content|middlewaretoken" value)="([^"]+)', self.page(page)
        )
        assert token, page
        return self.send("POST", path, urlencode({"csrfmiddlewaretoken": token[1]} | fields))

    def sign_in(self, name: str, password: str) -> Browser:
        """Sign in with a password, as a person does."""
        page = "/console/user/login/"
        assert self.post(page, page, login=name, password=password) == "/console/"
        return self


def rows(home: Path, query: str) -> list[tuple[Any, ...]]:
    """Ask a service's database."""
    path = home / "wavebreak.sqlite3"
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as found:
        return found.execute(query).fetchall()


def sending(account: str, start: int, count: int, report: int) -> list[dict[str, Any]]:
    """A registration, then messages to strangers, eight a second, of whom some report it."""
    made: list[dict[str, Any]] = [
        {"ts": start, "type": "account.registered", "account": account, "ip": "203.0.113.7",
         "phone": "+14155550100", "device": f"d-{account}", "attested": False},
    ]  # fmt: skip
    made += [
        {"ts": start + 60_000 + n * 125, "type": "message.sent", "account": account,
         "peer": f"{account}-v{n}", "in_contacts": False}
        for n in range(count)
    ]  # fmt: skip
    made += [
        {"ts": start + 120_000 + n, "type": "user.reported", "account": f"{account}-v{n}",
         "peer": account}
        for n in range(report)
    ]  # fmt: skip
    return sorted(made, key=lambda event: int(event["ts"]))


def chatting(start: int, pairs: int) -> list[dict[str, Any]]:
    """People who write with each other, one pair each seven seconds."""
    return [
        {"ts": start + n * 7_000 + k * 3_000, "type": "message.sent", "account": f"p{2 * n + k}",
         "peer": f"p{2 * n + 1 - k}", "in_contacts": True}
        for n in range(pairs)
        for k in range(2)
    ]  # fmt: skip
