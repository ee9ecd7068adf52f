"""Undo: what an act did comes back whole, once, and never against a later verdict."""

from __future__ import annotations

import asyncio
import itertools
import re
from typing import Any

import msgspec

from support.console_harness import RunningConsole, Visitor, console_test
from support.service_harness import abuser, now_ms
from wavebreak.notices import get_language
from wavebreak_server.http.app_context import run_background_query as stored
from wavebreak_server.slices.acts.models import Batch, PersonAct
from wavebreak_server.slices.queue.models import Review, ReviewCase
from wavebreak_server.slices.statements import service as statements
from wavebreak_server.storage.models import AuditEntry, Decision

LANGUAGES = ("en", "he")
HOUR_MS = 3_600_000


async def _with_abusers(console: RunningConsole) -> None:
    ts = now_ms() - 14 * HOUR_MS
    await console.running.send([*abuser(ts=ts), *abuser(account="bob", ts=ts)])
    await console.index()


visits = console_test(_with_abusers)


async def told(console: RunningConsole, account: str = "ann") -> list[dict[str, Any]]:
    """Return what the holder reads of the newest decision, in each language, but for its dates."""
    notices = console.running.context.holder_notices
    now = console.service.clock()

    def read() -> list[dict[str, Any]]:
        row = Decision.objects.filter(account=account).latest("number")
        decision = msgspec.json.decode(bytes(row.body)) | {"number": row.number}
        found = []
        for code in LANGUAGES:
            made = statements.statement_of(notices, decision, get_language(code), now)
            kept = ("title", "facts", "ground", "automation")
            found.append(
                {name: getattr(made, name) for name in kept}
                | {"refused": made.restriction.refused, "until": made.restriction.until_ms}
            )
        return found

    found: list[dict[str, Any]] = await stored(read)
    return found


async def decided(person: Visitor, account: str, **said: str) -> PersonAct:
    """Decide the case of an account; return the act."""
    case = await stored(lambda: ReviewCase.objects.get(account=account, state="open"))
    path = f"/console/queue/{case.id}"
    await person.post(f"{path}/claim")
    version = re.search(r'name="version" value="(\d+)"', (await person.get(path)).text)
    assert version
    fields = {"verdict": "benign", "reason": "as I see it", "version": version[1]} | said
    answer = await person.act(f"{path}/decide", **fields)
    assert answer.headers["location"] == "/console/queue", answer.text
    act: PersonAct = await stored(lambda: PersonAct.objects.filter(account=account).latest("id"))
    return act


async def undo(person: Visitor, act: PersonAct) -> Any:
    return await person.post(f"/console/acts/{act.id}/undo", reason="it was right")


@visits
async def test_undo_opens_the_case_and_gives_the_text_back(console: RunningConsole) -> None:
    person = await console.person("analyst", "noa")
    before = await told(console)
    act = await decided(person, "ann")
    assert await told(console) != before
    await undo(person, act)
    assert await told(console) == before
    await console.index()
    case = await stored(lambda: ReviewCase.objects.get(account="ann"))
    assert (case.state, case.verdict, case.closed_ms) == ("open", "", None)
    review = await stored(lambda: Review.objects.get())
    assert review.undone_ms is not None
    # It is decided again as any other, and its undo is exact again.
    week = {"verdict": "undetermined", "outcome": "limit", "hold": "7d"}
    act = await decided(person, "ann", **week)
    await undo(person, act)
    assert await told(console) == before


@visits
async def test_undo_of_neither_gives_the_text_back(console: RunningConsole) -> None:
    person = await console.person("analyst", "noa")
    week = {"verdict": "undetermined", "outcome": "limit", "hold": "7d"}
    act = await decided(person, "ann", **week)
    limited = await told(console)
    assert "broken our terms" not in limited[0]["facts"][0]
    ban = {"verdict": "undetermined", "outcome": "ban", "seen": "limit", "reason": "harder"}
    await person.act("/console/account-acts/ann", **ban)
    harder = await stored(lambda: PersonAct.objects.latest("id"))
    await undo(person, harder)
    assert await told(console) == limited
    await undo(person, act)
    assert (await told(console))[0]["ground"].basis != "person"


