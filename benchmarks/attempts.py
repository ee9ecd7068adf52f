"""How long an attempt's answer takes where a job on Flink decides, and where an engine does.

    python -m benchmarks.attempts [--attempts 400]

A service, its log in Kafka, a job on a cluster of two TaskManagers that publishes; then a service
with an engine of its own over another log of the same broker and database. Each is asked
`mode=attempt` for accounts that it knows, one question after the other on one connection, at rest
and while events are sent. What takes `owner_s` or longer was answered by what the job had
published. Needs the environment that `make scale` makes.
"""

from __future__ import annotations

import argparse
import http.client
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import psycopg

from benchmarks import machine
from support import crash_test
from support.deployment import Parts, deployed
from support.external_servers import Postgres, running
from support.flink_cluster import LocalCluster, in_mid_run
from support.kafka_broker import KafkaBroker
from support.service_process import JSON, Server
from wavebreak_flink.environment import FlinkEnvironment
from wavebreak_server.settings import Limits

ROOT = Path(__file__).resolve().parents[1]
BETWEEN_S = 0.02
KNOWN = 3_000
"""Events that are decided on before the first question; the load is what follows."""


class Attempts:
    """Attempts of known accounts to write to strangers, at the log's time.

    Args:
        events: The log, an object each.

    """

    def __init__(self, events: list[bytes]) -> None:
        known: list[dict[str, Any]] = [msgspec.json.decode(each) for each in events[:KNOWN]]
        self._accounts = sorted({each["account"] for each in known})
        self._ts, self._numbers = known[-1]["ts"], count()

    def bodies(self, many: int) -> Iterator[bytes]:
        """Return the next ones: no two ask the same."""
        for number in (next(self._numbers) for _ in range(many)):
            account = self._accounts[number % len(self._accounts)]
            yield msgspec.json.encode({
                "type": "message.sent", "account": account, "peer": f"stranger{number}",
                "id": f"attempt{number}", "ts": self._ts,
            })  # fmt: skip


def asked(server: Server, bodies: Iterator[bytes]) -> list[float]:
    """Seconds until each attempt was answered."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    taken = []
    for body in bodies:
        began = time.perf_counter()
        connection.request("POST", "/v1/decide?mode=attempt", body, JSON)
        answer = connection.getresponse()
        content = answer.read()
        taken.append(time.perf_counter() - began)
        assert answer.status == 200, content
        assert msgspec.json.decode(content)["mode"] == "attempt", content
        time.sleep(BETWEEN_S)
    connection.close()
    return taken


def measured(name: str, server: Server, events: list[bytes], many: int) -> None:
    """Ask a service at rest and under load, and print a row of each."""
    attempts = Attempts(events)
    server.settled(KNOWN)
    asked(server, attempts.bodies(20))
    row(name, "at rest", asked(server, attempts.bodies(many)))
    load = crash_test.Load(server, events, seed=7, most=20, pause_s=BETWEEN_S)
    load.at, began = KNOWN, time.monotonic()
    load.thread.start()
    taken = asked(server, attempts.bodies(many))
    rate = (load.at - KNOWN) / (time.monotonic() - began)
    load.stopped.set()
    load.thread.join()
    row(name, f"{rate:,.0f} events/s", taken)


def row(name: str, beside: str, taken: list[float]) -> None:
    """Print a row of the table."""
    median, p95, p99 = (np.percentile(taken, at) * 1000 for at in (50, 95, 99))
    late = sum(each >= Limits.owner_s for each in taken)
    print(
        f"| {name} | {beside} | {median:,.0f} | {p95:,.0f} | {p99:,.0f} | {late} of {len(taken)} | "
        f"{os.getloadavg()[0]:.1f} |", flush=True,
    )  # fmt: skip


def sent(server: Server, events: list[bytes]) -> None:
    """Send the events that are decided on first."""
    crash_test.Load(server, events[:KNOWN], seed=3).thread.run()


@contextmanager
def embedded(home: Path, parts: Parts, profile: str) -> Iterator[Server]:
    """A service with an engine of its own, over a log and a database of its own."""
    with psycopg.connect(parts.database, autocommit=True) as database:
        database.execute("CREATE DATABASE embedded")
    home.mkdir()
    options = ("--log", f"kafka://{parts.broker.address}/embedded", "--profile", profile)
    with Server(home, options, database=f"{parts.postgres.url}/embedded").started() as server:
        yield server


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="benchmarks.attempts", description=__doc__)
    parser.add_argument("--attempts", type=int, default=400)
    parser.add_argument("--groups", type=int, default=2)
    given = parser.parse_args()
    events = crash_test.world(200)
    print("; ".join(f"{name} {value}" for name, value in machine.described().items()))
    print("| who decides | beside | median (ms) | p95 | p99 | later than the owner may | load |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as directory:
        home, environment = Path(directory), FlinkEnvironment(ROOT / ".venv-flink")
        cluster = LocalCluster(environment, home / "cluster")
        with running(KafkaBroker()) as broker, running(Postgres()) as postgres:
            parts = Parts(broker, postgres, cluster, environment)
            with (
                running(cluster),
                deployed(
                    home, "attempts", parts, events, publish=True, groups=given.groups
                ) as made,
            ):  # fmt: skip
                sent(made.server, events)
                in_mid_run(made.made)
                measured(f"a job of {given.groups} groups", made.server, events, given.attempts)
                profile = made.job.profile
            with embedded(home / "embedded", parts, profile) as server:
                sent(server, events)
                measured("an engine in the service", server, events, given.attempts)


if __name__ == "__main__":
    main()
