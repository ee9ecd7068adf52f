"""Imports of a run: the packages of production, and no others."""

from __future__ import annotations

import subprocess
import sys

import pytest

BESIDE = {
    "bundles", "cases", "claims", "monitoring", "red_team", "service", "simulation", "training",
}  # fmt: skip


def imported_packages(statement: str) -> set[str]:
    """Packages of wavebreak that are imported once a statement has run in a fresh process."""
    code = (
        f"import sys\n{statement}\n"
        "print(*{name.split('.')[1] for name in sys.modules if name.startswith('wavebreak.')})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )  # fmt: skip
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    "statement",
    [
        "from wavebreak.engine import Engine, Progress, precompile, run, warm",
        "import wavebreak.engine.batch_run",
    ],
)
def test_engine_imports_no_package_beside_production(statement: str) -> None:
    packages = imported_packages(statement)
    assert "features" in packages
    assert not packages & (BESIDE | {"ledger"})


def test_engine_package_alone_imports_no_kernel() -> None:
    assert "features" not in imported_packages("import wavebreak.engine, wavebreak.model")
