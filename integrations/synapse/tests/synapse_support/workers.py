"""A Synapse of four processes: the main one and three workers, over PostgreSQL and Redis."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml
from support.external_servers import free_port, valkey

from synapse_support.homeserver import PYTHON, Account, Homeserver, new_database, started

NAMES = ("one", "two", "three")
BACKGROUND = "three"


@dataclass
class WorkerSet(Homeserver):
    """A homeserver with workers `one`, `two` (both write events) and `three` (background tasks)."""

    redis_port: int = 0
    replication_port: int = field(default_factory=free_port)
    ports: dict[str, tuple[int, int]] = field(
        default_factory=lambda: {name: (free_port(), free_port()) for name in NAMES}
    )
    """Of each worker: for clients, and for replication."""
    _workers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def _configuration(self) -> dict[str, Any]:
        configuration = super()._configuration()
        configuration["listeners"].append(_listener(self.replication_port, "replication"))
        places = {"main": self.replication_port} | {n: p[1] for n, p in self.ports.items()}
        return configuration | {
            "redis": {"enabled": True, "host": "127.0.0.1", "port": self.redis_port},
            "instance_map": {n: {"host": "127.0.0.1", "port": p} for n, p in places.items()},
            "stream_writers": {"events": ["one", "two"], "receipts": ["two"]},
            "run_background_tasks_on": BACKGROUND,
            "worker_replication_secret": "replication-of-the-tests",
        }

    def worker_url(self, name: str) -> str:
        """Return where a worker answers clients."""
        return f"http://127.0.0.1:{self.ports[name][0]}"

    def start(self) -> WorkerSet:
        """Start all processes."""
        super().start()
        for name in NAMES:
            self.start_worker(name)
        return self

    def start_worker(self, name: str) -> None:
        """Start one worker."""
        clients, replication = self.ports[name]
        listener = _listener(clients, "client", "federation", "metrics") | {"x_forwarded": True}
        settings = {
            "worker_app": "synapse.app.generic_worker",
            "worker_name": name,
            "worker_listeners": [listener, _listener(replication, "replication")],
            "worker_log_config": str(self.home / "log.yaml"),
        }
        path = self.home / f"{name}.yaml"
        path.write_text(yaml.safe_dump(settings))
        command = [str(PYTHON), "-m", "synapse.app.generic_worker"]
        command += ["-c", str(self.home / "homeserver.yaml"), "-c", str(path)]
        self._workers[name] = self._launch(command, self.worker_url(name))

    def kill_worker(self, name: str) -> None:
        """End one worker as a power cut would."""
        self._workers[name].kill()
        self._workers.pop(name).wait(60)

    def stop(self) -> None:
        """End all processes."""
        for process in self._workers.values():
            process.send_signal(signal.SIGTERM)
        for process in self._workers.values():
            process.wait(60)
        self._workers.clear()
        super().stop()

    def at(self, account: Account, worker: str) -> Account:
        """Return an account whose requests go to a worker."""
        return Account(self, account.id, account.token, self.worker_url(worker))


def _listener(port: int, *names: str) -> dict[str, Any]:
    resources = [{"names": list(names)}]
    return {"port": port, "bind_addresses": ["127.0.0.1"], "type": "http", "resources": resources}


def until_ok(call: Any, seconds: float = 20) -> httpx.Response:
    """Repeat a call that another worker's act must reach first."""
    end = time.monotonic() + seconds
    while True:
        answer: httpx.Response = call()
        if answer.status_code == 200 or time.monotonic() > end:
            assert answer.status_code == 200, answer.text
            return answer
        time.sleep(0.1)


@contextmanager
def worker_set(home: Path, module: dict[str, Any]) -> Iterator[WorkerSet]:
    """A homeserver with workers for as long as the block lasts."""
    (home / "redis").mkdir(parents=True)
    redis = valkey(home / "redis")
    redis.start()
    server = WorkerSet(home / "hs", module, postgres=new_database(), redis_port=redis.port)
    try:
        with started(server):
            yield server
    finally:
        redis.kill()
