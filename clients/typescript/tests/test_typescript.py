"""The TypeScript client: its types fit, and its own tests pass, by the repository's Node."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

HERE = Path(__file__).resolve().parents[1]
FRONTEND = HERE.parents[1] / "frontend"


@pytest.fixture(scope="module")
def frontend() -> ModuleType:
    spec = importlib.util.spec_from_file_location("frontend_build", FRONTEND / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(frontend: ModuleType, *arguments: str) -> str:
    node, _ = frontend.node_commands()
    done = subprocess.run(
        [node, *arguments],
        cwd=HERE,
        env={**os.environ, "NODE_OPTIONS": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"[-6000:]
    return done.stdout


def test_typescript_client_builds_and_passes(frontend: ModuleType) -> None:
    frontend.install_packages(print, tests=True)
    run(frontend, str(frontend.MODULES / "typescript" / "bin" / "tsc"))
    assert (HERE / "dist" / "index.d.ts").exists()
    shown = run(frontend, "--test", "tests/conformance.test.mjs", "tests/client.test.mjs")
    passed = re.search(r"\bpass (\d+)$", shown, re.MULTILINE)
    assert passed is not None
    assert int(passed[1]) >= 200
