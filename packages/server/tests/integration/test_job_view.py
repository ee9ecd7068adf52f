"""A service without an engine answers from what a job publishes, and says how old that is."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from support import service_harness
from support.flink_jobs import over_rows
from support.followed_job import at_work, job_in, over, service
from support.service_harness import Running, abuser, migrated
from support.webhook_receiver import Receiver, listening
from wavebreak_flink.settings import JobSettings
from wavebreak_server.settings import Limits
from wavebreak_server.slices.webhooks.service import RetryPolicy, WebhookDispatcher

START = 1_767_222_000_000
ACCOUNTS = ("ann", "bob", "eve", "dan")
QUICK = RetryPolicy(attempts=3, first_s=0.05, factor=1.0, answer_s=0.5, whole_s=1.0)


def sent(n: int) -> list[Any]:
    """What an account sends, some minutes after the one before it."""
    return abuser(account=ACCOUNTS[n], ts=START + 400_000 * n)


@pytest.fixture
def job(tmp_path: Path) -> JobSettings:
    """Settings of a job of two groups; the database is not known yet."""
    return job_in(tmp_path / "deciding")


@pytest.fixture
def bound(job: JobSettings, tmp_path: Path) -> Iterator[JobSettings]:
    """A database of the service's own, and the job over its log."""
    with migrated("postgresql", tmp_path):
        yield over(job)


def decides(job: JobSettings, numbers: Iterable[int]) -> None:
    """Let the job take blocks of the log, in threads of its own."""
    over_rows(job, numbers)


async def put(made: Running, events: list[Any]) -> None:
    answer = await made.ask("POST", "/v1/events", json=events)
    assert answer.status_code == 202, answer.text


async def get(made: Running, path: str) -> Any:
    answer = await made.ask("GET", path)
    return answer.json() | {"status": answer.status_code}


def test_states_are_those_of_an_engine(job: JobSettings, tmp_path: Path) -> None:
    async def embedded() -> Any:
        async with service(tmp_path / "a", job) as made:
            for n in range(4):
                await made.send(sent(n))
            return await get(made, "/v1/states"), await asyncio.to_thread(service_harness.decided)

    async def followed(bound: JobSettings) -> Any:
        async with service(tmp_path / "b", job, flink_job=job.name) as made:
            for n in range(4):
                await put(made, sent(n))
                await asyncio.to_thread(decides, bound, [n])
                await made.wait_until_applied()
            return await get(made, "/v1/states"), await asyncio.to_thread(service_harness.decided)

    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with migrated("postgresql", tmp_path / "a"):
        expected, decisions = asyncio.run(embedded())
    with migrated("postgresql", tmp_path / "b"):
        states, published = asyncio.run(followed(over(job)))
    as_of = states.pop("as_of")
    assert states == expected
    assert published == decisions
    assert len(decisions) > 3
    assert as_of == {"position": 484, "time_ms": START + 1_200_000 + 12_900, "age_s": 0.0}


def test_webhooks_send_what_a_job_decides_once(bound: JobSettings, tmp_path: Path) -> None:
    async def live() -> None:
        held = service_harness.context()
        dispatcher = WebhookDispatcher(held, Random(1), QUICK)
        more: dict[str, Any] = {"held": held, "background": [dispatcher]}
        with listening(Receiver()) as heard:
            async with service(tmp_path, bound, flink_job=bound.name, **more) as made:
                hook = {"url": heard.url, "reason": "because a test asks for it"}
                await made.ask("POST", "/v1/webhooks", json=hook | {"min_outcome": "limit"})
                for n in range(2):
                    await put(made, sent(n))
                    await asyncio.to_thread(decides, bound, [n])
                # A job that restarts from its beginning publishes all again.
                shutil.rmtree(Path(bound.home) / "marks")
                await asyncio.to_thread(decides, bound, range(2))
                await made.wait_until_applied()
                made_ = (await made.ask("GET", "/v1/decisions")).json()["decisions"]
                wanted = [one["number"] for one in made_ if one["decision"]["outcome"] == "limit"]
                async with asyncio.timeout(20):
                    while len(heard.requests) < len(wanted) or dispatcher.in_flight:
                        await asyncio.sleep(0.02)
        numbers = [msgspec.json.decode(body)["number"] for _, body in heard.requests]
        assert sorted(numbers) == wanted
        assert wanted

    asyncio.run(live())


def test_a_job_goes_on_where_an_engine_stopped(bound: JobSettings, tmp_path: Path) -> None:
    async def live() -> tuple[list[bytes], Any]:
        async with service(tmp_path, bound) as made:
            for n in range(3):
                await made.send(sent(n))
        async with service(tmp_path, bound, flink_job=bound.name) as made:
            await put(made, sent(3))
            # One block, of which the engine has decided a part.
            await asyncio.to_thread(decides, bound, [0])
            await made.wait_until_applied()
            decisions = await asyncio.to_thread(service_harness.decided)
        async with service(tmp_path, bound) as made:
            # It reads the whole log again, and compares what it decides with what is stored.
            assert (await made.ask("GET", "/readyz")).text == "ready\n"
        return decisions, await asyncio.to_thread(service_harness.decided)

    before, after = asyncio.run(live())
    assert before == after
    assert len(before) > 3


def attempts() -> Iterator[dict[str, Any]]:
    """Acts towards a stranger and a contact, of known accounts and of a new one."""
    for n, account in enumerate((*ACCOUNTS, "zoe")):
        for friend in (False, True):
            made = {"id": f"try-{account}-{friend}", "ts": START + 900_000 + n, "account": account}
            yield made | {"type": "message.sent", "peer": "zed", "in_contacts": friend}


def test_the_owner_of_the_shard_answers_attempts_as_an_engine(
    job: JobSettings, tmp_path: Path
) -> None:
    async def asked(made: Running) -> list[Any]:
        answers = [
            (await made.ask("POST", "/v1/decide?mode=attempt", json=one)).json()
            for one in attempts()
        ]
        return answers

    async def embedded() -> list[Any]:
        async with service(tmp_path / "a", job) as made:
            for n in range(3):
                await made.send(sent(n))
            return await asked(made)

    async def followed(bound: JobSettings) -> list[Any]:
        limits = Limits(owner_s=20)
        async with service(tmp_path / "b", job, flink_job=job.name, limits=limits) as made:
            with at_work(bound):
                for n in range(3):
                    await made.send(sent(n))
                answers = await asked(made)
                assert made.service.counts["owner_away"] == 0
                return answers

    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with migrated("postgresql", tmp_path / "a"):
        expected = asyncio.run(embedded())
    with migrated("postgresql", tmp_path / "b"):
        found = asyncio.run(followed(over(job)))
    assert all(one.pop("as_of")["position"] >= 363 for one in found)
    assert found == expected
    assert {one["allowed"] for one in found} == {True, False}
