"""What an administrator's commands change in the database of a real Synapse."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from synapse_support.homeserver import Homeserver, new_database, run_command, started
from synapse_support.stub_service import StubService


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_release_lifts_own_suspensions_and_deletes_tables(
    tmp_path: Path, stub: StubService, database: str
) -> None:
    postgres = new_database() if database == "postgresql" else ""
    module = {"url": stub.url, "key": "wb_1", "mode": "enforce", "timeout_ms": 5000}
    server = Homeserver(tmp_path / "hs", module, postgres=postgres)
    with started(server):
        zed, other, root = server.account("zed"), server.account("other"), server.admin()
        path = f"/_synapse/admin/v1/suspend/{other.id}"
        assert root.http.put(path, json={"suspend": True}).status_code == 200
        stub.set_state(zed.id, "suspend")
        suspended = "SELECT name FROM users WHERE suspended ORDER BY name"
        end = time.monotonic() + 30
        while server.rows(suspended) != [(other.id,), (zed.id,)]:
            assert time.monotonic() < end
            time.sleep(0.2)
    config = str(server.home / "homeserver.yaml")
    nobody = run_command("resume-list", "cme", "--config", config)
    assert (nobody.returncode, "no list cme. Fix: " in nobody.stderr) == (1, True)
    done = run_command("release", "--config", config)
    assert done.stdout.startswith("1 accounts released, "), done.stderr
    assert server.rows(suspended) == [(other.id,)]
    again = run_command("release", "--config", config)
    assert again.stdout == "0 accounts released, 0 tables deleted\n"
