"""`make` keeps a `.venv` of the Python that made it, and makes one of another Python anew."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RECORD = ".venv/.made-by"
ALIEN = ".venv/lib/alien.py"
# Makes an environment without pip, which takes seconds; asked what it is, it may say another thing.
PYTHON = """#!/bin/sh
if [ "$1 $2" = "-m venv" ]; then shift 2; exec {real} -m venv --without-pip "$@"; fi
case "$2" in *SOABI*) {real} "$@" | sed 's/^3/{first}/';; *) exec {real} "$@";; esac
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A directory with the Makefile, two builds of Python, and an environment made by the first."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    real = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"
    for name, first in (("python", "3"), ("other-python", "4")):
        (tmp_path / name).write_text(PYTHON.format(real=real, first=first), "utf-8")
        (tmp_path / name).chmod(0o755)
    assert "preparing .venv" in make(tmp_path, "PYTHON=./python")
    (tmp_path / ALIEN).touch()
    return tmp_path


def make(checkout: Path, *words: str) -> str:
    done = subprocess.run(
        ["make", RECORD, *words], cwd=checkout, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_environment_of_the_same_python_is_kept(checkout: Path) -> None:
    record = (checkout / RECORD).read_text()
    assert sys.base_prefix in record
    when = (checkout / RECORD).stat().st_mtime_ns
    for words in ((), ("PYTHON=./python",)):
        assert "preparing" not in make(checkout, *words)
    assert (checkout / RECORD).stat().st_mtime_ns == when
    assert (checkout / ALIEN).exists()


def test_environment_without_a_record_is_kept_and_gets_one(checkout: Path) -> None:
    record = (checkout / RECORD).read_text()
    (checkout / RECORD).unlink()
    assert "preparing" not in make(checkout)
    assert (checkout / RECORD).read_text() == record
    assert (checkout / ALIEN).exists()


def test_environment_is_made_anew_for_another_python(checkout: Path) -> None:
    said = make(checkout, "PYTHON=./other-python")
    assert ".venv is of another Python (3." in said
    assert "it is made anew" in said
    assert not (checkout / ALIEN).exists()
    assert (checkout / RECORD).read_text().startswith("4.")


def test_environment_whose_python_is_another_now_is_made_anew(checkout: Path) -> None:
    (checkout / RECORD).write_text("3.11.0 cpython-311 /gone\n", "utf-8")
    assert ".venv is of another Python (3.11.0 cpython-311 /gone)" in make(
        checkout, "PYTHON=./python"
    )
    assert not (checkout / ALIEN).exists()


def test_environment_with_libraries_of_two_pythons_is_made_anew(checkout: Path) -> None:
    (checkout / ".venv" / "lib" / "python3.99").mkdir()
    assert "it is made anew" in make(checkout, "PYTHON=./python")
    assert not (checkout / ALIEN).exists()
    assert not (checkout / ".venv" / "lib" / "python3.99").exists()
