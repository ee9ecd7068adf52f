"""Decisions reach webhooks signed, at least once, with the same id; what fails is tried again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from support import service_harness
from support.service_harness import DATABASES, Running, abuser
from support.webhook_receiver import Receiver, listening
from wavebreak_server.http.app_context import closing_connection
from wavebreak_server.slices.webhooks.service import RetryPolicy, WebhookDispatcher, bring_forward
from wavebreak_server.storage.models import Delivery, PlatformMessage
from wavebreak_server.storage.models import Webhook as StoredWebhook

BECAUSE = "because a test asks for it"
QUICK = RetryPolicy(attempts=3, first_s=0.05, factor=1.0, answer_s=0.5, whole_s=1.0)


@pytest.fixture(params=DATABASES)
def bound(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    with service_harness.migrated(request.param, tmp_path):
        yield tmp_path


async def _until(found: Any) -> None:
    async with asyncio.timeout(20):
        while not found():
            await asyncio.sleep(0.02)


def test_delivery_is_not_held_by_a_clock_that_was_ahead(bound: Path) -> None:
    now_ms, year_ms = service_harness.now_ms(), 365 * 86_400_000
    made = {"url": "https://receiver.example/", "min_outcome": "ban", "cursor": 0}
    hook = StoredWebhook.objects.create(id="hook", created_ms=0, **made)
    planned = PlatformMessage.objects.create(id="m", type="t", data=b"{}", created_ms=0)
    failed = Delivery.objects.create(webhook=hook, number=1, attempts=1, next_ms=now_ms + year_ms)
    first = Delivery.objects.create(webhook=hook, number=2, next_ms=now_ms + year_ms)
    soon = Delivery.objects.create(webhook=hook, number=3, attempts=1, next_ms=now_ms + 60_000)
    later = Delivery.objects.create(webhook=hook, message=planned, next_ms=now_ms + year_ms)
    assert bring_forward(now_ms, RetryPolicy()) == 2
    times = dict(Delivery.objects.values_list("id", "next_ms"))
    assert times[failed.id] == times[first.id] == now_ms
    assert times[soon.id] == now_ms + 60_000
    assert times[later.id] == now_ms + year_ms


async def _hook(made: Running, url: str, **more: Any) -> Any:
    answer = await made.ask("POST", "/v1/webhooks", json={"url": url, "reason": BECAUSE, **more})
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_decisions_above_observe_are_delivered_signed_once(bound: Path) -> None:
    async def live() -> None:
        held = service_harness.context()
        dispatcher = WebhookDispatcher(held, Random(1), QUICK)
        with listening(Receiver()) as heard:
            async with service_harness.running(bound, held=held, background=[dispatcher]) as made:
                hook = await _hook(made, heard.url)
                await made.send(abuser())
                every = (await made.ask("GET", "/v1/decisions")).json()["decisions"]
                wanted = [d for d in every if d["decision"]["outcome"] not in ("allow", "observe")]
                await _until(lambda: len(heard.requests) >= len(wanted))
                await _until(lambda: not dispatcher.in_flight)
                listed = (await made.ask("GET", "/v1/webhooks")).json()["webhooks"]
                assert (listed[0]["pending"], listed[0]["dead_lettered"]) == (0, 0)
                assert "secret" not in listed[0]
            assert len(heard.requests) == len(wanted) > 0
            bodies = [Webhook(hook["secret"]).verify(b.decode(), h) for h, b in heard.requests]
            told = {body["number"]: body["data"] for body in bodies}
            assert told == {one["number"]: one["decision"] for one in wanted}
            assert {h["webhook-id"] for h, _ in heard.requests} == {
                f"dec_{one['decision']['id']}" for one in wanted
            }

    asyncio.run(live())


async def _override(made: Running, account: str, **fields: Any) -> None:
    path, body = f"/v1/accounts/{account}/override", {"reason": BECAUSE} | fields
    answer = await made.ask("POST", path, json=body)
    assert answer.status_code == 200, answer.text


def test_lifts_reach_the_webhook_that_had_the_restriction(bound: Path) -> None:
    async def live() -> None:
        held = service_harness.context()
        dispatcher = WebhookDispatcher(held, Random(1), QUICK)
        with listening(Receiver()) as heard:
            async with service_harness.running(bound, held=held, background=[dispatcher]) as made:
                hook = await _hook(made, heard.url, min_outcome="suspend", kinds=["states"])
                both = await _hook(
                    made, heard.url, min_outcome="ban", kinds=["decisions", "states"]
                )
                assert (hook["kinds"], both["kinds"]) == (["states"], ["decisions", "states"])
                ways: list[dict[str, Any]] = [
                    {"verdict": "benign", "by": "appeal"},
                    {"verdict": "undetermined", "outcome": "allow"},
                    {"verdict": "undetermined", "outcome": "limit", "hold_s": 3600},
                ]
                for account, lift in zip(("ann", "bob", "eve"), ways, strict=True):
                    await _override(made, account, verdict="undetermined", outcome="ban")
                    await _override(made, account, **lift)
                # A restriction that neither had is lifted without their hearing of it.
                await _override(made, "dan", verdict="undetermined", outcome="restrict")
                await _override(made, "dan", verdict="benign")
                await _until(lambda: len(heard.requests) >= 18)
                await _until(lambda: not dispatcher.in_flight)
        bodies = [json.loads(body) for _, body in heard.requests]
        states = [b for b in bodies if b["webhook"] == hook["id"]]
        assert {b["type"] for b in states} == {"state.changed"}
        told = sorted(
            (b["data"]["number"], b["data"]["account"], b["data"]["outcome"]) for b in states
        )
        assert told == [
            (1, "ann", "ban"),
            (2, "ann", "allow"),
            (3, "bob", "ban"),
            (4, "bob", "allow"),
            (5, "eve", "ban"),
            (6, "eve", "limit"),
        ]
        limited = next(b["data"] for b in states if b["data"]["number"] == 6)
        assert limited["until_ms"] > 0
        others = [b for b in bodies if b["webhook"] == both["id"]]
        assert sorted(b["type"] for b in others) == ["decision.made"] * 6 + ["state.changed"] * 6
        ids = {
            (b["webhook"], h["webhook-id"])
            for (h, _), b in zip(heard.requests, bodies, strict=True)
        }
        assert len(ids) == 18

    asyncio.run(live())


def test_lifts_without_a_decision_reach_who_was_told(bound: Path) -> None:
    """Enforcement begins: what was found in shadow is lifted, and nothing in the log says so."""

    async def live() -> None:
        held = service_harness.context()
        dispatcher = WebhookDispatcher(held, Random(1), QUICK)
        with listening(Receiver()) as heard:
            async with service_harness.running(bound, held=held, background=[dispatcher]) as made:
                made.service.switch = switch = service_harness.switch_of(bound)
                decisions = await _hook(made, heard.url, min_outcome="ban")
                states = await _hook(made, heard.url, min_outcome="limit", kinds=["states"])
                both = await _hook(
                    made, heard.url, min_outcome="limit", kinds=["decisions", "states"]
                )
                missed = await _hook(made, heard.url, min_outcome="ban")
                await _override(made, "ann", verdict="undetermined", outcome="ban")
                await _override(made, "ben", verdict="undetermined", outcome="limit", hold_s=3600)
                await _until(lambda: len(heard.requests) >= 8)
                await _disable(missed["id"])
                await switch(made.service, enforce=True)
                lifts = {each["id"]: ["ann", "ben"] for each in (states, both)}
                lifts[decisions["id"]] = ["ann"]
                await _until(lambda: len(heard.requests) >= 8 + 5)
                assert _lifted(heard) == lifts
                # Who was not sent to meanwhile is sent what it has missed.
                path = f"/v1/webhooks/{missed['id']}/enable"
                answer = await made.ask("POST", path, json={"reason": BECAUSE})
                assert answer.status_code == 200, answer.text
                await _until(lambda: missed["id"] in _lifted(heard))
                await _until(lambda: not dispatcher.in_flight)
                # Nobody hears of it twice, nor of what it was not sent before.
                await _override(made, "eve", verdict="undetermined", outcome="ban")
                await _until(lambda: any(b["data"]["account"] == "eve" for b in _bodies(heard)))
        assert _lifted(heard) == lifts | {missed["id"]: ["ann"]}
        told = [body for body in _bodies(heard) if body["data"]["outcome"] == "allow"]
        assert {(body["type"], body["data"]["number"]) for body in told} == {("state.changed", 2)}

    asyncio.run(live())


def _bodies(heard: Receiver) -> list[Any]:
    return [json.loads(body) for _, body in list(heard.requests)]


def _lifted(heard: Receiver) -> dict[str, list[str]]:
    """The accounts that each webhook was told are allowed."""
    found: dict[str, list[str]] = {}
    for body in _bodies(heard):
        if body["data"]["outcome"] == "allow":
            found.setdefault(body["webhook"], []).append(body["data"]["account"])
    return {webhook: sorted(accounts) for webhook, accounts in found.items()}


async def _disable(webhook: str) -> None:
    def disable() -> None:
        StoredWebhook.objects.filter(id=webhook).update(disabled_ms=1)

    await asyncio.to_thread(closing_connection(disable))


def test_webhook_from_before_kinds_is_still_authentic(bound: Path) -> None:
    made = {"url": "https://receiver.example/", "min_outcome": "ban", "created_ms": 0, "cursor": 0}
    plain = StoredWebhook(id="hook_1", **made)
    other = StoredWebhook(id="hook_2", kinds="states", **made)
    values = [plain.id, plain.url, "ban", 0, 1, 0, 0]
    assert plain.authenticated_values() == values
    assert other.authenticated_values() == ["hook_2", *values[1:], "states"]
    other.save()
    StoredWebhook.objects.update(kinds="decisions")
    assert not StoredWebhook.objects.get().is_authentic


@pytest.mark.parametrize("kinds", [[], ["all"], "states", ["states", "states", "states"]])
def test_webhook_of_unknown_kinds_is_refused(bound: Path, kinds: Any) -> None:
    async def live() -> None:
        async with service_harness.running(bound) as made:
            body = {"url": "http://127.0.0.1/", "reason": BECAUSE, "kinds": kinds}
            assert (await made.ask("POST", "/v1/webhooks", json=body)).status_code == 422

    asyncio.run(live())


def test_failed_delivery_is_retried_dead_lettered_and_replayed(
    bound: Path,
) -> None:
    async def live() -> None:
        held = service_harness.context()
        with listening(Receiver()) as heard:
            heard.answers = [500, 302, 500]
            dispatcher = WebhookDispatcher(held, Random(1), QUICK)
            async with service_harness.running(bound, held=held, background=[dispatcher]) as made:
                hook = await _hook(made, heard.url, min_outcome="ban")
                await made.send(abuser())
                dead: list[Any] = []

                async def look() -> bool:
                    path = f"/v1/webhooks/{hook['id']}/dead"
                    dead[:] = (await made.ask("GET", path)).json()["deliveries"]
                    return bool(dead)

                async with asyncio.timeout(20):
                    while not await look():
                        await asyncio.sleep(0.05)
                assert len(heard.requests) == 3
                assert len({h["webhook-id"] for h, _ in heard.requests}) == 1
                assert len({b for _, b in heard.requests}) == 1
                assert (dead[0]["attempts"], dead[0]["last_status"]) == (3, 500)
                path = f"/v1/webhooks/{hook['id']}/replay"
                answer = await made.ask("POST", path, json={"reason": BECAUSE})
                assert answer.json()["replayed"] == 1
                await _until(lambda: len(heard.requests) == 4)
                await _until(lambda: not dispatcher.in_flight)
                assert not await look()
                answer = await made.ask("POST", path, json={"reason": BECAUSE, "since": 0})
                assert answer.json()["cursor"] == 0
                await _until(lambda: len(heard.requests) == 5)
            assert len({h["webhook-id"] for h, _ in heard.requests}) == 1

    asyncio.run(live())


def test_pending_deliveries_survive_a_restart(
    bound: Path,
) -> None:
    async def live() -> None:
        with listening(Receiver()) as heard:
            async with service_harness.running(bound) as made:
                hook = await _hook(made, heard.url)
                await made.send(abuser())
            assert heard.requests == []
            held = service_harness.context()
            dispatcher = WebhookDispatcher(held, Random(1), QUICK)
            async with service_harness.running(bound, held=held, background=[dispatcher]):
                await _until(lambda: heard.requests)
                await _until(lambda: not dispatcher.in_flight)
            assert Webhook(hook["secret"]).verify(
                heard.requests[0][1].decode(), heard.requests[0][0]
            )

    asyncio.run(live())


def test_rotated_secrets_both_sign_during_grace(
    bound: Path,
) -> None:
    async def live() -> None:
        held = service_harness.context()
        dispatcher = WebhookDispatcher(held, Random(1), QUICK)
        with listening(Receiver()) as heard:
            async with service_harness.running(bound, held=held, background=[dispatcher]) as made:
                first = await _hook(made, heard.url, min_outcome="ban")
                path = f"/v1/webhooks/{first['id']}/rotate"
                body = {"reason": BECAUSE, "grace_s": 3600}
                second = (await made.ask("POST", path, json=body)).json()
                await made.send(abuser())
                await _until(lambda: len(heard.requests) == 1)
                third = (await made.ask("POST", path, json=body | {"grace_s": 0})).json()
                await made.send(abuser(account="bob", ts=1_767_222_060_000))
                await _until(lambda: len(heard.requests) == 2)
        secrets = [one["secret"] for one in (first, second, third)]
        assert len(set(secrets)) == 3
        verified = [[_verifies(s, *one) for s in secrets] for one in heard.requests]
        assert verified == [[True, True, False], [False, False, True]]

    asyncio.run(live())


def _verifies(secret: str, headers: dict[str, str], body: bytes) -> bool:
    try:
        Webhook(secret).verify(body.decode(), headers)
    except Exception:
        return False
    return True


def test_endless_response_is_cut_off(bound: Path) -> None:
    async def live() -> None:
        held = service_harness.context()
        dispatcher = WebhookDispatcher(held, Random(1), QUICK)
        with listening(Receiver()) as heard:
            heard.slow = True
            async with service_harness.running(bound, held=held, background=[dispatcher]) as made:
                hook = await _hook(made, heard.url, min_outcome="ban")
                await made.send(abuser())
                await _until(lambda: len(heard.requests) == QUICK.attempts)
                await _until(lambda: not dispatcher.in_flight)
                dead = (await made.ask("GET", f"/v1/webhooks/{hook['id']}/dead")).json()[
                    "deliveries"
                ]
                assert dead[0]["last_status"] is None
                assert dead[0]["last_error"]

    asyncio.run(live())


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/x",
        "http://169.254.169.254/latest",
        "http://[::1]/",
        "http://10.0.0.8/",
        "http://localhost/",
        "http://0x7f.1/",
        "https://user:secret@127.0.0.1/",
    ],
)
def test_webhook_to_private_address_is_refused(url: str, tmp_path: Path) -> None:
    async def live() -> None:
        held = service_harness.context()
        held.allow_private_webhooks = False
        async with service_harness.running(tmp_path, held=held) as made:
            body = {"url": url, "reason": BECAUSE}
            answer = await made.ask("POST", "/v1/webhooks", json=body)
            assert answer.status_code == 422
            assert url not in answer.text

    with service_harness.migrated("sqlite", tmp_path):
        asyncio.run(live())


def test_removed_webhook_gets_no_deliveries(bound: Path) -> None:
    async def live() -> None:
        held = service_harness.context()
        dispatcher = WebhookDispatcher(held, Random(1), QUICK)
        with listening(Receiver()) as heard:
            async with service_harness.running(bound, held=held, background=[dispatcher]) as made:
                hook = await _hook(made, heard.url)
                path = f"/v1/webhooks/{hook['id']}"
                answer = await made.ask("DELETE", f"{path}?reason={BECAUSE}")
                assert answer.status_code == 204
                assert (await made.ask("GET", f"{path}/dead")).status_code == 404
                await made.send(abuser())
                await asyncio.sleep(0.3)
            assert heard.requests == []
            assert json.loads(answer.text or "null") is None

    asyncio.run(live())
