"""People act, and read about accounts, in a service without an engine as in one that has one."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from support.console_harness import RunningConsole, Visitor, running_console, switch_of
from support.followed_job import at_work, job_in, over
from support.policy_pages import approved, go_live, uploaded
from support.service_harness import abuser, decided, migrated
from wavebreak.rules import load_policy
from wavebreak.schema import coverage
from wavebreak_flink.settings import JobSettings
from wavebreak_server.settings import Limits
from wavebreak_server.slices.accounts import api as accounts_api

START = 1_767_222_000_000
HOUR_MS = 3_600_000
PATIENT = Limits(owner_s=20, job_s=20)
ACCOUNTS = ("ann", "bob", "eve")
Acts = Callable[[RunningConsole, Visitor], Any]


def world() -> list[dict[str, Any]]:
    """Three abusers with one device, and somebody whom they wrote to."""
    events = [
        {"id": f"r-{n}", "ts": START - HOUR_MS, "type": "account.registered", "account": name,
         "device": "d1"}
        for n, name in enumerate(ACCOUNTS)
    ]  # fmt: skip
    for n, name in enumerate(ACCOUNTS):
        events += abuser(account=name, ts=START + 400_000 * n)
    return events


@asynccontextmanager
async def console_over(home: Path, job: JobSettings, flink_job: str) -> AsyncIterator[Any]:
    """A console over an engine, or over a job that works while the block runs."""
    profile = coverage.load(Path(job.profile))
    more: dict[str, Any] = {"flink_job": flink_job} if flink_job else {}
    async with running_console(
        home, policy=load_policy(), profile=profile, limits=PATIENT,
        clock=lambda: START + HOUR_MS, **more,
    ) as console:  # fmt: skip
        with at_work(over(job)) if flink_job else nullcontext():
            await console.running.send(world())
            await console.running.wait_until_applied()
            await console.index()
            yield console


async def shown(answer: Any) -> Any:
    """Return what an answer says, without tokens and ids that are drawn."""
    text = re.sub(r'data-session-started="[^"]*"', "", answer.text)
    text = re.sub(r"(csrf[^>]*(value|content)=)\"[^\"]*\"", r'\1""', text)
    text = re.sub(r"(override|label|declared)-[0-9a-f]{24}", r"\1-", text)
    return answer.status_code, re.sub(r'"as_of":\{[^}]*\},?', "", text)


async def api(console: RunningConsole, method: str, path: str, **more: Any) -> Any:
    return await shown(await console.running.ask(method, path, **more))


WHY = "because a test asks for it"


async def acts_by_the_api(console: RunningConsole, _person: Visitor) -> Any:
    lift = {"verdict": "benign", "reason": WHY, "by": "analyst"}
    limit = {"verdict": "undetermined", "outcome": "limit", "hold_s": 3_600, "reason": WHY}
    challenge = limit | {"outcome": "challenge"}
    lane = {"lane": "courier", "reason": WHY}
    label = {"reason": WHY, "labels": [{"account": "bob", "label": "abusive", "source": "appeal"}]}
    yield await api(console, "GET", "/v1/accounts/ann")
    yield await api(console, "POST", "/v1/accounts/ann/override", json=lift)
    yield await api(console, "GET", "/v1/accounts/ann")
    yield await api(console, "POST", "/v1/accounts/bob/override", json=limit)
    yield await api(console, "POST", "/v1/accounts/bob/override", json=challenge)
    yield await api(console, "POST", "/v1/accounts/nobody/override", json=limit)
    yield await api(console, "POST", "/v1/accounts/+972501234567/override", json=limit)
    yield await api(console, "PUT", "/v1/accounts/eve/lane", json=lane)
    yield await api(console, "GET", "/v1/accounts/eve")
    yield await api(console, "POST", "/v1/labels", json=label)
    yield await api(console, "GET", "/v1/operators")
    appeal = {"statement": "I wrote to my own customers only.", "reason": WHY}
    decision = (await console.running.ask("GET", "/v1/decisions")).json()["decisions"][0]
    wanted = appeal | {"decision": decision["decision"]["id"]}
    yield await api(console, "POST", "/v1/appeals", json=wanted)


async def acts_in_the_console(console: RunningConsole, person: Visitor) -> Any:
    preview = {"verdict": "undetermined", "outcome": "restrict", "hold": "3d"}
    for path in (
        "/console/queue", "/console/operators", "/console/account-neighbours/ann",
        "/console/account-timelines/ann", "/console/account-sharing/device/ann",
        "/console/query?outcome=limit&measure=sends_1h&op=%3E%3D&value=0",
        "/console/policy", "/console/policy/versions", "/console/policy/models",
    ):  # fmt: skip
        yield path, await shown(await person.get(path))
    admin = await console.person("admin", "adi")
    yield await shown(await admin.get("/console/settings/lanes?account=ann&lane=courier"))
    yield await shown(await person.get("/console/act-previews/ann", params=preview))
    fields = {"reason": WHY, "seen": ""} | preview
    yield (await person.act("/console/account-acts/ann", **fields)).status_code
    yield await shown(await person.get("/console/account-timelines/ann"))
    page = (await person.get("/console/accounts/ann")).text
    # Where a value lies in a sample is of the accounts of one group.
    yield re.findall(r'class="stat-value">[^<]*', page), "Among the population" in page


async def a_policy_goes_live(console: RunningConsole, _person: Visitor) -> Any:
    switch = switch_of(console)
    profile = coverage.declared(coverage.known_names())
    console.service.switch = replace(
        switch,
        engine=lambda policy, model, enforce, _=None: switch.engine(
            policy, model, enforce, profile
        ),
    )
    _, version = await uploaded(console)
    lead = await approved(console, version)
    yield await go_live(lead, version.id)
    yield console.service.deciding().policy.version
    more = abuser(account="fay", ts=START + 1_200_000)
    await console.running.send(more)
    await console.running.wait_until_applied()
    back = await lead.confirm(
        "/console/policy/rollback",
        "/console/policy/versions",
        reason="it was wrong",
        seen=version.name,
    )
    yield back.status_code
    yield console.service.deciding().policy.version
    yield await api(console, "GET", "/v1/accounts/fay")


async def everything(home: Path, job: JobSettings, flink_job: str, acts: Acts) -> Any:
    async with console_over(home, job, flink_job) as console:
        person = await console.person("lead", "noa")
        answers = [each async for each in acts(console, person)]
        await console.running.wait_until_applied()
        return answers, await asyncio.to_thread(decided)


@pytest.mark.parametrize("acts", [acts_by_the_api, acts_in_the_console, a_policy_goes_live])
def test_acts_and_pages_are_those_of_an_engine(
    tmp_path: Path, acts: Acts, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An account is read from what was last known where the job is busy for longer than this.
    monkeypatch.setattr(accounts_api, "ENGINE_S", PATIENT.owner_s)
    job = job_in(tmp_path / "deciding")
    made = []
    for name in ("", job.name):
        (home := tmp_path / f"of-{name}").mkdir()
        with migrated("postgresql", home):
            made.append(asyncio.run(everything(home, job, name, acts)))
    (expected, decisions), (found, published) = made
    for one, other in zip(expected, found, strict=True):
        assert other == one
    assert len(published) == len(decisions)
