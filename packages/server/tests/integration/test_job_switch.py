"""Policy, model and mode are switched where a job decides, at one position of the log."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from django.db import connection

from support import service_harness
from support.flink_jobs import NoRecords, over_rows
from support.followed_job import at_work, job_in, over, service
from support.service_harness import SECRET, Running, abuser, migrated
from support.switched_rule import RULE
from wavebreak.engine import Engine
from wavebreak.engine.published import merged, publishing_key
from wavebreak.engine.switch_records import TABLE, SwitchTerms, encode_switch
from wavebreak.errors import FileError, ServiceError
from wavebreak.model import Model, save, smallest_model
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.rules import Policy
from wavebreak.schema import coverage
from wavebreak.schema.coverage import Profile, known_names
from wavebreak_flink import submission
from wavebreak_flink.settings import JobSettings
from wavebreak_flink.switches import Switches, noted
from wavebreak_flink.topic_log import Rows, TopicLog
from wavebreak_server.http.app_context import run_background_query as stored
from wavebreak_server.pipeline import decide, job_switches, job_view
from wavebreak_server.pipeline.live_policy import (
    LiveSource,
    live_policy,
    models_directory,
    store_files,
)
from wavebreak_server.settings import Limits
from wavebreak_server.slices.keys.service import KeyTerms, create_key
from wavebreak_server.slices.sources.service import Coverage
from wavebreak_server.slices.versions.policy_switch import PolicySwitch

START = 1_767_222_000_000
ACCOUNTS = ("ann", "bob", "eve", "zoe", "lea", "gil")
GROUPS = (1, 3, 2, 1, 2, 3)
"""Of the job, by turns: each time fan-out and groups are new ones."""
POOR = ("account.registered", "message.sent")
SOURCES = Coverage(
    POOR, sources=(LiveSource("chat", tuple(sorted(known_names()))), LiveSource("gateway", POOR))
)


@pytest.fixture
def job(tmp_path: Path) -> JobSettings:
    """Settings of a job; the database is not known yet."""
    return job_in(tmp_path / "deciding")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """The directory of a service whose database is bound."""
    (tmp_path / "home").mkdir()
    with migrated("postgresql", tmp_path / "home"):
        yield tmp_path / "home"


def sent(n: int) -> list[Any]:
    """What an account sends, and two strangers that each of two others writes to."""
    at = START + 400_000 * n
    others = [
        {"id": f"{who}-{n}-{to}", "ts": at + 200_000 + to, "type": "message.sent", "account": who,
         "peer": f"{who}-{n}-p{to}", "in_contacts": False}
        for who in ("mia", f"new{n}") for to in range(2)
    ]  # fmt: skip
    return [*abuser(account=ACCOUNTS[n], ts=at), *others]


def switch_of(home: Path, job: JobSettings) -> PolicySwitch:
    given = coverage.load(Path(job.profile))

    def make(
        policy: Policy, loaded: Model | None, enforce: bool, profile: Profile | None = None
    ) -> Engine:
        return Engine(policy, profile or given, accounts=1024, model=loaded, enforce=enforce)

    def responder(policy: Policy, directory: Path | None) -> decide.DecideResponder:
        terms = decide.load_decide_policy(directory)
        return decide.DecideResponder(policy, terms, Pseudonymizer(SECRET))

    return PolicySwitch(home, None, make, responder, base_model="none")


async def put(made: Running, n: int, key: str | None = None) -> None:
    answer = await made.ask("POST", "/v1/events", key, json=sent(n))
    assert answer.status_code == 202, answer.text


def rows_alone(job: JobSettings) -> TopicLog:
    """The log of a service whose rows hold the bodies."""
    return TopicLog(job, Rows(job.database), NoRecords())


def key_of(source: str) -> str:
    try:
        terms = KeyTerms(1e6, source=source)
        return create_key(source, ("ingest",), 0, "test", "because a test asks for it", terms)[1]
    finally:
        connection.close()


async def story(made: Running, home: Path, job: JobSettings, decides: Any) -> tuple[Any, ...]:
    """Send by turns, and switch between: policy, model and mode, back, and declared sources."""
    switch = switch_of(home, job)
    digest = store_files(home, "v1", {"rules/tested.toml": RULE}).parent.name
    save(smallest_model(), models_directory(home) / "m1")
    keys = [await stored(partial(key_of, name)) for name in ("gateway", "chat")]
    await made.context.refresh()
    switches: list[dict[str, Any]] = [
        {"policy": "v1", "digest": digest}, {"model": "m1", "enforce": True},
        {"policy": "", "back": True}, {"coverage": SOURCES},
    ]  # fmt: skip
    for n, key in enumerate([None, None, None, None, *keys]):
        await put(made, n, key)
        await decides(n)
        await made.wait_until_applied()
        if n < len(switches):
            await switch(made.service, **switches[n])
    states = (await made.ask("GET", "/v1/states")).json()
    states.pop("as_of", None)
    return states, await asyncio.to_thread(service_harness.decided)


def test_a_job_goes_over_where_an_engine_would(
    job: JobSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def embedded(home: Path) -> Any:
        async def decides(_n: int) -> None:
            """The engine does."""

        async with service(home, job) as made:
            return await story(made, home, job, decides)

    async def followed(home: Path, bound: JobSettings) -> Any:
        async def decides(n: int) -> None:
            turn = msgspec.structs.replace(bound, groups=GROUPS[n])
            await asyncio.to_thread(over_rows, turn, [n])

        async with service(home, job, flink_job=job.name) as made:
            return await story(made, home, job, decides)

    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with migrated("postgresql", tmp_path / "a"):
        expected = asyncio.run(embedded(tmp_path / "a"))
    with migrated("postgresql", tmp_path / "b"):
        bound = over(job)
        found = asyncio.run(followed(tmp_path / "b", bound))
        # Another job reads the whole log at once, and divides its only block.
        fresh = tmp_path / "fresh"
        other = over(job_in(fresh, groups=3))
        rows = over_rows(other, [0])
        (fresh / "results").mkdir()
        (fresh / "results" / "part-0").write_bytes(b"\n".join(rows))
        other.save()
        monkeypatch.setattr(submission, "open_log", rows_alone)
        compared = submission.compare(fresh)
    assert found == expected
    policies = [msgspec.json.decode(body)["policy"].split("-")[0] for body in expected[1]]
    assert list(dict.fromkeys(policies)) == ["shipped", "v1"]
    assert policies[-1] == "shipped"
    assert merged(rows, "decision") == expected[1]
    assert compared == (len(expected[1]), len(expected[1]), None)
    last = noted(fresh)
    assert last is not None
    assert last.switches == 4


def test_a_switch_that_fails_is_taken_back(job: JobSettings, home: Path) -> None:
    bound, fails = over(job), [False]

    async def live() -> tuple[int, Any, list[bytes]]:
        async with service(home, job, flink_job=job.name) as made:
            await put(made, 0)
            await asyncio.to_thread(over_rows, bound, [0])
            await made.wait_until_applied()
            switch = switch_of(home, job)
            engine = switch.engine

            def failing(*arguments: Any, **named: Any) -> Engine:
                # The second engine is made while the pipeline is stopped.
                if fails[0]:
                    raise ServiceError("no room", fix="make some")
                fails[0] = True
                return engine(*arguments, **named)

            switch.engine = failing
            with pytest.raises(ServiceError, match="no room"):
                await switch(made.service, enforce=True)
            await put(made, 1)
            await asyncio.to_thread(over_rows, bound, [1])
            await made.wait_until_applied()
            record = await stored(job_switches.newest)
            decisions = await asyncio.to_thread(service_harness.decided)
            return (await made.ask("GET", "/v1/states")).status_code, record, decisions

    status, record, decisions = asyncio.run(live())
    assert (status, record) == (200, None)
    assert len(decisions) > 1
    live_now = live_policy(home)
    assert live_now is not None
    assert not live_now.enforce


def test_a_switch_is_refused_while_the_job_is_behind(
    job: JobSettings, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_view, "CATCH_UP_S", 0.1)
    bound = over(job)

    async def live() -> Any:
        async with service(home, job, flink_job=job.name) as made:
            await put(made, 0)
            await asyncio.to_thread(over_rows, bound, [0])
            await made.wait_until_applied()
            await put(made, 1)
            with pytest.raises(ServiceError, match="is not decided to its end"):
                await switch_of(home, job)(made.service, enforce=True)
            await asyncio.to_thread(over_rows, bound, [1])
            await made.wait_until_applied()
            return await stored(job_switches.newest)

    assert asyncio.run(live()) is None


def test_the_owner_answers_by_a_switch_with_no_event_behind(job: JobSettings, home: Path) -> None:
    bound, limits = over(job), Limits(owner_s=60)
    new = sent(0)[-1] | {"id": "try", "peer": "another", "ts": START + 300_000}

    async def live() -> tuple[int, Any]:
        async with service(home, job, flink_job=job.name, limits=limits) as made:
            with at_work(bound):
                await made.send(sent(0))
                store_files(home, "v1", {"rules/tested.toml": RULE})
                digest = next((home / "policies").iterdir()).name
                await switch_of(home, job)(made.service, "v1", digest=digest)
                answer = await made.ask("POST", "/v1/decide?mode=attempt", json=new)
                return made.service.counts["owner_away"], answer.json()

    away, answer = asyncio.run(live())
    assert away == 0
    assert answer["rules"] == ["two_strangers"]


def test_a_start_in_another_mode_lets_the_job_go_over(job: JobSettings, tmp_path: Path) -> None:
    async def told(home: Path, begin: Callable[[], object], **more: Any) -> Any:
        async with service(home, job, **more) as made:
            begin()
            for n in range(2):
                await put(made, n)
                if not more or n == 0:
                    # The other job has something left when the service ends.
                    await made.wait_until_applied()
        switch = switch_of(home, job)
        async with service(home, job, enforce=True, switch=switch, **more) as made:
            states = (await made.ask("GET", "/v1/states")).json()["states"]
            await put(made, 2)
            await made.wait_until_applied()
            return states, await asyncio.to_thread(service_harness.decided)

    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with migrated("postgresql", tmp_path / "a"):
        expected = asyncio.run(told(tmp_path / "a", lambda: None))
    with migrated("postgresql", tmp_path / "b"), ExitStack() as working:
        begin = partial(working.enter_context, at_work(over(job)))
        found = asyncio.run(told(tmp_path / "b", begin, flink_job=job.name))
        record = job_switches.newest()
    assert found == expected
    assert record is not None
    assert (record.settled, record.terms.enforce) == (True, True)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"key": bytes(32)}, "switch 1 of the log is not of this deployment's key"),
        ({"number": 2}, "switch 1 of the log is not in the service's database"),
        ({"versions": "others"}, "leads to others in the service, and to shipped"),
        ({"files": {"policy/v1/rules/a.toml": "["}}, "switch 1, .* does not load"),
    ],
)
def test_a_job_follows_no_switch_that_it_cannot(
    job: JobSettings, home: Path, wrong: dict[str, Any], said: str
) -> None:
    job_switches.reconcile(0, "")
    policy = "v1" if "files" in wrong else ""
    terms = SwitchTerms(
        wrong.get("versions", ""), False, policy, "none", files=wrong.get("files", {})
    )  # fmt: skip
    key = publishing_key(wrong.get("key", SECRET))
    row = encode_switch(key, wrong.get("number", 1), 5, terms)
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {TABLE} VALUES (%s, %s, %s, %s, %s)", row)
    with closing(Switches(over(job))) as switches, pytest.raises(FileError, match=said):
        switches.deciding(1)
