"""Answers of a service whose decisions a job on Flink publishes, and what it refuses to answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support import service_harness
from support.banning_policy import load_banning_policy
from support.published_blocks import made as decided
from support.published_blocks import publish
from support.service_harness import Running, migrated, running
from wavebreak.engine import Engine
from wavebreak.engine.versions import engine_versions
from wavebreak_server.pipeline.new_names import TOO_MANY_NAMES
from wavebreak_server.settings import Limits

JOB = "deciding"
QUICK = Limits(owner_s=0.05, job_s=0.05)
"""No job is there to answer questions."""


class Hours:
    """The service's clock, which a test moves."""

    def __init__(self) -> None:
        self.ahead_ms = 0

    def __call__(self) -> int:
        return service_harness.now_ms() + self.ahead_ms


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    with migrated("sqlite", tmp_path):
        yield tmp_path


def run(home: Path, test: Callable[[Running], Awaitable[None]], clock: Any = None) -> None:
    async def whole() -> None:
        async with running(home, flink_job=JOB, clock=clock, limits=QUICK) as made:
            await test(made)

    asyncio.run(whole())


def event(account: str, id_: str = "m", **more: Any) -> dict[str, Any]:
    now = service_harness.now_ms()
    first = {"id": id_, "ts": now, "type": "message.sent", "account": account}
    return first | {"peer": "somebody", "in_contacts": False} | more


async def publishes(made: Running) -> None:
    """Have an event in the log, on which the job bans `ann` and limits `bob`."""
    await made.ask("POST", "/v1/events", json=[event("ann", "first")])
    versions = engine_versions(Engine(load_banning_policy()), 60)
    some = (decided("ann", "ban"), decided("bob", "limit", new_chats_1d=5))
    await asyncio.to_thread(publish, 0, 1, *some, job=JOB, versions=versions)
    await made.wait_until_applied()


async def decide(made: Running, asked: dict[str, Any], mode: str = "ask") -> Any:
    answer = await made.ask("POST", f"/v1/decide?mode={mode}", json=asked)
    return answer.json() | {"status": answer.status_code}


def test_decide_answers_from_what_is_published(home: Path) -> None:
    async def test(made: Running) -> None:
        await publishes(made)
        banned = await decide(made, event("ann"))
        assert (banned["outcome"], banned["allowed"], banned["mode"]) == ("ban", False, "ask")
        assert banned["as_of"]["position"] == 1
        assert banned["as_of"]["age_s"] == 0
        assert (await decide(made, event("eve")))["allowed"]
        assert (await decide(made, event("bob", in_contacts=True)))["allowed"]
        # How many places the limit leaves, only the job knows: nobody is let through unseen.
        opened = await decide(made, event("bob"))
        assert (opened["allowed"], opened["retry_after_ms"] > 0) == (False, True)

    run(home, test)


def test_a_recorded_act_does_not_wait_for_the_job(home: Path) -> None:
    async def test(made: Running) -> None:
        await publishes(made)
        answer = await decide(made, event("eve", "act"), "record")
        assert (answer["allowed"], answer["mode"]) == (True, "record")
        logged = await asyncio.to_thread(service_harness.logged)
        assert [one["id"] for one in logged] == ["first", "act"]

    run(home, test)


def test_an_attempt_whose_owner_is_silent_goes_by_what_is_known(home: Path) -> None:
    async def test(made: Running) -> None:
        await publishes(made)
        opened = await decide(made, event("bob"), "attempt")
        assert (opened["allowed"], opened["outcome"]) == (False, "limit")
        assert (opened["owner_away"], opened["mode"]) == (True, "attempt")
        assert "owner_away" not in await decide(made, event("bob"))
        scraped = (await made.ask("GET", "/metrics")).text
        assert "wavebreak_owner_away_total 1.0" in scraped

    run(home, test)


def test_what_waits_for_a_silent_owner_is_no_evidence(home: Path) -> None:
    async def test(made: Running) -> None:
        await publishes(made)
        asked = [await decide(made, event("bob", "again"), "attempt") for _ in range(2)]
        assert [one["allowed"] for one in asked] == [False, False]
        # Each time the owner is asked: it may allow what this service cannot judge.
        assert made.service.counts["owner_away"] == 2
        logged = await asyncio.to_thread(service_harness.logged)
        assert [one["id"] for one in logged] == ["first"]

    run(home, test)


