"""Seconds of the soak run: a real server under load, and what happens to it and around it."""

from __future__ import annotations

from pathlib import Path

from soak.run import KINDS, Soak
from support import external_servers


def test_faults_lose_double_and_reorder_nothing(tmp_path: Path) -> None:
    soak = Soak(tmp_path / "home", seconds=8, rate=2_000, seed=3, fault_s=2)
    measured = soak()
    assert measured.violations == []
    assert {one.kind for one in soak.history.operations if one.accepted} == KINDS
    assert sum(measured.faults.values()) > 0
    assert measured.memory


def test_history_holds_while_database_and_clock_fail(tmp_path: Path) -> None:
    """The database is killed and starts again; each server's clock is off."""
    postgresql = external_servers.Postgres()
    try:
        postgresql.start()
        soak = Soak(
            tmp_path / "home", seconds=10, rate=2_000, seed=5, fault_s=2,
            postgresql=postgresql, skewed=True, rounds=1,
        )  # fmt: skip
        measured = soak()
    finally:
        postgresql.stop()
    assert measured.violations == []
    assert set(measured.faults) > {"kill", "database killed"}
    assert {one.kind for one in soak.history.operations if one.accepted} == KINDS
