"""What tests with a real Synapse share: a stub in place of the service."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from synapse_support.stub_service import StubService


@pytest.fixture
def stub() -> Iterator[StubService]:
    """A stub of the service for one test."""
    made = StubService()
    yield made
    made.close()
