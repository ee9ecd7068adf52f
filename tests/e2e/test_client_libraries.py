"""The Python client against a real service: the log has each event once, states follow."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from wavebreak_client import Client, WebhookError, verify_webhook
from wavebreak_client.events import AccountRegistered, ContactRequested, MessageSent

from support.service_process import Server, serving
from support.webhook_receiver import Receiver, listening

ACCOUNTS = 40


def wait_until(holds: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():
            return
        time.sleep(0.02)
    raise AssertionError("what was waited for did not happen")


def is_applied(server: Server, events: int) -> bool:
    return server.rows("SELECT position FROM log_applied") == [(events,)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("client") / "home"
    with serving(home, "--enforce", "--private-webhooks", keyed=True) as running:
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    url = f"http://127.0.0.1:{server.port}"
    with Client(url, server.first_key(), timeout_s=10) as made:
        yield made


def override(server: Server, account: str, **change: object) -> None:
    key = f"Bearer {server.first_key()}"
    body = json.dumps({"reason": "because a test asks", **change}).encode()
    answer = server.post(body, f"/v1/accounts/{account}/override", authorization=key)
    assert answer.status == 200, answer.body


def test_thousand_events_are_in_the_log_once(server: Server, client: Client) -> None:
    for number in range(ACCOUNTS):
        assert client.tell(AccountRegistered(account=f"a{number}", ip="198.51.100.7"))
    for number in range(1000 - ACCOUNTS):
        sender, peer = number % ACCOUNTS, (number * 7 + 1) % ACCOUNTS
        assert client.tell(MessageSent(account=f"a{sender}", peer=f"b{peer}", size=100 + number))
    assert client.flush(60)
    counts = client.health().counts
    assert (counts["accepted"], counts["refused"], counts["late"]) == (1000, 0, 0)
    wait_until(partial(is_applied, server, 1000))


def test_attempt_that_is_allowed_is_logged_later(server: Server, client: Client) -> None:
    wait_until(lambda: client.health().states_fresh)
    before = server.rows("SELECT position FROM log_applied")[0][0]
    verdict = client.attempt(MessageSent(account="a1", peer="new", size=90))
    assert (verdict.answered, verdict.allowed, verdict.mode) == (True, True, "attempt")
    assert client.tell(*verdict.events)
    assert client.flush(60)
    wait_until(partial(is_applied, server, before + 1))
    assert client.health().counts["accepted"] == 1


def test_attempts_of_one_account_are_answered_together(client: Client) -> None:
    requests = [ContactRequested(account="a2", peer=f"p{n}", via="username") for n in range(5)]
    verdict = client.attempt(requests)
    assert verdict.answered
    assert verdict.account == "a2"
    assert len(verdict.events) == 5


def test_question_in_shadow_is_answered(server: Server) -> None:
    url = f"http://127.0.0.1:{server.port}"
    with Client(url, server.first_key(), mode="shadow", timeout_s=10) as shadow:
        verdict = shadow.attempt(MessageSent(account="a1", peer="newer", size=90))
        assert (verdict.answered, verdict.allowed, verdict.mode) == (True, True, "ask")


def test_state_follows_an_override_and_its_lift(server: Server, client: Client) -> None:
    client.tell(AccountRegistered(account="watched"))
    assert client.flush(60)
    wait_until(lambda: client.health().states_fresh)
    assert not client.needs_asking("watched", opens_chat=False)
    override(server, "watched", verdict="undetermined", outcome="suspend", hold_s=3600)
    wait_until(lambda: client.state("watched").outcome == "suspend")
    assert client.needs_asking("watched", opens_chat=False)
    assert client.fetch_states(["watched", "nobody"])[0].outcome == "suspend"
    verdict = client.attempt(MessageSent(account="watched", peer="a1"))
    assert (verdict.answered, verdict.allowed, verdict.outcome) == (True, False, "suspend")
    assert verdict.notice is not None
    assert set(verdict.notice) >= {"en", "he"}
    override(server, "watched", verdict="benign")
    wait_until(lambda: client.state("watched").outcome == "allow")
    assert client.fetch_states(["nobody", "watched"])[1].outcome == "allow"


def test_webhook_of_the_service_is_verified(server: Server, client: Client) -> None:
    with listening(Receiver()) as receiver:
        key = f"Bearer {server.first_key()}"
        body = json.dumps({"url": receiver.url, "reason": "because a test asks"}).encode()
        made = server.post(body, "/v1/webhooks", authorization=key)
        assert made.status == 201, made.body
        client.tell(AccountRegistered(account="reported"))
        assert client.flush(60)
        override(server, "reported", verdict="undetermined", outcome="ban")
        wait_until(lambda: receiver.requests)
        headers, content = receiver.requests[0]
        message = verify_webhook(made.json()["secret"], headers, content)
        assert message["data"]["account"] == "reported"
        override(server, "reported", verdict="benign")
        wait_until(lambda: len(receiver.requests) > 1)
        lift = verify_webhook(made.json()["secret"], *receiver.requests[1])
        assert (lift["data"]["account"], lift["data"]["outcome"]) == ("reported", "allow")
        with pytest.raises(WebhookError, match="seen before"):
            verify_webhook(made.json()["secret"], headers, content)
        with pytest.raises(WebhookError, match="no signature fits"):
            verify_webhook(made.json()["secret"], headers, content + b" ")


def test_wrong_key_is_reported_and_holds_events(server: Server, tmp_path: Path) -> None:
    url, spool = f"http://127.0.0.1:{server.port}", tmp_path / "spool.jsonl"
    wrong = server.first_key()[:-4] + "0000"
    with Client(url, wrong, timeout_s=10, spool=spool) as refused:
        assert refused.attempt(AccountRegistered(account="held")).allowed
        assert refused.tell(AccountRegistered(account="held"))
        wait_until(lambda: refused.health().unauthorized)
        assert not refused.close(0.5)
    with Client(url, server.first_key(), spool=spool) as right:
        assert right.flush(60)
        assert right.health().counts["accepted"] == 1
