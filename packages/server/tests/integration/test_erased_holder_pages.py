"""An erasure holds against the holder's own links: they end, and nothing is stored again."""

from __future__ import annotations

import re
from typing import Any

import httpx
import msgspec
from django.db import connection

from support.console_harness import RunningConsole, Visitor, console_test
from support.service_harness import abuser, now_ms
from wavebreak.notices import get_language
from wavebreak_server.http.app_context import run_background_query as stored
from wavebreak_server.pipeline.platform_messages import one_time_code
from wavebreak_server.slices.appeals.models import Appeal
from wavebreak_server.slices.statements import service as statements
from wavebreak_server.slices.statements.models import NoticeState
from wavebreak_server.storage.models import Decision, Webhook

HOUR = 3_600_000
BECAUSE = "because a test asks for it"
HEBREW = "כתבתי לאורחים בחתונה שלי. זו טעות."
ENDED = {"he": "ההודעה הזאת נמחקה", "en": "This notice was erased"}


async def _with_bans(console: RunningConsole) -> None:
    """Ban `ann` and `ben`, so long ago that the policy's delay of their notices has passed."""
    for name in ("ann", "ben"):
        await console.running.send(abuser(account=name, ts=now_ms() - 14 * HOUR))
    await stored(_add_webhook)


visits = console_test(_with_bans)
"""Runs a test against a console whose accounts `ann` and `ben` were banned and notified."""


def _add_webhook() -> None:
    Webhook.objects.create(
        id="hook_0", url="http://127.0.0.1/", min_outcome="ban", created_ms=0, cursor=0
    )


def _rows() -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table of the console, and of the sign-in's."""
    found = {}
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            if table.startswith(("console_", "account_", "django_session", "platform_message")):
                cursor.execute(f'SELECT * FROM "{table}"')
                found[table] = [
                    tuple(bytes(v) if isinstance(v, memoryview) else v for v in row)
                    for row in cursor.fetchall()
                ]
    return found


def _newest(account: str, outcome: str = "ban") -> dict[str, Any]:
    row = Decision.objects.filter(account=account, outcome=outcome).latest("number")
    decision: dict[str, Any] = msgspec.json.decode(bytes(row.body))
    return decision | {"number": row.number}


async def _token(console: RunningConsole, account: str, outcome: str = "ban") -> str:
    notices = console.running.context.holder_notices
    return str(await stored(lambda: notices.token(_newest(account, outcome))))


def _form(answer: httpx.Response) -> str:
    found = re.search(r'name="form" value="([^"]+)"', answer.text)
    assert found, answer.text
    return found[1]


async def _written(holder: Visitor, token: str) -> str:
    """Open every page of a link, and write an appeal; return the form's token."""
    for path in (f"/notice/{token}?lang=he", f"/notice/{token}", f"/notice/{token}.json"):
        assert (await holder.get(path)).status_code == 200
    path = f"/appeal/{token}?lang=he"
    form = _form(await holder.get(path))
    fields = {"form": form, "step": "statement", "statement": HEBREW}
    assert (await holder.client.post(path, data=fields)).status_code == 303
    return form


async def _erase(console: RunningConsole) -> None:
    gone = await console.running.ask("DELETE", f"/v1/accounts/ann/personal?reason={BECAUSE}")
    assert gone.status_code == 200


async def _asked_for_all(holder: Visitor, token: str, form: str, code: str) -> list[Any]:
    """Ask for everything behind a link, as its page, as JSON and by every form."""
    answers = []
    for lang in ENDED:
        for page in ("notice", "appeal"):
            answers.append((lang, await holder.get(f"/{page}/{token}?lang={lang}")))
            answers.append((lang, await holder.client.head(f"/{page}/{token}?lang={lang}")))
        for fields in (
            {"step": "statement", "statement": HEBREW},
            {"step": "code", "code": code},
            {"step": "again"},
        ):
            path = f"/appeal/{token}?lang={lang}"
            answers.append((lang, await holder.client.post(path, data=fields | {"form": form})))
    return answers


@visits
async def test_links_of_an_erased_account_store_nothing(console: RunningConsole) -> None:
    holder, token = console.anybody(), await _token(console, "ann")
    form = await _written(holder, token)
    message = (await stored(Appeal.objects.get)).code_message
    code = one_time_code(console.running.context.webhook_key, message)
    assert await stored(NoticeState.objects.count) == 2
    await _erase(console)
    before = await stored(_rows)
    assert not [name for name in before if name[:8] == "console_" and "'ann'" in str(before[name])]
    for lang, answer in await _asked_for_all(holder, token, form, code):
        assert answer.status_code == 410, (answer.request.url, answer.text)
        assert answer.request.method == "HEAD" or ENDED[lang] in answer.text
        assert "no-store" in answer.headers["cache-control"]
    problem = await holder.get(f"/notice/{token}.json")
    assert (problem.status_code, problem.json()["status"]) == (410, 410)
    decision = (await stored(lambda: _newest("ann")))["id"]
    text = await console.running.ask("GET", f"/v1/decisions/{decision}/statement?language=he")
    assert text.status_code == 200
    assert await stored(_rows) == before


@visits
async def test_link_of_another_account_lives_on(console: RunningConsole) -> None:
    await _erase(console)
    await _written(console.anybody(), await _token(console, "ben"))


@visits
async def test_link_of_a_later_decision_lives(console: RunningConsole) -> None:
    banned = await _token(console, "ann")
    await _erase(console)
    change = {"verdict": "undetermined", "outcome": "limit", "hold_s": 600, "reason": BECAUSE}
    made = await console.running.ask("POST", "/v1/accounts/ann/override", json=change)
    assert made.status_code == 200, made.text
    limited = await _token(console, "ann", "limit")
    notices, later = console.running.context.holder_notices, now_ms() + 200 * HOUR
    found = await stored(lambda: statements.decision_of(notices, limited, later))
    assert found is not None
    assert found["outcome"] == "limit"
    assert (await console.anybody().get(f"/notice/{banned}")).status_code == 410


@visits
async def test_open_appeal_of_an_erased_account_is_unchanged(console: RunningConsole) -> None:
    holder, token = console.anybody("198.51.100.40"), await _token(console, "ann")
    form = await _written(holder, token)
    message = (await stored(Appeal.objects.get)).code_message
    code = one_time_code(console.running.context.webhook_key, message)
    confirmed = {"form": form, "step": "code", "code": code}
    path = f"/appeal/{token}?lang=he"
    assert (await holder.client.post(path, data=confirmed)).status_code == 303
    await _erase(console)
    before = await stored(_rows)
    assert all(a.status_code == 410 for _, a in await _asked_for_all(holder, token, form, code))
    assert await stored(_rows) == before
    assert (await stored(Appeal.objects.get)).statement is None


@visits
async def test_page_opened_while_an_erasure_begins_stores_nothing(console: RunningConsole) -> None:
    """The link is read before the erasure, and what was shown is stored after it."""
    notices = console.running.context.holder_notices
    decision = await stored(lambda: _newest("ann"))

    def shown() -> None:
        english = get_language("en")
        statement = statements.statement_of(notices, decision, english, now_ms())
        statements.keep_shown(decision, statement, now_ms())

    await _erase(console)
    await stored(shown)
    assert not await stored(NoticeState.objects.exists)
