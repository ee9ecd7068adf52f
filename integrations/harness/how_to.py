"""The blocks of a how-to, which the tests run and apply as its reader would."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLACES = ("/etc", "/usr/local", "/var/lib", "/opt")
"""What a how-to writes to; in a test each lies below a directory of the test's own."""


def blocks(page: str, section: int, language: str) -> list[str]:
    """Return the blocks of one language in a numbered section of `docs/how-to/PAGE.md`."""
    text = (ROOT / "docs" / "how-to" / f"{page}.md").read_text("utf-8")
    found = re.search(rf"^## {section}\. .*?(?=^## )", text, re.MULTILINE | re.DOTALL)
    assert found is not None, f"{page} has no section {section}"
    return re.findall(rf"^```{language}\n(.*?)^```$", found[0], re.MULTILINE | re.DOTALL)


def moved(text: str, home: Path, places: tuple[str, ...] = PLACES) -> str:
    """Return commands or a configuration with the system's places below `home`."""
    named = "|".join(map(re.escape, places))
    return re.sub(rf"(?<![\w./-])({named})(?=/)", lambda place: f"{home}{place[1]}", text)


def wrapper(directory: Path, name: str, script: str) -> None:
    """Put a program of the test's own before the system's, by its name."""
    directory.mkdir(parents=True, exist_ok=True)
    program = directory / name
    program.write_text(f"#!/bin/bash\n{script}\n")
    program.chmod(0o755)


def run(commands: str, programs: Path, *, given: str = "", **environment: str) -> str:
    """Run commands in the root of the repository, as a page says; return what they print.

    Args:
        commands: A block of shell commands; the first one that fails ends it.
        programs: A directory of programs that come first.
        given: What a person types.
        environment: More variables.
    """
    done = subprocess.run(
        ["/bin/sh", "-e", "-c", commands], capture_output=True, text=True, check=False, cwd=ROOT,
        input=given, timeout=300,
        env=os.environ | environment | {"PATH": f"{programs}:{os.environ['PATH']}"},
    )  # fmt: skip
    assert done.returncode == 0, f"{done.returncode}: {commands}\n{done.stdout}{done.stderr}"
    return done.stdout
