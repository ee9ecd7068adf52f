"""Refuses to let a test talk to a server that the machine happens to run.

A test that passes only because PostgreSQL, Redis or NATS listens on its standard port passes on
some machines. So in a process of the tests, connecting to such a port is an error, and so is
starting a program with such a port among its arguments, or a server program that the machine has
installed instead of one that the environment's packages carry.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Generator
from functools import cache
from pathlib import Path
from typing import Any

import psycopg.conninfo
import psycopg.generators

STANDARD_PORTS = {
    5432: "PostgreSQL", 6379: "Redis", 4222: "NATS", 3306: "MySQL", 5672: "AMQP", 1883: "MQTT",
}  # fmt: skip
NAMED = re.compile(rf"(?<![\w.])({'|'.join(map(str, STANDARD_PORTS))})(?![\w.])")
SERVERS = re.compile(
    r"(redis|valkey|nats|rabbitmq|mysql)-?server|postgres|initdb|pg_ctl\w*|mosquitto|mariadbd|mysqld"
)


class StandardPortError(Exception):
    """A test asks a server that is not its own."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what}: a test starts servers of its own, see servers.py")


def check_port(port: object) -> None:
    """Raise where a port, as a number or as text, is a standard one of a server."""
    number = int(port) if isinstance(port, str) and port.isdecimal() else port
    if isinstance(number, int) and number in STANDARD_PORTS:
        raise StandardPortError(f"port {number} is {STANDARD_PORTS[number]}'s standard port")


def check_command(executable: object, arguments: object) -> None:
    """Raise where a command names a standard port, or is a server that the machine installed."""
    given = arguments if isinstance(arguments, list | tuple) else [arguments]
    command = [os.fsdecode(each) for each in given if isinstance(each, str | bytes | os.PathLike)]
    for argument in command:
        if len(argument) < 200 and (found := NAMED.search(argument)):
            check_port(found[1])
    program = os.fsdecode(executable or command[0])  # type: ignore[arg-type]
    if SERVERS.fullmatch(Path(program).name) and not _is_of_the_tests(program):
        raise StandardPortError(f"{program} is the machine's")


def _is_of_the_tests(program: str) -> bool:
    """Whether a program lies in the environment, or below the tests' temporary directories.

    The system looks a name without a slash up in PATH, never in the current directory.
    """
    named = program if "/" in program else shutil.which(program)
    ours = (Path(sys.prefix).resolve(), Path(tempfile.gettempdir()).resolve())
    return named is not None and any(Path(named).resolve().is_relative_to(each) for each in ours)


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        check_port(arguments[1][1])
    elif event == "subprocess.Popen":
        check_command(arguments[0], arguments[1])


@cache
def install() -> None:
    """Watch every connection and program of this process from now on; it cannot be undone."""
    sys.addaudithook(_audit)
    # libpq is C: what it connects to, no audit sees.
    connect: Callable[..., Generator[Any, Any, Any]] = psycopg.generators.connect

    def checked(conninfo: str, *more: Any, **named: Any) -> Generator[Any, Any, Any]:
        check_port(psycopg.conninfo.conninfo_to_dict(conninfo).get("port", 5432))
        return connect(conninfo, *more, **named)

    psycopg.generators.connect = checked
