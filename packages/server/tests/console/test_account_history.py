"""An account's page: its history, what is drawn on its timeline, and one count of its links."""

from __future__ import annotations

import html
import re
from typing import Any

from django.utils.translation import override

from support.console_harness import RunningConsole, Visitor, console_test
from support.operator_events import TEAM, team_events
from support.service_harness import abuser, now_ms
from wavebreak.languages import get_language
from wavebreak_server.console.translations import load_translations
from wavebreak_server.http.app_context import run_background_query as stored
from wavebreak_server.slices.acts.models import PersonAct
from wavebreak_server.slices.acts.service import Act
from wavebreak_server.slices.appeals.models import Appeal
from wavebreak_server.slices.statements import service as statements
from wavebreak_server.slices.users.models import User
from wavebreak_server.storage.models import Decision

HOUR_MS = 3_600_000
LIMIT = {"verdict": "undetermined", "outcome": "limit", "hold": "7d"}


async def _with_abuser(console: RunningConsole) -> None:
    await console.running.send(abuser(ts=now_ms() - 14 * HOUR_MS))
    await console.index()


visits = console_test(_with_abuser)


async def history(person: Visitor) -> list[str]:
    """Return the lines of the account's history, newest first, without their dialogs."""
    page = (await person.get("/console/accounts/ann")).text
    section = page[page.index('id="acts"') : page.index('id="evidence"')]
    section = re.sub(r"<dialog.*?</dialog>", " ", section, flags=re.DOTALL)
    lines = re.findall(r"<li data-tone.*?</li>", section, re.DOTALL)
    return [" ".join(html.unescape(re.sub(r"<[^>]+>", " ", line)).split()) for line in lines]


async def drawn(person: Visitor) -> dict[str, Any]:
    found: dict[str, Any] = (await person.get("/console/account-timelines/ann")).json()
    return found


@visits
async def test_history_has_decisions_acts_and_undos_in_one_order(console: RunningConsole) -> None:
    person = await console.person("lead", "noa")
    (ban,) = [line for line in await history(person) if line.startswith("ban")]
    assert "instant ban" in ban
    await person.act("/console/account-acts/ann", seen="ban", reason="a <b> wedding", **LIMIT)
    act = await stored(PersonAct.objects.get)
    newest, *_ = await history(person)
    assert newest.startswith("limit")
    assert "noa : another outcome , ban → limit a <b> wedding" in newest
    await person.post(f"/console/acts/{act.id}/undo", reason="no wedding")
    newest, undone, *_ = await history(person)
    assert newest.startswith("ban")
    assert "noa has undone the verdict another outcome: no wedding" in newest
    assert "undone by noa" in undone


def test_duration_of_an_act_is_in_the_language_of_the_page() -> None:
    act = Act("undetermined", "restrict", "3d")
    assert act.shown == "restrict for 3d"
    load_translations("he")
    with override("he"):
        assert act.shown == "\u2068הגבלה\u2069 למשך \u20683 ימים\u2069"


@visits
async def test_act_that_changed_nothing_and_an_appeal_are_in_the_history(
    console: RunningConsole,
) -> None:
    person = await console.person("lead", "noa")
    await person.act("/console/account-acts/ann", seen="ban", verdict="abusive", reason="same")
    newest, *_ = await history(person)
    assert "(changed nothing)" in newest
    await stored(lambda: Appeal.objects.create(
        decision="d", number=1, account="ann", outcome="ban", via="public", language="en",
        state=Appeal.DECIDED, result=Appeal.UNCHANGED, created_ms=1, opened_ms=now_ms() + HOUR_MS,
        decided_ms=now_ms() + 2 * HOUR_MS,
    ))  # fmt: skip
    answered, received, *_ = await history(person)
    assert answered.startswith("Appeal answered : unchanged")
    assert received.startswith("Appeal received")


@visits
async def test_history_says_what_the_holder_has_read(console: RunningConsole) -> None:
    person, notices = await console.person("lead", "noa"), console.running.context.holder_notices
    now = console.service.clock()

    def open_notice() -> str:
        row = Decision.objects.filter(account="ann", outcome="ban").latest("number")
        decision = statements.stored_decision(row.id)
        assert decision is not None
        made = statements.statement_of(notices, decision, get_language("he"), now)
        statements.keep_shown(decision, made, now)
        return str(made.title)

    title = await stored(open_notice)
    newest, *_ = await history(person)
    assert f"The holder read: “ {title} ” (he, " in newest


@visits
async def test_timeline_draws_how_long_each_outcome_lasted(console: RunningConsole) -> None:
    person = await console.person("lead", "noa")
    before = await drawn(person)
    assert before["bands_label"] == "would be in force"
    assert [band["label"] for band in before["bands"]][-1] == "ban"
    await person.act("/console/account-acts/ann", seen="ban", reason="milder", **LIMIT)
    act = await stored(PersonAct.objects.get)
    after = await drawn(person)
    *_, ban, limit = after["bands"]
    assert (ban["label"], limit["label"], limit["color"]) == ("ban", "limit", "limit")
    assert ban["from"] < ban["to"] == limit["from"] <= limit["to"]
    assert after["marks"][-1]["label"] == "a person: limit"
    await person.post(f"/console/acts/{act.id}/undo", reason="it was right")
    last = await drawn(person)
    assert last["marks"][-1]["label"] == "undone: ban"
    await stored(lambda: User.objects.filter(username="noa").update(language="he"))
    assert (await drawn(person))["bands_label"] == "היה בתוקף"


@console_test(_with_abuser, enforce=True)
async def test_timeline_under_enforcement_says_what_is_in_force(console: RunningConsole) -> None:
    found = await drawn(await console.person("lead", "noa"))
    assert found["bands_label"] == "in force"
    assert {band["label"] for band in found["bands"]} == {"limit"}


@visits
async def test_story_names_rules_by_their_titles(console: RunningConsole) -> None:
    person = await console.person("lead", "noa")
    for told in ((await person.get("/console/accounts/ann")).text, (await drawn(person))["story"]):
        assert "by instant ban" in str(told)
        assert "by instant_ban" not in str(told)


async def _with_team(console: RunningConsole) -> None:
    await console.running.send(list(team_events()))
    await console.index()


@console_test(_with_team)
async def test_page_counts_the_linked_accounts_once(console: RunningConsole) -> None:
    person = await console.person("lead", "noa")
    others = f"linked to {len(TEAM) - 1} accounts"
    account = sorted(TEAM)[0]
    page = (await person.get(f"/console/accounts/{account}")).text
    assert "other accounts of the operator" not in page[page.index("Among the population") :]
    assert others in (await person.get(f"/console/account-neighbours/{account}")).text
