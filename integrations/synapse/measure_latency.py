"""Measure what the module costs a message: sends to several real Synapses, in turns.

    PYTHONPATH=tests python integrations/synapse/measure_latency.py [--sends 500] [--runs 3]
        [--members 400] [--arms none,shadow,known]

With `--members`, messages go into a group of so many accounts, else into a direct chat.

Arms: `none` (no module), `shadow` (reports only), `known` (enforces; the chat is known) and `asked`
(asks about each message). Each run is a round of the arms in turns; the spread is that of the runs.
Pairs are an arm's sends and those of `none` in the same turns. The processor is that of each arm's
Synapse, for a message and what follows from it. The time within the module is from its own metrics.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import random
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE / "tests"), str(HERE.parents[1] / "tests"), str(HERE.parents[1])]

import httpx  # noqa: E402
from integrations.harness.measures import median_of_pairs, percentile, processor_s  # noqa: E402
from support.service_process import Server  # noqa: E402

from synapse_support.homeserver import Account, Homeserver, running  # noqa: E402

ARMS: dict[str, dict[str, Any] | None] = {
    "none": None,
    "shadow": {"mode": "shadow"},
    "known": {"mode": "enforce"},
    "asked": {"mode": "enforce", "ask": "always"},
}
THREADS = 6
PACE_S = (0.15, 0.6)
"""Seconds from send to send of an account, at least and at most: who writes a hundred messages
within 15 s, or like a metronome to somebody who never answers, is refused."""
ANSWERED = 4
"""After so many sends the other account writes."""
BUCKET = re.compile(r'wavebreak_message_seconds_bucket{le="([^"]+)",path="(\w+)"} ([\d.e+]+)')


def machine() -> str:
    """Return processor, cores and versions."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{models[0]}, {len(models)} cores, {platform.system()} {platform.release()}"


class Arm:
    """A homeserver with accounts that have a chat: two, or a group of `members`."""

    def __init__(self, server: Homeserver, name: str, members: int = 2) -> None:
        self.server = server
        self.name = name
        ann, bob = (server.account(f"{name}-{each}") for each in ("ann", "bob"))
        if members > 2:
            self.room = ann.create(preset="public_chat").json()["room_id"]
            self._fill(members - 2)
        else:
            self.room = ann.direct(bob.id)
        bob.join(self.room)
        self.ann: Account = ann
        self.bob: Account = bob
        for number in range(20):
            self.ann.send(self.room, f"warm-up {number}")
        self.before = self.buckets()
        self.used_s = processor_s(server.pid)
        self.sends = 0

    def _fill(self, members: int) -> None:
        def join(number: int) -> int:
            account = self.server.account(f"{self.name}-m{number}")
            status = account.join(self.room).status_code
            account.http.close()
            return status

        with ThreadPoolExecutor(THREADS) as threads:
            assert set(threads.map(join, range(members))) == {200}

    def send(self, number: int) -> float:
        """Send one message; returns its milliseconds."""
        started = time.perf_counter()
        answer = self.ann.send(self.room, "message" * (1 + number % 7))
        taken = (time.perf_counter() - started) * 1000
        assert answer.status_code == 200, answer.text
        self.sends += 1
        if number % ANSWERED == 0:
            self.bob.send(self.room, "answer")
            self.sends += 1
        return taken

    def processor_ms(self) -> float:
        """Return the milliseconds of processor that a send took its homeserver."""
        return (processor_s(self.server.pid) - self.used_s) * 1000 / self.sends

    def buckets(self) -> dict[tuple[str, str], float]:
        """Return the module's histogram."""
        text = httpx.get(f"{self.server.url}/_synapse/metrics", timeout=30).text
        return {(path, edge): float(count) for edge, path, count in BUCKET.findall(text)}

    def within(self) -> str:
        """Return how long the module took, as shares of sends below its histogram's edges."""
        now = self.buckets()
        gained = {key: now[key] - self.before.get(key, 0) for key in now}
        shown = []
        for path in sorted({path for path, _ in gained}):
            whole = gained[path, "+Inf"]
            if whole:
                edges = [
                    (edge, count / whole)
                    for (other, edge), count in gained.items()
                    if other == path and edge != "+Inf"
                ]
                below = " ".join(f"{float(e) * 1000:g}ms:{s:.1%}" for e, s in edges if s > 0)
                shown.append(f"{path} (n={whole:.0f}) {below}")
        return "; ".join(shown) or "-"


@contextlib.contextmanager
def arms(home: Path, key: str, url: str, names: list[str], members: int) -> Iterator[list[Arm]]:
    """Start all homeservers."""
    with contextlib.ExitStack() as stack:
        made = []
        for name in names:
            module = ARMS[name]
            settings = None
            if module is not None:
                # On a busy machine, accounts must be made all the same.
                settings = {"url": url, "key": key, "on_failure": {"registration": "open"}}
                settings |= module
            server = stack.enter_context(running(home / name, settings))
            made.append(Arm(server, name, members))
        yield made


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sends", type=int, default=500)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--members", type=int, default=2)
    parser.add_argument("--arms", default=",".join(ARMS), type=lambda text: text.split(","))
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        (home / "wavebreak").mkdir()
        service = Server(home / "wavebreak", keyed=True)
        with service.started():
            url = f"http://127.0.0.1:{service.port}"
            with arms(home, service.first_key(), url, chosen.arms, chosen.members) as made:
                measure(made, chosen.sends, chosen.runs)


def measure(made: list[Arm], sends: int, runs: int) -> None:
    """Send in turns, and print what it took."""
    times: dict[str, list[list[float]]] = {arm.name: [[] for _ in range(runs)] for arm in made}
    pace = random.Random(1)
    for run in range(runs):
        for number in range(sends):
            next_s = time.monotonic() + pace.uniform(*PACE_S)
            for arm in made:
                times[arm.name][run].append(arm.send(number))
            time.sleep(max(0.0, next_s - time.monotonic()))
    print(machine())
    version = made[0].ann.http.get("/_matrix/federation/v1/version").json()["server"]
    print(f"Synapse {version['version']}, Python {platform.python_version()}, SQLite; ", end="")
    print(f"{runs} runs of {sends} sends of each arm, in turns; PUT /send as the client sees it")
    print(f"{len(made[0].server.accounts)} accounts on each; load {os.getloadavg()[0]:.0f}")
    print(
        "arm      p50 ms (lowest-highest run)   p99 ms (lowest-highest run)   pairs    processor"
        "  within the module"
    )
    first = [took for run in times[made[0].name] for took in run]
    for arm in made:
        cells = []
        for share in (0.5, 0.99):
            figures = [percentile(run, share) for run in times[arm.name]]
            middle = statistics.median(figures)
            cells.append(f"{middle:6.1f} ({min(figures):.1f}-{max(figures):.1f})".ljust(29))
        pairs = median_of_pairs([took for run in times[arm.name] for took in run], first)
        cells += [f"{pairs:+8.2f}", f"{arm.processor_ms():7.1f} ms"]
        print(f"{arm.name:8} {' '.join(cells)}  {arm.within()}")


if __name__ == "__main__":
    main()
