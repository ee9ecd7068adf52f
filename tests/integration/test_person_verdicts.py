"""What a person decides on an account: it acts on every stream, and is dated by the wall clock."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support import service_harness
from support.console_harness import RunningConsole, console_test
from support.service_harness import Running
from wavebreak.rules import Policy, load_policy
from wavebreak.schema.coverage import declared

BECAUSE = "because a test asks for it"
WITHOUT_LABELS = declared(["account.registered", "message.sent", "message.sent.in_contacts"])
Live = Callable[..., None]


@pytest.fixture(params=service_harness.DATABASES)
def live(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Live]:
    """Runs a coroutine against a service of its own, with options of the harness."""

    def run(test: Callable[[Running], Awaitable[None]], **options: Any) -> None:
        async def whole() -> None:
            async with service_harness.running(tmp_path, **options) as made:
                await test(made)

        asyncio.run(whole())

    with service_harness.migrated(request.param, tmp_path):
        yield run


async def override(made: Running, account: str = "ann", **fields: Any) -> Any:
    path = f"/v1/accounts/{account}/override"
    answer = await made.ask("POST", path, json={"reason": BECAUSE} | fields)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_verdict_acts_where_a_profile_lacks_labels(live: Live) -> None:
    async def test(made: Running) -> None:
        assert "confirmed_abusive" not in made.service.rules_off()
        await made.send(service_harness.abuser(count=1))
        assert (await override(made, verdict="abusive"))["outcome"] == "ban"
        assert (await override(made, verdict="benign"))["outcome"] == "allow"
        label = {"account": "ben", "label": "abusive", "source": "analyst"}
        body = {"labels": [label], "reason": BECAUSE}
        assert (await made.ask("POST", "/v1/labels", json=body)).status_code == 202
        await made.wait_until_applied()
        assert (await made.ask("GET", "/v1/accounts/ben")).json()["outcome"] == "ban"

    live(test, profile=WITHOUT_LABELS)


async def _registered(console: RunningConsole) -> None:
    await console.running.send(service_harness.abuser(count=1))


def _without_rule(name: str) -> Policy:
    policy = load_policy()
    return dataclasses.replace(policy, rules=tuple(r for r in policy.rules if r.id != name))


async def _verdict(console: RunningConsole) -> str:
    """Post the verdict abusive on ann; return the page that follows."""
    person = await console.person("analyst")
    form = {"verdict": "abusive", "reason": BECAUSE, "seen": "allow"}
    answer = await person.post("/console/accounts/ann/act", **form)
    assert answer.status_code == 302, answer.text
    return str((await person.get("/console/accounts/ann")).text)


@console_test(_registered, profile=WITHOUT_LABELS)
async def test_console_says_what_a_verdict_has_changed(console: RunningConsole) -> None:
    page = await _verdict(console)
    assert "abusive: ban is in force now" in page
    assert "changed nothing" not in page


@console_test(_registered, policy=_without_rule("confirmed_abusive"))
async def test_console_says_that_a_verdict_changed_nothing(console: RunningConsole) -> None:
    page = await _verdict(console)
    assert "ann: the verdict abusive changed nothing; allow is in force" in page
    assert "allow is in force now" not in page
