"""The console on both databases: sign in, queue, act, undo, appeal, change of the policy."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from support.console_harness import PASSWORD, RunningConsole, Visitor, running_console, switch_of
from support.policy_pages import FILE, TEXT, upload
from support.service_harness import DATABASES, abuser, migrated, now_ms
from wavebreak_server.http.app_context import run_background_query as stored
from wavebreak_server.slices.acts.models import PersonAct
from wavebreak_server.slices.appeals.models import Appeal
from wavebreak_server.slices.queue.models import ReviewCase
from wavebreak_server.slices.versions.models import PolicyVersion
from wavebreak_server.storage.models import AuditEntry, Decision

HOUR_MS = 3_600_000


async def signed_in(console: RunningConsole, name: str, role: str) -> Visitor:
    """Sign in with the password, as a person does."""
    await console.person(role, name)
    visitor = console.anybody()
    login = "/console/user/login/"
    answer = await visitor.post(login, page=login, login=name, password=PASSWORD)
    assert answer.headers["location"] == "/console/", answer.text
    return visitor


async def review(console: RunningConsole) -> None:
    """Take a case, judge it, act on another account, undo it."""
    analyst = await signed_in(console, "noa", "analyst")
    assert (await analyst.get("/console/")).status_code == 200
    path = (await analyst.post("/console/queue/next")).headers["location"]
    version = re.search(r'name="version" value="(\d+)"', (await analyst.get(path)).text)
    assert version
    judged = {"verdict": "benign", "reason": "a wedding", "version": version[1]}
    assert (await analyst.act(f"{path}/decide", **judged)).status_code == 302
    closed = await stored(lambda: ReviewCase.objects.get(state="closed").account)
    other = "bob" if closed == "ann" else "ann"
    limit = {"verdict": "undetermined", "outcome": "limit", "hold": "7d", "seen": "ban"}
    acted = await analyst.act(f"/console/account-acts/{other}", reason="milder", **limit)
    assert acted.status_code == 302, acted.text
    act = await stored(lambda: PersonAct.objects.get(outcome="limit"))
    undone = await analyst.post(f"/console/acts/{act.id}/undo", reason="it was right")
    assert undone.status_code == 302
    page = (await analyst.get(f"/console/accounts/{other}")).text
    assert 'class="pill pill-ban"' in page
    for listed in ("queue?sort=age", "queue?q=a", "accounts?q=a", "queue?format=csv"):
        assert (await analyst.get(f"/console/{listed}")).status_code == 200, listed


async def appeal(console: RunningConsole) -> None:
    """Decide an appeal that the platform passes on."""
    decision = await stored(
        lambda: Decision.objects.filter(account="cat", outcome="ban").latest("number").id
    )
    sent = await console.running.ask(
        "POST", "/v1/appeals",
        json={"decision": decision, "statement": "My wedding.", "language": "en",
              "reason": "as the holder wrote to us"},
    )  # fmt: skip
    assert sent.status_code == 201, sent.text
    lead = await signed_in(console, "dana", "lead")
    number = await stored(lambda: Appeal.objects.get().id)
    page = f"/console/appeals/{number}"
    version = re.search(r'name="version" value="(\d+)"', (await lead.get(page)).text)
    assert version
    answer = {"result": "reversed", "reason": "These are your guests.", "version": version[1]}
    assert (await lead.act(f"{page}/decide", **answer)).status_code == 302
    assert await stored(lambda: Appeal.objects.get().state) == Appeal.DECIDED
    for listed in ("appeals", "reports", "policy", "policy/rules/instant_ban", "operators"):
        assert (await lead.get(f"/console/{listed}")).status_code == 200, listed


async def change_policy(console: RunningConsole) -> None:
    """Write a version of the policy, have it checked, and see that it cannot go live yet."""
    owner = await signed_in(console, "gal", "policy_owner")
    answer = await upload(owner, {FILE: TEXT})
    assert answer.status_code == 302, answer.text
    version = await stored(lambda: PolicyVersion.objects.get())
    assert version.state == "checked"
    live = await owner.post(f"/console/policy/versions/{version.id}/live", reason="now")
    assert live.status_code == 409
    for listed in ("policy/versions", f"policy/versions/{version.id}", "policy/models"):
        assert (await owner.get(f"/console/{listed}")).status_code == 200, listed


@pytest.mark.parametrize("kind", DATABASES)
def test_console_is_walked_through_on_each_database(kind: str, tmp_path: Path) -> None:
    steps: tuple[Callable[[RunningConsole], Awaitable[None]], ...] = (
        review, appeal, change_policy
    )  # fmt: skip

    async def run() -> None:
        async with running_console(tmp_path) as console:
            console.service.switch = switch_of(console)
            ts = now_ms() - 14 * HOUR_MS
            for account in ("ann", "bob", "cat"):
                await console.running.send(abuser(account=account, ts=ts))
            await console.index()
            for step in steps:
                await step(console)
            admin = await signed_in(console, "adi", "admin")
            assert "override" in (await admin.get("/console/settings/audit")).text
        acts = await stored(lambda: set(AuditEntry.objects.values_list("action", flat=True)))
        assert {"override", "create_policy"} <= acts

    with migrated(kind, tmp_path):
        asyncio.run(run())
