"""A case is decided once, and what fails or is interrupted gives it back."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from support.console_harness import RunningConsole, Visitor, console_test, running_console
from support.service_harness import DATABASES, abuser, migrated
from wavebreak_server.errors import ApiError
from wavebreak_server.http.app_context import run_background_query as stored
from wavebreak_server.slices.acts import service as acts
from wavebreak_server.slices.acts.models import PersonAct
from wavebreak_server.slices.queue.models import IndexerState, Review, ReviewCase


async def _with_abusers(console: RunningConsole) -> None:
    await console.running.send([*abuser(), *abuser(account="bob")])
    await console.index()


visits = console_test(_with_abusers)


async def form(person: Visitor, path: str, **more: str) -> dict[str, str]:
    """Claim a case, and return the form of a verdict as its page shows it."""
    await person.post(f"{path}/claim")
    version = re.search(r'name="version" value="(\d+)"', (await person.get(path)).text)
    assert version, path
    return {"verdict": "benign", "reason": "as I see it", "version": version[1]} | more


def value_of(name: str, page: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    assert found, name
    return found[1]


async def posted(person: Visitor, path: str, fields: dict[str, str], times: int) -> list[Any]:
    """Send a form several times at once."""
    token = await person.token()
    body = {"csrfmiddlewaretoken": token} | fields
    return await asyncio.gather(*(person.client.post(path, data=body) for _ in range(times)))


@pytest.mark.parametrize("kind", DATABASES)
def test_case_is_decided_once_by_parallel_posts(kind: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with running_console(tmp_path) as console:
            await _with_abusers(console)
            person = await console.person("analyst", "noa")
            path = (await person.post("/console/queue/next")).headers["location"]
            filled = await form(person, path)
            fields = await person.with_sheet(f"{path}/decide", **filled)
            answers = await posted(person, f"{path}/decide", fields, 6)
            assert sum(a.headers.get("location") == "/console/queue" for a in answers) == 1
        assert await stored(PersonAct.objects.count) == 1
        assert await stored(Review.objects.count) == 1
        case = await stored(lambda: ReviewCase.objects.get(id=int(path.rpartition("/")[2])))
        assert (case.state, case.verdict) == ("closed", "benign")

    with migrated(kind, tmp_path):
        asyncio.run(run())


@visits
async def test_verdict_that_fails_gives_the_case_back(console: RunningConsole) -> None:
    person = await console.person("analyst", "noa")
    path = (await person.post("/console/queue/next")).headers["location"]

    def fails(*_: Any, **__: Any) -> None:
        raise ApiError(503, "the service cannot act now")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(acts, "apply", fails)
        answer = await person.act(f"{path}/decide", **await form(person, path))
    assert answer.status_code == 503
    assert await stored(Review.objects.count) == 0
    assert (await person.post("/console/queue/next")).headers["location"] == path
    again = await person.act(f"{path}/decide", **await form(person, path))
    assert again.headers["location"] == "/console/queue"


@visits
async def test_interrupted_verdict_comes_back(console: RunningConsole) -> None:
    person = await console.person("analyst", "noa")
    path = (await person.post("/console/queue/next")).headers["location"]
    number = int(path.rpartition("/")[2])
    cases = ReviewCase.objects.filter(id=number)
    await stored(lambda: cases.update(state=ReviewCase.DECIDING))
    other = (await person.post("/console/queue/next")).headers["location"]
    assert other != path
    busy = await person.act(f"{path}/decide", verdict="benign", reason="x", version="0")
    assert busy.status_code == 409
    account = await stored(lambda: cases.get().account)
    acted = await person.act(f"/console/account-acts/{account}", verdict="benign", reason="x")
    assert acted.status_code == 409
    assert await stored(PersonAct.objects.count) == 0
    await stored(lambda: cases.update(lease_until_ms=1))
    await person.post(f"{other}/skip")
    assert await stored(lambda: cases.get().state) == "open"


@visits
async def test_account_in_two_tabs_is_acted_on_once(console: RunningConsole) -> None:
    person = await console.person("analyst", "noa")
    path, said = "/console/account-acts/ann", {"verdict": "benign", "reason": "a wedding"}
    await posted(person, path, await person.with_sheet(path, **said), 4)
    acted = await stored(lambda: list(PersonAct.objects.values_list("before", "outcome")))
    assert acted == [("ban", "allow")]
    assert await stored(lambda: ReviewCase.objects.get(account="ann").state) == "closed"


@visits
async def test_batch_leaves_what_was_decided_meanwhile(console: RunningConsole) -> None:
    lead, noa = await console.person("lead", "dana"), await console.person("analyst", "noa")
    wanted = {"verdict": "abusive", "reason": "one campaign", "query": "queue"}
    page = (await lead.post("/console/queue/preview", **wanted)).text
    newest = re.search(r'name="newest" value="(\d+)"', page)
    assert newest
    case = await stored(lambda: ReviewCase.objects.get(account="ann"))
    path = f"/console/queue/{case.id}"
    await noa.act(f"{path}/decide", **await form(noa, path))
    fields: dict[str, Any] = {
        "account": ["ann", "bob"], "verdict": "abusive", "reason": "one campaign",
        "newest": newest[1], "sheet": value_of("sheet", page),
    }  # fmt: skip
    asked = (await lead.post("/console/queue/bulk", **fields)).text
    assert "1 were decided by a person since you looked" in asked
    assert re.findall(r'name="account" value="(\w+)"', asked) == ["bob"]
    assert await stored(lambda: PersonAct.objects.filter(account="bob").count()) == 0
    confirmed = fields | {"account": ["bob"], "sheet": value_of("sheet", asked)}
    assert (await lead.post("/console/queue/bulk", **confirmed)).status_code == 302
    verdicts = await stored(lambda: dict(PersonAct.objects.values_list("account", "verdict")))
    assert verdicts == {"ann": "benign", "bob": "abusive"}
    closed = await stored(lambda: ReviewCase.objects.get(account="bob"))
    assert (closed.state, closed.verdict) == ("closed", "abusive")
    stale = await noa.act(
        f"/console/queue/{closed.id}/decide", verdict="benign", reason="x", version="0"
    )
    assert stale.status_code == 404


@visits
async def test_decision_from_before_a_verdict_opens_no_case(console: RunningConsole) -> None:
    person = await console.person("analyst", "noa")
    path = (await person.post("/console/queue/next")).headers["location"]
    decided = await person.act(f"{path}/decide", **await form(person, path))
    assert decided.headers["location"] == "/console/queue"
    # The indexer reads the decisions after the verdict, those from before it too.
    await stored(lambda: IndexerState.objects.update(cursor=0))
    await console.index()
    number = int(path.rpartition("/")[2])
    account = (await stored(lambda: ReviewCase.objects.get(id=number))).account
    cases = await stored(lambda: list(ReviewCase.objects.filter(account=account)))
    assert [(case.id, case.state, case.verdict) for case in cases] == [(number, "closed", "benign")]
