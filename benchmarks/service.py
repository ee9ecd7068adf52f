"""The durable service under load: a real server, and a load generator in a process of its own.

Both share the machine's processors. Published figures of peers on such a machine: a rules engine
behind a durable HTTP path answers 54 requests a second, and 9 where it computes its own windows
over 100,000 events an hour.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.figures import Figure, figure

NAME = "service"
RUNS = 3
SERVERS = Path(__file__).parents[1] / "tests" / "support" / "external_servers.py"
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
        self.secret = secrets.token_hex(32)
        command = [sys.executable, "-c", _PROGRAM, "serve", self.home.name, "--port",
                   str(self.port), "--no-keys", *options]  # fmt: skip
        self.process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env=self._environment(),
        )  # fmt: skip

    def _environment(self) -> dict[str, str]:
        return os.environ | {"WAVEBREAK_KEY": self.secret}

    def create_key(self, *scopes: str) -> str:
        """Create an API key; return its text."""
        options = [part for scope in scopes for part in ("--scope", scope)]
        command = [sys.executable, "-c", _PROGRAM, "key", "create", self.home.name, "bench"]
        made = subprocess.run([*command, *options], env=self._environment(), text=True,
                              stdout=subprocess.PIPE, check=True)  # fmt: skip
        found = re.search(r"wb_[0-9a-f]{8}_[0-9a-f]{64}", made.stdout.replace("\n", ""))
        if found is None:
            raise RuntimeError("no key was printed")
        return found[0]

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
        """Bytes of memory of the process and of those that it began, shared pages once."""
        return sum(_proportional(pid) for pid in _family(self.process.pid))

    def busy_s(self) -> float:
        """Seconds of processor of the process and of those that it began and that go on."""
        return sum(_busy_s(pid) for pid in _family(self.process.pid))

    def close(self) -> None:
        """End it as a person would."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(120)
        self.home.cleanup()


@contextlib.contextmanager
def serving(*options: str) -> Iterator[_Server]:
    """Run a server, with these options of `wavebreak serve`."""
    server = _Server(*options)
    try:
        server.wait()
        yield server
    finally:
        server.close()


def _family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    own = [int(child) for child in children.read_text().split()] if children.exists() else []
    # Other threads begin processes too.
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        own += [int(child) for child in task.read_text().split()]
    return [pid, *(each for child in dict.fromkeys(own) for each in _family(child))]


def _proportional(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def _busy_s(pid: int) -> float:
    spent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, spent)) / os.sysconf("SC_CLK_TCK")


