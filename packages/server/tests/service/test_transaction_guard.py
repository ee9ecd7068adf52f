"""Nothing compiles, sleeps or calls out within a write transaction."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numba
import pytest
from django.db import transaction

from support.service_harness import migrated
from wavebreak_server.storage import database
from wavebreak_server.storage.transaction_guard import TransactionWaitsError


def compile_function() -> None:
    njit: Any = numba.njit
    assert njit(lambda number: 2 * number)(2) == 4


def connect() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as client:
        client.connect(server.getsockname())


WAITS: dict[str, Callable[[], object]] = {
    "compiles": compile_function,
    "sleeps": lambda: time.sleep(0.001),
    "connects": connect,
    "starts a program": lambda: subprocess.run([sys.executable, "-c", ""], check=True),
}


@pytest.fixture(autouse=True)
def _tables(tmp_path: Path) -> Iterator[None]:
    with migrated("sqlite", tmp_path):
        yield


@pytest.mark.parametrize("what", WAITS)
def test_waiting_in_a_write_transaction_is_an_error(what: str) -> None:
    with pytest.raises(TransactionWaitsError, match=what), transaction.atomic():
        WAITS[what]()
    WAITS[what]()


def test_another_thread_may_wait_during_a_transaction() -> None:
    finished: list[str] = []

    def work() -> None:
        time.sleep(0.001)
        finished.append("slept")

    with transaction.atomic():
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert finished == ["slept"]


def test_transaction_that_only_reads_may_wait(tmp_path: Path) -> None:
    database.connect("", tmp_path, reading=True)
    begin = time.monotonic()
    with transaction.atomic():
        time.sleep(0.001)
    assert time.monotonic() > begin
