"""A holder reads a notice, appeals, and is answered by a person who took no part in it."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from random import Random
from typing import Any

import httpx
import msgspec

from support import service_harness
from support.console_harness import RunningConsole, Visitor, console_test, running_console
from support.service_harness import abuser, now_ms
from support.webhook_receiver import Receiver, listening
from wavebreak.notices import Statement
from wavebreak_server.http.app_context import run_background_query as stored
from wavebreak_server.pipeline.platform_messages import one_time_code
from wavebreak_server.slices.appeals import service as appeals
from wavebreak_server.slices.appeals.models import Appeal
from wavebreak_server.slices.help.service import help_trend
from wavebreak_server.slices.statements import service as statements
from wavebreak_server.slices.statements.models import NoticeState
from wavebreak_server.slices.webhooks.service import RetryPolicy, WebhookDispatcher
from wavebreak_server.storage.models import (
    AuditEntry,
    Decision,
    LedgerEntry,
    PlatformMessage,
    Webhook,
)

HOUR = 3_600_000
BECAUSE = "because a test asks for it"
HEBREW = "כתבתי לאורחים בחתונה שלי. זו טעות."


async def _with_ban(console: RunningConsole) -> None:
    """Ban `ann`, so long ago that the policy's delay of the notice has passed."""
    await console.running.send(abuser(ts=now_ms() - 14 * HOUR))
    await console.index()
    await stored(_add_webhook)


visits = console_test(_with_ban)
"""Runs a test against a console whose account `ann` was banned and notified."""


def _add_webhook() -> None:
    Webhook.objects.create(
        id="hook_0", url="http://127.0.0.1/", min_outcome="ban", created_ms=0, cursor=0
    )


async def _token(console: RunningConsole, outcome: str = "ban") -> str:
    def load() -> str:
        number, body = (
            Decision.objects.filter(outcome=outcome).values_list("number", "body").latest("number")
        )
        decision = msgspec.json.decode(bytes(body)) | {"number": number}
        return console.running.context.holder_notices.token(decision)

    return str(await stored(load))


def _form(answer: httpx.Response) -> str:
    found = re.search(r'name="form" value="([^"]+)"', answer.text)
    assert found, answer.text
    return found[1]


async def _appealed(console: RunningConsole, holder: Visitor, text: str = HEBREW) -> Appeal:
    """Appeal as a holder does, up to the page that asks for the code."""
    path = f"/appeal/{await _token(console)}?lang=he"
    form = _form(await holder.get(path))
    answer = await holder.client.post(
        path, data={"form": form, "step": "statement", "statement": text}
    )
    assert answer.status_code == 303, answer.text
    made: Appeal = await stored(Appeal.objects.get)
    return made


async def _confirmed(console: RunningConsole, holder: Visitor) -> Appeal:
    appeal = await _appealed(console, holder)
    path = f"/appeal/{await _token(console)}?lang=he"
    code = one_time_code(console.running.context.webhook_key, appeal.code_message)
    form = _form(await holder.get(path))
    answer = await holder.client.post(path, data={"form": form, "step": "code", "code": code})
    assert answer.status_code == 303, answer.text
    made: Appeal = await stored(Appeal.objects.get)
    assert made.state == Appeal.OPEN
    return made


async def _answer(person: Visitor, appeal: Appeal, **fields: Any) -> httpx.Response:
    """Fill in an answer, read its effect sheet, and send it."""
    path = f"/console/appeals/{appeal.id}"
    fields |= {"version": str(appeal.version)}
    sent: httpx.Response = await person.act(f"{path}/decide", **fields)
    return sent


def _sealed(kind: str) -> list[dict[str, Any]]:
    rows = LedgerEntry.objects.order_by("position").values_list("line", flat=True)
    entries = [msgspec.json.decode(bytes(line)) for line in rows]
    return [entry["body"] for entry in entries if entry["kind"] == kind]


