"""Sends of businesses through the service: durable answers a second, and how long one takes."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.figures import Figure, figure
from support import service_harness
from support.business_service import BECAUSE, decide, live, ok
from support.service_harness import Running

NAME = "business_service"
PORTFOLIOS = 8
PEOPLE = 50_000
APART_MS = 1_000
"""By how much the clock of the service is ahead after each request: no number's rate binds."""


class _Clock:
    def __init__(self) -> None:
        self.ahead_ms = 0

    def __call__(self) -> int:
        return service_harness.now_ms() + self.ahead_ms


def bench(quick: bool) -> list[Figure]:
    """Ask without a socket, over SQLite on this machine's disk."""
    with TemporaryDirectory() as home, service_harness.migrated("sqlite", Path(home)):
        return asyncio.run(_measure(Path(home), 4 if quick else 40))


async def _measure(home: Path, requests: int) -> list[Figure]:
    clock = _Clock()
    async with service_harness.running(home, clock=clock) as made:
        for n in range(PORTFOLIOS):
            await _register(made, f"p{n}")
        rng = np.random.default_rng(1)
        asked = _Questions(rng, clock)
        await asked.ask(made, 0, 500)
        many = await asked.timed(made, requests, 500, at_once=1)
        together = await asked.timed(made, requests, 500, at_once=PORTFOLIOS)
        ones = await asked.timed(made, 10 * requests, 1, at_once=1)
        ones_together = await asked.timed(made, 10 * requests, 1, at_once=PORTFOLIOS)
        position = await live(made).read(lambda platform: platform.position)
    found = []
    for what, run in (
        ("500 sends, one request at a time", many),
        (f"500 sends, {PORTFOLIOS} portfolios at once", together),
        ("1 send, one request at a time", ones),
        (f"1 send, {PORTFOLIOS} portfolios at once", ones_together),
    ):
        ms = np.array(run.seconds) * 1000
        note = f"p50 {np.percentile(ms, 50):.1f} ms, p99 {np.percentile(ms, 99):.1f} ms"
        found.append(figure(NAME, what, "sends/s", [run.sends / run.took_s], note=note))
        found.append(figure(NAME, what, "requests/s", [len(run.seconds) / run.took_s]))
    begin = time.perf_counter()
    async with service_harness.running(home, clock=clock) as made:
        began = time.perf_counter()
        await ok(made, "GET", "/v1/business/p0")
        took_s = time.perf_counter() - began
        note = f"{position:,} events; {time.perf_counter() - begin:.1f} s with the service's start"
        replayed = live(made).replayed / took_s
    return [*found, figure(NAME, "a start without a snapshot", "events/s", [replayed], note=note)]


async def _register(made: Running, name: str) -> None:
    number = {"number": f"{name}-n", "display_name": name, "throughput": "upgraded"}
    fields: dict[str, Any] = {"legal_name": name, "numbers": [number], "limit": -1, "paced": False}
    await ok(made, "PUT", f"/v1/business/{name}", **fields, reason=BECAUSE)
    template = {"category": "utility", "language": "en", "status": "approved"}
    await ok(made, "PUT", f"/v1/business/{name}/templates/t", **template, reason=BECAUSE)


class _Run:
    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.sends, self.took_s = 0, 0.0


class _Questions:
    def __init__(self, rng: np.random.Generator, clock: _Clock) -> None:
        self._rng, self._clock, self._next = rng, clock, 0

    async def ask(self, made: Running, portfolio: int, count: int) -> float:
        people = self._rng.integers(PEOPLE, size=count)
        name = f"p{portfolio}"
        first, self._next = self._next, self._next + count
        sends: list[Any] = [
            {"id": str(first + n), "number": f"{name}-n", "account": f"a{who}", "template": "t"}
            for n, who in enumerate(people)
        ]
        self._clock.ahead_ms += APART_MS
        begin = time.perf_counter()
        await decide(made, sends, name)
        return time.perf_counter() - begin

    async def timed(self, made: Running, requests: int, count: int, *, at_once: int) -> _Run:
        run = _Run()

        async def one(portfolio: int) -> None:
            for _ in range(requests // at_once):
                run.seconds.append(await self.ask(made, portfolio, count))
                run.sends += count

        begin = time.perf_counter()
        await asyncio.gather(*(one(portfolio) for portfolio in range(at_once)))
        run.took_s = time.perf_counter() - begin
        return run
