"""The TypeScript client: its types fit, and its own tests pass, by the repository's Node."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
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


AMBIENT = """
interface Account { id: string }
interface Message { id: string; sender: string; to: string; ciphertext: Uint8Array }
declare const key: string;
declare const account: Account;
declare function hasContact(account: string, peer: string): boolean;
declare function chatExists(account: string, peer: string): boolean;
declare function deliver(message: Message): void;
declare class RefusedError extends Error { constructor(...given: unknown[]); }
"""


def test_code_of_the_guide_fits_the_types(frontend: ModuleType, tmp_path: Path) -> None:
    frontend.install_packages(print, tests=True)
    tsc = str(frontend.MODULES / "typescript" / "bin" / "tsc")
    package = tmp_path / "node_modules" / "@wavebreak" / "client"
    run(frontend, tsc, "--outDir", str(package / "dist"))
    shutil.copy(HERE / "package.json", package)
    guide = HERE.parents[1] / "docs" / "how-to" / "protect-your-own-chat.md"
    shown = re.findall(r"^```ts\n(.*?)^```$", guide.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert len(shown) == 3
    (tmp_path / "guide.mts").write_text("\n".join([*shown, AMBIENT]), encoding="utf-8")
    options = ["--noEmit", "--strict", "--module", "nodenext", "--target", "es2022"]
    run(frontend, tsc, *options, "--ignoreConfig", str(tmp_path / "guide.mts"))
    wrong = shown[1].replace("size:", "body:") + AMBIENT
    (tmp_path / "wrong.mts").write_text(shown[0] + wrong, encoding="utf-8")
    with pytest.raises(AssertionError, match="body"):
        run(frontend, tsc, *options, "--ignoreConfig", str(tmp_path / "wrong.mts"))
