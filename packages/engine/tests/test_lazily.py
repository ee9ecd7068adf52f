"""Packages whose modules are imported when a name is first wanted."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

LAZY = (
    "wavebreak.evaluation", "wavebreak.explain", "wavebreak_cases.claims", "wavebreak_lab.training",
)  # fmt: skip


@pytest.mark.parametrize("package", LAZY)
def test_every_name_of_a_package_is_found_and_no_other(package: str) -> None:
    found = import_module(package)
    values = {name: getattr(found, name) for name in found.__all__}
    assert all(vars(found)[name] is value for name, value in values.items())
    with pytest.raises(AttributeError, match="no attribute 'nobody'"):
        _ = found.nobody


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        (
            "wavebreak_server.cli.serve",
            "sklearn scipy.special scipy.stats matplotlib lightgbm playwright",
        ),
        ("wavebreak_cases.cli.claims", "sklearn scipy matplotlib lightgbm playwright numba django"),
    ],
)
def test_command_imports_nothing_of_other_commands(module: str, unwanted: str) -> None:
    program = f"import sys, {module}; print(*sys.modules)"
    command = [sys.executable, "-c", program]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert set(said) & set(unwanted.split()) == set()
