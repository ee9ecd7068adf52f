"""Statements of reasons on the console's tables: what stands, what has ended, and shadow."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import msgspec
import pytest

from support.console_harness import RunningConsole, console_test
from support.service_harness import abuser, now_ms
from wavebreak.notices import LANGUAGES, Statement, get_language
from wavebreak_server.http.app_context import run_background_query as stored
from wavebreak_server.pipeline.decide import DecideResponse
from wavebreak_server.pipeline.holder_notices import HolderNotices, with_notice
from wavebreak_server.slices.statements import service as statements
from wavebreak_server.slices.statements import standing
from wavebreak_server.storage.models import Decision, StateChange

HOUR_MS = 3_600_000
IN_FORCE = {"en": "Your account is banned", "he": "החשבון שלכם נחסם"}
NOTHING = {"en": "Nothing is restricted on your account", "he": "אין הגבלה על החשבון שלכם"}


async def _with_ban(console: RunningConsole) -> None:
    await console.running.send(abuser(ts=now_ms() - 14 * HOUR_MS))
    await console.index()


visits = console_test(_with_ban)


async def statement(
    console: RunningConsole, outcome: str, code: str = "en", later_ms: int = 0
) -> Statement:
    """Return what the holder of `ann` reads of the newest decision with an outcome."""
    notices, now = console.running.context.holder_notices, console.service.clock() + later_ms

    def read() -> Statement:
        row = Decision.objects.filter(account="ann", outcome=outcome).latest("number")
        decision = msgspec.json.decode(bytes(row.body)) | {"number": row.number}
        return statements.statement_of(notices, decision, get_language(code), now)

    return await stored(read)


async def act(console: RunningConsole, **fields: str) -> None:
    person = await console.person("analyst", "noa")
    answer = await person.act("/console/account-acts/ann", reason="a test", **fields)
    assert answer.status_code == 302, answer.text


def decision(name: str, ts: int, until: int | None, outcome: str = "limit") -> dict[str, Any]:
    return {"id": name, "ts": ts, "until": until, "outcome": outcome, "rules": ["r"],
            "basis": "evidence"}  # fmt: skip


def test_decisions_stand_behind_a_severer_one_until_their_own_end() -> None:
    decisions = [decision("a", 0, 50), decision("b", 1, 9), decision("c", 2, 30, "restrict")]
    traced = standing.trace(decisions, 20)
    assert [each["id"] for each in traced.standing] == ["a", "c"]
    assert traced.ends == {"b": 9}
    # The state ends with the newest decision, and with it those behind it.
    assert standing.trace(decisions, 30).ends == {"a": 30, "b": 9, "c": 30}


@pytest.mark.parametrize("outcome", ["allow", "observe", "limit"])
def test_outcome_that_a_person_sets_ends_what_stood(outcome: str) -> None:
    person = decision("p", 5, None, outcome) | {"basis": "person", "rules": []}
    traced = standing.trace([decision("a", 0, 50), person], 20)
    assert traced.ends == {"a": 5}
    assert [each["id"] for each in traced.standing] == ["p"] * (outcome == "limit")


def test_restored_decision_stands_as_itself() -> None:
    lifted = decision("p", 5, None, "allow") | {"basis": "person", "rules": []}
    restored = decision("q", 6, 50) | {"basis": "person", "rules": []}
    traced = standing.trace([decision("a", 0, 50), lifted, restored], 20)
    assert [each["id"] for each in traced.standing] == ["a"]
    assert traced.ends == {}


@visits
async def test_replaced_decision_is_told_in_the_past(console: RunningConsole) -> None:
    assert (await statement(console, "ban")).restriction.status == "in_force"
    await act(console, verdict="undetermined", outcome="limit", hold="24h", seen="ban")
    ban, limit = await statement(console, "ban"), await statement(console, "limit")
    assert (ban.title, ban.restriction.status) == ("This ban of your account has ended", "ended")
    assert limit.restriction.status == "in_force"
    for code in LANGUAGES:
        before = await statement(console, "limit", code)
        after = await statement(console, "limit", code, 25 * HOUR_MS)
        assert before.title != after.title
        assert after.restriction.status == "ended"


@visits
async def test_facts_are_those_that_the_person_saw(console: RunningConsole) -> None:
    reviewed = (await statement(console, "ban")).facts
    await act(console, verdict="undetermined", outcome="limit", hold="24h", seen="ban")
    facts = (await statement(console, "limit")).facts
    assert facts[0].startswith("A person examined the account's activity")
    assert facts[1:] == reviewed


@visits
async def test_nobody_is_told_in_shadow_that_something_is_in_force(console: RunningConsole) -> None:
    context, holder = console.running.context, console.anybody("198.51.100.1")
    row = await stored(lambda: Decision.objects.filter(outcome="ban").latest("number"))
    made = msgspec.json.decode(bytes(row.body)) | {"number": row.number}
    path = f"/notice/{context.holder_notices.token(made)}"
    assert IN_FORCE["en"] in (await holder.get(f"{path}?lang=en")).text
    context.holder_notices = replace(context.holder_notices, is_enforced=False)
    for code in LANGUAGES:
        for page in (f"{path}?lang={code}", f"{path}.json?lang={code}"):
            text = (await holder.get(page)).text
            assert NOTHING[code] in text
            assert IN_FORCE[code] not in text
    account = await (await console.person("analyst")).get("/console/accounts/ann")
    assert "What the holder was notified of" not in account.text
    # Neither a webhook nor an answer to the platform brings a notice.
    assert context.notice_of(bytes(row.body)) is None
    response = DecideResponse("ann", "ban", allowed=False)
    told = await stored(partial(with_notice, response, context.holder_notices))
    assert (told.notice, told.notify_at_ms, told.statement_url) == (None, None, None)
    told = await stored(partial(with_notice, response, HolderNotices()))
    assert told.notice is not None


@visits
async def test_decision_lifted_as_enforcement_began_restricted_nothing(
    console: RunningConsole,
) -> None:
    def lift() -> None:
        number = Decision.objects.latest("number").number
        change = StateChange(number=1, account="ann", after=number, decision=number, lifted=True)
        change.authenticate()
        change.save()

    await stored(lift)
    assert (await statement(console, "ban")).title == NOTHING["en"]
    assert await stored(lambda: standing.trace_account("ann", now_ms()).standing) == []
