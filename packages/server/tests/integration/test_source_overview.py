"""Sources as operators see them: the API, the console and the command say the same."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from typer.testing import CliRunner

from support import service_harness
from support.console_harness import RunningConsole, console_test, switch_of
from support.service_harness import SECRET
from wavebreak.cli.app import app
from wavebreak.rules import load_policy
from wavebreak_server.http.app_context import closing_connection, run_background_query
from wavebreak_server.pipeline.log_clock import ClockSkews
from wavebreak_server.slices.keys.service import KeyTerms, create_key
from wavebreak_server.slices.sources.overview import sources_overview
from wavebreak_server.slices.sources.service import store_activity
from wavebreak_server.storage.models import AuditEntry, KeyActivity

BECAUSE = "because a test asks for it"
XMPP = {
    "name": "xmpp",
    "carries": ["message.sent", "message.sent.size", "account.registered"],
    "can": ["refuse", "lift"],
    "reason": BECAUSE,
}


async def _prepared(console: RunningConsole) -> None:
    console.service.switch = switch_of(console)


visits = console_test(_prepared)


def _own_key() -> str:
    try:
        made = create_key("prosody", ["ingest"], 0, "test", BECAUSE, KeyTerms(1e6, source="xmpp"))
        return made[1]
    finally:
        connection.close()


async def _listed(console: RunningConsole) -> Any:
    answer = await console.running.ask("GET", "/v1/sources")
    assert answer.status_code == 200, answer.text
    return answer.json()


@visits
async def test_api_and_console_show_the_same_of_sources(console: RunningConsole) -> None:
    running, admin = console.running, await console.person("admin")
    nothing = await _listed(console)
    assert (nothing["sources"], nothing["basis"], nothing["rules_off"]) == ([], "unknown", [])
    assert "No source is declared" in (await admin.get("/console/settings/sources")).text
    assert (await running.ask("POST", "/v1/sources", json=XMPP)).status_code == 200
    key = await asyncio.to_thread(_own_key)
    late = service_harness.now_ms() - 90_000
    event = {"type": "message.sent", "account": "ann", "peer": "ben", "id": "e1", "ts": late}
    assert (await running.ask("POST", "/v1/events", key, json=[event])).status_code == 202
    store = closing_connection(lambda: store_activity(console.service.skews, 0))
    newest = await asyncio.to_thread(store)
    shown = await _listed(console)
    [source] = shown["sources"]
    assert (source["name"], source["can"], source["keys"]) == (
        "xmpp",
        ["refuse", "lift"],
        ["prosody"],
    )
    assert (source["seen_ms"], 89_000 < source["behind_ms"] < 150_000) == (newest, True)
    assert shown["basis"] == "declared"
    assert not shown["challenges"]
    assert "typing.started" in shown["lacks"]
    assert set(shown["rules_off"]) == set(console.service.rules_off())
    page = (await admin.get("/console/settings/sources")).text
    for said in ("xmpp", "prosody", "refuse, lift", "1 min ", *shown["rules_off"]):
        assert said in page, said
    assert "cannot ask for a challenge" in page
    assert "/console/settings/sources" in (await admin.get("/console/settings")).text
    reviewer = await console.person("analyst")
    assert (await reviewer.get("/console/settings/sources")).status_code == 403


@visits
async def test_overview_says_that_rules_are_off(console: RunningConsole) -> None:
    running, reviewer = console.running, await console.person("analyst")
    assert "rules are off" not in (await reviewer.get("/console/")).text
    assert (await running.ask("POST", "/v1/sources", json=XMPP)).status_code == 200
    await running.send(service_harness.abuser(count=1))
    key = await asyncio.to_thread(_own_key)
    narrow = {"carries": ["typing.started"], "can": []}
    assert (await running.ask("PUT", "/v1/sources/self", key, json=narrow)).status_code == 200
    page = (await reviewer.get("/console/")).text
    assert f"{len(console.service.rules_off())} of " in page
    assert "rules are off" in page
    assert "The source xmpp asks for another declaration" in page


@visits
async def test_console_shows_what_waits_and_an_administrator_approves_it(
    console: RunningConsole,
) -> None:
    running, admin = console.running, await console.person("admin")
    assert (await running.ask("POST", "/v1/sources", json=XMPP)).status_code == 200
    await running.send(service_harness.abuser(count=1))
    key = await asyncio.to_thread(_own_key)
    narrow = {"carries": ["message.sent"], "can": ["refuse"]}
    assert (await running.ask("PUT", "/v1/sources/self", key, json=narrow)).status_code == 200
    [source] = (await _listed(console))["sources"]
    page = (await admin.get("/console/settings/sources")).text
    assert "waits for an administrator" in page
    assert all(rule in page for rule in source["asked"]["rules_off"])
    path, asked_ms = "/console/settings/sources/xmpp/approve", source["asked"]["at_ms"]
    other = await console.person("analyst")
    refused = await other.post(path, reason=BECAUSE, asked_ms=str(asked_ms))
    assert refused.status_code == 403
    form = {"reason": BECAUSE, "asked_ms": str(asked_ms)}
    assert (await admin.client.post(path, data=form)).status_code == 403, "without the token"
    await admin.post(path, reason=BECAUSE, asked_ms=str(asked_ms - 1))
    assert (await _listed(console))["sources"][0]["asked"], "something else was read"
    answer = await admin.post(path, reason=BECAUSE, asked_ms=str(asked_ms))
    assert answer.headers["location"] == "/console/settings/sources", answer.text
    [source] = (await _listed(console))["sources"]
    assert (source["carries"], source["can"]) == (["message.sent"], ["refuse"])
    assert source["asked"] is None
    page = (await admin.get("/console/settings/sources")).text
    assert "The declaration of xmpp is approved, and decides from now on." in page
    assert "waits for an administrator" not in page
    assert not console.service.coverage.waiting
    entry = await run_background_query(lambda: AuditEntry.objects.latest("number"))
    assert (entry.action, entry.object, entry.reason) == ("approve_source", "xmpp", BECAUSE)


@visits
async def test_one_key_may_send_ids_like_addresses(console: RunningConsole) -> None:
    running = console.running
    jid = {"type": "message.sent", "account": "ann@example.org", "peer": "ben@example.org"}
    new = {"name": "prosody", "scopes": ["ingest", "decide"], "reason": BECAUSE}
    for allowed, taken, decided in ((True, 202, 200), (False, 422, 422)):
        made = await running.ask("POST", "/v1/keys", json=new | {"identifiers": allowed})
        assert made.status_code == 201, made.text
        assert made.json().get("identifiers", False) is allowed
        key = made.json()["text"]
        sent = await running.ask("POST", "/v1/events", key, json=[jid | {"id": f"e{allowed}"}])
        assert sent.status_code == taken, sent.text
        for mode in ("ask", "record", "attempt"):
            event = jid | {"id": f"{mode}{allowed}"}
            answer = await running.ask("POST", f"/v1/decide?mode={mode}", key, json=event)
            assert answer.status_code == decided, answer.text
    assert "--allow-identifiers" in answer.json()["fix"]
    # Its successor may too.
    [first] = [one for one in (await running.ask("GET", "/v1/keys")).json()["keys"]
               if one.get("identifiers")]  # fmt: skip
    path, grace = f"/v1/keys/{first['prefix']}/rotate", {"grace_s": 0, "reason": BECAUSE}
    rotated = await running.ask("POST", path, json=grace)
    assert rotated.json()["identifiers"] is True, rotated.text


def test_command_prints_sources_and_what_is_lacking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAVEBREAK_KEY", SECRET.hex())

    def said(*more: str) -> str:
        done = CliRunner().invoke(app, ["sources", str(tmp_path), *more], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return " ".join(done.stdout.split())

    async def declare() -> Any:
        async with service_harness.running(tmp_path) as made:
            assert (await made.ask("POST", "/v1/sources", json=XMPP)).status_code == 200
            return (await made.ask("GET", "/v1/sources")).json()

    with service_harness.migrated("sqlite", tmp_path):
        assert "no source is declared" in said()
        listed = asyncio.run(declare())
        assert json.loads(said("--json")) == listed
        text = said("--wide")
        for word in ("xmpp", "refuse, lift", "typing.started", *listed["rules_off"]):
            assert word in text, word
        assert "a limit is decided" in text


def test_command_approves_what_a_source_asks_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAVEBREAK_KEY", SECRET.hex())

    def said(*more: str, status: int = 0) -> str:
        done = CliRunner().invoke(app, ["sources", str(tmp_path), *more])
        assert done.exit_code == status, done.output
        return " ".join((done.stdout if status == 0 else str(done.exception)).split())

    async def ask() -> None:
        async with service_harness.running(tmp_path) as made:
            await made.send(service_harness.abuser(count=1))
            key = await asyncio.to_thread(_own_key)
            body = {"carries": XMPP["carries"], "can": XMPP["can"]}
            assert (await made.ask("PUT", "/v1/sources/self", key, json=body)).status_code == 200

    with service_harness.migrated("sqlite", tmp_path):
        asyncio.run(ask())
        text = said()
        assert "Waits for you: xmpp declares 3 types and fields, and can refuse, lift" in text
        assert "--approve xmpp" in text
        [source] = json.loads(said("--json"))["sources"]
        assert source["asked"]["rules_off"]
        approved = json.loads(said("--json", "--approve", "xmpp", "--reason", BECAUSE))
        [source] = approved["sources"]
        assert (source["carries"], source["asked"]) == (sorted(XMPP["carries"]), None)
        assert approved["basis"] == "declared"
        assert "no declaration of this source waits" in said("--approve", "xmpp", status=1)


def test_activity_is_stored_where_it_is_newer(tmp_path: Path) -> None:
    skews = ClockSkews(60_000)
    with service_harness.migrated("sqlite", tmp_path):
        assert store_activity(skews, 0) == 0
        skews.note("ann", 5_000, 2_000)
        skews.note("ben", 6_000, 7_000)
        assert store_activity(skews, 0) == 6_000
        skews.note("ann", 9_000, 9_000)
        assert store_activity(skews, 6_000) == 9_000
        rows = KeyActivity.objects.order_by("prefix")
        assert list(rows.values_list("prefix", "seen_ms", "behind_ms")) == [
            ("ann", 9_000, 0),
            ("ben", 6_000, -1_000),
        ]
        found = sources_overview(load_policy(), None)
        assert (found.sources, found.basis, found.others_seen_ms) == ((), "unknown", None)