def test_a_refused_attempt_is_in_the_log_once(home: Path) -> None:
    async def test(made: Running) -> None:
        await publishes(made)
        asked = event("ann", "tried")
        answers = [await decide(made, asked, "attempt") for _ in range(2)]
        assert answers[0] == answers[1]
        assert (answers[0]["allowed"], answers[0]["mode"]) == (False, "attempt")
        assert (await decide(made, event("eve", "passes"), "attempt"))["allowed"]
        logged = await asyncio.to_thread(service_harness.logged)
        assert [(one["id"], one["attempted"]) for one in logged] == [
            ("first", None),
            ("tried", True),
        ]

    run(home, test)


@pytest.mark.parametrize("path", ["/v1/states", "/v1/states/query", "/v1/decide"])
def test_nothing_is_answered_before_a_job_publishes(home: Path, path: str) -> None:
    async def test(made: Running) -> None:
        await made.ask("POST", "/v1/events", json=[event("ann", "first")])
        body = event("ann") if path == "/v1/decide" else {"accounts": ["ann"]}
        method = "GET" if path == "/v1/states" else "POST"
        answer = await made.ask(method, path, json=None if method == "GET" else body)
        assert answer.status_code == 503, answer.text
        assert answer.headers["Retry-After"] == "1"
        assert answer.json()["detail"] == f"the job {JOB} on Flink has published nothing yet"
        assert "submit it with --publish" in answer.json()["fix"]

    run(home, test)


def test_a_job_that_lags_leaves_the_last_known_word(home: Path) -> None:
    clock = Hours()

    async def test(made: Running) -> None:
        await publishes(made)
        await made.ask("POST", "/v1/events", json=[event("eve", "second")])
        clock.ahead_ms = 120_000
        states = await made.ask("GET", "/v1/states")
        assert states.status_code == 503
        assert "s behind the log, and 60 s are allowed" in states.json()["detail"]
        banned = await decide(made, event("ann"))
        assert (banned["allowed"], banned["mode"]) == (False, "on_failure")
        assert banned["as_of"]["age_s"] > 60
        # What is written goes on: the log is what the job will read.
        assert made.service.progress().ready

    run(home, test, clock)


def test_states_say_how_far_the_job_is(home: Path) -> None:
    async def test(made: Running) -> None:
        await publishes(made)
        answer = await made.ask("POST", "/v1/states/query", json={"accounts": ["ann", "eve"]})
        states = answer.json()
        assert [one["outcome"] for one in states["states"]] == ["ban", "allow"]
        assert states["as_of"] == (await made.ask("GET", "/v1/states")).json()["as_of"]

    run(home, test)


def test_new_names_an_hour_are_bounded_where_a_job_decides(home: Path) -> None:
    async def test() -> None:
        async with running(home, flink_job=JOB, limits=QUICK, new_names_per_hour=30) as made:
            known = [event("ann", f"{n}", peer=f"peer{n}") for n in range(20)]
            await made.ask("POST", "/v1/events", json=known)
            versions = engine_versions(Engine(load_banning_policy()), 60)
            named = tuple((place, 2) for place in range(20))
            await asyncio.to_thread(publish, 0, 20, job=JOB, versions=versions, named=named)
            await made.wait_until_applied()
            more = [event("ann", "old", peer="peer3"), event("eve", "new", peer="peer3")]
            answer = (await made.ask("POST", "/v1/events", json=more)).json()
            assert [(one["index"], one["cause"]) for one in answer["refused"]] == [
                (1, TOO_MANY_NAMES)
            ]
            assert answer["accepted"] == 1

    asyncio.run(test())


def test_what_nobody_answers_says_so(home: Path) -> None:
    async def test(made: Running) -> None:
        await publishes(made)
        body = {"verdict": "benign", "reason": "because a test asks for it"}
        for method, path, sent in (
            ("GET", "/v1/operators", None),
            ("POST", "/v1/accounts/ann/override", body),
        ):
            answer = await made.ask(method, path, json=sent)
            assert answer.status_code == 503, answer.text
            assert f"the job {JOB} on Flink does not answer" in answer.json()["detail"]
            assert "see whether the job runs" in answer.json()["fix"]
        lists = await made.ask("GET", "/v1/lists")
        assert (lists.status_code, "holds no engine" in lists.text) == (503, True)

    run(home, test)


def test_a_label_in_the_log_needs_no_engine(home: Path) -> None:
    async def test(made: Running) -> None:
        await publishes(made)
        label = {"type": "label.assigned", "id": "l", "ts": service_harness.now_ms()}
        lifted = label | {"account": "ann", "label": "benign", "source": "appeal"}
        answer = await made.ask("POST", "/v1/events", json=[lifted])
        assert answer.status_code == 202, answer.text
        shown = await made.ask("GET", "/v1/accounts/ann")
        assert shown.json()["outcome"] == "ban"

    run(home, test)
