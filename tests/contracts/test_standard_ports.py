"""No test depends on a server that the machine happens to run on its standard port."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from support import port_guard
from support.external_servers import free_port
from support.port_guard import NAMED, STANDARD_PORTS, StandardPortError

ROOT = Path(__file__).resolve().parents[2]
GUARD = Path(port_guard.__file__)


@pytest.mark.parametrize("port", STANDARD_PORTS)
def test_guard_at_a_standard_port_refuses_sockets(port: int) -> None:
    for address in ("127.0.0.1", "::1", "192.0.2.1"):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family) as client, pytest.raises(StandardPortError):
            client.connect((address, port))
    with pytest.raises(StandardPortError):
        asyncio.run(asyncio.open_connection("127.0.0.1", port))


def test_guard_at_other_ports_lets_sockets_pass() -> None:
    with socket.socket() as client, pytest.raises(ConnectionRefusedError):
        client.connect(("127.0.0.1", free_port()))


def test_guard_at_libpq_refuses_the_standard_port() -> None:
    for url in ("postgresql://postgres@127.0.0.1:{}/test", "postgresql://postgres@127.0.0.1/test"):
        with pytest.raises(StandardPortError):
            psycopg.connect(url.format(next(iter(STANDARD_PORTS))))


@pytest.mark.parametrize("port", STANDARD_PORTS)
def test_guard_at_a_program_refuses_the_port_in_arguments(port: int) -> None:
    for argument in (str(port), f"--port={port}", f"redis://127.0.0.1:{port}", f"a:{port}/b"):
        with pytest.raises(StandardPortError):
            subprocess.run([sys.executable, "-c", "", argument], check=False)


@pytest.mark.parametrize("name", ["redis-server", "nats-server", "postgres", "initdb", "mariadbd"])
def test_guard_at_a_server_of_the_machine_refuses_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in (Path.cwd(), tmp_path):
        monkeypatch.chdir(place)
        for program in (name, f"/usr/bin/{name}", f"/usr/sbin/{name}"):
            with pytest.raises(StandardPortError):
                subprocess.run([program, "--version"], check=False)


def test_guard_at_a_server_beside_the_environment_refuses_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "prefix", "/opt/environment")
    port_guard.check_command(None, ["/opt/environment/bin/postgres", "--version"])
    with pytest.raises(StandardPortError):
        port_guard.check_command(None, ["/opt/environment-other/bin/postgres", "--version"])


def test_guard_at_a_server_of_the_tests_lets_it_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "redis-server"
    program.write_text("#!/bin/sh\nexit 7\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    for named in (str(program), program.name):
        assert subprocess.run([named], check=False).returncode == 7


def test_no_file_of_the_tests_names_a_standard_port() -> None:
    read, named = 0, []
    folders = [ROOT / "tests", *(ROOT / "packages").glob("*/tests")]
    files = [path for folder in folders for path in folder.rglob("*.*")]
    for path in [ROOT / ".ci" / "run", ROOT / "Makefile", *files]:
        if path == GUARD or path.suffix not in {"", ".py", ".toml", ".json", ".jsonl"}:
            continue
        read += 1
        lines = path.read_text(encoding="utf-8").splitlines()
        named += [
            f"{path.relative_to(ROOT)}:{n}" for n, s in enumerate(lines, 1) if NAMED.search(s)
        ]
    assert read > 300
    assert named == []
