"""The clients against a service with faults: attempts, states, health, settings, logs."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import pickle
import time
from collections.abc import Iterator
from typing import Any

import pytest

from fake_service import Answering, FakeService, fake_service, wait_until
from wavebreak_client import (
    AsyncClient,
    Client,
    ContentError,
    EventError,
    ServiceError,
    SettingsError,
    UnknownFieldError,
)
from wavebreak_client.events import TYPES, AccountRegistered, GroupMemberAdded, MessageSent

MESSAGE = MessageSent(account="@mallory:example.org", peer="@bob:example.org", size=212)
CLOSED = "http://127.0.0.1:9"


@pytest.fixture
def service() -> Iterator[FakeService]:
    with fake_service() as made:
        yield made


def silent(answering: Answering, _body: bytes) -> bool:
    """Answer nothing for longer than an attempt waits."""
    time.sleep(1)
    answering.drop()
    return True


def status(code: int, path: str = "/v1/decide", **headers: str) -> Any:
    def fault(answering: Answering, _body: bytes) -> bool:
        if answering.path.startswith(path):
            answering.reply(code, {"title": "so", "status": code}, **headers)
            return True
        return False

    return fault


def test_event_with_a_field_of_no_schema_cannot_be_built() -> None:
    assert len(TYPES) >= 23
    for kind in TYPES.values():
        with pytest.raises(ContentError, match="message content is never accepted"):
            kind(account="a", body="hello")
        with pytest.raises(UnknownFieldError, match="has no such field"):
            kind(account="a", colour="red")
    with pytest.raises(dataclasses.FrozenInstanceError):
        MESSAGE.size = 3  # type: ignore[misc]


def test_event_survives_pickling_and_replacement() -> None:
    assert pickle.loads(pickle.dumps(MESSAGE)) == MESSAGE
    assert dataclasses.replace(MESSAGE, size=7).to_json()["size"] == 7
    with pytest.raises(EventError):
        dataclasses.replace(MESSAGE, size=-7)


def test_events_are_delivered_once_with_id_and_time(service: FakeService) -> None:
    with Client(service.url, service.key) as client:
        before = time.time_ns() // 1_000_000
        assert client.tell(MESSAGE, MESSAGE.to_json())
        assert client.tell(MessageSent(account="a", peer="b", id="mine", ts=7))
        assert client.flush(20)
        assert client.health().counts["accepted"] == 3
    assert [each["size"] for each in service.log[:2]] == [212, 212]
    assert len({each["id"] for each in service.log}) == 3
    assert service.log[0]["ts"] >= before
    assert (service.log[2]["id"], service.log[2]["ts"]) == ("mine", 7)


def test_tell_refuses_all_events_where_one_is_wrong(service: FakeService) -> None:
    with Client(service.url, service.key) as client:
        with pytest.raises(EventError):
            client.tell(MESSAGE, {"type": "message.sent", "account": "a"})
        with pytest.raises(EventError):
            client.tell("message")  # type: ignore[arg-type]
        assert client.health().queued == 0


def test_attempt_returns_the_verdict_and_its_events(service: FakeService) -> None:
    service.verdict = {
        "outcome": "limit",
        "allowed": False,
        "until": 90_000,
        "retry_after_ms": 60_000,
        "rules": ["cold_burst"],
        "notice": {"en": "New chats are limited."},
        "refused": [1],
    }
    invitations = [GroupMemberAdded(account="a", group="g", peer=peer) for peer in "bc"]
    with Client(service.url, service.key) as client:
        verdict = client.attempt(invitations)
        single = client.attempt(MESSAGE)
    assert (verdict.outcome, verdict.allowed, verdict.refused) == ("limit", False, (1,))
    assert verdict.answered
    assert verdict.mode == "attempt"
    assert verdict.notice == {"en": "New chats are limited."}
    ids = [each.to_json()["id"] for each in verdict.events]
    assert len(set(ids)) == 2
    assert [each[1] for each in service.asked("/v1/decide")] == ["/v1/decide?mode=attempt"] * 2
    assert service.asked("/v1/decide")[0][3].startswith(b"[")
    assert single.events[0].to_json()["id"].encode() in service.asked("/v1/decide")[1][3]


def test_attempt_in_shadow_asks_and_allows(service: FakeService) -> None:
    service.verdict = {"outcome": "ban", "allowed": False}
    with Client(service.url, service.key, mode="shadow") as client:
        verdict = client.attempt(MESSAGE)
    assert (verdict.outcome, verdict.allowed) == ("ban", True)
    assert service.asked("/v1/decide")[0][1] == "/v1/decide?mode=ask"


def test_attempt_of_two_accounts_or_of_none_is_refused(service: FakeService) -> None:
    with Client(service.url, service.key) as client:
        for events in ([], [MESSAGE, MessageSent(account="b", peer="c")], [MESSAGE] * 51):
            with pytest.raises(EventError):
                client.attempt(events)
    assert service.asked("/v1/decide") == []


def test_attempt_without_an_answer_ends_by_the_table(service: FakeService) -> None:
    service.fault = silent
    with Client(service.url, service.key, follow_states=False) as client:
        verdicts = [client.attempt(MESSAGE), client.attempt(AccountRegistered(account="a"))]
    assert [(v.allowed, v.mode) for v in verdicts] == [(True, "on_failure"), (False, "on_failure")]
    assert not verdicts[0].answered


def test_breaker_opens_after_three_failures(service: FakeService) -> None:
    service.fault = status(503)
    with Client(service.url, service.key) as client:
        for _ in range(5):
            assert client.attempt(MESSAGE).allowed
        assert len(service.asked("/v1/decide")) == 3
        assert client.health().breaker == "open"
        assert client.health().counts["skipped"] == 2
        service.fault = lambda _answering, _body: False
        wait_until(lambda: client.attempt(MESSAGE).answered)
        assert client.health().breaker == "closed"


@pytest.mark.parametrize("code", [401, 403])
def test_refused_key_never_closes_and_is_logged(
    service: FakeService, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    service.fault = status(code)
    with caplog.at_level(logging.INFO), Client(service.url, service.key) as client:
        for _ in range(10):
            assert client.attempt(AccountRegistered(account="@mallory:example.org")).allowed
        health = client.health()
    assert health.unauthorized
    assert not health.ok
    assert any("key" in problem for problem in health.problems)
    errors = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert len(errors) == 1
    assert len(service.asked("/v1/decide")) == 10


def test_logs_name_no_account(service: FakeService, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), Client(service.url, service.key) as client:
        client.tell(MESSAGE, MessageSent(account="refused", peer="@bob:example.org"))
        client.attempt(MESSAGE)
        service.fault = status(422)
        client.attempt(MESSAGE)
        client.flush(20)
    shown = "\n".join(each.getMessage() for each in caplog.records)
    assert "refused 1 event" in shown
    assert "mallory" not in shown
    assert "bob" not in shown
    assert "212" not in shown


def test_refused_events_are_lost_alone(service: FakeService) -> None:
    with Client(service.url, service.key) as client:
        client.tell(*[MessageSent(account=name, peer="p") for name in ("a", "refused", "b")])
        assert client.flush(20)
        client.tell(MessageSent(account="refused", peer="p"))
        assert client.flush(20)
        counts = client.health().counts
    assert [each["account"] for each in service.log] == ["a", "b"]
    assert (counts["accepted"], counts["refused"]) == (2, 2)


def test_batch_spoiled_by_one_event_is_split(service: FakeService) -> None:
    def spoiled(answering: Answering, body: bytes) -> bool:
        if b'"spoiler"' in body:
            answering.reply(400, {"title": "Bad request"})
            return True
        return False

    service.fault = spoiled
    names = [f"a{n}" for n in range(9)]
    names[4] = "spoiler"
    with Client(service.url, service.key) as client:
        client.tell(*[MessageSent(account=name, peer="p") for name in names])
        assert client.flush(20)
        assert client.health().counts["dropped_rejected"] == 1
    names.remove("spoiler")
    assert [each["account"] for each in service.log] == names


def test_wrong_key_holds_events_until_it_is_right(service: FakeService) -> None:
    service.fault = status(401, "/v1/events")
    with Client(service.url, service.key) as client:
        client.tell(MESSAGE)
        wait_until(lambda: service.asked("/v1/events"))
        wait_until(lambda: client.health().unauthorized)
        service.fault = lambda _answering, _body: False
        assert client.flush(20)
        assert not client.health().unauthorized
    assert len(service.log) == 1


def test_events_wait_where_another_service_answers(service: FakeService) -> None:
    def another(answering: Answering, _body: bytes) -> bool:
        answering.send_response(404)
        answering.send_header("Content-Type", "text/html")
        answering.send_header("Content-Length", "0")
        answering.end_headers()
        return True

    service.fault = another
    with Client(service.url, service.key) as client:
        client.tell(MESSAGE)
        wait_until(lambda: service.asked("/v1/events"))
        wait_until(lambda: any("is no Wavebreak" in each for each in client.health().problems))
        assert not client.health().unauthorized
        service.fault = lambda _answering, _body: False
        assert client.flush(20)
        # The states are asked for again, after a pause.
        wait_until(lambda: client.health().problems == ())
    assert len(service.log) == 1


def test_retry_after_is_obeyed(service: FakeService) -> None:
    service.fault = status(429, "/v1/events", Retry_After="1")
    with Client(service.url, service.key) as client:
        client.tell(MESSAGE)
        wait_until(lambda: service.asked("/v1/events"))
        service.fault = lambda _answering, _body: False
        assert not client.flush(0.3)
        assert len(service.asked("/v1/events")) == 1
        assert client.flush(20)


def test_full_queue_drops_the_newest_and_counts() -> None:
    client = Client(CLOSED, "key", max_events=10, follow_states=False)
    taken = [client.tell(MESSAGE) for _ in range(15)]
    assert taken == [True] * 10 + [False] * 5
    health = client.health()
    assert (health.queued, health.counts["dropped_full"]) == (10, 5)
    assert any("dropped" in problem for problem in health.problems)
    assert not client.close(0.1)
    assert client.health().counts["dropped_at_close"] == 10
    assert client.tell(MESSAGE) is False


def test_states_follow_snapshot_and_stream(service: FakeService) -> None:
    names = [f"bad{n}" for n in range(25)]
    service.states = [
        {"account": name, "outcome": "ban", "until_ms": None, "number": n + 1}
        for n, name in enumerate(names)
    ]
    service.number, service.page = 25, 10
    with Client(service.url, service.key) as client:
        assert client.needs_asking("calm", False)
        wait_until(lambda: client.health().states_fresh)
        assert {client.state(name).outcome for name in names} == {"ban"}
        assert client.health().states == 25
        assert not client.needs_asking("calm", False)
        assert client.needs_asking("bad7", False)
        wait_until(lambda: service.streams)
        service.publish({"account": "bad7", "outcome": "allow", "until_ms": None, "number": 26})
        wait_until(lambda: not client.needs_asking("bad7", False))
        asked = [path for _, path, _, _ in service.asked("/v1/states?")]
        assert asked == [f"/v1/states?since={n}" for n in (0, 10, 20)]
        found = client.fetch_states(["bad1", "calm"])
        assert [each.outcome for each in found] == ["ban", "allow"]


def test_stream_that_breaks_resumes_where_it_was(service: FakeService) -> None:
    with Client(service.url, service.key) as client:
        wait_until(lambda: service.streams)
        service.publish({"account": "a", "outcome": "ban", "until_ms": None, "number": 1})
        wait_until(lambda: client.state("a").outcome == "ban")
        broken = service.streams[0]
        broken.connection.shutdown(2)
        wait_until(lambda: broken not in service.streams)
        service.publish({"account": "b", "outcome": "ban", "until_ms": None, "number": 2})
        wait_until(lambda: client.state("b").outcome == "ban")
    headers = [each[2] for each in service.asked("/v1/states/stream")]
    assert [each["last-event-id"] for each in headers[:2]] == ["0", "1"]
    assert len(service.asked("/v1/states?")) == 1


def test_service_without_states_makes_every_act_asked(
    service: FakeService, caplog: pytest.LogCaptureFixture
) -> None:
    service.fault = status(404, "/v1/states")
    with Client(service.url, service.key) as client:
        wait_until(lambda: service.asked("/v1/states"))
        wait_until(lambda: caplog.records)
        assert client.needs_asking("calm", False)
        assert any("not current" in problem for problem in client.health().problems)
        with pytest.raises(ServiceError):
            client.fetch_states(["a"])


@pytest.mark.parametrize(("skew_s", "problem"), [(-120, "ahead of"), (120, "behind")])
def test_skewed_clock_is_corrected_and_reported(
    service: FakeService, skew_s: int, problem: str
) -> None:
    service.skew_s = skew_s
    with Client(service.url, service.key) as client:
        client.attempt(MESSAGE)
        client.tell(MESSAGE)
        assert client.flush(20)
        assert any(problem in each for each in client.health().problems)
    ahead_s = service.log[0]["ts"] / 1000 - time.time()
    assert abs(ahead_s - skew_s) < 30


@pytest.mark.parametrize(
    "settings",
    [
        {"url": "wavebreak"},
        {"url": "ftp://host"},
        {"key": ""},
        {"key": "two words"},
        {"mode": "loud"},
        {"timeout_s": 0},
        {"on_failure": {"messaging": "closed"}},
        {"on_failure": {"registration": "ajar"}},
        {"on_failure": {"weather": "open"}},
    ],
)
def test_setting_that_is_wrong_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="fix: "):
        Client(**{"url": CLOSED, "key": "key", **settings})


def test_async_client_does_the_same(service: FakeService) -> None:
    async def use() -> None:
        async with AsyncClient(service.url, service.key) as client:
            client.tell(MESSAGE)
            verdict = await client.attempt(MESSAGE)
            assert verdict.allowed
            client.tell(*verdict.events)
            assert await client.flush(20)
            assert [s.outcome for s in await client.fetch_states(["a"])] == ["allow"]
            assert await client.declare(["message.sent"], ["refuse"]) is False
            assert client.state("a").outcome == "allow"
        assert client.health().counts["accepted"] == 2

    asyncio.run(use())
    assert len(service.log) == 2


def test_async_attempt_that_is_cancelled_frees_the_probe(service: FakeService) -> None:
    async def use() -> None:
        async with AsyncClient(service.url, service.key, timeout_s=5) as client:
            service.fault = status(503)
            for _ in range(3):
                await client.attempt(MESSAGE)
            service.fault = silent
            while client.health().breaker != "half_open":
                await asyncio.sleep(0.05)
            probe = asyncio.ensure_future(client.attempt(MESSAGE))
            await asyncio.sleep(0.1)
            probe.cancel()
            await asyncio.gather(probe, return_exceptions=True)
            service.fault = lambda _answering, _body: False
            assert (await client.attempt(MESSAGE)).answered

    asyncio.run(use())


def test_client_that_is_closed_answers_by_the_table(service: FakeService) -> None:
    client = Client(service.url, service.key)
    client.tell(MESSAGE)
    assert client.close()
    assert client.close()
    assert client.attempt(MESSAGE).mode == "on_failure"
    assert not client.tell(MESSAGE)
    assert len(service.log) == 1
