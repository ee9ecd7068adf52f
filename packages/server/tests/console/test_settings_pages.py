"""Settings: webhooks that are made, shown once, and removed in the console; where `/` leads."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from support.console_harness import RunningConsole, console_test
from wavebreak_server.http.app_context import run_background_query as stored
from wavebreak_server.slices.users.models import User
from wavebreak_server.slices.webhooks.api import WEBHOOK_KINDS
from wavebreak_server.storage.models import AuditEntry, Webhook


async def _nothing(console: RunningConsole) -> None:
    console.running.context.resolver = lambda *_: ["93.184.216.34"]


visits = console_test(_nothing)
WANTED: dict[str, Any] = {
    "url": "https://chat.example/hook", "min_outcome": "limit", "kinds": ["decisions"],
}  # fmt: skip


@visits
async def test_webhook_is_made_and_removed_in_the_console(console: RunningConsole) -> None:
    admin, auditor = await console.person("admin"), await console.person("auditor")
    assert (await auditor.post("/console/settings/webhooks", **WANTED)).status_code == 403
    made = await admin.post("/console/settings/webhooks", reason="ours", **WANTED)
    assert made.status_code == 200
    assert re.search(r"whsec_[\w+/=]+", made.text)
    hook = await stored(Webhook.objects.get)
    assert (hook.url, hook.min_outcome, hook.kinds) == (WANTED["url"], "limit", "decisions")
    page = (await admin.get("/console/settings")).text
    assert hook.id in page
    # Every kind can be chosen, those of plug-ins too.
    assert re.findall(r'name="kinds" value="(\w+)"', page) == list(WEBHOOK_KINDS)
    assert "whsec_" not in page
    path = f"/console/settings/webhooks/{hook.id}"
    assert (await admin.post(f"{path}/enable", reason="again")).status_code == 409
    assert (await admin.post(f"{path}/remove", reason="moved")).status_code == 302
    assert await stored(Webhook.objects.count) == 0
    said = await stored(lambda: list(AuditEntry.objects.values_list("action", flat=True)))
    assert {"add_webhook", "remove_webhook"} <= set(said)


@visits
async def test_webhook_with_a_wrong_field_says_which(console: RunningConsole) -> None:
    admin = await console.person("admin")
    for wrong, named in (
        ({"url": "chat.example"}, "url"),
        ({"kinds": []}, "kinds"),
        ({"min_outcome": "shout"}, "min_outcome"),
    ):
        answer = await admin.post(
            "/console/settings/webhooks", **(WANTED | {"reason": "ours"} | wrong)
        )
        assert answer.status_code == 422, wrong
        assert named in answer.text, wrong
    assert await stored(Webhook.objects.count) == 0


REFUSED: dict[str, tuple[dict[str, Any], set[str]]] = {
    "/console/settings/users": (
        {"username": "", "role": "king", "reason": " "},
        {"add-user-username", "add-user-role", "add-user-reason"},
    ),
    "/console/settings/keys": (
        {"name": "", "scope": ["everything"], "reason": "x" * 501},
        {"key-name", "key-scope", "key-reason"},
    ),
    "/console/settings/webhooks": (
        {"url": "ftp://chat.example", "kinds": [], "min_outcome": "shout", "reason": ""},
        {"webhook-url", "webhook-kinds", "webhook-min_outcome", "webhook-reason"},
    ),
    "/console/settings/lanes/declare": (
        {"account": "x" * 200, "lane": "vip", "reason": ""},
        {"lane-account", "lane-lane"},
    ),
    "/console/profile": (
        {"display_name": "x" * 81, "key_map": "j = n\nj n\n=\nlong-key-name = j"},
        {"profile-display_name", "profile-key_map"},
    ),
}
"""By path: a form with faults, and the fields at which they are shown."""


@visits
async def test_form_shows_all_its_faults_at_their_fields(console: RunningConsole) -> None:
    admin = await console.person("admin")
    acts = AuditEntry.objects.filter(action__in=("add_user", "add_key", "add_webhook"))
    before = await stored(acts.count)
    for path, (fields, at) in REFUSED.items():
        answer = await admin.post(path, **fields)
        assert answer.status_code == 422, path
        assert set(re.findall(r'<ul class="errorlist" id="([\w-]+)_error">', answer.text)) == at
        for field in at - {"key-scope", "webhook-kinds"}:
            assert re.search(rf'aria-invalid="true"[^>]* id="{field}"', answer.text), field
    page = (await admin.post("/console/profile", **REFUSED["/console/profile"][0])).text
    assert page.count("A shortcut is unclear") == 3
    assert "long-key-name = j" in page
    assert await stored(acts.count) == before


@visits
async def test_refused_form_keeps_what_was_written(console: RunningConsole) -> None:
    admin = await console.person("admin", "dana")
    wanted = {"username": "dana", "role": "lead", "reason": "she is back"}
    page = (await admin.post("/console/settings/users", **wanted)).text
    assert 'value="dana"' in page
    assert re.search(r'<option value="lead" selected>', page)
    assert 'value="she is back"' in page


@visits
async def test_browser_without_a_path_is_led_to_the_console(console: RunningConsole) -> None:
    visitor = console.anybody()
    answer = await visitor.get("/", headers={"accept": "text/html,application/xhtml+xml"})
    assert (answer.status_code, answer.headers["location"]) == (302, "/console/")
    program = await visitor.get("/", headers={"accept": "application/json"})
    assert program.status_code == 404
    assert program.headers["content-type"] == "application/problem+json"


@visits
async def test_time_of_a_sign_in_keeps_its_order_in_hebrew(console: RunningConsole) -> None:
    admin = await console.person("admin")
    time = datetime(2026, 12, 3, 15, 34, tzinfo=UTC)
    await stored(lambda: User.objects.update(language="he", last_login=time))
    page = (await admin.get("/console/settings")).text
    assert '<time dir="ltr">2026-12-03 15:34</time>' in page