class _Load:
    """The generator: `made` bodies once, then a run for each rate (events/s; 0: all it takes)."""

    def __init__(self, server: _Server, *options: str) -> None:
        command = [sys.executable, "-m", "benchmarks.load", "--port", str(server.port), "--wait"]
        self.process = subprocess.Popen(
            [*command, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.made = self.ended()

    def begin(self, rate: float = 0) -> None:
        """Let a run begin."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{rate}\n")
        self.process.stdin.flush()

    def ended(self) -> dict[str, Any]:
        """Wait for a run's end; gives what came of it."""
        assert self.process.stdout is not None
        found: dict[str, Any] = json.loads(self.process.stdout.readline())
        return found

    def runs(self, many: int, rate: float = 0) -> list[dict[str, Any]]:
        """Give what came of so many runs, one after the other."""
        made = []
        for _ in range(many):
            self.begin(rate)
            made.append(self.ended())
        return made

    def close(self) -> None:
        """End it."""
        self.process.communicate()


@contextlib.contextmanager
def loading(server: _Server, *options: str) -> Iterator[_Load]:
    """Run a generator of load, with these options of `benchmarks.load`."""
    load = _Load(server, *options)
    try:
        yield load
    finally:
        load.close()


def _of(runs: list[dict[str, Any]], what: str) -> list[float]:
    return [run[what] for run in runs]


def bench(quick: bool) -> list[Figure]:
    """Rates, latencies, decide beside a background, an hour's events, PostgreSQL."""
    size = _Size(3, 300_000) if quick else _Size(10, 2_000_000)
    return [
        *_rates(size, "json", "JSON", 300_000),
        *_rates(size, "arrow", "Arrow", 600_000),
        *_deciding(size),
        *_hour(quick),
        *_postgresql(size),
    ]


class _Size(NamedTuple):
    seconds: int
    events: int

    @property
    def options(self) -> tuple[str, ...]:
        return ("--events", str(self.events), "--seconds", str(self.seconds))


def _rates(size: _Size, form: str, called: str, target: float) -> list[Figure]:
    with serving() as server, loading(
        server, *size.options, "--form", form
    ) as load:  # fmt: skip
        (first,) = load.runs(1)
        whole = load.runs(RUNS)
        steady = load.runs(RUNS, 0.7 * statistics.median(_of(whole, "rate")))
        wanted = load.runs(RUNS, 0.7 * target)
    share = statistics.median(_of(whole, "share"))
    note = (f"at first sight of everybody {first['rate']:,.0f}; p99 then {first['p99_ms']:.0f} ms; "
            f"the generator takes {share:.0%} of a processor")  # fmt: skip
    at = (f"at {statistics.median(_of(steady, 'rate')):,.0f} events/s; "
          f"p50 {statistics.median(_of(steady, 'p50_ms')):.1f} ms")  # fmt: skip
    half = f"p50 {statistics.median(_of(wanted, 'p50_ms')):.1f} ms"
    bodies = f"durable, {called} bodies of 500, SQLite"
    return [
        figure(NAME, bodies, "events/s", _of(whole, "rate"), target=target,
               note=f"{note}; {PEERS}" if form == "json" else note),
        figure(NAME, f"p99 at 70 % of that, {called}", "ms", _of(steady, "p99_ms"),
               target=20 if form == "json" else None, better="less", note=at),
        figure(NAME, f"p99 at 70 % of what is wanted ({0.7 * target:,.0f}/s), {called}", "ms",
               _of(wanted, "p99_ms"), target=20 if form == "json" else None, better="less",
               note=half),
    ]  # fmt: skip


def _deciding(size: _Size) -> list[Figure]:
    """Ask `decide` for a minute and more, beside a background and with nothing beside it."""
    with (
        serving() as server,
        loading(server, "--events", str(min(size.events, 1_000_000)), "--seconds",
                 str(4 * 2 * size.seconds + 3), "--pace", "50000") as background,
        loading(server, "--form", "decide", "--connections", "8", "--seconds",
                 str(2 * size.seconds), "--events", "20000") as asking,
    ):  # fmt: skip
        alone = asking.runs(1, 200)
        background.begin(50_000)
        first, *later = asking.runs(1 + RUNS, 200)
        beside = background.ended()
    refused = sum(run["refused"] for run in later)
    seconds = len(later) * 2 * size.seconds
    note = (f"200 a second beside {beside['rate']:,.0f} events/s, {seconds} s; {refused} without "
            f"engine; with nothing beside it {alone[0]['p50_ms']:.1f}")  # fmt: skip
    cold = (f"in the first {2 * size.seconds} s {first['p99_ms']:.0f}; with nothing beside it "
            f"{alone[0]['p99_ms']:.1f}")  # fmt: skip
    return [
        figure(NAME, "decide, p50", "ms", _of(later, "p50_ms"), target=1, better="less", note=note),
        figure(NAME, "decide, p99", "ms", _of(later, "p99_ms"), target=5, better="less", note=cold),
    ]


def _hour(quick: bool) -> list[Figure]:
    """As many events as an hour at 10,000 a second, as fast as they go; memory in between."""
    parts, each = (3, 300_000) if quick else (12, 3_000_000)
    held: list[int] = []
    options = ("--events", "300000" if quick else "2000000", "--seconds", "600",
               "--at-most", str(each), "--pace", "10000")  # fmt: skip
    with serving() as server, loading(server, *options) as load:
        for _ in range(parts):
            load.runs(1)
            held.append(server.resident())
    half = parts // 2
    grown = (held[-1] - held[half]) / ((parts - 1 - half) * each)
    shown = ", ".join(f"{h / _MIB:,.0f}" for h in held)
    note = f"MiB, readers and all, after each {each:,} events: {shown}"
    what = "memory, second half of an hour at 10,000/s"
    return [Figure(NAME, what, "B/event", grown, target=1, better="less", note=note)]


@contextlib.contextmanager
def _postgres() -> Iterator[str]:
    """A PostgreSQL of its own that waits for the disk; gives the URL of a database of it."""
    command = [sys.executable, str(SERVERS)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as server:
        assert server.stdout is not None
        yield f"{server.stdout.readline().strip()}/postgres"
        server.communicate()


def _postgresql(size: _Size) -> list[Figure]:
    what, target = "durable, JSON bodies of 500, PostgreSQL", 150_000
    with (
        _postgres() as url,
        serving("--database", url) as server,
        loading(server, *size.options) as load,
    ):
        load.runs(1)
        runs = load.runs(RUNS)
    note = f"p50 {statistics.median(_of(runs, 'p50_ms')):.1f} ms"
    return [figure(NAME, what, "events/s", _of(runs, "rate"), target=target, note=note)]
