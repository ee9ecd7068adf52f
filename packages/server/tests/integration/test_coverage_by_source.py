"""Coverage by source: a poor source switches no rule off for the accounts of a rich one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from support import service_harness
from support.service_harness import DATABASES, Running
from wavebreak.engine import Engine
from wavebreak.engine.account_queries import challenged_accounts
from wavebreak.rules import load_policy
from wavebreak.schema import coverage
from wavebreak.schema.coverage import known_names
from wavebreak_server.http.app_context import closing_connection
from wavebreak_server.pipeline.live_policy import live_policy
from wavebreak_server.slices.keys.service import KeyTerms, create_key
from wavebreak_server.slices.sources.service import ABILITIES, Coverage
from wavebreak_server.slices.versions.policy_switch import PROFILE, PolicySwitch
from wavebreak_server.storage import event_log
from wavebreak_server.storage.models import Decision

BECAUSE = "because a test asks for it"
RULE = "impossible_acts"
CHAT = {"name": "chat", "carries": sorted(known_names()), "can": list(ABILITIES)}
GATEWAY = {"name": "gateway", "carries": ["message.sent"], "can": ["refuse"]}
Live = Callable[..., None]


@asynccontextmanager
async def running(home: Path, **options: Any) -> AsyncIterator[Running]:
    async with service_harness.running(home, **options) as made:
        made.service.switch = service_harness.switch_of(home)
        yield made


@pytest.fixture(params=DATABASES)
def live(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Live]:
    """Runs a coroutine against a service of its own, which can be switched."""

    def run(test: Callable[[Running], Awaitable[None]], **options: Any) -> None:
        async def whole() -> None:
            async with running(tmp_path, **options) as made:
                await test(made)

        asyncio.run(whole())

    with service_harness.migrated(request.param, tmp_path):
        yield run


def key_of(source: str) -> str:
    try:
        return create_key(
            source, ("ingest", "decide"), 0, "test", BECAUSE, KeyTerms(1e6, source=source)
        )[1]
    finally:
        connection.close()


async def declare(made: Running, *sources: dict[str, Any]) -> None:
    for source in sources:
        answer = await made.ask("POST", "/v1/sources", json=source)
        assert answer.status_code == 200, answer.text


async def keys(made: Running) -> dict[str, str]:
    """Return a key of each source, and one of none."""
    named = {name: await asyncio.to_thread(key_of, name) for name in ("chat", "gateway")}
    await made.context.refresh()
    return named | {"": made.key}


BURST = 40


def burst(account: str) -> list[dict[str, Any]]:
    """Events of an account that writes to forty strangers within fifteen seconds."""
    start_ms = service_harness.now_ms() - 20_000
    return [
        {
            "id": f"{account}-{n}", "ts": start_ms + 100 * n, "type": "message.sent",
            "account": account, "peer": f"{account}-{n}", "in_contacts": False,
        }
        for n in range(BURST)
    ]  # fmt: skip


async def send(made: Running, key: str, events: list[dict[str, Any]]) -> None:
    answer = await made.ask("POST", "/v1/events", key, json=events)
    assert answer.status_code == 202, answer.text
    await made.wait_until_applied()


def decided() -> dict[str, str]:
    """Return the outcome of each account that the rule acted on, by the stored decisions."""
    rows = Decision.objects.order_by("number").values_list("account", "outcome", "body")
    return {account: outcome for account, outcome, body in rows if RULE.encode() in bytes(body)}


async def abuse(made: Running) -> dict[str, str]:
    """Let abusers of the chat server, of the gateway, of both and of no source act."""
    await declare(made, CHAT, GATEWAY)
    named = await keys(made)
    for account, sources in (
        ("of-chat", ("chat",)), ("of-gateway", ("gateway",)), ("of-none", ("",)),
        ("of-both", ("gateway", "chat")),
    ):  # fmt: skip
        events = burst(account)
        size = len(events) // len(sources)
        for n, source in enumerate(sources):
            await send(made, named[source], events[n * size : (n + 1) * size])
    return await asyncio.to_thread(closing_connection(decided))


def test_each_account_is_judged_by_the_source_that_reports_its_acts(live: Live) -> None:
    async def test(made: Running) -> None:
        assert await abuse(made) == {"of-chat": "challenge"}

    live(test)


def test_decisions_are_the_same_after_a_restart_and_in_a_replay(live: Live, tmp_path: Path) -> None:
    async def first(made: Running) -> None:
        assert await abuse(made) == {"of-chat": "challenge"}
        assert isinstance(made.service.switch, PolicySwitch)
        # As `rules replay`, a challenger is told of the stream.
        made.service.switch.options()

    live(first)
    stored = live_policy(tmp_path)
    assert stored is not None
    assert [source.name for source in stored.sources] == ["chat", "gateway"]
    profile = Coverage(stored.carries or (), stored.challenges, stored.sources).profile()
    assert coverage.load(tmp_path / PROFILE) == profile
    # The names of the sources are in the log.
    replay = Engine(load_policy(), coverage.load(tmp_path / PROFILE), accounts=1024)
    made_again = [
        decision
        for segment in event_log.read_log(0)
        if segment.events is not None
        for decision in replay.take(segment.events)
    ]
    assert {one.account for one in made_again if RULE in one.rules} == {"of-chat"}

    async def second(made: Running) -> None:
        # What the log yields is compared with the stored decisions: they differ in nothing.
        named = await keys(made)
        await send(made, named["chat"], burst("later"))
        found = await asyncio.to_thread(closing_connection(decided))
        assert found == {"of-chat": "challenge", "later": "challenge"}
        able = await made.service.query(challenged_accounts, ["of-chat", "of-gateway"])
        assert able == {"of-chat": True, "of-gateway": False}

    live(second, profile=profile, policy=load_policy())


def test_a_question_is_answered_by_the_source_of_its_key(live: Live) -> None:
    async def test(made: Running) -> None:
        await declare(made, CHAT, GATEWAY)
        named = await keys(made)
        for name, rules in (("chat", [RULE]), ("gateway", [])):
            events = burst(f"asks-{name}")
            await send(made, named[name], events[: BURST - 1])
            answer = await made.ask("POST", "/v1/decide", named[name], json=events[BURST - 1 :])
            assert answer.status_code == 200, answer.text
            assert answer.json()["rules"] == rules
            recorded = await made.ask(
                "POST", "/v1/decide?mode=record", named[name], json=events[BURST - 1 :]
            )
            assert recorded.status_code == 200, recorded.text
        await made.wait_until_applied()
        found = await asyncio.to_thread(closing_connection(decided))
        assert found == {"asks-chat": "challenge"}

    live(test)


def test_rules_that_are_off_are_named_by_source(live: Live) -> None:
    async def test(made: Running) -> None:
        await declare(made, CHAT, GATEWAY)
        found = (await made.ask("GET", "/v1/sources")).json()
        off = {source["name"]: source["rules_off"] for source in found["sources"]}
        assert (found["rules_off"], off["chat"]) == ([], [])
        assert RULE in off["gateway"]
        assert made.service.rules_off() == ()
        ready = (await made.ask("GET", "/readyz", made.keys["read"])).text
        assert f"{len(off['gateway'])} more rules are off for the accounts of gateway" in ready
        assert "the accounts of chat" not in ready
        metrics = (await made.ask("GET", "/metrics", made.keys["read"])).text
        assert f"\nwavebreak_rules_off_in_part {len(off['gateway'])}.0" in metrics
        assert "\nwavebreak_rules_off 0.0" in metrics

    live(test)


def test_a_narrower_source_takes_nothing_from_the_accounts_of_others(live: Live) -> None:
    async def test(made: Running) -> None:
        await declare(made, CHAT)
        named = await keys(made)
        await send(made, named["chat"], burst("before"))
        # By its own key a source changes nothing that decides; an administrator does.
        narrow = {"carries": GATEWAY["carries"], "can": GATEWAY["can"]}
        told = await made.ask("PUT", "/v1/sources/self", named["gateway"], json=narrow)
        assert told.json()["coverage"]["applied"] == "waiting"
        asked = told.json()["source"]["asked"]["at_ms"]
        body = {"at_ms": asked, "reason": BECAUSE}
        approved = await made.ask("POST", "/v1/sources/gateway/approval", json=body)
        assert approved.json()["coverage"]["applied"] == "live"
        assert approved.json()["coverage"]["rules_off"] == []
        await send(made, named["chat"], burst("after"))
        await send(made, named["gateway"], burst("poor"))
        found = await asyncio.to_thread(closing_connection(decided))
        assert found == {"before": "challenge", "after": "challenge"}

    live(test)