@visits
async def test_notice_is_shown_in_both_languages_without_a_cookie(console: RunningConsole) -> None:
    holder, token = console.anybody("198.51.100.1"), await _token(console)
    hebrew = await holder.get(f"/notice/{token}", headers={"Accept-Language": "he-IL,en;q=0.5"})
    assert hebrew.status_code == 200
    assert '<html lang="he" dir="rtl">' in hebrew.text
    english = await holder.get(f"/notice/{token}?lang=en")
    assert "Your account is banned" in english.text
    # On a telephone nobody scrolls past all reasons to find the way to an appeal.
    assert english.text.index("/appeal/") < english.text.index('id="restriction"')
    for answer in (hebrew, english):
        assert "set-cookie" not in answer.headers
        assert answer.headers["x-robots-tag"].startswith("noindex")
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-frame-options"] == "DENY"
        assert not re.search(r"\bann\b", answer.text)
    machine = await holder.get(f"/notice/{token}.json?lang=he")
    assert msgspec.json.decode(machine.content, type=Statement).outcome == "ban"
    assert await stored(NoticeState.objects.count) == 2


@visits
async def test_forged_early_and_expired_links_look_alike(console: RunningConsole) -> None:
    holder, token = console.anybody("198.51.100.2"), await _token(console)
    await console.running.send(abuser(account="bob", ts=now_ms() - 60_000))
    early = await _token(console)
    assert early != token
    value, end, mark = token.split(".")
    other = "b" if mark[0] == "a" else "a"
    forged = [f"{value}.{end}.{other}{mark[1:]}", f"{'0' * 32}.{end}.{mark}", "x", "x" * 500, early]
    pages = [await holder.get(f"/notice/{one}?lang=en") for one in forged]
    pages += [await holder.get(f"/appeal/{one}?lang=en") for one in forged]
    assert {page.status_code for page in pages} == {404}
    bodies = {re.sub(r'href="[^"]*"', "", page.text) for page in pages}
    assert len(bodies) == 1
    notices = console.running.context.holder_notices
    later = now_ms() + (180 + 32) * 24 * HOUR
    assert await stored(lambda: statements.decision_of(notices, token, now_ms())) is not None
    assert await stored(lambda: statements.decision_of(notices, token, later)) is None


@visits
async def test_appeal_is_encrypted_and_opens_with_the_code(console: RunningConsole) -> None:
    holder = console.anybody("198.51.100.3")
    appeal = await _appealed(console, holder)
    assert HEBREW.encode() not in bytes(appeal.statement)
    assert appeals.read_statement(appeal) == HEBREW
    message = await stored(PlatformMessage.objects.get)
    key = console.running.context.webhook_key
    code = one_time_code(key, message.id)
    assert code.encode() not in bytes(message.data)
    path = f"/appeal/{await _token(console)}?lang=he"
    form = _form(await holder.get(path))
    for _ in range(appeals.MAX_ATTEMPTS):
        wrong = "000000" if code != "000000" else "111111"
        answer = await holder.client.post(path, data={"form": form, "step": "code", "code": wrong})
        assert answer.status_code == 422
    answer = await holder.client.post(path, data={"form": form, "step": "code", "code": code})
    assert answer.status_code == 422
    answer = await holder.client.post(path, data={"form": form, "step": "again"})
    assert answer.status_code == 303
    appeal = await stored(Appeal.objects.get)
    assert appeal.state == Appeal.UNVERIFIED
    code = one_time_code(key, appeal.code_message)
    answer = await holder.client.post(path, data={"form": form, "step": "code", "code": code})
    assert answer.status_code == 303
    shown = await holder.get(path)
    assert "הערעור שלכם התקבל" in shown.text
    assert HEBREW not in shown.text
    assert [one["state"] for one in await stored(lambda: _sealed("appeal"))] == ["opened"]
    # A second one shows the first.
    answer = await holder.client.post(
        path, data={"form": form, "step": "statement", "statement": "x"}
    )
    assert "הערעור שלכם התקבל" in answer.text
    assert await stored(Appeal.objects.count) == 1


