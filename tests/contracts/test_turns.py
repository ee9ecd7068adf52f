"""A benchmark of two checkouts measures each with its own packages, or refuses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import turns

IMPORTS = "import wavebreak, sys; sys.exit(wavebreak.__file__)"


def ended(program: list[str], root: Path) -> str:
    """What a process with the packages of a checkout says as it fails."""
    run = subprocess.run(
        [sys.executable, *program], env=turns.environment(root), cwd=turns.ROOT,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode != 0
    return run.stderr.strip()


@pytest.mark.parametrize("layout", ["src", "packages/engine/src"])
def test_a_checkout_of_either_layout_is_measured_with_its_own_package(
    tmp_path: Path, layout: str
) -> None:
    package = tmp_path / layout / "wavebreak" / "__init__.py"
    package.parent.mkdir(parents=True)
    package.touch()
    assert ended(["-c", IMPORTS], tmp_path) == str(package)
    assert ended(["-c", IMPORTS], turns.ROOT).startswith(f"{turns.ROOT}/packages/engine/src/")


def test_a_process_with_the_packages_of_another_checkout_refuses(tmp_path: Path) -> None:
    package = tmp_path / "src" / "wavebreak" / "__init__.py"
    package.parent.mkdir(parents=True)
    package.touch()
    program = ["-m", "benchmarks.turns", str(tmp_path), "jsonl", "--work"]
    message = ended(program, turns.ROOT)
    assert message.startswith(f"jsonl, {tmp_path}: the package wavebreak of this process is")
    assert str(turns.ROOT) in message


@pytest.mark.parametrize(
    ("other", "says"), [(turns.ROOT, "is this checkout"), (turns.ROOT / "docs", "is no checkout")]
)
def test_what_cannot_be_told_apart_is_refused(other: Path, says: str) -> None:
    assert says in ended(["-m", "benchmarks.turns", str(other), "jsonl"], turns.ROOT)
