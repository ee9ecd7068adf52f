"""Servers of a test's own: a broker with a directory, on a free port, to kill and start again."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from wavebreak.errors import ServiceError


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def answers(port: int) -> bool:
    """Whether somebody listens on a port of this machine."""
    with socket.socket() as asked:
        asked.settimeout(0.2)
        return asked.connect_ex(("127.0.0.1", port)) == 0


class Server:
    """One process on one port. `kill` is SIGKILL; `start` goes on with what it had kept."""

    def __init__(self, command: Sequence[str], port: int) -> None:
        self.port, self._command = port, command
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it listens."""
        name, *given = self._command
        # Debian keeps servers where not everybody's PATH looks.
        program = shutil.which(name, path=f"{os.environ['PATH']}:/usr/local/sbin:/usr/sbin")
        if program is None:
            raise ServiceError(f"{name} is not installed", fix=f"apt-get install {name}")
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen([program, *given], stdout=quiet, stderr=quiet)
        for _ in range(200):
            if answers(self.port):
                return
            time.sleep(0.05)
        raise ServiceError(f"{name} did not listen within ten seconds")

    def kill(self) -> None:
        """Kill it, where it runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def broker_of_subjects(home: Path) -> Server:
    """A NATS server with JetStream that keeps its streams in `home`."""
    port = free_port()
    options = ["-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(home)]
    return Server(["nats-server", *options], port)


def broker_of_entries(home: Path) -> Server:
    """A Redis server that keeps every write in `home`."""
    port = free_port()
    options = ["--bind", "127.0.0.1", "--port", str(port), "--dir", str(home), "--save", "",
               "--appendonly", "yes", "--appendfsync", "always"]  # fmt: skip
    return Server(["redis-server", *options], port)