@visits
async def test_appeal_form_of_another_site_or_page_is_refused(console: RunningConsole) -> None:
    holder, path = console.anybody("198.51.100.4"), f"/appeal/{await _token(console)}?lang=en"
    form = _form(await holder.get(path))
    fields = {"step": "statement", "statement": "It was my wedding."}
    answer = await holder.client.post(path, data=fields)
    assert answer.status_code == 403
    assert "It was my wedding." in answer.text
    help_form = _form(await holder.get("/help/en"))
    answer = await holder.client.post(path, data=fields | {"form": help_form})
    assert answer.status_code == 403
    answer = await holder.client.post(
        path, data=fields | {"form": form}, headers={"Sec-Fetch-Site": "cross-site"}
    )
    assert answer.status_code == 403
    answer = await holder.client.post(path, data=fields | {"form": form, "statement": "x" * 2001})
    assert answer.status_code == 422
    assert not await stored(Appeal.objects.exists)


@visits
async def test_appeal_without_a_webhook_says_whom_to_contact(console: RunningConsole) -> None:
    await stored(Webhook.objects.all().delete)
    holder, path = console.anybody("198.51.100.5"), f"/appeal/{await _token(console)}?lang=en"
    form = _form(await holder.get(path))
    answer = await holder.client.post(
        path, data={"form": form, "step": "statement", "statement": "It was my wedding."}
    )
    assert answer.status_code == 503
    assert "contact us" in answer.text
    # The words of the holder are not what is wrong.
    assert "aria-invalid" not in answer.text
    empty = await holder.client.post(
        path, data={"form": form, "step": "statement", "statement": " "}
    )
    assert "aria-invalid" in empty.text
    assert not await stored(Appeal.objects.exists)


@visits
async def test_demonstration_shows_the_code_that_no_app_brings(console: RunningConsole) -> None:
    await stored(Webhook.objects.all().delete)
    console.running.context.shows_codes = True
    holder, path = console.anybody("198.51.100.7"), f"/appeal/{await _token(console)}?lang=he"
    await _appealed(console, holder)
    page = await holder.get(path)
    found = re.search(r'id="shown-code">[^<]*: (\d{6})<', page.text)
    assert found, page.text
    answer = await holder.client.post(
        path, data={"form": _form(page), "step": "code", "code": found[1]}
    )
    assert answer.status_code == 303
    assert (await stored(Appeal.objects.get)).state == Appeal.OPEN


@visits
async def test_code_is_on_no_page_outside_a_demonstration(console: RunningConsole) -> None:
    holder, path = console.anybody("198.51.100.8"), f"/appeal/{await _token(console)}?lang=en"
    appeal = await _appealed(console, holder)
    page = await holder.get(path)
    assert "shown-code" not in page.text
    assert one_time_code(console.running.context.webhook_key, appeal.code_message) not in page.text


@visits
async def test_who_took_part_cannot_decide_and_another_reverses(console: RunningConsole) -> None:
    holder = console.anybody("198.51.100.6")
    appeal = await _confirmed(console, holder)
    dana, noam = await console.person("lead", "dana"), await console.person("analyst", "noam")
    answer = await dana.act(
        "/console/account-acts/ann", verdict="abusive", reason="it is bulk, clearly", seen="ban"
    )
    assert answer.status_code == 302
    path, fields = (
        f"/console/appeals/{appeal.id}",
        {"result": "reversed", "reason": "זו טעות שלנו."},
    )
    page = await dana.get(path)
    assert "Not yours to decide" in page.text
    assert HEBREW not in page.text
    answer = await dana.post(f"{path}/decide", **fields, version=str(appeal.version))
    assert answer.status_code == 403
    page = await noam.get(path)
    assert HEBREW in page.text
    read = await stored(lambda: AuditEntry.objects.filter(action="read_appeal").count())
    assert read == 1
    answer = await noam.post(f"{path}/decide", **fields, version="77")
    assert answer.headers["location"] == path
    answer = await _answer(noam, appeal, **fields)
    assert answer.headers["location"] == "/console/appeals", answer.text
    state = (await console.running.ask("GET", "/v1/accounts/ann")).json()
    assert state["outcome"] == "allow"
    sealed = await stored(lambda: _sealed("appeal"))
    assert [one["state"] for one in sealed] == ["opened", "reversed"]
    assert {one["decision"] for one in sealed} == {appeal.position}
    token = await _token(console)
    shown = await holder.get(f"/notice/{token}?lang=he")
    assert "זו טעות שלנו." in shown.text
    assert shown.text.index("correction-1") < shown.text.index('id="restriction"')
    assert "זו טעות שלנו." in (await holder.get(f"/appeal/{token}?lang=he")).text
    message = await stored(lambda: PlatformMessage.objects.get(type="appeal.decided"))
    said = json.loads(bytes(message.data))
    assert (said["account"], said["result"], said["language"]) == ("ann", "reversed", "he")
    assert said["url"] == f"http://localhost/notice/{token}"
    listed = await noam.get("/console/appeals?state=decided")
    assert f"/console/appeals/{appeal.id}" in listed.text


