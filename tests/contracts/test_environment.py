"""`make` keeps the `.venv` of one Python, and replaces the `.venv` of another Python."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from packages.environment import RECORD, SetupError, make_venv

EXTRA_FILE = "lib/extra.py"
# Makes an environment without pip, which takes seconds; its version may be another.
PYTHON = """#!/bin/sh
if [ "$1 $2" = "-m venv" ]; then shift 2; exec {real} -m venv --without-pip "$@"; fi
case "$2" in *SOABI*) {real} "$@" | sed 's/^3/{first}/';; *) exec {real} "$@";; esac
"""


def python(folder: Path, name: str, first: str = "3") -> Path:
    """A Python of this installation; the first number of the version may differ."""
    real = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"
    program = folder / name
    program.write_text(PYTHON.format(real=real, first=first), "utf-8")
    program.chmod(0o755)
    return program


@pytest.fixture
def venv(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """An environment made by `python`, with one more file."""
    environment = tmp_path / ".venv"
    make_venv(environment, python(tmp_path, "python"))
    assert "preparing .venv" in capsys.readouterr().out
    (environment / EXTRA_FILE).touch()
    return environment


def test_environment_of_the_same_python_is_kept(venv: Path) -> None:
    record = venv / RECORD
    assert sys.base_prefix in record.read_text()
    written_at = record.stat().st_mtime_ns
    for is_chosen in (False, True):
        make_venv(venv, venv.parent / "python", is_chosen=is_chosen)
    assert record.stat().st_mtime_ns == written_at
    assert (venv / EXTRA_FILE).exists()


def test_environment_is_kept_where_no_python_is_chosen(venv: Path) -> None:
    make_venv(venv, python(venv.parent, "other", "4"))
    assert (venv / EXTRA_FILE).exists()


def test_environment_without_a_record_is_kept_and_gets_one(venv: Path) -> None:
    record = venv / RECORD
    text = record.read_text()
    record.unlink()
    make_venv(venv, venv.parent / "python")
    assert record.read_text() == text
    assert record.stat().st_mtime_ns == (venv / "pyvenv.cfg").stat().st_mtime_ns
    assert (venv / EXTRA_FILE).exists()


def test_environment_is_made_anew_for_another_python(
    venv: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_venv(venv, python(venv.parent, "other", "4"), is_chosen=True)
    text = capsys.readouterr().out
    assert ".venv is of another Python (3." in text
    assert "it is made anew" in text
    assert not (venv / EXTRA_FILE).exists()
    assert (venv / RECORD).read_text().startswith("4.")


def test_environment_whose_python_is_another_now_is_made_anew(
    venv: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (venv / RECORD).write_text("3.11.0 cpython-311 /gone\n", "utf-8")
    make_venv(venv, venv.parent / "python", is_chosen=True)
    assert ".venv is of another Python (3.11.0 cpython-311 /gone)" in capsys.readouterr().out
    assert not (venv / EXTRA_FILE).exists()


def test_environment_with_libraries_of_two_pythons_is_made_anew(
    venv: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (venv / "lib" / "python3.99").mkdir()
    make_venv(venv, venv.parent / "python")
    assert "it is made anew" in capsys.readouterr().out
    assert not (venv / EXTRA_FILE).exists()
    assert not (venv / "lib" / "python3.99").exists()


def test_python_that_is_too_old_or_absent_makes_no_environment(tmp_path: Path) -> None:
    for program in (python(tmp_path, "old", "2"), tmp_path / "absent"):
        with pytest.raises(SetupError, match=r"needs Python 3\.11 or newer"):
            make_venv(tmp_path / ".venv", program)
    assert not (tmp_path / ".venv").exists()
