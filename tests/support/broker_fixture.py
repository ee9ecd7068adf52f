"""The Kafka broker of a session of tests on clusters."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.external_servers import running
from support.kafka_broker import KafkaBroker


@pytest.fixture(scope="session")
def broker() -> Iterator[KafkaBroker]:
    """A broker that runs."""
    with running(KafkaBroker()) as made:
        yield made
