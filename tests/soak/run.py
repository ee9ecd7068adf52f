"""The soak run: a server, its load, what happens to it, and what is measured."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import json
import os
import random
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pyarrow as pa

from support import external_servers
from support.history import History, LoggedEvent
from support.service_process import Server
from support.webhook_receiver import Answer, listening
from wavebreak.io import log_rows

ACCOUNTS, PEERS = 5_000, 20_000
BODY_EVENTS = 500
PERSONS = 8
SKEW_S = 30
"""How far a started server's clock may be off: less than events may be dated ahead of it."""
KINDS = frozenset({"ingest", "override", "read", "erase"})
"""Kinds of operations of a load."""
LOAD_S = 120.0
"""Maximum time after the last fault until an operation of each kind was accepted."""


@dataclass
class Measured:
    """What a soak run has seen.

    Attributes:
        seconds: How long it ran.
        events: Acknowledged events.
        refused: Bodies that were refused for now, by status.
        faults: How often each fault was injected.
        memory: Samples of (seconds, resident MiB of the server and its decoders, its start).
        decide_ms: Latencies of `decide`.
        violations: What the history check found.
    """

    seconds: float = 0.0
    events: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    memory: list[tuple[float, float, int]] = field(default_factory=list)
    decide_ms: list[float] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)

    def growth_mib_per_hour(self) -> float:
        """Return the slope of memory within the longest-lived process, after its first third."""
        starts = Counter(start for _, _, start in self.memory)
        if not starts:
            return 0.0
        longest = max(starts, key=lambda start: starts[start])
        samples = [(at, mib) for at, mib, start in self.memory if start == longest]
        samples = samples[len(samples) // 3 :]
        if len(samples) < 3:
            return 0.0
        at, mib = np.array(samples).T
        return float(np.polyfit(at, mib, 1)[0] * 3600)


class _HangingReceiver(Answer):
    def answer(self) -> None:
        time.sleep(20)


class Soak:
    """A run.

    Args:
        home: The server's directory.
        seconds: How long it runs.
        rate: Events a second to send.
        seed: Draws load and faults.
        fault_s: Mean seconds between two faults.
        report: Called with what happens.
        options: Further options of the server.
        postgresql: The server of its database, which is killed and started too (None: SQLite).
        skewed: Whether each start of the server has a clock of its own.
        rounds: How often each fault comes at the least, however long that takes.
    """

    def __init__(
        self,
        home: Path,
        *,
        seconds: float,
        rate: float,
        seed: int = 1,
        fault_s: float = 60.0,
        report: Callable[[str], None] = lambda _: None,
        options: tuple[str, ...] = (),
        postgresql: external_servers.Postgres | None = None,
        skewed: bool = False,
        rounds: int = 0,
    ) -> None:
        self.seconds, self.rate, self.fault_s, self.report = seconds, rate, fault_s, report
        self.random = random.Random(seed)
        self.postgresql, self.skewed = postgresql, skewed
        self.rounds = rounds
        options = ("--snapshot-seconds", "30", "--private-webhooks", *options)
        database = ""
        if postgresql is not None:
            database = f"{postgresql.url}/soak"
            with psycopg.connect(f"{postgresql.url}/postgres", autocommit=True) as asked:
                asked.execute("CREATE DATABASE soak")
        # An override, a page of an account and an erasure need a key, whatever events need.
        self.server = Server(home, options, database=database, keyed=True)
        self._key = ""
        self._inject_one: dict[str, Callable[[], None]] = {
            "kill": self._kill,
            "pause": self._pause,
            "half-open connections": self._half_open,
            "poisoned bodies": self._poison,
        }
        if postgresql is not None:
            self._inject_one["database killed"] = self._kill_postgresql
        self.history, self.measured = History(), Measured()
        self._number, self._starts = 0, 0
        self._stopped = threading.Event()

    def __call__(self) -> Measured:
        """Run, and check the history."""
        with listening_receiver() as url, self.server.started():
            self._key = self.server.first_key()
            # Receivers that hang must not slow anything else.
            hook = {"url": url, "min_outcome": "challenge", "reason": "soak run"}
            made = self._post(json.dumps(hook).encode(), "/v1/webhooks")
            if made is None or made.status != 201:
                raise AssertionError(f"no webhook: {made}")
            workers = [self._ingest, self._people, self._measure]
            threads = [threading.Thread(target=work, daemon=True) for work in workers]
            began = time.monotonic()
            for thread in threads:
                thread.start()
            self._inject(began + self.seconds)
            self._wait_for_every_kind()
            self._stopped.set()
            for thread in threads:
                thread.join(60)
            self.measured.seconds = time.monotonic() - began
            self.server.wait()
            self.server.stop()
        self.measured.violations = self.history.check(list(self._log()))
        return self.measured

    def _wait_for_every_kind(self) -> None:
        """Wait until an operation of each kind was accepted: a busy machine takes longer."""
        end = time.monotonic() + LOAD_S
        while time.monotonic() < end:
            operations = list(self.history.operations)
            if {operation.kind for operation in operations if operation.accepted} >= KINDS:
                return
            time.sleep(0.1)

    # Load

    def _ingest(self) -> None:
        """Send bodies at the rate; each again, under its key, until it is answered."""
        pace, due = BODY_EVENTS / self.rate, time.monotonic()
        while not self._stopped.is_set():
            body, ids = self._body()
            key = f"soak-{self._number}"
            while not self._stopped.is_set():
                with self.history.asking("ingest", events=ids, key=key) as asked:
                    answer = self._post(body, "/v1/events", idempotency_key=key)
                    if answer is not None and answer.status == 202:
                        asked.accepted, asked.answer = True, answer.body
                if asked.accepted:
                    self.measured.events += len(ids)
                    break
                self.measured.refused["no answer" if answer is None else str(answer.status)] += 1
                self._stopped.wait(0.05)
            due = max(due + pace, time.monotonic() - 1.0)
            self._stopped.wait(max(0.0, due - time.monotonic()))

    def _body(self) -> tuple[bytes, tuple[str, ...]]:
        """Messages of a bounded population, so that memory has no reason to grow."""
        self._number += 1
        now = time.time_ns() // 1_000_000
        draw = self.random.randrange
        events = [
            {
                "id": f"s{self._number}-{n}",
                "ts": now,
                "type": "message.sent",
                "account": f"a{draw(ACCOUNTS)}",
                "peer": f"p{draw(PEERS)}",
                "in_contacts": True,
            }
            for n in range(BODY_EVENTS)
        ]
        return json.dumps(events).encode(), tuple(str(event["id"]) for event in events)

    def _people(self) -> None:
        """Register, override, read and erase accounts of their own, and ask for decisions."""
        steps = (
            self._register, self._override, self._read, self._read, self._erase, self._decide
        )  # fmt: skip
        number = 0
        while not self._stopped.wait(0.1):
            account = f"person-{number % PERSONS}"
            step = self._register if number < PERSONS else self.random.choice(steps)
            number += 1
            step(account, number)

    def _register(self, account: str, number: int) -> None:
        event = {
            "id": f"reg-{number}",
            "ts": time.time_ns() // 1_000_000,
            "type": "account.registered",
            "account": account,
            "phone": f"+97254{number % 10_000_000:07}",
            "ip": "203.0.113.9",
        }
        with self.history.asking("ingest", events=(event["id"],), account=account) as asked:
            answer = self._post(json.dumps([event]).encode(), "/v1/events")
            if answer is not None and answer.status == 202:
                asked.accepted, asked.answer = True, answer.body

    def _override(self, account: str, number: int) -> None:
        verdict, outcome = self.random.choice((("abusive", "ban"), ("benign", "allow")))
        change = {"verdict": verdict, "by": "analyst", "reason": f"soak run, step {number}"}
        with self.history.asking("override", account=account, outcome=outcome) as asked:
            answer = self._post(json.dumps(change).encode(), f"/v1/accounts/{account}/override")
            if answer is not None and answer.status == 200:
                asked.accepted = True

    def _read(self, account: str, _number: int) -> None:
        with self.history.asking("read", account=account) as asked:
            answer = self._post(b"", f"/v1/accounts/{account}", method="GET")
            if answer is not None and answer.status == 200:
                asked.accepted, asked.outcome = True, answer.json()["outcome"]

    def _erase(self, account: str, number: int) -> None:
        with self.history.asking("erase", account=account) as asked:
            path = f"/v1/accounts/{account}/personal?reason=soak-run-{number}"
            answer = self._post(b"", path, method="DELETE")
            if answer is not None and answer.status == 200:
                asked.accepted = True

    def _decide(self, account: str, number: int) -> None:
        event = {
            "id": f"ask-{number}",
            "ts": time.time_ns() // 1_000_000,
            "type": "message.sent",
            "account": account,
            "peer": "p1",
            "in_contacts": False,
        }
        began = time.perf_counter()
        answer = self._post(json.dumps(event).encode(), "/v1/decide")
        if answer is not None and answer.status == 200:
            self.measured.decide_ms.append((time.perf_counter() - began) * 1000)

    def _post(self, body: bytes, path: str, **more: Any) -> Any:
        """Ask the server; None where there is no answer."""
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.server.post(body, path, 10, authorization=f"Bearer {self._key}", **more)
        return None

    # Faults

    def _inject(self, end: float) -> None:
        """Inject one fault after another, each once before any comes again."""
        waiting: list[str] = []
        done = 0
        while (now := time.monotonic()) < end or done < self.rounds * len(self._inject_one):
            until = max(end, now + self.fault_s) if self.rounds else end
            time.sleep(min(self.random.expovariate(1 / self.fault_s), until - now))
            if not self.rounds and time.monotonic() >= end:
                return
            if not waiting:
                waiting = self.random.sample(list(self._inject_one), len(self._inject_one))
            fault, done = waiting.pop(), done + 1
            self.measured.faults[fault] += 1
            self.report(f"{time.monotonic() - end + self.seconds:.0f} s: {fault}")
            self._inject_one[fault]()

    def _kill(self) -> None:
        self.server.kill()
        self.server.skew_s = self.random.randint(-SKEW_S, SKEW_S) * self.skewed
        self.server.start()
        self._starts += 1

    def _kill_postgresql(self) -> None:
        assert self.postgresql is not None
        self.postgresql.kill()
        time.sleep(min(5.0, self.fault_s / 4))
        self.postgresql.start_again()

    def _pause(self) -> None:
        os.kill(self.server.pid, signal.SIGSTOP)
        time.sleep(min(5.0, self.fault_s / 4))
        os.kill(self.server.pid, signal.SIGCONT)

    def _half_open(self) -> None:
        with contextlib.ExitStack() as stack:
            for _ in range(100):
                with contextlib.suppress(OSError):
                    held = socket.create_connection(("127.0.0.1", self.server.port), 2)
                    stack.callback(held.close)
                    held.sendall(b"POST /v1/events HTTP/1.1\r\nhost: x\r\n")
            time.sleep(min(5.0, self.fault_s / 4))

    def _poison(self) -> None:
        ahead = {"id": "ahead", "ts": 4_102_444_800_000, "type": "message.sent", "account": "x"}
        for body in (b"[" * 1_000_000, b"\0" * 1_000_000, json.dumps([ahead]).encode()):
            self._post(body, "/v1/events")

    # Measurement

    def _measure(self) -> None:
        began = time.monotonic()
        while not self._stopped.wait(max(0.5, self.seconds / 360)):
            with contextlib.suppress(OSError, ValueError):
                mib = resident_mib(self.server.pid)
                self.measured.memory.append((time.monotonic() - began, mib, self._starts))

    def _log(self) -> Iterator[LoggedEvent]:
        for (blob,) in self.server.rows("SELECT blob FROM log_batch ORDER BY first"):
            events: pa.RecordBatch = log_rows.decode_row(blob)
            columns = (events.column(name) for name in ("id", "account", "number", "address"))
            for id_, account, number, address in zip(*columns, strict=True):
                personal = number.is_valid or address.is_valid
                yield LoggedEvent(id_.as_py(), account.as_py(), personal)


@contextlib.contextmanager
def listening_receiver() -> Iterator[str]:
    """A webhook receiver that never answers in time; yields its URL."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _HangingReceiver)
    server.daemon_threads = True
    with listening(server):
        yield f"http://127.0.0.1:{server.server_port}/hook"


def resident_mib(pid: int) -> float:
    """Return the resident memory of a process and its children."""
    total = 0
    for process in (pid, *_children(pid)):
        pages = int(Path(f"/proc/{process}/statm").read_text("utf-8").split()[1])
        total += pages * os.sysconf("SC_PAGE_SIZE")
    return total / 2**20


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text("utf-8").split()]
