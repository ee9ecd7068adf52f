"""Attempts: acts that are asked about before they happen, in the log only where refused."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from support import service_harness
from support.service_harness import Live, Running
from wavebreak.languages import LANGUAGES
from wavebreak_server.storage.models import Idempotency

BECAUSE = "because a test asks for it"


def sent(number: int, account: str = "ann", **more: Any) -> dict[str, Any]:
    """A message to a stranger, dated now."""
    now = {"id": f"{account}-{number}", "type": "message.sent", "account": account}
    return now | {"ts": service_harness.now_ms(), "peer": f"p{number}"} | more


async def decide(made: Running, events: Any, mode: str = "attempt", key: str = "") -> Any:
    answer = await made.ask(
        "POST", f"/v1/decide?mode={mode}", key or made.keys["decide"], json=events
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


async def set_outcome(made: Running, account: str, outcome: str) -> None:
    body = {"verdict": "undetermined", "outcome": outcome, "reason": BECAUSE}
    answer = await made.ask("POST", f"/v1/accounts/{account}/override", json=body)
    assert answer.status_code == 200, answer.text


async def logged(made: Running) -> list[dict[str, Any]]:
    """The events of the log that are no overrides."""
    await made.wait_until_applied()
    events = await asyncio.to_thread(service_harness.logged)
    return [event for event in events if not event["id"].startswith("override-")]


def test_refused_attempt_is_logged_once_and_answered_alike(live: Live) -> None:
    async def test(made: Running) -> None:
        await set_outcome(made, "ann", "ban")
        event = sent(1)
        answer = await decide(made, event)
        assert await decide(made, event) == answer
        assert (answer["outcome"], answer["allowed"]) == ("ban", False)
        assert answer["mode"] == "attempt"
        assert "refused" not in answer
        assert answer["notice"].keys() == set(LANGUAGES)
        assert answer["notice"]["en"].startswith("Your account is banned.")
        assert answer["notify_at_ms"] > 0
        assert answer["statement_url"] is None
        assert [(e["id"], e["attempted"]) for e in await logged(made)] == [("ann-1", True)]

    live(test)


def test_refused_attempt_is_answered_alike_after_a_restart(live: Live) -> None:
    event, answers, keys = sent(1), list[Any](), list[str]()

    async def first(made: Running) -> None:
        keys.append(made.key)
        await set_outcome(made, "ann", "ban")
        answers.append(await decide(made, event, key=made.key))

    async def again(made: Running) -> None:
        await set_outcome(made, "ann", "allow")
        answers.append(await decide(made, event, key=keys[0]))
        assert [(e["id"], e["attempted"]) for e in await logged(made)] == [("ann-1", True)]
        # Of another owner's key it is another attempt.
        assert (await decide(made, event, key=made.key))["allowed"]

    live(first, again)
    same = [{n: a[n] for n in ("outcome", "allowed", "until", "mode")} for a in answers]
    assert same[0] == same[1]
    assert not same[0]["allowed"]


def test_allowed_attempt_leaves_nothing_in_the_log(live: Live) -> None:
    async def test(made: Running) -> None:
        event = sent(1)
        answer = await decide(made, event)
        assert (answer["outcome"], answer["allowed"], answer["mode"]) == ("allow", True, "attempt")
        assert (answer["notice"], answer["notify_at_ms"]) == (None, None)
        assert await logged(made) == []
        assert await asyncio.to_thread(Idempotency.objects.count) == 0
        await set_outcome(made, "ann", "ban")
        assert await decide(made, event) == answer
        await made.send([event])
        assert [(e["id"], e["attempted"]) for e in await logged(made)] == [("ann-1", None)]

    live(test)


def test_array_is_answered_by_its_strictest_event(live: Live) -> None:
    async def test(made: Running) -> None:
        await set_outcome(made, "ann", "restrict")
        events = [sent(1, in_contacts=True), sent(2), sent(3, in_contacts=True), sent(4)]
        for mode in ("ask", "attempt"):
            answer = await decide(made, events, mode)
            assert (answer["outcome"], answer["allowed"]) == ("restrict", False)
            assert answer["refused"] == [1, 3]
        assert [e["id"] for e in await logged(made)] == ["ann-2", "ann-4"]
        answer = await decide(made, events[:1], "ask")
        assert (answer["allowed"], answer["refused"]) == (True, [])
        recorded = await decide(made, [sent(5, in_contacts=True), sent(6)], "record")
        assert recorded["refused"] == [1]
        assert [e["id"] for e in await logged(made)][2:] == ["ann-5", "ann-6"]

    live(test)


@pytest.mark.parametrize(
    ("events", "field", "said"),
    [
        ({"type": "message.sent", "account": "ann", "peer": "p"}, "id", "needs an id"),
        ([], None, "0 events in one question"),
        ([sent(n) for n in range(51)], None, "51 events in one question"),
        ([sent(1), sent(2, account="bob")], "account", "of several accounts"),
        ([sent(1), sent(2, size=-1)], "size", "item 2: field `size`: out of range"),
        ([sent(1), 7], None, "item 2: an event is one JSON object"),
        ([sent(1), sent(2, ts=4_000_000_000_000)], "ts", "item 2: field `ts`: ahead of"),
    ],
)
def test_invalid_attempt_is_refused(live: Live, events: Any, field: str | None, said: str) -> None:
    async def test(made: Running) -> None:
        answer = await made.ask("POST", "/v1/decide?mode=attempt", json=events)
        assert answer.status_code == 422, answer.text
        problem = answer.json()
        assert said in problem["detail"]
        assert problem.get("field") == field
        assert problem["fix"]
        assert problem["cause"]

    live(test)


def test_attempt_without_engine_follows_the_last_known_state(live: Live) -> None:
    async def test(made: Running) -> None:
        await set_outcome(made, "ann", "ban")
        await made.wait_until_applied()
        ask = made.service.ask
        service_harness.stop_answering(made)
        refused = await decide(made, sent(1))
        assert (refused["allowed"], refused["outcome"]) == (False, "ban")
        assert refused["mode"] == "on_failure"
        assert (await decide(made, sent(1, account="bob")))["allowed"]
        answer = await decide(made, [sent(2), sent(3)], "ask")
        assert (answer["mode"], answer["refused"]) == ("on_failure", [0, 1])
        made.service.running.ask = ask  # type: ignore[method-assign]
        assert await logged(made) == []
        # What was not decided is decided once the engine answers.
        assert (await decide(made, sent(1)))["mode"] == "attempt"

    live(test)


def test_attempt_needs_the_scope_decide(live: Live) -> None:
    async def test(made: Running) -> None:
        for scope, key in made.keys.items():
            answer = await made.ask("POST", "/v1/decide?mode=attempt", key, json=sent(1))
            assert answer.status_code == (200 if scope == "decide" else 403)

    live(test)


def test_concurrent_attempts_are_logged_once(live: Live) -> None:
    async def test(made: Running) -> None:
        await set_outcome(made, "ann", "ban")
        event = sent(1)
        asked = [
            made.ask("POST", "/v1/decide?mode=attempt", made.keys["decide"], json=event)
            for _ in range(5)
        ]
        statuses = [answer.status_code for answer in await asyncio.gather(*asked)]
        # One that is in progress is to be asked again.
        assert set(statuses) <= {200, 409}
        assert 200 in statuses
        assert len(await logged(made)) == 1

    live(test)
