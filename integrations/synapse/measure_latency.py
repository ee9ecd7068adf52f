"""Measure what the module costs a message: sends to several real Synapses, in turns.

    PYTHONPATH=src:tests python integrations/synapse/measure_latency.py [--sends 500] [--runs 3]

Arms: `none` (no module), `shadow` (reports only), `known` (enforces; the chat is known) and `asked`
(asks about each message). Each run is a round of the arms in turns; the spread is that of the runs.
The time within the module is from its own metrics.
"""

from __future__ import annotations

import argparse
import contextlib
import platform
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE / "tests"), str(HERE.parents[1] / "tests")]

import httpx  # noqa: E402
from support.service_process import Server  # noqa: E402

from synapse_support.homeserver import Account, Homeserver, running  # noqa: E402

ARMS: dict[str, dict[str, Any] | None] = {
    "none": None,
    "shadow": {"mode": "shadow"},
    "known": {"mode": "enforce"},
    "asked": {"mode": "enforce", "ask": "always"},
}
BUCKET = re.compile(r'wavebreak_message_seconds_bucket{le="([^"]+)",path="(\w+)"} ([\d.e+]+)')


def percentile(values: list[float], share: float) -> float:
    """Return a percentile of values, by rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def machine() -> str:
    """Return processor, cores and versions."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{models[0]}, {len(models)} cores, {platform.system()} {platform.release()}"


class Arm:
    """A homeserver with two accounts that have a chat."""

    def __init__(self, server: Homeserver, name: str) -> None:
        self.server = server
        self.name = name
        ann, bob = (server.account(f"{name}-{each}") for each in ("ann", "bob"))
        self.room = ann.direct(bob.id)
        bob.join(self.room)
        self.ann: Account = ann
        for number in range(20):
            self.ann.send(self.room, f"warm-up {number}")
        self.before = self.buckets()

    def send(self, number: int) -> float:
        """Send one message; returns its milliseconds."""
        started = time.perf_counter()
        answer = self.ann.send(self.room, f"message {number}")
        taken = (time.perf_counter() - started) * 1000
        assert answer.status_code == 200, answer.text
        return taken

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
def arms(home: Path, key: str, url: str) -> Iterator[list[Arm]]:
    """Start all homeservers."""
    with contextlib.ExitStack() as stack:
        made = []
        for name, module in ARMS.items():
            settings = None if module is None else {"url": url, "key": key, **module}
            server = stack.enter_context(running(home / name, settings))
            made.append(Arm(server, name))
        yield made


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sends", type=int, default=500)
    parser.add_argument("--runs", type=int, default=3)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        (home / "wavebreak").mkdir()
        service = Server(home / "wavebreak", keyed=True)
        with service.started():
            url = f"http://127.0.0.1:{service.port}"
            with arms(home, service.first_key(), url) as made:
                measure(made, chosen.sends, chosen.runs)


def measure(made: list[Arm], sends: int, runs: int) -> None:
    """Send in turns, and print what it took."""
    medians: dict[str, list[float]] = {arm.name: [] for arm in made}
    tails: dict[str, list[float]] = {arm.name: [] for arm in made}
    for _ in range(runs):
        times: dict[str, list[float]] = {arm.name: [] for arm in made}
        for number in range(sends):
            for arm in made:
                times[arm.name].append(arm.send(number))
        for arm in made:
            medians[arm.name].append(percentile(times[arm.name], 0.5))
            tails[arm.name].append(percentile(times[arm.name], 0.99))
    print(machine())
    version = made[0].ann.http.get("/_matrix/federation/v1/version").json()["server"]
    print(f"Synapse {version['version']}, Python {platform.python_version()}, SQLite; ", end="")
    print(f"{runs} runs of {sends} sends of each arm, in turns; PUT /send as the client sees it")
    print("arm      p50 ms (lowest-highest run)   p99 ms (lowest-highest run)   within the module")
    for arm in made:
        cells = []
        for figures in (medians[arm.name], tails[arm.name]):
            middle = statistics.median(figures)
            cells.append(f"{middle:6.1f} ({min(figures):.1f}-{max(figures):.1f})".ljust(29))
        print(f"{arm.name:8} {cells[0]} {cells[1]} {arm.within()}")


if __name__ == "__main__":
    main()
