"""Guard of write transactions, in tests and under `python -X dev`: none compiles or waits.

While a transaction writes, nobody else does: on SQLite that stops the whole service. So an error is
raised where a thread with an open transaction compiles, sleeps or opens a network connection.
What libraries in C do (the client of PostgreSQL or Kafka) is not seen.
"""

from __future__ import annotations

import sys
import time
from functools import cache
from typing import Any

from django.db import connections
from numba.core import event

_EVENTS = {"socket.connect": "connects to a server", "subprocess.Popen": "starts a program"}
"""Audit events of Python that stand for waiting, in words."""


class TransactionWaitsError(AssertionError):
    """Code within a write transaction compiles, sleeps or calls out."""

    def __init__(self, what: str) -> None:
        super().__init__(f"a write transaction {what}: nobody else can write meanwhile")


@cache
def install() -> None:
    """Watch this process from now on; it cannot be undone."""
    register: Any = event.register
    register("numba:compile", _CompileListener())
    sys.addaudithook(_audit)
    sleep: Any = time.sleep

    def checked_sleep(seconds: Any) -> None:
        if seconds > 0:
            check("sleeps")
        sleep(seconds)

    time.sleep = checked_sleep


def check(what: str) -> None:
    """Raise TransactionWaitsError if this thread is within a write transaction."""
    connection: Any = getattr(connections._connections, "default", None)
    if connection is None or not connection.in_atomic_block:
        return
    if getattr(connection, "transaction_mode", "IMMEDIATE") == "IMMEDIATE":
        raise TransactionWaitsError(what)


def _audit(name: str, _arguments: tuple[Any, ...]) -> None:
    if what := _EVENTS.get(name):
        check(what)


class _CompileListener(event.Listener):
    """Checks each compilation; code that is loaded from the cache is not compiled."""

    def on_start(self, event: Any) -> None:
        """Check the transaction."""
        check(f"compiles {event.data['dispatcher'].py_func.__qualname__}")

    def on_end(self, event: Any) -> None:
        """Do nothing."""
