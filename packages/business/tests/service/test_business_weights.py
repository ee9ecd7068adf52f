"""Weights of who reacts: the engine's record of them, kept in the platform's log."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from support.business_service import decide, in_thread, live, ok, register, sends, tell
from support.service_harness import Live, Running, stop_answering
from wavebreak.engine import Engine
from wavebreak.rules import load_policy
from wavebreak_business.service.models import PlatformRow
from wavebreak_business.service.reporters import weights_of

PEOPLE = 120


def test_record_of_a_reporter_is_their_weight() -> None:
    async def query(_query: Any, accounts: list[str]) -> dict[str, float]:
        known = {"right": 2.0, "wrong": 0.0}
        return {name: known[name] for name in accounts if name in known}

    service: Any = SimpleNamespace(query=query)
    weights = asyncio.run(weights_of(service, ["right", "wrong", "nobody"]))
    assert weights == {"right": 100, "wrong": 0}


@pytest.mark.parametrize(("confirmed", "refuted", "weight"), [(0, 0, 1), (0, 3, 0), (200, 0, 2)])
def test_credibility_is_relative_to_no_record(confirmed: int, refuted: int, weight: float) -> None:
    engine = Engine(load_policy(), None, accounts=16)
    engine.core.people.records[0]["confirmed"] = confirmed
    engine.core.people.records[0]["refuted"] = refuted
    assert engine.core.credibility_of(0) == pytest.approx(weight, abs=0.7 * (weight == 2))


async def _quality(made: Running, weight: int | None) -> str:
    """Let half of a shop's people block it, all of one weight; return its quality."""
    numbers = [{"number": "n1", "display_name": "Shop", "throughput": "upgraded"}]
    await register(made, limit=-1, numbers=numbers)
    people = [f"p{n}" for n in range(PEOPLE)]
    assert all(each["allowed"] for each in await decide(made, sends(*people)))

    async def answered(_query: Any, _accounts: Any) -> dict[str, float]:
        return dict.fromkeys(people, (weight or 0) / 100)

    if weight is None:
        stop_answering(made)
    else:
        made.service.query = answered  # type: ignore[assignment]
    blocks = [
        {"id": f"b{n}", "type": "user.blocked", "account": who, "peer": "n1"}
        for n, who in enumerate(people[: PEOPLE // 2])
    ]
    await tell(made, *blocks)
    return str((await ok(made, "GET", "/v1/business/shop"))["standing"]["name"])


@pytest.mark.parametrize(("weight", "step"), [(0, ""), (100, "warning"), (None, "warning")])
def test_reaction_weighs_by_who_reacts(served: Live, weight: int | None, step: str) -> None:
    async def test(made: Running) -> None:
        assert await _quality(made, weight) == step

    async def replayed(made: Running) -> None:
        view = await ok(made, "GET", "/v1/business/shop")
        assert view["standing"]["name"] == step
        person = live(made).person("p1")
        assert await live(made).read(lambda platform: platform.weight_of(person)) == (
            100 if weight is None else weight
        )
        bodies = await in_thread(lambda: list(PlatformRow.objects.values_list("body", flat=True)))
        said = sum(bytes(body).count(b"person.weighed") for body in bodies)
        assert said == (PEOPLE // 2 if weight == 0 else 0)

    served(test, replayed)
