"""The environment of Flink, which `make scale` sets up, and a log with what the engine decides."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.flink_cluster import LocalCluster
from support.flink_jobs import Decided, decided
from wavebreak_flink.environment import FlinkEnvironment

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def environment() -> FlinkEnvironment:
    return FlinkEnvironment(ROOT / ".venv-flink")


@pytest.fixture(scope="session")
def day(tmp_path_factory: pytest.TempPathFactory) -> Decided:
    """A simulated stretch in which much is decided, with the model."""
    made = decided(tmp_path_factory.mktemp("day"))
    assert len(made.decisions) > 20
    return made


@pytest.fixture(scope="session")
def cluster(
    environment: FlinkEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalCluster]:
    """A JobManager and two TaskManagers."""
    made = LocalCluster(environment, tmp_path_factory.mktemp("cluster"))
    try:
        made.start()
        yield made
    finally:
        made.stop()
