"""Routing of the queue: assignment, kinds of abuse, and how long a case may wait."""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec
import pytest

from support.console_harness import RunningConsole, console_test
from support.service_harness import abuser
from wavebreak.rules import load_policy
from wavebreak_server.http.app_context import run_background_query as stored
from wavebreak_server.slices.config import load_config
from wavebreak_server.slices.queue import reviews, routing
from wavebreak_server.slices.queue import service as review_queue
from wavebreak_server.slices.queue.indexer import measure_cases
from wavebreak_server.slices.queue.models import ReviewCase
from wavebreak_server.slices.users.models import User
from wavebreak_server.storage.models import AuditEntry

QUEUE = msgspec.structs.replace(
    load_config().queue, golden_share=0, drawn_turn=0, age_targets={"takeover": "4h"}
)
HOUR = 3_600_000


async def _abusers(console: RunningConsole) -> None:
    for name in ("ann", "bob", "cat"):
        await console.running.send(abuser(120, account=name))
    await console.index()


visits = console_test(_abusers)


async def number(account: str) -> int:
    return int(await stored(lambda: ReviewCase.objects.get(account=account).id))


async def next_of(name: str, now_ms: int) -> str:
    """Return the account that a person is offered next; it stays free."""

    def take() -> str:
        user = User.objects.get(username=name)
        case = reviews.claim_next(QUEUE, user, now_ms)
        if case is None:
            return ""
        review_queue.release(case.id, user, "")
        return str(case.account)

    return await stored(take)


@visits
async def test_assigned_case_is_offered_to_its_person_alone(console: RunningConsole) -> None:
    lead = await console.person("lead")
    analyst, other = await console.person("analyst"), await console.person("analyst", "noa")
    now, last = console.service.clock(), await number("cat")
    path = "/console/queue/assign"
    assert (await analyst.post(path, case=last, to="noa")).status_code == 403
    assert (await lead.post(path, case=last, to="nobody-known")).status_code == 422
    assert (await lead.post(path, to="noa")).status_code == 422
    every = [await number(name) for name in ("ann", "bob", "cat")]
    assert (await lead.post(path, case=every, to="analyst")).status_code == 302
    assert await next_of("noa", now) == ""
    assert await next_of("analyst", now) == "ann"
    assert (await lead.post(path, case=last, to="noa")).status_code == 302
    assert await next_of("noa", now) == "cat"
    assert "for noa" in (await other.get(f"/console/queue/{last}")).text
    assert 'href="/console/queue/' in (await other.get("/console/queue?mine=1")).text
    assert (await other.get("/console/queue?mine=1")).text.count("<tr data-row>") == 1
    audited = AuditEntry.objects.filter(action="assign_cases").values_list("object", flat=True)
    assert await stored(lambda: list(audited)) == ["3 to analyst", "1 to noa"]


@visits
async def test_case_of_somebody_who_is_gone_is_offered_to_all(console: RunningConsole) -> None:
    lead = await console.person("lead")
    await console.person("analyst")
    await console.person("analyst", "noa")
    now = console.service.clock()
    every = [await number(name) for name in ("ann", "bob", "cat")]
    await lead.post("/console/queue/assign", case=every, to="noa")
    assert await next_of("analyst", now) == ""
    changes: tuple[dict[str, Any], ...] = (
        {"is_active": False},
        {"is_active": True, "role": "auditor"},
    )
    for change in changes:
        await stored(partial(User.objects.filter(username="noa").update, **change))
        assert await next_of("analyst", now) == "ann"
    await stored(lambda: User.objects.filter(username="noa").update(role="analyst"))
    assert (await lead.post("/console/queue/assign", case=every, to="-")).status_code == 302
    assert await next_of("analyst", now) == "ann"


@visits
async def test_chosen_kinds_come_first_but_not_before_overdue(console: RunningConsole) -> None:
    analyst = await console.person("analyst")
    answer = await analyst.post("/console/profile", kinds=["takeover", "no_such_kind"])
    assert answer.status_code == 302
    assert await stored(lambda: User.objects.get(username="analyst").kinds) == ["takeover"]
    now = await stored(lambda: ReviewCase.objects.first().opened_ms) + HOUR
    last = await number("cat")
    await stored(lambda: ReviewCase.objects.filter(id=last).update(abuse="takeover", priority=0.01))
    assert await next_of("analyst", now) == "cat"
    # What waits too long comes before, whatever it is about.
    await stored(lambda: ReviewCase.objects.filter(account="bob").update(opened_ms=now - 25 * HOUR))
    assert await next_of("analyst", now) == "bob"


@visits
async def test_kind_has_a_target_of_its_own(console: RunningConsole) -> None:
    await console.person("analyst")
    now = await stored(lambda: ReviewCase.objects.first().opened_ms) + 5 * HOUR
    assert await stored(lambda: review_queue.overdue_count(QUEUE, now)) == 0
    await stored(lambda: ReviewCase.objects.filter(account="cat").update(abuse="takeover"))
    assert await stored(lambda: review_queue.overdue_count(QUEUE, now)) == 1
    assert await stored(lambda: review_queue.overdue_count(QUEUE, now + 20 * HOUR)) == 3
    first = await stored(lambda: review_queue.ordered(QUEUE, now).first())
    assert (first.account, first.overdue) == ("cat", True)


@visits
async def test_kind_comes_with_the_measure_and_narrows_a_batch(console: RunningConsole) -> None:
    lead = await console.person("lead")
    await measure_cases(load_config().queue, console.service)
    rule = await stored(lambda: ReviewCase.objects.get(account="ann").rule)
    kind = routing.kinds_of(console.service.responder.policy)[rule]
    assert await stored(lambda: ReviewCase.objects.get(account="ann").abuse) == kind
    await stored(lambda: ReviewCase.objects.filter(account="cat").update(abuse="takeover"))
    page = (await lead.get("/console/queue?abuse=takeover")).text
    assert page.count("<tr data-row>") == 1
    fields: dict[str, Any] = {"verdict": "benign", "reason": "a test", "query": "queue"}
    preview = await lead.post("/console/queue/preview", abuse_is="takeover", **fields)
    # The batch is of what the filter shows.
    assert preview.text.count('name="account" value=') == 1


def test_kinds_are_those_of_the_policy() -> None:
    policy = load_policy(compiled=False)
    kinds = routing.kinds_of_policy(policy)
    assert "takeover" in kinds
    assert routing.read_kinds(["takeover", "x" * 400, "takeover"], policy) == ["takeover"]


@pytest.mark.parametrize("kind", load_config().queue.age_targets)
def test_shipped_targets_name_kinds_of_rules(kind: str) -> None:
    assert kind in routing.kinds_of_policy(load_policy(compiled=False))
