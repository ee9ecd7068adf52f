"""The rock of the module: LuaRocks installs it as `prosodyctl install` does, Prosody runs it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from integrations import setup
from integrations.harness.prosody import prosody
from integrations.harness.stub import stubbed
from packages import build


def luarocks(*words: str) -> None:
    """Run LuaRocks, the machine's or the one that `integrations/setup.py` unpacked."""
    root = setup.found("luarocks")
    assert root is not None, "LuaRocks is not here: run `make integrations`"
    command = [str(root / "usr/bin/luarocks")]
    found = {}
    if root != Path("/"):
        share = root / "usr/share/lua/5.1"
        libs = next((root / "usr/lib").glob("*-linux-gnu*"))
        command = [str(root / "usr/bin/lua5.1"), *command]
        found = {
            "LUA_PATH": f"{share}/?.lua;{share}/?/init.lua;;",
            "LUA_CPATH": f"{libs}/lua/5.1/?.so;;",
            "LD_LIBRARY_PATH": str(libs),
        }
    lua = [f"--lua-dir={root / 'usr'}", "--lua-version=5.4"]
    done = subprocess.run(
        [*command, *lua, *words],
        env=os.environ | found,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_installed_rock_runs(tmp_path: Path) -> None:
    rock = build.rock(tmp_path)
    luarocks("--tree", str(tmp_path / "plugins"), "install", str(rock))
    empty = tmp_path / "none"
    empty.mkdir()
    installed = f'installer_plugin_path = "{tmp_path}/plugins"'
    with (
        stubbed() as stub,
        prosody(tmp_path / "server", stub.url, tree=empty, raw=installed) as server,
    ):
        stub.wait(lambda: " 0 held" in server.status())
        assert "Result: true" in server.status()