@visits
async def test_undo_gives_the_end_back_however_long_it_takes(console: RunningConsole) -> None:
    person = await console.person("analyst", "noa")
    week = {"verdict": "undetermined", "outcome": "limit", "hold": "7d"}
    await decided(person, "ann", **week)
    limited = await told(console)
    ban = {"verdict": "undetermined", "outcome": "ban", "seen": "limit", "reason": "harder"}
    await person.act("/console/account-acts/ann", **ban)
    # Each reading of the clock is two seconds later than the one before.
    late = itertools.count(0, 2000)
    console.service.clock = lambda: now_ms() + next(late)
    await undo(person, await stored(lambda: PersonAct.objects.latest("id")))
    assert await told(console) == limited


@visits
async def test_undone_decision_says_that_it_was_reversed(console: RunningConsole) -> None:
    person = await console.person("analyst", "noa")
    act = await decided(person, "ann", verdict="undetermined", outcome="limit", hold="7d")
    number = await stored(lambda: Decision.objects.filter(account="ann").latest("number").number)
    await undo(person, act)
    made = await statement(console, number)
    assert made.title == "The decision on your account was reversed"
    assert made.restriction.status == "ended"


async def statement(console: RunningConsole, number: int) -> Any:
    """Return what the holder reads of a decision."""
    notices, now = console.running.context.holder_notices, console.service.clock()

    def read() -> Any:
        row = Decision.objects.get(number=number)
        decision = msgspec.json.decode(bytes(row.body)) | {"number": number}
        return statements.statement_of(notices, decision, get_language("en"), now)

    return await stored(read)


@visits
async def test_lifted_decision_says_that_it_was_reversed(console: RunningConsole) -> None:
    person = await console.person("analyst", "noa")
    newest = Decision.objects.filter(account="ann").order_by("-number")
    number = await stored(lambda: newest.values_list("number", flat=True)[0])
    before = await statement(console, number)
    act = await decided(person, "ann")
    lifted = await statement(console, number)
    assert lifted.title == "The decision on your account was reversed"
    assert lifted.sections[0].id == "correction-1"
    await undo(person, act)
    again = await statement(console, number)
    assert (again.title, again.corrections) == (before.title, ())


@visits
async def test_undo_of_a_batch_opens_its_cases(console: RunningConsole) -> None:
    lead = await console.person("lead", "dana")
    before = [await told(console, name) for name in ("ann", "bob")]
    wanted: dict[str, Any] = {
        "verdict": "benign", "reason": "a test", "account": ["ann", "bob"],
    }  # fmt: skip
    answer = await lead.act("/console/queue/bulk", **wanted)
    batch = await stored(lambda: Batch.objects.get())
    assert answer.headers["location"].endswith(batch.id)
    assert await stored(ReviewCase.objects.filter(state="closed").count) == 2
    await lead.post(f"/console/queue/batches/{batch.id}/undo", reason="not ours")
    await console.index()
    assert await stored(ReviewCase.objects.filter(state="open").count) == 2
    assert [await told(console, name) for name in ("ann", "bob")] == before
    assert await stored(Review.objects.filter(undone_ms=None).count) == 0


@visits
async def test_undo_leaves_a_later_verdict_alone(console: RunningConsole) -> None:
    noa, omer = await console.person("analyst", "noa"), await console.person("analyst", "omer")
    act = await decided(noa, "ann")
    said = {"seen": "allow", "verdict": "benign", "reason": "I looked too"}
    assert (await omer.act("/console/account-acts/ann", **said)).status_code == 302
    await undo(noa, act)
    page = (await noa.get("/console/accounts/ann")).text
    assert "left alone: omer decided since" in page
    assert await stored(lambda: AuditEntry.objects.filter(action="override").count()) == 2
    assert await stored(lambda: ReviewCase.objects.get(account="ann").state) == "closed"


@visits
async def test_undo_at_once_is_done_once(console: RunningConsole) -> None:
    person = await console.person("analyst", "noa")
    act = await decided(person, "ann")
    body = {"csrfmiddlewaretoken": await person.token(), "reason": "it was right"}
    path = f"/console/acts/{act.id}/undo"
    await asyncio.gather(*(person.client.post(path, data=body) for _ in range(4)))
    acts = await stored(lambda: AuditEntry.objects.filter(action="override").count())
    assert acts == 2
