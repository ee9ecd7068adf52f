"""The effect sheet of an act is what the act brings; one whose sheet changed does nothing."""

from __future__ import annotations

import html
import random
import re
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from asgiref.sync import sync_to_async
from django.db import connection

from support.console_harness import SHEET, RunningConsole, Visitor, console_test
from support.operator_events import TEAM, team_events
from support.service_harness import abuser, now_ms
from wavebreak.languages import get_language
from wavebreak.notices.texts import TEXTS
from wavebreak_server.http.app_context import run_background_query as stored
from wavebreak_server.http.operations import RequestContext
from wavebreak_server.slices.acts import effect_sheet as sheets
from wavebreak_server.slices.acts import service as acts
from wavebreak_server.slices.acts.effect_sheet import Ask, State
from wavebreak_server.slices.acts.models import Batch, PersonAct
from wavebreak_server.slices.appeals import answers
from wavebreak_server.slices.appeals.answers import Answer
from wavebreak_server.slices.appeals.models import Appeal
from wavebreak_server.slices.queue.models import ReviewCase
from wavebreak_server.slices.users.acting_user import ActingUser
from wavebreak_server.slices.users.models import User
from wavebreak_server.storage.models import AuditEntry, Decision

T = TypeVar("T")
HOUR_MS = 3_600_000
BECAUSE = "because a test asks for it"
WEEK = {"verdict": "undetermined", "outcome": "limit", "hold": "7d", "reason": BECAUSE}
HOUR = {"verdict": "undetermined", "outcome": "restrict", "hold_s": 3_600}
PEOPLE = {"ann": 120, "bob": 90, "dan": 35, "eve": 8, "fay": 1}


async def change(console: RunningConsole, account: str, **verdict: Any) -> None:
    """Let a colleague act on an account by the API."""
    path, body = f"/v1/accounts/{account}/override", verdict | {"reason": BECAUSE}
    answer = await console.running.ask("POST", path, json=body)
    assert answer.status_code == 200, answer.text


async def _with_people(console: RunningConsole) -> None:
    """Let there be accounts from a banned one to one that did nothing; the log's time is now."""
    now = now_ms()
    for name, count in PEOPLE.items():
        await console.running.send(abuser(count, name, now - 14 * HOUR_MS, age_ms=3_000_000))
    await console.running.send(abuser(1, account="gil", ts=now - 2_000))
    await change(console, "ann", verdict="abusive")
    await change(console, "dan", verdict="undetermined", outcome="limit", hold_s=86_400)
    await console.index()


visits = console_test(_with_people, enforce=True)
shadow_visits = console_test(_with_people)


