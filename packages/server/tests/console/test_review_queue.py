"""A case is decided once, a second look by another person; what is estimated, chance has drawn."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from support.console_harness import RunningConsole, Visitor, console_test, running_console
from support.service_harness import DATABASES, abuser, migrated
from wavebreak_server.errors import ApiError
from wavebreak_server.http.app_context import run_background_query as stored
from wavebreak_server.slices import config as settings
from wavebreak_server.slices.acts import service as acts
from wavebreak_server.slices.acts.models import PersonAct
from wavebreak_server.slices.config import load_config
from wavebreak_server.slices.queue.models import Review, ReviewCase
from wavebreak_server.slices.queue.service import is_drawn, sampled, wrong_actions
from wavebreak_server.slices.users.models import User


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


async def posted(person: Visitor, path: str, fields: dict[str, str], times: int) -> list[Any]:
    """Send a form several times at once."""
    token = await person.token()
    body = {"csrfmiddlewaretoken": token} | fields
    return await asyncio.gather(*(person.client.post(path, data=body) for _ in range(times)))


def with_blind_share(share: float) -> pytest.MonkeyPatch:
    """Have this share of reviewed cases looked at a second time."""
    config = load_config()
    changed = msgspec.structs.replace(
        config, queue=msgspec.structs.replace(config.queue, blind_share=share)
    )
    patched = pytest.MonkeyPatch()
    patched.setattr(settings, "load_config", lambda: changed)
    return patched


@pytest.mark.parametrize("kind", DATABASES)
def test_case_is_decided_once_by_parallel_posts(kind: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with running_console(tmp_path) as console:
            await _with_abusers(console)
            person = await console.person("analyst", "noa")
            path = (await person.post("/console/queue/next")).headers["location"]
            answers = await posted(person, f"{path}/decide", await form(person, path), 6)
            assert sum(a.headers.get("location") == "/console/queue" for a in answers) == 1
        assert await stored(PersonAct.objects.count) == 1
        assert await stored(Review.objects.count) == 1
        case = await stored(lambda: ReviewCase.objects.get(id=int(path.rpartition("/")[2])))
        assert (case.state, case.verdict) == ("closed", "benign")

    with migrated(kind, tmp_path):
        asyncio.run(run())


@visits
async def test_second_look_is_not_for_who_took_part(console: RunningConsole) -> None:
    noa, omer = await console.person("analyst", "noa"), await console.person("analyst", "omer")
    path = (await noa.post("/console/queue/next")).headers["location"]
    patched = with_blind_share(1.0)
    try:
        await noa.post(f"{path}/decide", **await form(noa, path))
    finally:
        patched.undo()
    copy = await stored(lambda: ReviewCase.objects.get(blind=True))
    second = f"/console/queue/{copy.id}"
    fields = {"verdict": "benign", "reason": "mine again", "version": str(copy.version)}
    assert (await noa.post(f"{second}/decide", **fields)).status_code == 403
    assert (await noa.post(f"{second}/claim")).status_code == 403
    assert await stored(Review.objects.filter(kind="blind").count) == 0
    assert (await omer.post(f"{second}/decide", **fields)).status_code == 302
    review = await stored(lambda: Review.objects.select_related("reviewer").get(kind="blind"))
    assert review.reviewer.username == "omer"


@visits
async def test_second_look_is_not_for_who_acted(console: RunningConsole) -> None:
    noa, lead = await console.person("analyst", "noa"), await console.person("lead", "dana")
    case = await stored(lambda: ReviewCase.objects.get(account="ann"))
    path = f"/console/queue/{case.id}"
    patched = with_blind_share(1.0)
    try:
        await noa.post(f"{path}/decide", **await form(noa, path))
    finally:
        patched.undo()
    said = {"seen": "allow", "verdict": "abusive", "reason": "no wedding"}
    assert (await lead.post("/console/account-acts/ann", **said)).status_code == 302
    copy = await stored(lambda: ReviewCase.objects.get(blind=True))
    assert (await lead.post(f"/console/queue/{copy.id}/claim")).status_code == 403


def test_sample_cannot_be_told_without_the_key() -> None:
    drawn = [[k for k in range(2_000) if sampled(key, "blind", k, 0.05)] for key in (b"a", b"b")]
    assert all(60 < len(each) < 140 for each in drawn)
    assert len(set(drawn[0]) & set(drawn[1])) < 30


@visits
async def test_verdict_that_fails_gives_the_case_back(console: RunningConsole) -> None:
    person = await console.person("analyst", "noa")
    path = (await person.post("/console/queue/next")).headers["location"]

    def fails(*_: Any, **__: Any) -> None:
        raise ApiError(503, "the service cannot act now")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(acts, "apply", fails)
        answer = await person.post(f"{path}/decide", **await form(person, path))
    assert answer.status_code == 503
    assert await stored(Review.objects.count) == 0
    assert (await person.post("/console/queue/next")).headers["location"] == path
    again = await person.post(f"{path}/decide", **await form(person, path))
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
    busy = await person.post(f"{path}/decide", verdict="benign", reason="x", version="0")
    assert busy.status_code == 409
    account = await stored(lambda: cases.get().account)
    page = (await person.get(f"/console/accounts/{account}")).text
    seen = re.search(r'name="seen" value="(\w+)"', page)
    assert seen
    acted = await person.post(
        f"/console/account-acts/{account}", verdict="benign", reason="x", seen=seen[1]
    )
    assert acted.status_code == 409
    assert await stored(PersonAct.objects.count) == 0
    await stored(lambda: cases.update(lease_until_ms=1))
    await person.post(f"{other}/skip")
    assert await stored(lambda: cases.get().state) == "open"


@visits
async def test_account_in_two_tabs_is_acted_on_once(console: RunningConsole) -> None:
    person = await console.person("analyst", "noa")
    page = (await person.get("/console/accounts/ann")).text
    seen = re.search(r'name="seen" value="(\w+)"', page)
    assert seen
    said = {"seen": seen[1], "verdict": "benign", "reason": "a wedding"}
    await posted(person, "/console/account-acts/ann", said, 4)
    acted = await stored(lambda: list(PersonAct.objects.values_list("before", "outcome")))
    assert acted == [(seen[1], "allow")]
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
    await noa.post(f"{path}/decide", **await form(noa, path))
    answer = await lead.post(
        "/console/queue/bulk", account=["ann", "bob"], verdict="abusive", reason="one campaign",
        newest=newest[1],
    )  # fmt: skip
    page = (await lead.get(answer.headers["location"])).text
    assert "1 were decided by a person since you looked" in page
    verdicts = await stored(lambda: dict(PersonAct.objects.values_list("account", "verdict")))
    assert verdicts == {"ann": "benign", "bob": "abusive"}
    closed = await stored(lambda: ReviewCase.objects.get(account="bob"))
    assert (closed.state, closed.verdict) == ("closed", "abusive")
    stale = await noa.post(
        f"/console/queue/{closed.id}/decide", verdict="benign", reason="x", version="0"
    )
    assert stale.status_code == 404


# Estimate of wrong actions.


def case_of(account: str, number: int, **more: Any) -> ReviewCase:
    made: ReviewCase = ReviewCase.objects.create(
        account=account, decision=number, outcome="limit", changed_ms=1_000, harm=0.1,
        uncertainty=0.1, priority=0.0, **({"opened_ms": 1_000} | more),
    )  # fmt: skip
    return made


def judged(user: User, case: ReviewCase, verdict: str, **more: Any) -> None:
    Review.objects.create(
        case=case, reviewer=user, kind="first", verdict=verdict, reason="x", at_ms=2_000, **more
    )
    ReviewCase.objects.filter(id=case.id).update(state="closed", closed_ms=2_000, verdict=verdict)


@visits
async def test_wrong_actions_are_of_drawn_cases_alone(console: RunningConsole) -> None:
    lead = await console.person("lead", "dana")

    def filled() -> None:
        user = User.objects.get(username="dana")
        ReviewCase.objects.all().delete()
        for n in range(40):
            judged(user, case_of(f"by-priority-{n}", n), "benign")
        for n in range(29):
            verdict = "benign" if n < 3 else "abusive"
            judged(user, case_of(f"drawn-{n}", 100 + n, drawn=True), verdict)

    await stored(filled)
    few = (await lead.get("/console/")).text
    assert "not enough cases drawn at random are judged yet: 29 of 30" in few
    assert "95 % interval" not in few

    def more() -> Any:
        user = User.objects.get(username="dana")
        by_act = case_of("acted", 200, drawn=True)
        PersonAct.objects.create(
            account="acted", by=user, at_ms=1_500, verdict="benign", outcome="allow",
            before="limit", reason="appeal", event="override-1",
        )  # fmt: skip
        for case in (by_act, case_of("nobody", 201, drawn=True)):
            ReviewCase.objects.filter(id=case.id).update(
                state="closed", closed_ms=2_000, verdict="ended"
            )
        undone = case_of("undone", 202, drawn=True)
        judged(user, undone, "benign", undone_ms=3_000)
        # What is younger than a drawn case that waits was taken by priority.
        case_of("waits", 203, drawn=True)
        judged(user, case_of("later", 204, drawn=True), "benign")
        return wrong_actions()

    found = await stored(more)
    assert (found.judged, found.wrong, found.unjudged) == (30, 4, 2)
    enough = (await lead.get("/console/")).text
    assert "13.3 %" in enough
    assert "of 30 cases drawn at random; 2 more ended unjudged" in enough


def test_drawn_share_is_of_automatic_actions() -> None:
    settings = load_config().queue
    every = msgspec.structs.replace(settings, drawn_share=1.0)
    automatic = {"outcome": "limit", "basis": "doubt"}
    assert is_drawn(every, automatic, 1, b"k")
    assert not is_drawn(every, automatic | {"outcome": "observe"}, 1, b"k")
    assert not is_drawn(every, automatic | {"basis": "person"}, 1, b"k")
    drawn = sum(is_drawn(settings, automatic, n, b"k") for n in range(10_000))
    assert 140 < drawn < 260


@visits
async def test_oldest_drawn_case_has_its_turn(console: RunningConsole) -> None:
    person = await console.person("analyst", "noa")
    now = console.service.clock()
    drawn = await stored(lambda: case_of("drawn", 900, drawn=True, opened_ms=now).id)
    first = (await person.post("/console/queue/next")).headers["location"]
    assert first != f"/console/queue/{drawn}"

    def busy() -> None:
        user = User.objects.get(username="noa")
        for n in range(9):
            judged(user, case_of(f"other-{n}", n), "abusive")

    await stored(busy)
    await person.post(f"{first}/release")
    assert (await person.post("/console/queue/next")).headers["location"].endswith(f"/{drawn}")


@visits
async def test_second_opinion_that_waits_reaches_colleagues(console: RunningConsole) -> None:
    noa, omer = await console.person("analyst", "noa"), await console.person("analyst", "omer")
    path = (await noa.post("/console/queue/next")).headers["location"]
    await noa.post(f"{path}/ask", reason="is this a wedding?")
    for page in ("/console/", "/console/queue"):
        asked = "A colleague asks for your opinion"
        assert asked not in (await noa.get(page)).text, page
        told = (await omer.get(page)).text
        assert asked in told, page
        assert f'href="{path}"' in told, page
    opinion = re.search(r"/console/queue/opinions/(\d+)", (await omer.get(path)).text)
    assert opinion
    await omer.post(f"/console/queue/opinions/{opinion[1]}", reason="it is")
    assert "A colleague asks" not in (await omer.get("/console/")).text
