"""What `make demo` installs is enough for all that it shows: the console, and its legal case."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

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
    lock = (ROOT / "requirements-core.lock").read_text(encoding="utf-8")
    pinned = {name.split("[")[0] for name in re.findall(r"^([a-z][^=\s]*)==", lock, re.MULTILINE)}
    assert sorted(names - pinned) == []
