"""Policy, model and mode are switched where a job decides, at one position of the log."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from django.db import connection

from support import service_harness
from support.external_servers import postgresql
from support.flink_jobs import over_rows
from support.service_harness import SECRET, Running, abuser, migrated, running
from wavebreak.engine import Engine
from wavebreak.engine.published import merged
from wavebreak.engine.switch_records import TABLE
from wavebreak.errors import FileError, ServiceError
from wavebreak.model import Model, save, smallest_model
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.rules import Policy, load_policy
from wavebreak.schema import coverage
from wavebreak.schema.coverage import Profile
from wavebreak_flink.settings import JobSettings
from wavebreak_flink.switches import noted
from wavebreak_server.pipeline import decide, job_switches
from wavebreak_server.pipeline.live_policy import live_policy, models_directory, store_files
from wavebreak_server.slices.versions.policy_switch import PolicySwitch

START = 1_767_222_000_000
ACCOUNTS = ("ann", "bob", "eve", "zoe")
RULE = """
[[rule]]
id = "two_strangers"
abuse = "norms"
about = "An account has written to two strangers: a rule of a test."
source = "A test of the switch of policies."
stage = "messaging"
on = ["sent"]
when = ["unanswered_strangers_1d >= 2"]
outcome = "limit"
new_chats_1d = 2
for = "24h"
mode = "enforce"
fires_on = [{ unanswered_strangers_1d = 2 }]
stays_quiet_on = [{ unanswered_strangers_1d = 1 }]
"""


@pytest.fixture
def job(tmp_path: Path) -> JobSettings:
    """Settings of a job; the database is not known yet."""
    home = tmp_path / "deciding"
    home.mkdir()
    (home / "key").write_text(SECRET.hex(), "utf-8")
    (home / "key").chmod(0o600)
    coverage.save(coverage.declared(coverage.known_names()), home / "profile.json")
    return JobSettings(
        "deciding", str(home), str(home / "profile.json"), model="none", key=str(home / "key"),
        topic="kafka://nowhere:9092/log", publish=True, mark_every=1, patience_s=60,
    )  # fmt: skip


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """The directory of a service whose database is bound."""
    (tmp_path / "home").mkdir()
    with migrated("postgresql", tmp_path / "home"):
        yield tmp_path / "home"


def over(job: JobSettings) -> JobSettings:
    return msgspec.structs.replace(
        job, database=f"{postgresql().url}/{connection.settings_dict['NAME']}"
    )


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


def service(home: Path, job: JobSettings, **more: Any) -> Any:
    profile = coverage.load(Path(job.profile))
    return running(home, policy=load_policy(), profile=profile, **more)


async def put(made: Running, n: int) -> None:
    answer = await made.ask("POST", "/v1/events", json=sent(n))
    assert answer.status_code == 202, answer.text


async def story(made: Running, home: Path, job: JobSettings, decides: Any) -> tuple[Any, ...]:
    """Send, switch the policy, send, switch model and mode, send, go back, send."""
    switch = switch_of(home, job)
    store_files(home, "v1", {"rules/tested.toml": RULE})
    save(smallest_model(), models_directory(home) / "m1")
    wanted: list[dict[str, Any]] = [
        {"policy": "v1"}, {"policy": "v1", "model": "m1", "enforce": True},
        {"policy": "", "back": True},
    ]  # fmt: skip
    digest = next((home / "policies").iterdir()).name
    for n in range(4):
        await put(made, n)
        await decides(n)
        await made.wait_until_applied()
        if n < 3:
            named = {"digest": digest} if wanted[n]["policy"] else {}
            await switch(made.service, **named, **wanted[n])
    states = (await made.ask("GET", "/v1/states")).json()
    states.pop("as_of", None)
    return states, await asyncio.to_thread(service_harness.decided)


def test_a_job_goes_over_where_an_engine_would(job: JobSettings, tmp_path: Path) -> None:
    async def embedded(home: Path) -> Any:
        async def decides(_n: int) -> None:
            """The engine does."""

        async with service(home, job) as made:
            return await story(made, home, job, decides)

    async def followed(home: Path, bound: JobSettings) -> Any:
        async def decides(n: int) -> None:
            # Each time fan-out and groups are new ones, and as many as never before.
            groups = (1, 3, 2, 1)[n]
            await asyncio.to_thread(over_rows, msgspec.structs.replace(bound, groups=groups), [n])

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
        fresh.mkdir()
        shutil.copy(Path(job.home) / "key", fresh)
        other = msgspec.structs.replace(bound, name="fresh", home=str(fresh), groups=3)
        rows = merged(over_rows(other, [0]), "decision")
    assert found == expected
    policies = [msgspec.json.decode(body)["policy"].split("-")[0] for body in expected[1]]
    assert list(dict.fromkeys(policies)) == ["shipped", "v1", "shipped"][:2]
    assert policies[-1] == "shipped"
    assert rows == expected[1]
    last = noted(fresh)
    assert last is not None
    assert last.switches == 3
