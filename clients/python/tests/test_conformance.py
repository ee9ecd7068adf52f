"""The vectors that all clients share: see clients/conformance/README.md."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wavebreak_client import (
    ContentError,
    EventError,
    ReplayWindow,
    SettingsError,
    WebhookError,
    build_event,
)
from wavebreak_client.breaker import Breaker
from wavebreak_client.business import Send, read_answers, sends_body
from wavebreak_client.delivery import read_answer
from wavebreak_client.errors import NEVER
from wavebreak_client.event_queue import EventQueue
from wavebreak_client.server_clock import REPORTED_MS, ServerClock
from wavebreak_client.sse import EventStreamReader
from wavebreak_client.states import StateCache
from wavebreak_client.verdicts import judge, read_on_failure
from wavebreak_client.webhooks import verify_webhook

VECTORS = Path(__file__).resolve().parents[2] / "conformance"


def vectors(name: str) -> pytest.MarkDecorator:
    lines = (VECTORS / f"{name}.jsonl").read_text(encoding="utf-8").split("\n")
    rows = [json.loads(line) for line in lines if line]
    assert len(rows) >= 8
    return pytest.mark.parametrize("row", rows, ids=[row["name"] for row in rows])


@vectors("events")
def test_event_is_built_or_refused_as_listed(row: dict[str, Any]) -> None:
    if "out" in row:
        assert build_event(row["in"]).to_json() == row["out"]
        return
    with pytest.raises(EventError) as caught:
        build_event(row["in"])
    assert caught.value.field == row["error"]["field"]
    assert isinstance(caught.value, ContentError) == row["error"]["content"]
    assert (NEVER in str(caught.value)) == row["error"]["content"]
    assert "canary" not in str(caught.value)


@vectors("webhooks")
def test_webhook_is_verified_as_listed(row: dict[str, Any]) -> None:
    seen = ReplayWindow()
    now = [0.0]
    for each in row["deliveries"]:
        now[0] = each["now_s"]
        try:
            read = verify_webhook(
                row["secrets"],
                each["headers"],
                each["body"].encode(),
                row["tolerance_s"],
                seen=seen,
                clock=lambda: now[0],
            )
            result = "ok" if read == json.loads(each["body"]) else "another body"
        except WebhookError as error:
            result = error.cause
        assert result == each["result"]


@pytest.mark.parametrize(
    "tolerance_s", [float("nan"), float("inf"), -1, -float("inf"), True, "300", None]
)
def test_tolerance_that_is_no_number_of_seconds_is_refused(tolerance_s: Any) -> None:
    old = {"webhook-id": "m", "webhook-timestamp": "1", "webhook-signature": "v1,AAAA"}
    secret = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
    with pytest.raises(SettingsError, match="tolerance_s is no number of seconds"):
        verify_webhook(secret, old, b"{}", tolerance_s)
    with pytest.raises(WebhookError, match="too old"):
        verify_webhook(secret, old, b"{}", 0)
    with pytest.raises(WebhookError):
        verify_webhook(secret, old, b"{}", clock=lambda: float("nan"))


def filled(row: dict[str, Any], monotonic_ms: Callable[[], float]) -> StateCache:
    """Return a cache after a snapshot and a stream."""
    cache, reader = StateCache(monotonic_ms), EventStreamReader()
    if row["pages"] is not None:
        cache.start_snapshot(row["pages"][0]["number"])
        for page in row["pages"]:
            cache.add_page(page)
        cache.finish_snapshot()
    for chunk in row["stream"]:
        cache.heard()
        for message in reader.feed(chunk.encode()):
            cache.apply(message)
    return cache


@vectors("states")
def test_states_are_folded_as_listed(row: dict[str, Any]) -> None:
    cache = filled(row, lambda: 0)
    for check in row["checks"]:
        state = cache.state(check["account"], check["server_ms"])
        found = {"outcome": state.outcome, "until_ms": state.until_ms}
        assert found == {name: check[name] for name in found}
    assert cache.number == row["number"]
    cache.prune(row["checks"][-1]["server_ms"])
    last = row["checks"][-1]
    assert cache.state(last["account"], last["server_ms"]).outcome == last["outcome"]


@vectors("needs_asking")
def test_needs_asking_is_answered_as_listed(row: dict[str, Any]) -> None:
    now = [0.0]
    cache = filled(row, lambda: now[0])
    now[0] = row["quiet_s"] * 1000
    for check in row["checks"]:
        asks = cache.needs_asking(
            check["account"], opens_chat=check["opens_chat"], server_ms=check["server_ms"]
        )
        assert asks == check["asks"], check


@vectors("failures")
def test_failure_of_an_attempt_ends_as_listed(row: dict[str, Any]) -> None:
    events = tuple(map(build_event, row["events"]))
    answer = row["answer"] or {"status": 0, "body": ""}
    table, shadow = read_on_failure(row["on_failure"]), row["mode"] == "shadow"
    verdict, answered = judge(
        answer["status"], answer["body"].encode(), events, table, shadow=shadow
    )
    found = {name: getattr(verdict, name) for name in row["verdict"]}
    lists = {name: list(value) for name, value in found.items() if isinstance(value, tuple)}
    assert found | lists == row["verdict"]
    assert verdict.account == "a"
    assert ("succeeded" if answered else "failed") == row["breaker"]


@vectors("batches")
def test_events_are_split_into_batches_as_listed(row: dict[str, Any]) -> None:
    queue = EventQueue(
        batch_events=row["batch_events"], batch_bytes=row["batch_bytes"], monotonic_ms=lambda: 0
    )
    for size in row["sizes"]:
        assert queue.put({"type": "x" * (size - 11)})
    counts = []
    while batch := queue.take():
        assert len(batch.body) <= row["batch_bytes"]
        counts.append(len(batch.lines))
        queue.settle(batch)
    assert counts == row["batches"]
    assert (len(queue), queue.bytes) == (0, 0)


@vectors("answers")
def test_answer_to_a_batch_is_read_as_listed(row: dict[str, Any]) -> None:
    outcome = read_answer(row["status"], row["body"].encode())
    names = ("action", "accepted", "late", "duplicates", "refused")
    assert {name: getattr(outcome, name) for name in names} == {n: row[n] for n in names}


@vectors("breaker")
def test_breaker_opens_and_closes_as_listed(row: dict[str, Any]) -> None:
    now = [0.0]
    breaker = Breaker(lambda: now[0])
    for step in row["steps"]:
        now[0] = step["at_ms"] / 1000
        if step["do"] == "ask":
            assert breaker.allows() == step["allowed"], step
        else:
            getattr(breaker, step["do"])()


@vectors("clock")
def test_clock_offset_is_estimated_as_listed(row: dict[str, Any]) -> None:
    clock = ServerClock()
    for each in row["samples"]:
        clock.observe(each["date"], sent_ms=each["sent_ms"], received_ms=each["received_ms"])
    assert clock.offset_ms == row["offset_ms"]
    assert clock.event_ms(row["now_ms"]) == row["event_ms"]
    assert (abs(clock.offset_ms) > REPORTED_MS) == row["reported"]


@vectors("sends")
def test_sends_are_asked_and_their_answers_read_as_listed(row: dict[str, Any]) -> None:
    listed = row.get("sends") or []
    sends = [Send(**each) for each in listed]
    if "count" in row:
        sends = [Send(str(n), "n1", "a") for n in range(row["count"])]
    if not row["asks"]:
        with pytest.raises(SettingsError, match="give 1 to 500 sends"):
            sends_body("shop", sends)
        return
    body = sends_body("shop", sends)
    assert body["portfolio"] == "shop"
    assert len(body["sends"]) == len(sends)
    assert not listed or body["sends"] == listed
    if row["answers"] is None:
        with pytest.raises(ValueError, match="answer"):
            read_answers(row["answer"], sends)
        return
    assert [vars(each) for each in read_answers(row["answer"], sends)] == row["answers"]
