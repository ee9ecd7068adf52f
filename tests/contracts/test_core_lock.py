"""What `make demo` installs is enough for all that it shows: the console, and its legal case."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from wavebreak.extras import EXTRAS

ROOT = Path(__file__).resolve().parents[2]
SHOWN = {"cases", "charts", "claims", "console"}


def test_core_lock_pins_every_package_that_the_demo_needs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(EXTRAS.values()) >= SHOWN
    wanted = [*project["dependencies"]]
    for extra in SHOWN:
        wanted += project["optional-dependencies"][extra]
    names = {re.split(r"[\[=<>]", each)[0] for each in wanted} - {"wavebreak"}
    lock = (ROOT / "requirements-core.lock").read_text(encoding="utf-8")
    pinned = {name.split("[")[0] for name in re.findall(r"^([a-z][^=\s]*)==", lock, re.MULTILINE)}
    assert sorted(names - pinned) == []
