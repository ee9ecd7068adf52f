"""The overview: what happened since the last visit, what is at risk, what waits for whom."""

from __future__ import annotations

import html
import re
from functools import partial

from django.db.models import QuerySet

from support.console_harness import RunningConsole, console_test
from support.service_harness import abuser, now_ms
from wavebreak.durations import DAY_MS
from wavebreak_server.console.views.overview import rows_since
from wavebreak_server.http.app_context import run_background_query as stored
from wavebreak_server.slices.users.models import User
from wavebreak_server.storage.models import (
    AuditEntry,
    Decision,
    Delivery,
    EnforcementState,
    Webhook,
)

HOUR_MS = 3_600_000


async def _with_abusers(console: RunningConsole) -> None:
    now = now_ms()
    await console.running.send(abuser(ts=now - 3 * HOUR_MS))
    await console.running.send(abuser(account="bob", ts=now - HOUR_MS // 2))
    await console.index()


visits = console_test(_with_abusers, enforce=True)


def words(page: str) -> str:
    """Return the text of a page's main part."""
    main = page[page.index("<main") : page.index("</main>")]
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", main)).split())


def _was_here(at_ms: int) -> None:
    AuditEntry.objects.create(
        at_ms=at_ms, key="user:noa", action="sign_in", object="noa", reason="", outcome="done"
    )


@visits
async def test_first_visit_shows_a_day_and_later_ones_what_is_new(console: RunningConsole) -> None:
    first = words((await (await console.person("lead", "first")).get("/console/")).text)
    assert "In the last day" in first
    assert "Accounts by what was decided limit 2" in first
    await stored(partial(_was_here, now_ms() - 2 * HOUR_MS))
    page = words((await (await console.person("lead", "noa")).get("/console/")).text)
    assert "Since you were here" in page
    since = page[page.index("Since you were here") : page.index("Accounts affected now")]
    assert "Accounts by what was decided limit 1" in since
    assert "2 cases opened" in since


@visits
async def test_visit_is_that_before_this_session(console: RunningConsole) -> None:
    await stored(partial(_was_here, now_ms() - 30 * DAY_MS))
    person = await console.person("lead", "noa")
    before = re.search(r"since [\d: -]+ UTC", words((await person.get("/console/")).text))
    assert before
    # What the person does now is no earlier visit.
    await stored(partial(_was_here, now_ms()))
    assert before[0] in words((await person.get("/console/")).text)


@visits
async def test_acts_of_colleagues_are_named_and_own_ones_are_not(console: RunningConsole) -> None:
    noa, dana = await console.person("lead", "noa"), await console.person("analyst", "dana")
    acted = {"verdict": "undetermined", "outcome": "limit", "hold": "7d", "reason": "longer"}
    await dana.act("/console/account-acts/bob", seen="limit", **acted)
    assert "1 act of a colleague" in words((await noa.get("/console/")).text)
    assert "of a colleague" not in words((await dana.get("/console/")).text)


@visits
async def test_risk_names_the_cases_and_both_sides_of_a_wrong_decision(
    console: RunningConsole,
) -> None:
    page = words((await (await console.person("lead", "noa")).get("/console/")).text)
    assert "2 accounts with an open case can go on writing." in page
    assert "0 are silenced and were not reviewed yet." in page
    for account in ("ann", "bob"):
        assert f"{account} limit Too many first messages" in page


@visits
async def test_whoever_reviews_nothing_is_shown_no_case(console: RunningConsole) -> None:
    page = (await (await console.person("admin")).get("/console/")).text
    assert "/console/queue" not in page
    assert "/console/appeals" not in page
    assert "At risk now" not in page
    await stored(lambda: Webhook.objects.create(
        id="hook_0", url="https://chat.example/in", min_outcome="ban", created_ms=0, cursor=0
    ))  # fmt: skip
    await stored(lambda: Delivery.objects.create(
        webhook_id="hook_0", number=1, dead_lettered=True, next_ms=0
    ))  # fmt: skip
    page = words((await (await console.person("admin")).get("/console/")).text)
    assert "At risk now 1 message was not delivered to https://chat.example/in." in page


@console_test(_with_abusers)
async def test_shadow_says_what_enforcement_would_have_done(console: RunningConsole) -> None:
    person = await console.person("lead", "noa")
    page = words((await person.get("/console/")).text)
    assert "Accounts by what enforcement would have decided" in page
    assert "2 accounts with an open case can go on writing." in page
    assert "Enforcement would silence 2 that nobody has reviewed." in page
    assert "silenced and" not in page
    await stored(lambda: User.objects.filter(username="noa").update(language="he"))
    hebrew = words((await person.get("/console/")).text)
    assert "האכיפה הייתה משתיקה שניים שאיש לא בדק." in hebrew
    assert "חשבונות לפי מה שהאכיפה הייתה מחליטה" in hebrew


@visits
async def test_rows_since_are_those_that_a_scan_finds(console: RunningConsole) -> None:
    def check() -> None:
        rows: QuerySet = Decision.objects.all()
        times = sorted(rows.values_list("ts", flat=True))
        assert len(times) > 1
        for since in (0, *times, *(ts - 1 for ts in times), times[-1] + 1):
            found = rows_since(rows, "ts", since).count()
            assert found == rows.filter(ts__gt=since).count(), since
        assert rows_since(rows.filter(number=0), "ts", 0).count() == 0

    await stored(check)


async def _with_limit(console: RunningConsole) -> None:
    # A first-minute rule limits for an hour.
    await console.running.send(abuser(90, ts=now_ms() - 10 * 60_000))
    await console.index()


@console_test(_with_limit, enforce=True)
async def test_outcome_that_has_ended_affects_nobody(console: RunningConsole) -> None:
    person, until = await console.person("lead", "noa"), await stored(_only_end)
    assert "Accounts affected now limit 1" in words((await person.get("/console/")).text)
    assert 'href="/console/accounts/ann"' in (await person.get("/console/accounts")).text
    console.service.clock = lambda: until
    assert "Accounts affected now No account has an outcome." in words(
        (await person.get("/console/")).text
    )
    assert 'href="/console/accounts/ann"' not in (await person.get("/console/accounts")).text


def _only_end() -> int:
    until = EnforcementState.objects.get().until
    assert until is not None
    return int(until)
