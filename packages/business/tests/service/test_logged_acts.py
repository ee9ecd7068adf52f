"""What arrives by `POST /v1/events` reaches the platform, once, by the same functions."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from support.business_service import (
    BECAUSE,
    decide,
    in_thread,
    live,
    ok,
    outcomes,
    register,
    sends,
    tell,
)
from support.service_harness import Live, Running, now_ms
from wavebreak.engine.account_queries import channels
from wavebreak.schema.events import CHANNELS
from wavebreak_business.service import logged_acts
from wavebreak_business.service.models import PlatformRow


def act(kind: str, account: str, peer: str | None = None, **more: Any) -> dict[str, Any]:
    fields = {"id": f"{kind}-{account}-{peer}", "type": kind, "account": account, "ts": now_ms()}
    return fields | ({"peer": peer} if peer else {}) | more


async def follow(made: Running) -> None:
    """Let the platform read the log to its end."""
    await made.wait_until_applied()
    while await logged_acts.follow_to(made.service, live(made), made.service.progress().applied):
        pass


async def free(made: Running, *people: str, name: str = "f") -> list[str]:
    asked = [{**each, "id": f"{name}-{each['id']}"} for each in sends(*people, template=None)]
    return outcomes(await decide(made, asked))


async def position(made: Running) -> int:
    return int(await live(made).read(lambda platform: platform.position))


def test_acts_told_to_the_service_reach_the_platform(served_by_each: Live) -> None:
    async def before(made: Running) -> None:
        await follow(made)
        await register(made)
        assert outcomes(await decide(made, sends("ben", "cyd"))) == ["accepted"] * 2
        told = [
            act("message.sent", "ann", "n1"), act("message.undeliverable", "n1", "ben"),
            act("user.blocked", "cyd", "n1"),
            act("consent.granted", "dan", business="shop", category="marketing"),
        ]  # fmt: skip
        await made.send(told)
        await follow(made)
        view = await ok(made, "GET", "/v1/business/shop")
        assert view["limit"]["used"] == 1
        assert await free(made, "ann", "ben") == ["accepted", "window_closed"]
        granted = sends("dan", "eve", template="marketing")
        assert outcomes(await decide(made, granted)) == ["accepted", "no_consent"]

    async def after(made: Running) -> None:
        before = await position(made)
        await follow(made)
        assert await position(made) == before
        stop = act("consent.revoked", "dan", business="shop", category="marketing")
        await made.send([stop])
        await follow(made)
        again = [{**sends("dan", template="marketing")[0], "id": "s2"}]
        assert outcomes(await decide(made, again)) == ["opted_out"]

    served_by_each(before, after)


def test_act_told_on_both_ways_counts_once(served: Live) -> None:
    async def test(made: Running) -> None:
        await follow(made)
        await register(made)
        block = act("user.blocked", "ann", "n1")
        await made.send([block])
        await follow(made)
        assert await tell(made, block) == {"taken": 0, "repeated": 1}
        # An id that stands for something else stops nothing behind it.
        await tell(made, {"id": "twice", "type": "message.sent", "account": "ben", "peer": "n1"})
        other, more = act("message.sent", "cyd", "n1", id="twice"), act("message.sent", "dan", "n1")
        await made.send([other, more])
        await follow(made)
        assert await free(made, "cyd", "dan") == ["window_closed", "accepted"]

    served(test)


def test_what_concerns_no_business_leaves_nothing(served: Live) -> None:
    async def test(made: Running) -> None:
        await follow(made)
        await register(made)
        await decide(made, sends("ann"))
        before = await position(made)
        told = [
            act("message.sent", "eve", "fay"), act("account.registered", "gil"),
            act("account.deleted", "gil"), act("message.sent", "n1", "ann"),
            act("message.sent", "hal", "n1", attempted=True),
            act("consent.granted", "ian", business="nobody"), act("user.blocked", "jon", "n9"),
        ]  # fmt: skip
        await made.send(told)
        await follow(made)
        assert await position(made) == before
        assert await free(made, "hal") == ["window_closed"]

    served(test)


def test_id_that_somebody_left_is_nobodys_then(served: Live) -> None:
    async def test(made: Running) -> None:
        await follow(made)
        await register(made)
        await made.send([act("message.sent", "ann", "n1")])
        await follow(made)
        assert await free(made, "ann") == ["accepted"]
        await made.send([act("account.deleted", "ann")])
        await follow(made)
        assert await free(made, "ann", name="g") == ["window_closed"]

    served(test)


def test_erased_person_is_not_taken_from_the_log(served: Live) -> None:
    async def test(made: Running) -> None:
        await follow(made)
        await register(made)
        await made.send([act("message.sent", "ann", "n1"), act("message.sent", "ben", "n1")])
        await made.wait_until_applied()
        path = "/v1/accounts/ann/personal"
        answer = await made.ask("DELETE", path, params={"reason": BECAUSE})
        assert answer.status_code == 200, answer.text
        await follow(made)
        person = live(made).person("ann").encode()
        bodies = await in_thread(lambda: list(PlatformRow.objects.values_list("body", flat=True)))
        assert not any(person in bytes(body) for body in bodies)
        assert await free(made, "ann", "ben") == ["window_closed", "accepted"]

    served(test)


def test_service_without_businesses_writes_nothing_for_them(served: Live) -> None:
    async def test(made: Running) -> None:
        await follow(made)
        before = await in_thread(logged_acts.followed)
        await made.send([act("message.sent", "eve", "fay")])
        await follow(made)
        assert await in_thread(logged_acts.followed) == before

    served(test)


def test_database_is_asked_seldom_while_the_log_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    slept_s, asked = 0.0, list[float]()

    async def sleep(seconds: float) -> None:
        nonlocal slept_s
        slept_s += seconds
        if slept_s > 20:
            raise asyncio.CancelledError

    async def follow_to(*_: Any) -> bool:
        asked.append(slept_s)
        return False

    # An event is decided after eleven seconds.
    service: Any = SimpleNamespace(progress=lambda: SimpleNamespace(applied=int(slept_s >= 11)))
    monkeypatch.setattr(logged_acts, "asyncio", SimpleNamespace(sleep=sleep))
    monkeypatch.setattr(logged_acts, "follow_to", follow_to)
    monkeypatch.setattr(logged_acts, "live_platform", lambda *_: None)
    context: Any = None

    async def follow() -> None:
        await logged_acts.following(context)(service)

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(follow())
    assert asked == [0, 2, 4, 6, 8, 10, 11, 13, 15, 17, 19]


async def channel(made: Running, number: str) -> str | None:
    known = await made.service.query(channels, [number])
    return CHANNELS[known[number]] if number in known else None


def test_number_of_a_portfolio_is_no_person_for_the_engine(served: Live) -> None:
    async def test(made: Running) -> None:
        await made.send([act("message.sent", "n2", "ann"), act("account.registered", "n3")])
        await register(made)
        assert await channel(made, "n1") == "business_platform"
        # Fresh, and to strangers who do not answer: a person would wait at the third of them.
        told = [act("message.sent", "n1", f"s{n}") for n in range(40)]
        await made.send(told)
        assert (await made.ask("GET", "/v1/accounts/n1")).json()["outcome"] == "allow"
        more = [{"number": name, "display_name": "Shop"} for name in ("n2", "n3")]
        await ok(made, "PUT", "/v1/business/shop", numbers=more, reason=BECAUSE)
        # Who has acted before stays a person.
        assert [await channel(made, name) for name in ("n2", "n3")] == ["personal"] * 2
        await ok(made, "PUT", "/v1/business/shop", removed=["n1"], reason=BECAUSE)
        assert await channel(made, "n1") == "personal"

    served(test)
