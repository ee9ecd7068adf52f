"""Servers of the tests end with the process that started them, and leave nothing behind."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

import support
from support.external_servers import Postgres, answers

SUPPORT = Path(support.__file__).parents[1]
STARTED = """
import os, pathlib, signal, sys, tempfile
sys.path.insert(0, {support!r})
from support import external_servers
server = external_servers.valkey(pathlib.Path({home!r}))
server.start()
print(server.port, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_server_of_a_killed_process_ends_with_it(tmp_path: Path) -> None:
    code = STARTED.format(support=str(SUPPORT), home=str(tmp_path))
    command = [sys.executable, "-c", code]
    killed = subprocess.run(command, capture_output=True, text=True, check=False)
    port = int(killed.stdout)
    end = time.monotonic() + 20
    while answers(port):
        assert time.monotonic() < end
        time.sleep(0.05)


def test_postgresql_when_stopped_leaves_no_file() -> None:
    server = Postgres()
    try:
        server.start()
        with psycopg.connect(f"{server.url}/postgres") as asked:
            row = asked.execute("SELECT current_setting('data_directory')").fetchone()
        assert row is not None
        assert server.ready()
    finally:
        server.stop()
    assert not answers(server.port)
    assert not Path(row[0]).parent.exists()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(f"{server.url}/postgres")
