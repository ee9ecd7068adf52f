"""Settings: webhooks that are made, shown once, and removed in the console; where `/` leads."""

from __future__ import annotations

import re
from typing import Any

from support.console_harness import RunningConsole, console_test
from wavebreak_server.http.app_context import run_background_query as stored
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


@visits
async def test_browser_without_a_path_is_led_to_the_console(console: RunningConsole) -> None:
    visitor = console.anybody()
    answer = await visitor.get("/", headers={"accept": "text/html,application/xhtml+xml"})
    assert (answer.status_code, answer.headers["location"]) == (302, "/console/")
    program = await visitor.get("/", headers={"accept": "application/json"})
    assert program.status_code == 404
    assert program.headers["content-type"] == "application/problem+json"
