"""Seconds of the soak run: a real server under load, kills, pauses and poisoned requests."""

from __future__ import annotations

from pathlib import Path

from soak.run import Soak


def test_faults_lose_double_and_reorder_nothing(tmp_path: Path) -> None:
    soak = Soak(tmp_path / "home", seconds=8, rate=5_000, seed=3, fault_s=2)
    measured = soak()
    assert measured.violations == []
    assert measured.events > 0
    assert sum(measured.faults.values()) > 0
    assert measured.memory