@visits
async def test_appeal_partially_reversed_sets_a_milder_outcome(console: RunningConsole) -> None:
    holder = console.anybody("198.51.100.7")
    appeal = await _confirmed(console, holder)
    noam = await console.person("analyst", "noam")
    fields = {"result": "partially_reversed", "reason": "Less is right.", "outcome": "restrict"}
    answer = await _answer(noam, appeal, **fields)
    assert answer.status_code == 422
    answer = await _answer(noam, appeal, hold="7d", **fields)
    assert answer.headers["location"] == "/console/appeals", answer.text
    state = (await console.running.ask("GET", "/v1/accounts/ann")).json()
    assert state["outcome"] == "restrict"
    sealed = await stored(lambda: _sealed("appeal"))
    assert [one["state"] for one in sealed] == ["opened", "partially_reversed"]
    shown = await holder.get(f"/notice/{await _token(console)}?lang=en")
    assert "reversed it in part" in shown.text
    assert "Less is right." in shown.text


@visits
async def test_appeal_unchanged_is_sealed_and_enforces_nothing(console: RunningConsole) -> None:
    holder = console.anybody("198.51.100.8")
    appeal = await _confirmed(console, holder)
    noam = await console.person("analyst", "noam")
    decisions = await stored(Decision.objects.count)
    answer = await _answer(noam, appeal, result="unchanged", reason="It was bulk.")
    assert answer.headers["location"] == "/console/appeals"
    assert await stored(Decision.objects.count) == decisions
    sealed = await stored(lambda: _sealed("appeal"))
    assert [one["state"] for one in sealed] == ["opened", "unchanged"]
    figures = await stored(lambda: appeals.figures("rule"))
    assert (figures[0].received, figures[0].unchanged, figures[0].open) == (1, 1, 0)
    assert figures[0].median_hours is not None


@visits
async def test_platform_submits_reads_and_erases_appeals(console: RunningConsole) -> None:
    ask, decision = console.running.ask, (await _token(console)).split(".")[0]
    body = {"decision": decision, "statement": HEBREW, "language": "he", "reason": BECAUSE}
    first = await ask("POST", "/v1/appeals", json=body)
    assert first.status_code == 201, first.text
    again = await ask("POST", "/v1/appeals", json=body | {"statement": "another text"})
    assert (again.status_code, again.json()) == (200, first.json())
    assert first.json()["state"] == "open"
    assert "statement" not in first.json()
    listed = (await ask("GET", "/v1/appeals?since=0")).json()
    assert listed == {"appeals": [first.json()], "next": first.json()["id"]}
    one = await ask("GET", f"/v1/appeals/{first.json()['id']}")
    assert one.json() == first.json()
    assert (await ask("GET", "/v1/appeals/99")).status_code == 404
    missing = await ask("POST", "/v1/appeals", json=body | {"decision": "0" * 32})
    assert missing.status_code == 404
    text = (await ask("GET", f"/v1/decisions/{decision}/statement?language=he")).json()
    assert text["direction"] == "rtl"
    assert text["url"] == f"http://localhost/notice/{await _token(console)}"
    assert text["statement"]["outcome"] == "ban"
    wrong = await ask("GET", f"/v1/decisions/{decision}/statement?language=tlh")
    assert wrong.status_code == 422
    gone = await ask("DELETE", f"/v1/accounts/ann/personal?reason={BECAUSE}")
    assert gone.status_code == 200
    appeal = await stored(Appeal.objects.get)
    assert (appeal.statement, appeal.text_key) == (None, "")
    assert not await stored(NoticeState.objects.exists)


