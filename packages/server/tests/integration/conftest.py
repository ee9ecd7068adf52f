"""Fixtures of the integration tests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from support import service_harness
from support.service_harness import DATABASES, Live, Running


@pytest.fixture(params=DATABASES)
def live(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Live]:
    """Runs coroutines against a service of their own, each after a start, on each database."""

    def run(*tests: Callable[[Running], Awaitable[None]]) -> None:
        async def whole() -> None:
            for test in tests:
                async with service_harness.running(tmp_path) as made:
                    await test(made)

        asyncio.run(whole())

    with service_harness.migrated(request.param, tmp_path):
        yield run
