"""Kinds of abuse in the queue: how long a case of each may wait, and what a batch reaches."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from support.console_harness import RunningConsole, console_test
from support.service_harness import abuser
from wavebreak.rules import load_policy
from wavebreak_server.http.app_context import run_background_query as stored
from wavebreak_server.slices.config import load_config
from wavebreak_server.slices.queue import service as review_queue
from wavebreak_server.slices.queue.indexer import measure_cases
from wavebreak_server.slices.queue.models import ReviewCase

QUEUE = msgspec.structs.replace(load_config().queue, age_targets={"takeover": "4h"})
HOUR = 3_600_000


async def _abusers(console: RunningConsole) -> None:
    for name in ("ann", "bob", "cat"):
        await console.running.send(abuser(120, account=name))
    await console.index()


visits = console_test(_abusers)


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
    rules = console.service.responder.policy.rules
    kind = next(each.abuse for each in rules if each.id == rule)
    assert await stored(lambda: ReviewCase.objects.get(account="ann").abuse) == kind
    await stored(lambda: ReviewCase.objects.filter(account="cat").update(abuse="takeover"))
    page = (await lead.get("/console/queue/cases?abuse=takeover")).text
    assert page.count("<tr data-row>") == 1
    fields: dict[str, Any] = {"verdict": "benign", "reason": "a test", "query": "queue"}
    preview = await lead.post("/console/queue/preview", abuse_is="takeover", **fields)
    # The batch is of what the filter shows.
    assert preview.text.count('name="account" value=') == 1


@pytest.mark.parametrize("kind", load_config().queue.age_targets)
def test_shipped_targets_name_kinds_of_rules(kind: str) -> None:
    assert kind in {rule.abuse for rule in load_policy(compiled=False).rules}
