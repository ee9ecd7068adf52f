"""Sources: what each carries and can is what the service decides by, without a restart."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from support import service_harness
from support.service_harness import DATABASES, Running
from support.state_stream import following, next_state
from wavebreak.engine import Engine
from wavebreak.engine.decision import FIELDS, RULES
from wavebreak.outcomes import CHALLENGE
from wavebreak_server.http.app_context import closing_connection
from wavebreak_server.pipeline.live_policy import live_policy
from wavebreak_server.pipeline.states import StateTerms
from wavebreak_server.slices.keys.service import KeyTerms, create_key
from wavebreak_server.slices.sources.service import Coverage, SourceUpkeep, declared_coverage
from wavebreak_server.slices.webhooks import service as webhooks
from wavebreak_server.storage import database_audit
from wavebreak_server.storage.models import ApiKey, Delivery, Source

BECAUSE = "because a test asks for it"
SENDS = ["message.sent", "message.sent.size", "message.sent.in_contacts", "account.registered"]
MATRIX = {"name": "matrix", "carries": SENDS, "can": ["refuse", "lift"]}
XMPP = {
    "name": "xmpp",
    "carries": [*SENDS, "typing.started"],
    "can": ["refuse", "challenge", "lift"],
}
Live = Callable[[Callable[[Running], Awaitable[None]]], None]


@asynccontextmanager
async def running(home: Path, **options: Any) -> AsyncIterator[Running]:
    async with service_harness.running(home, **options) as made:
        made.service.switch = service_harness.switch_of(home)
        yield made


@pytest.fixture(params=DATABASES)
def live(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Live]:
    """Runs a coroutine against a service of its own, which can be switched."""

    def run(test: Callable[[Running], Awaitable[None]]) -> None:
        async def whole() -> None:
            async with running(tmp_path) as made:
                await test(made)

        asyncio.run(whole())

    with service_harness.migrated(request.param, tmp_path):
        yield run


async def declare(made: Running, source: dict[str, Any]) -> Any:
    answer = await made.ask("POST", "/v1/sources", json=source)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def covered(made: Running) -> frozenset[str]:
    names: frozenset[str] = await made.service.ask(lambda engine: engine.covered)
    return names


def own_key(source: str, *scopes: str) -> str:
    """Create a key that belongs to a source."""
    try:
        _, text = create_key("adapter", scopes, 0, "test", BECAUSE, KeyTerms(1e6, source=source))
        return text
    finally:
        connection.close()


def test_coverage_is_what_every_source_carries(live: Live) -> None:
    async def test(made: Running) -> None:
        everything = await covered(made)
        assert len(everything) > 20
        first = await declare(made, XMPP)
        assert first["coverage"]["applied"] == "live"
        assert "typing.started" in first["coverage"]["carries"]
        assert first["coverage"]["challenges"] is True
        with_typing = await covered(made)
        assert with_typing < everything
        second = await declare(made, MATRIX)
        assert second["coverage"]["carries"] == sorted(SENDS)
        assert second["coverage"]["challenges"] is False
        assert second["coverage"]["rules_off"]
        # Labels are the service's own: what people have confirmed holds whatever a source carries.
        assert "confirmed_abusive" not in second["coverage"]["rules_off"]
        assert await covered(made) < with_typing
        again = await declare(made, MATRIX)
        assert again["coverage"]["applied"] == "unchanged"
        listed = (await made.ask("GET", "/v1/sources")).json()["sources"]
        assert [one["name"] for one in listed] == ["matrix", "xmpp"]
        for name, left in (("matrix", with_typing), ("xmpp", everything)):
            answer = await made.ask("DELETE", f"/v1/sources/{name}?reason={BECAUSE}")
            assert answer.status_code == 200
            assert await covered(made) == left
        audit = (await made.ask("GET", "/v1/audit")).json()["entries"]
        acts = [(one["action"], one["object"]) for one in audit if "source" in one["action"]]
        assert acts == [
            ("declare_source", "xmpp"),
            ("declare_source", "matrix"),
            ("remove_source", "matrix"),
            ("remove_source", "xmpp"),
        ]

    live(test)


def test_limit_is_decided_where_no_challenge_can_be_asked(live: Live) -> None:
    async def test(made: Running) -> None:
        def challenging(engine: Engine) -> bool:
            return any(
                int(rule[0]) == CHALLENGE
                for rule in engine.core.policy.policy[RULES:].reshape(-1, FIELDS)
            )

        assert await made.service.ask(challenging)
        body = {"verdict": "undetermined", "outcome": "challenge", "reason": BECAUSE}
        answer = await made.ask("POST", "/v1/accounts/ann/override", json=body)
        assert answer.status_code == 200
        await declare(made, MATRIX)
        assert not await made.service.ask(challenging)
        event = {"type": "message.sent", "account": "ann", "peer": "p"}
        # A challenge from before cannot be passed any more.
        told = (await made.ask("POST", "/v1/decide", json=event)).json()
        assert (told["outcome"], told["allowed"], told["challenge"]) == ("limit", False, None)
        answer = await made.ask("POST", "/v1/accounts/bob/override", json=body)
        assert answer.status_code == 422
        assert "cannot ask" in answer.json()["detail"]

    live(test)


def test_every_answer_shows_a_challenge_nobody_asks_as_limit(live: Live) -> None:
    async def test(made: Running) -> None:
        chosen = {"verdict": "undetermined", "outcome": "challenge", "hold_s": 3600}
        body = chosen | {"reason": BECAUSE}
        assert (await made.ask("POST", "/v1/accounts/ann/override", json=body)).status_code == 200
        event = {"type": "message.sent", "account": "ann", "peer": "p"}

        async def shown(when: str) -> set[str]:
            account = (await made.ask("GET", "/v1/accounts/ann")).json()
            [restriction] = account["restrictions"]
            assert restriction["since_ms"]
            page = (await made.ask("GET", "/v1/states")).json()["states"]
            named = {"accounts": ["ann"]}
            found = (await made.ask("POST", "/v1/states/query", json=named)).json()["states"]
            answers = []
            for mode in ("ask", "record", "attempt"):
                asked = event | {"id": f"{when}-{mode}"}
                answer = await made.ask("POST", f"/v1/decide?mode={mode}", json=asked)
                answers.append(answer.json())
            return {one["outcome"] for one in (account, restriction, *page, *found, *answers)}

        assert await shown("before") == {"challenge"}
        await declare(made, MATRIX)
        assert await shown("after") == {"limit"}
        account = (await made.ask("GET", "/v1/accounts/ann")).json()
        assert (account["quota"]["limit"], account["quota"]["left"]) == (0, 0)
        service_harness.stop_answering(made)
        assert (await made.ask("GET", "/v1/accounts/ann")).json()["outcome"] == "limit"

    live(test)


@pytest.mark.parametrize(("challenges", "outcome"), [(True, "challenge"), (False, "limit")])
def test_webhook_says_limit_where_nobody_asks(live: Live, challenges: bool, outcome: str) -> None:
    async def test(made: Running) -> None:
        hook = {"url": "https://receiver.example/", "reason": BECAUSE, "kinds": ["states"]}
        answer = await made.ask("POST", "/v1/webhooks", json=hook)
        assert answer.status_code == 201, answer.text
        body = {"verdict": "undetermined", "outcome": "challenge", "reason": BECAUSE}
        assert (await made.ask("POST", "/v1/accounts/ann/override", json=body)).status_code == 200

        def due() -> list[Any]:
            webhooks.enqueue_deliveries(service_harness.now_ms())
            now_ms = service_harness.now_ms()
            terms = StateTerms(made.context.holder_notices.feedback, challenges)
            return webhooks.load_due_deliveries(now_ms, made.context, Counter(), set(), terms)

        [delivery] = await asyncio.to_thread(closing_connection(due))
        assert json.loads(delivery.body)["data"]["outcome"] == outcome

    live(test)


def test_switches_are_streamed_and_sent_to_webhooks(live: Live) -> None:
    async def test(made: Running) -> None:
        hook = {"url": "https://receiver.example/", "reason": BECAUSE, "kinds": ["states"]}
        answer = await made.ask("POST", "/v1/webhooks", json=hook | {"min_outcome": "limit"})
        assert answer.status_code == 201, answer.text
        others = {"url": "https://other.example/", "reason": BECAUSE, "min_outcome": "ban"}
        decisions_only = (await made.ask("POST", "/v1/webhooks", json=others)).json()["id"]
        async with following(made) as heard:
            for account, outcome in (("ann", "challenge"), ("ben", "ban")):
                body = {"verdict": "undetermined", "outcome": outcome, "reason": BECAUSE}
                await made.ask("POST", f"/v1/accounts/{account}/override", json=body)
                assert (await next_state(heard))["outcome"] == outcome
            await declare(made, MATRIX)
            began = time.monotonic()
            state = await next_state(heard)
            assert time.monotonic() - began < 5
            assert (state["account"], state["outcome"], state["number"]) == ("ann", "limit", 2)
            switch = made.service.switch
            assert switch is not None
            await switch(made.service, enforce=True)
            lifts = [await next_state(heard), await next_state(heard)]
            assert [(s["account"], s["outcome"], s["number"]) for s in lifts] == [
                ("ann", "allow", 2),
                ("ben", "allow", 2),
            ]
            # Back in shadow what is in force stays so.
            await switch(made.service, enforce=False)
            body = {"verdict": "undetermined", "outcome": "limit", "reason": BECAUSE}
            await made.ask("POST", "/v1/accounts/eve/override", json=body)
            assert (await next_state(heard))["account"] == "eve"
        assert (await made.ask("GET", "/v1/states")).json()["states"][0]["account"] == "eve"

        def due() -> list[Any]:
            terms = StateTerms(made.context.holder_notices.feedback, challenges=False)
            while webhooks.enqueue_deliveries(service_harness.now_ms(), terms):
                pass
            now_ms = service_harness.now_ms()
            return webhooks.load_due_deliveries(now_ms, made.context, Counter(), set(), terms)

        # One webhook may have four attempts at once: all that is due is read by and by.
        bodies = [json.loads(one.body) for one in await asyncio.to_thread(closing_connection(due))]
        told = [body for body in bodies if body["webhook"] == decisions_only]
        assert {body["type"] for body in bodies if body not in told} == {"state.changed"}
        # Who receives decisions hears of the lift of what it was sent, and of no other change.
        assert sorted((body["type"], body["data"]["outcome"]) for body in told) == [
            ("decision.made", "ban"),
            ("state.changed", "allow"),
        ]
        assert {body["data"]["account"] for body in told} == {"ben"}
        wanted = await asyncio.to_thread(closing_connection(Delivery.objects.count))
        assert wanted == 5 + len(told)

    live(test)


def test_adapter_declares_its_own_source(live: Live) -> None:
    async def test(made: Running) -> None:
        key = await asyncio.to_thread(own_key, "matrix", "ingest", "decide")
        body = {"carries": SENDS, "can": ["refuse"]}
        answer = await made.ask("PUT", "/v1/sources/self", key, json=body)
        assert answer.status_code == 200, answer.text
        assert answer.json()["source"]["name"] == "matrix"
        assert answer.json()["source"]["asked"]["can"] == ["refuse"]
        of_no_source = await made.ask("PUT", "/v1/sources/self", made.keys["decide"], json=body)
        assert of_no_source.status_code == 409
        assert of_no_source.json()["type"] == "/api/docs#key-without-source"
        reader = await asyncio.to_thread(own_key, "matrix", "read")
        assert (await made.ask("PUT", "/v1/sources/self", reader, json=body)).status_code == 403
        assert (await made.ask("GET", "/v1/sources", key)).status_code == 403

    live(test)


NARROW = {"carries": ["typing.started"], "can": []}


async def declare_own(made: Running, key: str, **declaration: Any) -> Any:
    answer = await made.ask("PUT", "/v1/sources/self", key, json=declaration)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def listed(made: Running) -> Any:
    return (await made.ask("GET", "/v1/sources")).json()


async def approve(made: Running, name: str, at_ms: int) -> Any:
    body = {"at_ms": at_ms, "reason": BECAUSE}
    return await made.ask("POST", f"/v1/sources/{name}/approval", json=body)


def test_ingest_key_switches_no_rule_off(live: Live) -> None:
    async def test(made: Running) -> None:
        await declare(made, XMPP)
        await made.send(service_harness.abuser(count=3))
        names, off, switches = await covered(made), made.service.rules_off(), made.service.switches
        for source in ("xmpp", "of-a-stolen-key"):
            key = await asyncio.to_thread(own_key, source, "ingest")
            for declaration in (NARROW, {**XMPP, "can": ["refuse"]}):
                fields = {"carries": declaration["carries"], "can": declaration["can"]}
                told = await declare_own(made, key, **fields)
                assert told["coverage"]["applied"] == "waiting"
                assert "administrator" in told["coverage"]["meaning"]
                assert told["coverage"]["rules_off"] == list(off)
                assert told["source"]["asked"]["carries"] == sorted(fields["carries"])
        assert (await covered(made), made.service.rules_off()) == (names, off)
        # Nobody's events have waited for it.
        assert made.service.switches == switches
        assert made.service.switch is not None
        assert made.service.switch.deciding.coverage.challenges
        found = {one["name"]: one for one in (await listed(made))["sources"]}
        assert found["of-a-stolen-key"]["carries"] == []
        assert found["xmpp"]["carries"] == sorted(XMPP["carries"])
        assert found["xmpp"]["asked"]["rules_off"] == []
        event = {"type": "message.sent", "account": "ben", "peer": "p", "id": "later"}
        assert (await made.ask("POST", "/v1/events", json=[event])).status_code == 202

    live(test)


def test_declaration_of_an_adapter_on_an_unused_service_waits(live: Live) -> None:
    async def test(made: Running) -> None:
        key = await asyncio.to_thread(own_key, "matrix", "ingest")
        told = await declare_own(made, key, carries=SENDS, can=["refuse"])
        assert told["coverage"]["applied"] == "waiting"
        assert made.service.rules_off() == ()
        asked = told["source"]["asked"]["at_ms"]
        assert (await approve(made, "matrix", asked)).json()["coverage"]["applied"] == "live"
        assert made.service.rules_off()
        told = await declare_own(made, key, carries=SENDS[:1], can=["refuse"])
        assert told["coverage"]["applied"] == "waiting"
        # As before: what was asked for is withdrawn.
        told = await declare_own(made, key, carries=SENDS, can=["refuse"])
        assert (told["coverage"]["applied"], told["source"]["asked"]) == ("unchanged", None)

    live(test)


def test_narrower_declaration_decides_once_approved(live: Live) -> None:
    async def test(made: Running) -> None:
        await made.send(service_harness.abuser(count=1))
        key = await asyncio.to_thread(own_key, "matrix", "ingest")
        told = await declare_own(made, key, carries=SENDS, can=["refuse"])
        [source] = (await listed(made))["sources"]
        asked = source["asked"]
        assert (told["source"]["carries"], asked["carries"]) == ([], sorted(SENDS))
        assert asked["rules_off"]
        assert (await listed(made))["basis"] == "unknown"
        assert (await approve(made, "matrix", asked["at_ms"] + 1)).status_code == 409
        assert (await approve(made, "xmpp", asked["at_ms"])).status_code == 404
        body = {"at_ms": asked["at_ms"], "reason": BECAUSE}
        own = await made.ask("POST", "/v1/sources/matrix/approval", key, json=body)
        assert own.status_code == 403
        answer = await approve(made, "matrix", asked["at_ms"])
        assert answer.json()["coverage"]["applied"] == "live"
        assert set(answer.json()["coverage"]["rules_off"]) == set(asked["rules_off"])
        assert (await approve(made, "matrix", asked["at_ms"])).status_code == 404
        [source] = (await listed(made))["sources"]
        assert (source["carries"], source["asked"]) == (sorted(SENDS), None)
        audit = (await made.ask("GET", "/v1/audit")).json()["entries"]
        acts = [one["action"] for one in audit if "source" in one["action"]]
        assert acts == ["ask_source", "approve_source"]

    live(test)


def test_wider_declaration_waits_too(live: Live) -> None:
    async def test(made: Running) -> None:
        await declare(made, MATRIX)
        await made.send(service_harness.abuser(count=1))
        key = await asyncio.to_thread(own_key, "matrix", "ingest")
        more = [*SENDS, "typing.started"]
        told = await declare_own(made, key, carries=more, can=MATRIX["can"])
        assert told["coverage"]["applied"] == "waiting"
        assert "typing.started" not in told["coverage"]["carries"]

    live(test)


def test_administrator_settles_what_a_source_asks_for(live: Live) -> None:
    async def test(made: Running) -> None:
        await declare(made, MATRIX)
        await made.send(service_harness.abuser(count=1))
        key = await asyncio.to_thread(own_key, "matrix", "ingest")
        await declare_own(made, key, **NARROW)
        assert list(made.service.coverage.waiting) == ["matrix"]
        assert (await declare(made, MATRIX))["source"]["asked"] is None
        assert list(made.service.coverage.waiting) == []
        await asyncio.to_thread(closing_connection(made.service.ledger_store.seal_pending))

        def audit() -> list[str]:
            try:
                return [found.name for found in database_audit.DatabaseAudit().run().findings]
            finally:
                connection.close()

        assert not {"row_changed", "row_added"} & set(await asyncio.to_thread(audit))

    live(test)


def test_readiness_and_metrics_say_that_rules_are_off(live: Live) -> None:
    async def test(made: Running) -> None:
        async def said() -> tuple[str, str]:
            ready = await made.ask("GET", "/readyz", made.keys["read"])
            metrics = await made.ask("GET", "/metrics", made.keys["read"])
            return ready.text, metrics.text

        ready, metrics = await said()
        assert ready == "ready\n"
        assert "\nwavebreak_rules_off 0.0" in metrics
        assert "\nwavebreak_sources_waiting 0.0" in metrics
        await declare(made, MATRIX)
        await made.send(service_harness.abuser(count=1))
        key = await asyncio.to_thread(own_key, "matrix", "ingest")
        await declare_own(made, key, **NARROW)
        ready, metrics = await said()
        off, rules = len(made.service.rules_off()), len(made.service.responder.policy.rules)
        assert f"{off} of {rules} rules are off" in ready
        assert "the source matrix asks for another declaration" in ready
        assert f"\nwavebreak_rules_off {off}.0" in metrics
        assert "\nwavebreak_sources_waiting 1.0" in metrics
        assert (await made.ask("GET", "/readyz", "")).text == "ready\n"

    live(test)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"carries": []}, "carries"),
        ({"carries": ["message.sent", "room.invited"]}, "carries: item 2 is no event type"),
        ({"carries": ["message.sent.body"]}, "carries: item 1 is no event type"),
        ({"can": ["ban"]}, "can"),
        ({"name": "self"}, "name"),
        ({"name": "A b"}, "name"),
        ({"more": 1}, "body: unknown field"),
    ],
)
def test_invalid_declaration_is_refused(live: Live, change: dict[str, Any], said: str) -> None:
    async def test(made: Running) -> None:
        answer = await made.ask("POST", "/v1/sources", json=MATRIX | change)
        assert answer.status_code == 422
        problem = answer.json()
        assert said in problem["detail"]
        assert problem["fix"]
        assert await asyncio.to_thread(closing_connection(Source.objects.count)) == 0

    live(test)


def test_declared_coverage_holds_after_a_restart(live: Live, tmp_path: Path) -> None:
    names: list[frozenset[str]] = []

    async def first(made: Running) -> None:
        await made.send(service_harness.abuser())
        await declare(made, MATRIX)
        names.append(await covered(made))

    live(first)
    stored = live_policy(tmp_path)
    assert stored is not None
    assert stored.carries == tuple(sorted(SENDS))
    assert not stored.challenges
    assert declared_coverage() == Coverage(stored.carries, stored.challenges, stored.sources)
    assert len(names) == 1


def test_upkeep_applies_what_a_command_declared(live: Live) -> None:
    async def test(made: Running) -> None:
        switch = made.service.switch
        assert switch is not None
        made.service.switch = None
        assert (await declare(made, MATRIX))["coverage"]["applied"] == "pending"
        made.service.switch = switch
        upkeep = asyncio.ensure_future(SourceUpkeep()(made.service))
        try:
            async with asyncio.timeout(60):
                while switch.deciding.coverage is None:
                    await asyncio.sleep(0.05)
        finally:
            upkeep.cancel()
        assert switch.deciding.coverage.carries == tuple(sorted(SENDS))

    live(test)


def test_sources_are_sealed_and_a_change_is_found(live: Live) -> None:
    async def test(made: Running) -> None:
        await declare(made, MATRIX)
        await asyncio.to_thread(closing_connection(made.service.ledger_store.seal_pending))

        def audit() -> list[str]:
            try:
                return [found.name for found in database_audit.DatabaseAudit().run().findings]
            finally:
                connection.close()

        assert "row_changed" not in await asyncio.to_thread(audit)
        change = closing_connection(lambda: Source.objects.update(can="refuse challenge"))
        await asyncio.to_thread(change)
        assert "row_changed" in await asyncio.to_thread(audit)

    live(test)


def test_key_without_a_source_is_still_authentic(live: Live) -> None:
    plain, other = ApiKey(prefix="00000000"), ApiKey(prefix="00000000", source="matrix")
    assert len(plain.AUTHENTICATED) == len(plain.authenticated_values())
    assert other.authenticated_values()[-1] == "matrix"
