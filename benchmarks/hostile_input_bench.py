"""Hostile input (`hostile_input`) as a benchmark."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from benchmarks.figures import Figure

NAME = "hostile"


def bench(quick: bool) -> list[Figure]:
    """Whether all lines passed, and lines a second."""
    lines = 20_000 if quick else 1_000_000
    command = [sys.executable, str(Path(__file__).with_name("hostile.py")), str(lines)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    note = (done.stdout if done.returncode == 0 else done.stderr[-400:]).strip()
    rate = re.search(r"([0-9,]+) lines a second", done.stdout)
    value = float(rate[1].replace(",", "")) if rate else None
    passed = float(done.returncode == 0)
    return [
        Figure(NAME, "no crash, no leak, none lost (1: so)", "", passed, target=1.0, note=note),
        Figure(NAME, "hostile lines", "lines/s", value, note=f"{lines:,} lines"),
    ]