def words(page: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


def digest_in(page: str) -> str:
    found = SHEET.search(page)
    assert found, words(page)
    return found[1]


async def acting_as(console: RunningConsole, name: str, role: str = "lead") -> ActingUser:
    await console.person(role, name)
    user = await stored(lambda: User.objects.get(username=name))
    return ActingUser(user, RequestContext(console.service, console.running.context, user.actor))


async def inside(run: Callable[..., T], *arguments: Any) -> T:
    """Run a function as a page runs, with a connection to the database of its own."""

    def closing() -> T:
        try:
            return run(*arguments)
        finally:
            connection.close()

    return await sync_to_async(closing, thread_sensitive=False)()


def drawn_act(rng: random.Random) -> acts.Act:
    verdict = rng.choice(list(acts.CHOICES))
    if verdict != "undetermined":
        return acts.Act(verdict)
    outcome = rng.choice(("allow", "observe", "limit", "restrict", "suspend", "ban"))
    hold = "" if outcome == "allow" else rng.choice(acts.HOLDS)
    return acts.Act(verdict, outcome, hold)


# A sheet is what follows.


@pytest.mark.parametrize("seed", range(3))
def test_sheet_of_acts_is_what_they_bring(seed: int, tmp_path: Any) -> None:
    @visits
    async def visit(console: RunningConsole) -> None:
        rng, now = random.Random(seed), now_ms()
        console.service.clock = lambda: now
        acting = await acting_as(console, "dana")
        for _ in range(12):
            act = drawn_act(rng)
            accounts = rng.sample(list(PEOPLE), rng.randint(1, len(PEOPLE)))
            sheet, made = await inside(done, acting, accounts, act)
            assert [row.account for row in sheet.rows] == accounts
            for row, each in zip(sheet.rows, made, strict=True):
                assert (row.before, row.after) == (
                    State(each.before, each.before_until_ms), State(each.outcome, each.until_ms)
                ), (act, row.account)  # fmt: skip

    visit(tmp_path)


def done(
    acting: ActingUser, accounts: list[str], act: acts.Act
) -> tuple[sheets.EffectSheet, list[PersonAct]]:
    """Return the sheet of an act, and the acts."""
    sheet = sheets.effect_sheet(acting, act.words, [Ask(account, act) for account in accounts])
    return sheet, [acts.apply_and_close(acting, each, act, BECAUSE) for each in accounts]


@pytest.mark.parametrize("seed", range(3))
def test_sheet_of_an_answer_is_what_it_brings(seed: int, tmp_path: Any) -> None:
    @visits
    async def visit(console: RunningConsole) -> None:
        rng, now = random.Random(seed), now_ms()
        console.service.clock = lambda: now
        dana, noam = await acting_as(console, "dana"), await acting_as(console, "noam", "analyst")
        for account in ("ann", "bob", "dan"):
            for _ in range(rng.randint(0, 2)):
                await inside(done, dana, [account], drawn_act(rng))
            opened = await inside(appeal_of, account, rng, now)
            result = rng.choice(list(answers.RESULTS))
            answer = Answer(result, text="x", outcome="limit", hold="24h")
            before, after = await inside(answered, noam, opened, answer)
            assert before == after, (account, result)

    visit(tmp_path)


def appeal_of(account: str, rng: random.Random, now: int, language: str = "he") -> Appeal:
    """Open an appeal against a decision on an account."""
    row = rng.choice(list(Decision.objects.filter(account=account).exclude(outcome="allow")))
    made: Appeal = Appeal.objects.create(
        decision=row.id, number=row.number, account=account, outcome=row.outcome, state=Appeal.OPEN,
        via="api", language=language, created_ms=now, opened_ms=now, deadline_ms=now + HOUR_MS,
    )  # fmt: skip
    return made


def answered(acting: ActingUser, appeal: Appeal, answer: Answer) -> tuple[State, State]:
    """Return the state that the sheet of an answer shows, and the one that followed."""
    sheet = answers.sheet_of(acting, appeal, answer, together=False)
    answers.decide(acting, appeal, answer, appeal.version, sheet.record)
    appeal.refresh_from_db()
    (after,) = sheets.effect_sheet(acting, "", [Ask(appeal.account, None)]).rows
    assert after.before == State(appeal.new_outcome, appeal.new_until_ms)
    return sheet.rows[0].after, after.before


# A sheet that changed.


async def form_of_case(person: Visitor, account: str) -> tuple[str, dict[str, str]]:
    """Claim the case of an account; return the path and the fields of a verdict."""
    case = await stored(lambda: ReviewCase.objects.filter(account=account).last())
    path = f"/console/queue/{case.id}"
    await person.post(f"{path}/claim")
    version = re.search(r'name="version" value="(\d+)"', (await person.get(path)).text)
    assert version
    return f"{path}/decide", {"version": version[1]}


@pytest.mark.parametrize("kind", ["account", "case", "many"])
def test_act_with_a_stale_sheet_is_asked_again(kind: str, tmp_path: Any) -> None:
    @shadow_visits
    async def visit(console: RunningConsole) -> None:
        person = await console.person("lead", "dana")
        path, more = {
            "account": ("/console/account-acts/ann", {}),
            "many": ("/console/queue/bulk", {"account": ["ann", "bob"]}),
        }.get(kind) or await form_of_case(person, "bob")
        fields = await person.with_sheet(path, **WEEK, **more)
        assert await stored(PersonAct.objects.count) == 0
        await change(console, "bob" if kind == "case" else "ann", **HOUR)
        asked = await person.post(path, **fields)
        assert asked.status_code == 200
        assert "What the act would bring changed while you read it" in words(asked.text)
        assert digest_in(asked.text) != fields["sheet"]
        assert await stored(PersonAct.objects.count) == await stored(Batch.objects.count) == 0
        confirmed = await person.post(path, **(fields | {"sheet": digest_in(asked.text)}))
        assert confirmed.status_code == 302, words(confirmed.text)
        acted = await stored(lambda: set(PersonAct.objects.values_list("before", flat=True)))
        assert "restrict" in acted

    visit(tmp_path)


@visits
async def test_answer_with_a_stale_sheet_changes_nothing(console: RunningConsole) -> None:
    noam, rng = await console.person("analyst", "noam"), random.Random(1)
    opened = await stored(lambda: appeal_of("ann", rng, now_ms()))
    path = f"/console/appeals/{opened.id}/decide"
    answer = {"result": "reversed", "grounds": "reversed.unproven", "version": "1"}
    fields = await noam.with_sheet(path, **(answer | {"version": str(opened.version)}))
    await change(console, "ann", **HOUR)
    assert "changed while you read it" in words((await noam.post(path, **fields)).text)
    assert (await stored(Appeal.objects.get)).state == Appeal.OPEN
    assert await stored(PersonAct.objects.count) == 0


# What a sheet says.


@shadow_visits
async def test_shadow_says_that_nothing_will_be_enforced(console: RunningConsole) -> None:
    person = await console.person("lead", "dana")
    for path, fields in (
        ("/console/account-acts/ann", WEEK),
        ("/console/queue/preview", WEEK | {"account": ["ann", "bob"]}),
    ):
        page = words((await person.post(path, **fields)).text)
        assert "Shadow: nothing will be enforced, and no holder is told" in page, path


@visits
async def test_enforced_sheet_does_not_speak_of_shadow(console: RunningConsole) -> None:
    person = await console.person("lead", "dana")
    page = words((await person.post("/console/account-acts/ann", **WEEK)).text)
    assert "Shadow:" not in page
    assert "ban → limit" in page


@pytest.mark.parametrize("language", ["en", "he"])
def test_holder_reads_in_their_own_language(language: str, tmp_path: Any) -> None:
    @visits
    async def visit(console: RunningConsole) -> None:
        person = await console.person("lead", "dana")
        await inside(appeal_of, "ann", random.Random(1), now_ms(), language)
        page = (await person.post("/console/account-acts/ann", **WEEK)).text
        sheet = page[page.index('name="sheet"') :]
        first = re.search(r'<summary><bdi>([^<]+)</bdi>: <span lang="(\w+)" dir="(\w+)">', sheet)
        own = get_language(language)
        assert first
        assert first.groups() == (own.name, language, own.direction)
        assert own.gettext(TEXTS["title"]["limit"]) in html.unescape(sheet)

    visit(tmp_path)


@visits
async def test_lifted_account_reads_that_it_is_free(console: RunningConsole) -> None:
    person = await console.person("lead", "dana")
    page = words((await person.post("/console/account-acts/ann", verdict="benign")).text)
    assert "ban → allow" in page
    assert "Your account is no longer restricted" in page


@visits
async def test_audit_log_and_message_have_the_sheet(console: RunningConsole) -> None:
    person = await console.person("lead", "dana")
    fields = await person.with_sheet("/console/account-acts/ann", **WEEK)
    answer = await person.post("/console/account-acts/ann", **fields)
    entry = await stored(lambda: AuditEntry.objects.filter(action="override").latest("number"))
    record = f"[sheet {fields['sheet']}: 1 account, 0 severer, 1 milder, enforced]"
    assert entry.reason.endswith(record)
    page = words((await person.get(answer.headers["location"])).text)
    assert re.search(r"limit until [-\d]+ [\d:]+ UTC is in force now \(before: ban\)", page)


async def _with_team(console: RunningConsole) -> None:
    await console.running.send(list(team_events()))


@console_test(_with_team)
async def test_linked_accounts_that_stay_as_they_are_are_named(console: RunningConsole) -> None:
    person = await console.person("lead", "dana")
    first, *others = TEAM
    await console.service.ask(lambda engine: engine.operators())
    page = (await person.post(f"/console/account-acts/{first}", **WEEK)).text
    sheet = page[page.index('name="sheet"') :]
    assert f"{len(others)} linked accounts are not part of this act" in words(sheet)
    for name in others:
        assert f'href="/console/accounts/{name}"' in sheet
    every = (await person.post("/console/queue/preview", **WEEK, account=list(TEAM))).text
    assert "not part of this act" not in words(every)


@visits
async def test_decision_that_stays_in_force_is_shown_with_its_evidence(
    console: RunningConsole,
) -> None:
    person = await console.person("lead", "dana")
    page = words((await person.post("/console/account-acts/dan", verdict="abusive",
                                    reason=BECAUSE)).text)  # fmt: skip
    assert re.search(r"limit → ban .*These decisions stay in force: limit until", page)
