"""Prosody's mapping against the golden file, by the Lua that Prosody runs on."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from integrations import setup

HERE = Path(__file__).resolve().parent
MODULE = HERE.parent / "mod_wavebreak"
GOLDEN = HERE.parents[1] / "xmpp" / "golden.jsonl"
ELEMENTS = GOLDEN.with_name("elements.jsonl")


def _lua(script: str, *arguments: Path) -> subprocess.CompletedProcess[str]:
    root = setup.found("prosody")
    assert root is not None, "Prosody is not here: run `make integrations`"
    from integrations.harness.prosody import environment

    lua = shutil.which("lua5.4", path=f"{root}/usr/bin")
    assert lua is not None
    return subprocess.run(
        [lua, HERE / script, root / "usr/lib/prosody", MODULE, *arguments],
        capture_output=True, text=True, check=False, env=environment(root), timeout=120,
    )  # fmt: skip


def test_mapping_of_golden_stanzas_gives_their_events() -> None:
    done = _lua("mapping.lua", GOLDEN, ELEMENTS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(GOLDEN.read_text().splitlines())} cases, 0 steps differ" in done.stdout
    assert f"{len(ELEMENTS.read_text().splitlines())} elements, 0 differ" in done.stdout


def test_client_cases_hold(tmp_path: Path) -> None:
    done = _lua("client.lua", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_list_that_grows_at_midnight_is_paused() -> None:
    done = _lua("lists.lua")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 cases, 0 fail" in done.stdout