@visits
async def test_account_page_shows_the_newest_notice(console: RunningConsole) -> None:
    page = await (await console.person("analyst")).get("/console/accounts/ann")
    assert "What the holder was notified of" in page.text
    assert "Your account is banned" in page.text
    assert "Not opened yet" in page.text


@visits
async def test_help_answer_counts_once_a_viewer(console: RunningConsole) -> None:
    reader, other = console.anybody("198.51.100.9"), console.anybody("198.51.100.10")
    # Who has a network of IPv6 has many addresses.
    third, same = console.anybody("2001:db8::9"), console.anybody("2001:db8::a")
    given = ((reader, ("no", "yes")), (other, ("yes",)), (third, ("yes",)), (same, ("yes", "no")))
    for visitor, answers in given:
        for helped in answers:
            form = _form(await visitor.get("/help/he"))
            fields = {"form": form, "helped": helped, "reason": "unclear"}
            answer = await visitor.client.post("/help/he", data=fields)
            assert answer.status_code == 303
            assert "set-cookie" not in answer.headers
    assert (await reader.client.post("/help/he", data={"helped": "yes"})).status_code == 403
    assert (await reader.get("/help/tlh")).status_code == 404
    assert (await reader.get("/business/en")).status_code == 200
    trend = await stored(lambda: help_trend(now_ms()))
    assert [(row["yes"], row["no"], row["reasons"]) for row in trend] == [(2, 1, {"unclear": 1})]


@visits
async def test_public_pages_limit_a_peer_and_large_forms(console: RunningConsole) -> None:
    eager = console.anybody("198.51.100.11")
    answers = [await eager.get("/notice/x?lang=en") for _ in range(70)]
    statuses = {answer.status_code for answer in answers}
    assert statuses == {404, 429}
    assert "retry-after" in answers[-1].headers
    assert (await console.anybody("198.51.100.12").get("/help/en")).status_code == 200
    large = await console.anybody("198.51.100.13").client.post(
        "/help/en", data={"form": "x" * 70_000}
    )
    assert large.status_code == 413


def test_webhooks_carry_notices_codes_and_answers(tmp_path: Path) -> None:
    quick = RetryPolicy(attempts=3, first_s=0.05, factor=1.0, answer_s=0.5, whole_s=1.0)

    async def live() -> None:
        held = service_harness.context()
        dispatcher = WebhookDispatcher(held, Random(1), quick)
        with listening(Receiver()) as heard:
            async with running_console(tmp_path, held=held, background=[dispatcher]) as console:
                hook = {"url": heard.url, "reason": BECAUSE, "min_outcome": "ban"}
                assert (
                    await console.running.ask("POST", "/v1/webhooks", json=hook)
                ).status_code == 201
                await console.running.send(abuser(ts=now_ms() - 14 * HOUR))
                await _until(lambda: len(heard.requests) == 1)
                made = json.loads(heard.requests[0][1])
                token = await _token(console)
                assert made["notice"]["url"] == f"http://localhost/notice/{token}"
                assert made["notice"]["notify_at_ms"] > made["data"]["ts"]
                appeal = await _appealed(console, console.anybody("198.51.100.14"))
                await _until(lambda: len(heard.requests) == 2)
                sent = json.loads(heard.requests[1][1])
                assert sent["type"] == "appeal.code"
                assert sent["data"]["code"] == one_time_code(held.webhook_key, appeal.code_message)
                assert heard.requests[1][0]["webhook-id"] == appeal.code_message
                await _until(lambda: not dispatcher.in_flight)
                assert not await stored(PlatformMessage.objects.exists)

    with service_harness.migrated("sqlite", tmp_path):
        asyncio.run(live())


async def _until(found: Any) -> None:
    async with asyncio.timeout(20):
        while not found():
            await asyncio.sleep(0.02)
