"""The environment of Flink, which `make scale` sets up, and a log with what the engine decides."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.broker_fixture import broker
from support.deployment import Parts
from support.external_servers import Postgres, running
from support.flink_cluster import LocalCluster
from support.flink_jobs import Decided, decided, decided_trace
from support.kafka_broker import KafkaBroker
from support.traces import TRACES
from wavebreak_flink.environment import FlinkEnvironment

__all__ = ["broker"]

ROOT = Path(__file__).resolve().parents[3]
DAYS = float(os.environ.get("DAYS", "0"))
"""Days of the simulated stretch (0: some hours): `make scale DAYS=7`."""
EVENTS_OF_TRACE = int(os.environ.get("TRACE", "3000"))
"""Events of the real trace, which has 59,835: `make scale TRACE=59835`."""


@pytest.fixture(scope="session")
def environment() -> FlinkEnvironment:
    return FlinkEnvironment(ROOT / ".venv-flink")


@pytest.fixture(scope="session")
def day(tmp_path_factory: pytest.TempPathFactory) -> Decided:
    """A simulated stretch in which much is decided, with the model."""
    made = decided(tmp_path_factory.mktemp("day"))
    assert len(made.decisions) > 20
    return made


@pytest.fixture(scope="session", params=["simulated", "real"])
def stretch(
    request: pytest.FixtureRequest, day: Decided, tmp_path_factory: pytest.TempPathFactory
) -> Decided:
    """The simulated stretch, or a week of one; and a real trace, its head or all of it."""
    home = tmp_path_factory.mktemp("stretch")
    if request.param == "simulated":
        return decided(home, people=40, days=DAYS) if DAYS else day
    if not TRACES.exists():
        pytest.skip("../shared/data is absent")
    made = decided_trace(home, "collegemsg", EVENTS_OF_TRACE)
    assert len(made.decisions) > 20
    return made


@pytest.fixture(scope="session")
def cluster(
    environment: FlinkEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalCluster]:
    """A JobManager and two TaskManagers."""
    with running(LocalCluster(environment, tmp_path_factory.mktemp("cluster"))) as made:
        yield made


@pytest.fixture
def parts(
    broker: KafkaBroker, cluster: LocalCluster, environment: FlinkEnvironment
) -> Iterator[Parts]:
    """A broker, a cluster, and a PostgreSQL that has no tables yet."""
    with running(Postgres()) as server:
        yield Parts(broker, server, cluster, environment)
