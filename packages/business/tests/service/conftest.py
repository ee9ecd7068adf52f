"""A service with the platform for businesses, asked without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support import service_harness
from support.service_harness import DATABASES, Live


class Clock:
    """A clock of the service that tests move."""

    def __init__(self) -> None:
        self.ahead_ms = 0

    def __call__(self) -> int:
        return service_harness.now_ms() + self.ahead_ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


def _live(kind: str, home: Path, clock: Clock) -> Iterator[Live]:
    def run(*tests: Any) -> None:
        async def whole() -> None:
            for test in tests:
                async with service_harness.running(home, clock=clock) as made:
                    await test(made)

        asyncio.run(whole())

    with service_harness.migrated(kind, home):
        yield run


@pytest.fixture
def served(tmp_path: Path, clock: Clock) -> Iterator[Live]:
    """Runs coroutines against a service, each after a start."""
    yield from _live("sqlite", tmp_path, clock)


@pytest.fixture(params=DATABASES)
def served_by_each(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[Live]:
    """The same on each database."""
    yield from _live(request.param, tmp_path, clock)
