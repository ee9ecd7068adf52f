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
    answer = await person.act("/console/account-acts/ann", **form)
    assert answer.status_code == 302, answer.text
    return str((await person.get("/console/accounts/ann")).text)


@console_test(_registered, profile=WITHOUT_LABELS, enforce=True)
async def test_console_says_what_a_verdict_has_changed(console: RunningConsole) -> None:
    page = await _verdict(console)
    assert "ban is in force now" in page
    assert "changed nothing" not in page


@console_test(_registered, profile=WITHOUT_LABELS)
async def test_verdict_in_shadow_says_what_would_be(console: RunningConsole) -> None:
    page = await _verdict(console)
    assert "Shadow: nothing is in force. With enforcement it would be ban (before: allow)" in page
    assert "ban is in force now" not in page
    assert "With enforcement</h2>" in page
    assert "In force</h2>" not in page
    overview = (await (await console.person("analyst")).get("/console/")).text
    assert "Accounts that enforcement would affect now" in overview
    assert "Accounts affected now" not in overview


@console_test(_registered, enforce=True)
async def test_overview_under_enforcement_says_who_is_affected(console: RunningConsole) -> None:
    overview = (await (await console.person("analyst")).get("/console/")).text
    assert "Accounts affected now" in overview
    assert "Shadow:" not in overview


@console_test(_registered, policy=_without_rule("confirmed_abusive"))
async def test_console_says_that_a_verdict_changed_nothing(console: RunningConsole) -> None:
    page = await _verdict(console)
    assert "ann: the verdict abusive changed nothing; the outcome is allow" in page
    assert "allow is in force now" not in page


@console_test(_registered, policy=_without_rule("confirmed_abusive"))
async def test_batch_that_changed_nothing_does_not_read_as_done(console: RunningConsole) -> None:
    person = await console.person("lead")
    form = {"verdict": "abusive", "reason": BECAUSE, "account": "ann"}
    answer = await person.act("/console/queue/bulk", **form)
    assert answer.status_code == 302, answer.text
    page = (await person.get(answer.headers["location"])).text
    assert "abusive: 1 of 1 are not as asked. ann: the verdict abusive changed nothing" in page
    assert "abusive: 1 account." not in page


HOUR_MS = 3_600_000
LIMIT_A_DAY: dict[str, Any] = {"verdict": "undetermined", "outcome": "limit", "hold_s": 86_400}


class Clock:
    """The wall clock of a test."""

    def __init__(self) -> None:
        self.ms = 1_767_222_000_000

    def __call__(self) -> int:
        return self.ms


def sends(count: int, end_ms: int, step_ms: int = 1_000, account: str = "zoe") -> list[Any]:
    """Messages of an account, which end at a time."""
    return [
        {
            "id": f"{account}-{end_ms}-{n}",
            "ts": end_ms - (count - 1 - n) * step_ms,
            "type": "message.sent",
            "account": account,
            "peer": f"{account}-{n % 7}",
            "in_contacts": True,
        }
        for n in range(count)
    ]


async def asked(made: Running, account: str = "ann") -> Any:
    event = {"type": "message.sent", "account": account, "peer": "p", "in_contacts": True}
    return (await made.ask("POST", "/v1/decide", json=event)).json()


@pytest.mark.parametrize("count", [1, 400], ids=["quiet", "busy"])
@pytest.mark.parametrize("behind_h", [10, 240])
def test_hold_lasts_as_said_in_a_log_behind(live: Live, count: int, behind_h: int) -> None:
    clock = Clock()

    async def test(made: Running) -> None:
        begin = clock.ms
        await made.send(sends(count, begin - behind_h * HOUR_MS))
        told = await override(made, **LIMIT_A_DAY)
        assert told["outcome"] == "limit"
        assert told["until_ms"] == begin + 24 * HOUR_MS
        account = (await made.ask("GET", "/v1/accounts/ann")).json()
        assert account["decisions"][0]["decision"]["ts"] == begin
        assert (await asked(made))["outcome"] == "limit"
        # The log goes on where it was: nothing of it is late.
        if count > 1:
            await made.send(sends(5, begin - behind_h * HOUR_MS + 10_000))
            assert made.service.log_clock().late == 0
            assert (await asked(made))["outcome"] == "limit"
        for after_h, outcome in ((23, "limit"), (25, "allow")):
            clock.ms = begin + after_h * HOUR_MS
            await made.send(sends(30, clock.ms, step_ms=1, account=f"all-{after_h}"))
            assert (await asked(made))["outcome"] == outcome, after_h

    live(test, clock=clock)


@pytest.mark.parametrize("lateness_s", [5, 60])
def test_hold_lasts_as_said_in_a_log_ahead(live: Live, lateness_s: int) -> None:
    clock = Clock()

    async def test(made: Running) -> None:
        # The service takes dates of up to a minute ahead of its clock.
        await made.send(sends(400, clock.ms + 59_000))
        told = await override(made, **LIMIT_A_DAY)
        assert told["outcome"] == "limit"
        assert (
            0 <= told["until_ms"] - clock.ms - 24 * HOUR_MS <= 59_000 - 1000 * min(lateness_s, 59)
        )
        assert made.service.log_clock().late == 0

    live(test, clock=clock, lateness_s=lateness_s)


def test_labels_do_not_move_the_log_after_a_wrong_clock(live: Live) -> None:
    clock = Clock()

    async def test(made: Running) -> None:
        right = clock.ms
        await made.send(sends(400, right))
        clock.ms = right + 400 * 24 * HOUR_MS
        label = {"account": "ben", "label": "benign", "source": "analyst"}
        body = {"labels": [label] * 20, "reason": BECAUSE}
        assert (await made.ask("POST", "/v1/labels", json=body)).status_code == 202
        await made.wait_until_applied()
        clock.ms = right
        assert made.service.clock_fault() == ""
        await made.send(sends(5, right + 1_000, account="yan"))
        assert made.service.log_clock().late == 0

    live(test, clock=clock)
