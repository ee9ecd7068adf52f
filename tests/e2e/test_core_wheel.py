"""The wheel in an empty environment: what `pip install wavebreak` brings, runs, and asks for.

The packages come from the registry that pip is set to use, at the versions of
requirements-core.lock, so that a release made tomorrow cannot fail today's commit.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LARGEST_MIB = 540
"""Numba with LLVM, Arrow, NumPy and Django weigh 453 MiB of it."""

Run = subprocess.CompletedProcess[str]


def pip_index() -> list[str]:
    """The index that pip is set to use, as an option of uv; none where it is the default."""
    command = [sys.executable, "-m", "pip", "config", "get", "global.index-url"]
    asked = subprocess.run(command, capture_output=True, text=True, check=False)
    set_to = os.environ.get("PIP_INDEX_URL") or asked.stdout.strip()
    return ["--default-index", set_to] if set_to else []


def build(directory: Path) -> Path:
    """Build the wheel without a network: its builder is a development dependency."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = directory.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that holds the wheel, and what it requires, and nothing else."""
    home = tmp_path_factory.mktemp("core")
    wheel = build(home / "dist")
    locked = (ROOT / "requirements-core.lock").read_text(encoding="utf-8")
    pins = re.findall(r"^[a-z][^\\\n]*", locked, re.MULTILINE)
    (home / "constraints.txt").write_text("\n".join(pins), encoding="utf-8")
    venv.create(home / "venv", symlinks=True)
    command = [
        sys.executable, "-m", "uv", "pip", "install", "--python", str(home / "venv"),
        "--constraint", str(home / "constraints.txt"), *pip_index(), str(wheel),
    ]  # fmt: skip
    done = subprocess.run(
        command, env=os.environ | {"UV_SYSTEM_CERTS": "1"}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return home


def wavebreak(home: Path, *arguments: str) -> Run:
    """Run the installed command, with a cache of its own."""
    env = {"HOME": str(home), "PATH": "/usr/bin:/bin", "COLUMNS": "200"}
    command = [str(home / "venv" / "bin" / "wavebreak"), *arguments]
    return subprocess.run(command, cwd=home, env=env, capture_output=True, text=True, check=False)


def test_core_in_an_empty_environment_runs_the_demo(installed: Path) -> None:
    packages = next((installed / "venv").glob("lib*/python3*/site-packages"))
    size = sum(path.lstat().st_size for path in packages.rglob("*")) / 2**20
    assert size <= LARGEST_MIB
    absent = {"lightgbm", "scipy", "matplotlib", "redis", "psycopg", "playwright", "pytest"}
    assert not absent & {path.name for path in packages.iterdir()}
    shown = wavebreak(installed, "demo", "--people", "60", "-o", "demo")
    assert shown.returncode == 0, shown.stdout[-2000:] + shown.stderr[-2000:]
    assert "1. A simulated day" in shown.stdout
    assert (installed / "demo" / "run" / "decisions.jsonl").stat().st_size > 1000
    page = (installed / "demo" / "explain.html").read_text(encoding="utf-8")
    assert "wavebreak[charts]" in page


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        ("red-team -o x", "train"), ("claim capture http://x -o x", "claims"),
        ("case export C-1 -o x", "cases"), ("bundle C-1 -o x", "cases"),
        ("serve x --nats nats://x", "nats"), ("serve x --redis redis://x", "redis"),
        ("backup x -o y --database postgresql://h/d", "postgres"),
    ],
)  # fmt: skip
def test_core_asked_for_an_extra_names_it(installed: Path, command: str, extra: str) -> None:
    refused = wavebreak(installed, *command.split())
    assert refused.returncode == 2, refused.stdout + refused.stderr
    assert f"fix: pip install 'wavebreak[{extra}]'" in refused.stderr
