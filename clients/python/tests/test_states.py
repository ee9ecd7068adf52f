"""The cache of states holds what the service holds, whatever was decided meanwhile."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wavebreak_client.server_clock import ServerClock
from wavebreak_client.sse import EventStreamReader
from wavebreak_client.states import CALM, OUTCOMES, StateCache


class Decisions:
    """The service's side: decisions by number, pages of what is in force, the stream's bytes."""

    def __init__(self, seed: int, accounts: int = 50) -> None:
        self.random, self.accounts = random.Random(seed), accounts
        self.made: list[dict[str, Any]] = []
        self.now_ms = 0

    def decide(self, count: int) -> None:
        for _ in range(count):
            self.now_ms += self.random.randrange(100)
            ends = self.random.random() < 0.5
            self.made.append(
                {
                    "account": f"a{self.random.randrange(self.accounts)}",
                    "outcome": self.random.choice(OUTCOMES),
                    "until_ms": self.now_ms + self.random.randrange(5000) if ends else None,
                    "number": len(self.made) + 1,
                }
            )

    def in_force(self) -> dict[str, str]:
        newest = {each["account"]: each for each in self.made}
        return {
            account: each["outcome"]
            for account, each in newest.items()
            if each["outcome"] != "allow"
            and (each["until_ms"] is None or each["until_ms"] > self.now_ms)
        }

    def page(self, since: int, limit: int) -> dict[str, Any]:
        in_force, newest = self.in_force(), {each["account"]: each for each in self.made}
        states = sorted((newest[account] for account in in_force), key=lambda s: s["number"])
        states = [each for each in states if each["number"] > since]
        following = states[limit - 1]["number"] if len(states) > limit else None
        return {"states": states[:limit], "next": following, "number": len(self.made)}

    def stream(self, since: int) -> bytes:
        return b"".join(
            f"event: state\nid: {each['number']}\ndata: {json.dumps(each)}\n\n".encode()
            for each in self.made[since:]
        )


def follow(service: Decisions, cache: StateCache, limit: int, between: int, cut: int) -> None:
    """Take a snapshot while decisions go on, then the stream, which breaks and resumes."""
    page = service.page(0, limit)
    cache.start_snapshot(page["number"])
    cache.add_page(page)
    while page["next"] is not None:
        service.decide(min(between, limit // 2))
        page = service.page(page["next"], limit)
        cache.add_page(page)
    cache.finish_snapshot()
    service.decide(between)
    for _ in range(2):
        reader, sent = EventStreamReader(), service.stream(cache.number)
        for start in range(0, len(sent) - cut, 100):
            for message in reader.feed(sent[start : min(start + 100, len(sent) - cut)]):
                cache.apply(message)
        cut = 0


def held(cache: StateCache, service: Decisions) -> dict[str, str]:
    return {state.account: state.outcome for state in cache.held(service.now_ms)}


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1 << 30),
    before=st.integers(0, 200),
    limit=st.integers(1, 20),
    between=st.integers(0, 20),
    cut=st.integers(0, 300),
)
def test_cache_equals_the_service_after_any_snapshot(
    seed: int, before: int, limit: int, between: int, cut: int
) -> None:
    service, cache = Decisions(seed), StateCache(lambda: 0)
    service.decide(before)
    follow(service, cache, limit, between, cut)
    assert held(cache, service) == service.in_force()
    assert cache.number == len(service.made)
    for account in service.in_force():
        assert cache.needs_asking(account, opens_chat=False, server_ms=service.now_ms) == (
            service.in_force()[account] not in CALM
        )


def test_cache_equals_the_service_after_10000_decisions() -> None:
    service, cache = Decisions(22, accounts=700), StateCache(lambda: 0)
    service.decide(5000)
    follow(service, cache, 50, 100, 77)
    reader = EventStreamReader()
    since = len(service.made)
    service.decide(10_000 - since)
    for message in reader.feed(service.stream(since)):
        cache.apply(message)
    assert len(service.made) == 10_000
    assert held(cache, service) == service.in_force()
    cache.prune(service.now_ms)
    assert held(cache, service) == service.in_force()


@pytest.mark.parametrize(
    "state",
    [
        None,
        [],
        {"account": "a"},
        {"account": 7, "outcome": "ban", "number": 1},
        {"account": "a", "outcome": "shun", "number": 1},
        {"account": "a", "outcome": "ban", "number": "1"},
        {"account": "a", "outcome": "ban", "number": 1, "until_ms": "soon"},
    ],
)
def test_state_that_is_not_readable_is_refused(state: object) -> None:
    cache = StateCache(lambda: 0)
    cache.start_snapshot(0)
    with pytest.raises(ValueError, match="state"):
        cache.add_page({"states": [state]})


def test_stream_line_without_end_is_refused() -> None:
    reader = EventStreamReader()
    with pytest.raises(ValueError, match="too long"):
        list(reader.feed(b"data: " + b"x" * (2 << 20)))


def test_end_is_read_by_the_services_time_beyond_noise() -> None:
    clock = ServerClock()
    clock.observe("Thu, 01 Jan 1970 00:01:00 GMT", sent_ms=61_500, received_ms=61_510)
    assert clock.server_ms(70_000) == 70_000
    clock.observe("Thu, 01 Jan 1970 00:01:00 GMT", sent_ms=70_000, received_ms=70_010)
    assert clock.server_ms(70_000) == 60_494
