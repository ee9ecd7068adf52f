"""Enforcement states by page, by stream and by query, on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from django.db import connection

from support import service_harness
from support.service_harness import Live, Running, abuser
from support.state_stream import following, next_state
from wavebreak_server.storage.models import Decision, EnforcementState

BECAUSE = "because a test asks for it"
START = 1_767_222_000_000


async def get(made: Running, path: str) -> Any:
    answer = await made.ask("GET", path)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def override(made: Running, account: str, **fields: Any) -> Any:
    body = {"reason": BECAUSE} | fields
    answer = await made.ask("POST", f"/v1/accounts/{account}/override", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_states_in_force_are_paged_by_number(live: Live) -> None:
    async def test(made: Running) -> None:
        for account in ("ann", "bob", "eve"):
            await override(made, account, verdict="undetermined", outcome="restrict")
        await override(made, "bob", verdict="benign")
        whole = await get(made, "/v1/states")
        assert [s["account"] for s in whole["states"]] == ["ann", "eve"]
        assert (whole["next"], whole["number"]) == (None, 4)
        assert whole["states"][0] == {
            "account": "ann",
            "outcome": "restrict",
            "until_ms": None,
            "notify_at_ms": whole["states"][0]["notify_at_ms"],
            "number": 1,
        }
        decided = await get(made, "/v1/decisions")
        assert whole["states"][0]["notify_at_ms"] >= decided["decisions"][0]["decision"]["ts"]
        first = await get(made, "/v1/states?limit=1")
        assert (first["states"], first["next"]) == (whole["states"][:1], 1)
        rest = await get(made, f"/v1/states?since={first['next']}&limit=1")
        assert (rest["states"], rest["next"]) == (whole["states"][1:], None)

    live(test)


def test_ended_state_is_no_longer_in_force(live: Live) -> None:
    async def test(made: Running) -> None:
        chosen = {"verdict": "undetermined", "outcome": "limit", "hold_s": 3600}
        until_ms = (await override(made, "ann", **chosen))["until_ms"]
        queried = {"accounts": ["ann"]}
        assert (await get(made, "/v1/states"))["states"][0]["until_ms"] == until_ms
        made.service.clock = lambda: until_ms
        assert (await get(made, "/v1/states"))["states"] == []
        state = (await made.ask("POST", "/v1/states/query", json=queried)).json()["states"][0]
        assert (state["outcome"], state["until_ms"], state["number"]) == ("allow", None, 1)

    live(test)


def test_states_are_found_by_account_in_order(live: Live) -> None:
    async def test(made: Running) -> None:
        await made.send(abuser())
        body = {"accounts": ["nobody", "ann", "nobody"]}
        answer = await made.ask("POST", "/v1/states/query", json=body)
        states = answer.json()["states"]
        assert [(s["account"], s["outcome"]) for s in states] == [
            ("nobody", "allow"),
            ("ann", "ban"),
            ("nobody", "allow"),
        ]
        assert states[0] == {
            "account": "nobody",
            "outcome": "allow",
            "until_ms": None,
            "notify_at_ms": None,
            "number": 0,
        }
        many = {"accounts": [f"{n:0>255}" for n in range(1000)]}
        answer = await made.ask("POST", "/v1/states/query", json=many)
        assert len(answer.json()["states"]) == 1000

    live(test)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/v1/states?limit=10001", None),
        ("GET", "/v1/states?limit=0", None),
        ("GET", "/v1/states?since=-1", None),
        ("GET", "/v1/states?before=1", None),
        ("GET", "/v1/states/stream?from=1", None),
        ("POST", "/v1/states/query", {"accounts": []}),
        ("POST", "/v1/states/query", {"accounts": ["a"] * 1001}),
        ("POST", "/v1/states/query", {"accounts": ["a\x00"]}),
        ("POST", "/v1/states/query", {"accounts": ["ש" * 128]}),
        ("POST", "/v1/states/query", {"accounts": ["a"], "more": 1}),
    ],
)
def test_invalid_request_for_states_is_refused(
    live: Live, method: str, path: str, body: Any
) -> None:
    async def test(made: Running) -> None:
        answer = await made.ask(method, path, json=body)
        assert answer.status_code == 422, answer.text
        assert answer.json()["fix"]

    live(test)


def test_states_need_the_scope_read_or_decide(live: Live) -> None:
    async def test(made: Running) -> None:
        statuses = {
            scope: (await made.ask("GET", "/v1/states", key)).status_code
            for scope, key in made.keys.items()
        }
        assert {scope for scope, status in statuses.items() if status == 200} == {"read", "decide"}
        assert set(statuses.values()) == {200, 403}
        refused = (await made.ask("GET", "/v1/states", made.keys["ingest"])).json()
        assert refused["detail"] == "this key lacks the scope read or decide"

    live(test)


def test_lifts_are_streamed_within_two_seconds(live: Live) -> None:
    async def test(made: Running) -> None:
        async with following(made) as heard:
            await override(made, "ann", verdict="undetermined", outcome="challenge", hold_s=3600)
            assert (await next_state(heard))["outcome"] == "challenge"
            passed = {"type": "challenge.passed", "account": "ann", "kind": "captcha"}
            acts: list[Callable[[], Awaitable[Any]]] = [
                lambda: made.send([passed | {"id": "c", "ts": service_harness.now_ms()}]),
                lambda: override(made, "bob", verdict="benign", by="appeal"),
                lambda: override(made, "eve", verdict="undetermined", outcome="allow"),
            ]
            for account, act in zip(("ann", "bob", "eve"), acts, strict=True):
                if account != "ann":
                    await override(made, account, verdict="undetermined", outcome="ban")
                    assert (await next_state(heard))["outcome"] == "ban"
                began = time.monotonic()
                await act()
                at, number, state = await asyncio.wait_for(heard.get(), 20)
                assert (state["account"], state["outcome"]) == (account, "allow")
                assert (state["number"], state["until_ms"]) == (number, None)
                assert at - began < 2

    live(test)


def test_stream_of_states_continues_from_a_number(live: Live) -> None:
    async def test(made: Running) -> None:
        await override(made, "ann", verdict="undetermined", outcome="restrict")
        snapshot = await get(made, "/v1/states")
        await override(made, "ann", verdict="benign")
        async with following(made, f"since={snapshot['number']}") as heard:
            state = await next_state(heard)
        assert (state["account"], state["outcome"], state["number"]) == ("ann", "allow", 2)

    live(test)


def test_states_are_read_while_the_engine_is_stopped(live: Live) -> None:
    async def test(made: Running) -> None:
        await override(made, "ann", verdict="undetermined", outcome="ban")
        service_harness.stop_answering(made)
        assert (await get(made, "/v1/states"))["states"][0]["outcome"] == "ban"
        assert (await get(made, "/v1/accounts/nobody"))["outcome"] == "allow"

    live(test)


def test_changed_decision_is_no_state(live: Live) -> None:
    async def test(made: Running) -> None:
        await override(made, "ann", verdict="undetermined", outcome="ban")

        def change() -> None:
            Decision.objects.update(outcome="limit")
            EnforcementState.objects.update(outcome="limit")
            connection.close()

        await asyncio.to_thread(change)
        answer = await made.ask("GET", "/v1/states")
        assert answer.status_code == 500
        assert "was changed in the database" in answer.json()["detail"]

    live(test)


def test_unknown_account_is_allowed(live: Live) -> None:
    async def test(made: Running) -> None:
        shown = await get(made, "/v1/accounts/nobody")
        assert (shown["outcome"], shown["until_ms"], shown["decisions"]) == ("allow", None, [])
        assert (shown["restrictions"], shown["quota"]["state"]) == ([], "NONE")

    live(test)
