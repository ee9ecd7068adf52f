"""The environment of Flink, which `make scale` sets up, and a log with what the engine decides."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.external_servers import Postgres
from support.flink_cluster import LocalCluster
from support.flink_jobs import Decided, decided
from support.kafka_broker import KafkaBroker
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


@pytest.fixture
def database() -> Iterator[str]:
    """The URL of a PostgreSQL that has no tables yet."""
    server = Postgres()
    try:
        server.start()
        yield f"{server.url}/postgres"
    finally:
        server.stop()


@pytest.fixture(scope="session")
def broker() -> Iterator[KafkaBroker]:
    """A broker that runs."""
    made = KafkaBroker()
    try:
        made.start()
        yield made
    finally:
        made.stop()
