"""Outside lists: who may tell hits, what these do to a first message, and what we publish."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from support import service_harness
from support.service_harness import DATABASES, Live, Running
from wavebreak.engine.outside_lists import ListTerms
from wavebreak.languages import LANGUAGES
from wavebreak_server.slices.lists.service import overview, stored_lists

BECAUSE = "because a test asks for it"
HOUR = 3_600_000
NAMES = {"cme": ListTerms("delay", "https://keeper.example"), "rtbl": ListTerms("observe")}


class Clock:
    """A clock of the service that tests move."""

    def __init__(self) -> None:
        self.ahead_ms = 0

    def __call__(self) -> int:
        return service_harness.now_ms() + self.ahead_ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=DATABASES)
def served(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[Live]:
    """Runs a coroutine against a service with two lists, and a clock."""

    def run(test: Any) -> None:
        async def whole() -> None:
            async with service_harness.running(tmp_path, clock=clock) as made:
                made.service.responder.lists = NAMES
                keepers = {name: terms.keeper for name, terms in NAMES.items()}
                made.context.holder_notices = replace(made.context.holder_notices, keepers=keepers)
                await test(made)

        asyncio.run(whole())

    with service_harness.migrated(request.param, tmp_path):
        yield run


def listed(who: str, name: str = "cme", **fields: Any) -> dict[str, Any]:
    """A listing of an account now."""
    entry = sha256(who.encode()).hexdigest()
    given = {"type": "account.listed", "account": who, "list": name, "entry": entry}
    return given | {"advice": "refuse", "ts": service_harness.now_ms()} | fields


def unlisted(who: str, name: str = "cme") -> dict[str, Any]:
    now = service_harness.now_ms()
    return {"type": "account.unlisted", "account": who, "list": name, "ts": now}


def sent(account: str, peer: str, **more: Any) -> dict[str, Any]:
    now = {"id": f"{account}-{peer}", "type": "message.sent", "account": account, "peer": peer}
    return now | {"ts": service_harness.now_ms()} | more


async def tell(made: Running, *events: dict[str, Any], scope: str = "list") -> Any:
    answer = await made.ask("POST", "/v1/events", made.keys[scope], json=list(events))
    await made.wait_until_applied()
    return answer


async def decide(made: Running, events: Any, mode: str = "attempt") -> Any:
    answer = await made.ask("POST", f"/v1/decide?mode={mode}", made.keys["decide"], json=events)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_only_a_key_of_lists_tells_listings_and_nothing_else(live: Live) -> None:
    async def test(made: Running) -> None:
        for scope in ("ingest", "override", "decide", "read", "admin"):
            answer = await tell(made, listed("ann"), scope=scope)
            assert answer.status_code == (422 if scope == "ingest" else 403)
        refused = (await tell(made, listed("ann"), scope="ingest")).json()["refused"]
        assert (refused[0]["cause"], refused[0]["field"]) == ("missing_scope", "type")
        assert "scope `list`" in refused[0]["reason"]
        said = sent("ann", "bob")
        label = {"type": "label.assigned", "account": "ann", "label": "abusive",
                 "source": "partner", "ts": said["ts"]}  # fmt: skip
        answer = (await tell(made, listed("ann"), said, label, unlisted("ann"))).json()
        assert answer["accepted"] == 2
        assert [(each["cause"], each["index"]) for each in answer["refused"]] == [
            ("missing_scope", 1),
            ("missing_scope", 2),
        ]
        for mode in ("ask", "record", "attempt"):
            asked = await made.ask(
                "POST", f"/v1/decide?mode={mode}", json=listed("ann", id=f"l-{mode}")
            )
            assert (asked.status_code, asked.json()["cause"]) == (403, "missing_scope")
        both = {"name": "both", "scopes": ["list", "ingest"], "reason": BECAUSE}
        assert (await made.ask("POST", "/v1/keys", json=both)).status_code == 409
        assert (await made.ask("GET", "/v1/states", made.keys["list"])).status_code == 403

    live(test)


def test_listed_stranger_arrives_as_a_request_that_says_why(served: Live) -> None:
    async def test(made: Running) -> None:
        answer = await tell(made, listed("ann"), listed("eve", "unknown"))
        assert answer.status_code == 202, answer.text
        found = await decide(made, sent("ann", "bob"))
        assert (found["allowed"], found["outcome"], found["deliver_as"]) == (
            True,
            "allow",
            "request",
        )
        assert (found["listed_by"], "by_list" in found) == (["cme"], False)
        assert found["notice"].keys() == set(LANGUAGES)
        assert "“cme”" in found["notice"]["en"]
        assert "https://keeper.example" in found["notice"]["he"]
        found = await decide(made, sent("eve", "bob"))
        assert (found["deliver_as"], "listed_by" in found) == ("message", False)
        # A chat that exists goes on.
        await tell(made, sent("bob", "ann"), scope="ingest")
        found = await decide(made, sent("ann", "bob", id="again"))
        assert (found["deliver_as"], "listed_by" in found) == ("message", False)
        batch = [sent("ann", "bob", id="b1"), sent("ann", "cyd", id="b2")]
        found = await decide(made, batch)
        assert (found["requests"], found["listed_by"]) == ([1], ["cme"])

    served(test)


def test_observed_list_changes_no_answer_and_a_server_is_delayed(served: Live) -> None:
    async def test(made: Running) -> None:
        await tell(made, listed("ann", "rtbl"), listed("server", account=None, origin="x.y"))
        assert "listed_by" not in await decide(made, sent("ann", "bob"))
        answer = await decide(made, sent("far", "bob", origin="x.y"))
        assert (answer["allowed"], answer["deliver_as"]) == (True, "request")
        assert answer["listed_by"] == ["cme"]
        await tell(made, unlisted("server") | {"account": None, "origin": "x.y"})
        assert "listed_by" not in await decide(made, sent("far", "bob", origin="x.y", id="z"))

    served(test)


def test_verdict_benign_overrides_every_list(served: Live) -> None:
    async def test(made: Running) -> None:
        await tell(made, listed("ann"))
        assert (await decide(made, sent("ann", "bob")))["listed_by"] == ["cme"]
        body = {"verdict": "benign", "reason": BECAUSE}
        await made.ask("POST", "/v1/accounts/ann/override", json=body)
        await tell(made, listed("ann", "rtbl"))
        assert "listed_by" not in await decide(made, sent("ann", "bob", id="x"))

    served(test)


def test_lists_are_shown_with_mode_and_size(served: Live) -> None:
    async def test(made: Running) -> None:
        await tell(made, listed("ann"), listed("x", account=None, origin="x.y"))
        found = (await made.ask("GET", "/v1/lists", made.keys["read"])).json()["lists"]
        assert [(each["name"], each["mode"]) for each in found] == [
            ("cme", "delay"), ("rtbl", "observe"),
        ]  # fmt: skip
        assert (found[0]["accounts"], found[0]["servers"]) == (1, 1)
        assert (found[0]["keeper"], found[1]["last_event_ms"]) == ("https://keeper.example", None)

    served(test)


async def convicted(made: Running, tag: str = "", scope: str = "list") -> Any:
    headers = {"If-None-Match": tag} if tag else {}
    return await made.client.get(
        "/v1/lists/convicted", headers={"Authorization": f"Bearer {made.keys[scope]}"} | headers
    )


def test_conviction_is_published_after_notice_and_until_its_lift(
    served: Live, clock: Clock
) -> None:
    async def test(made: Running) -> None:
        empty = await convicted(made)
        assert empty.json()["items"] == []
        hashed = "sha256:" + "ab" * 32
        for account in ("ann", hashed, "listed-only"):
            verdict = {"verdict": "undetermined", "outcome": "suspend", "reason": BECAUSE}
            held = verdict | {"hold_s": 86_400}
            if account != "listed-only":
                answer = await made.ask("POST", f"/v1/accounts/{account}/override", json=held)
                assert answer.status_code == 200, answer.text
        await tell(made, listed("listed-only"))
        assert (await convicted(made)).json()["items"] == []
        clock.ahead_ms = 12 * HOUR
        answer = await convicted(made, scope="read")
        items = answer.json()["items"]
        assert {(each["account"], each["hash"], each["basis"]) for each in items} == {
            ("ann", sha256(b"ann").hexdigest(), "person"), (hashed, "ab" * 32, "person"),
        }  # fmt: skip
        assert items[0].keys() == {"account", "hash", "since_ms", "basis"}
        tag = answer.headers["etag"]
        assert tag == f'"{answer.json()["version"]}"'
        same = await convicted(made, tag)
        assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag)
        lift = {"verdict": "undetermined", "outcome": "allow", "reason": BECAUSE}
        await made.ask("POST", "/v1/accounts/ann/override", json=lift)
        await made.wait_until_applied()
        after = await convicted(made, tag)
        assert [each["account"] for each in after.json()["items"]] == [hashed]
        for scope in ("ingest", "decide", "override", "admin"):
            assert (await convicted(made, scope=scope)).status_code == 403
        clock.ahead_ms = 30 * HOUR
        assert (await convicted(made)).json()["items"] == []

    served(test)


@pytest.mark.parametrize("served", ["sqlite"], indirect=True)
def test_entries_are_in_a_snapshot(served: Live, tmp_path: Path) -> None:
    async def test(made: Running) -> None:
        await tell(made, listed("ann"), listed("eve"), unlisted("eve"))

    served(test)
    (shown,) = overview(stored_lists(tmp_path), {})
    assert (shown.name, shown.mode, shown.accounts) == ("cme", "observe", 1)

    async def after_restart(made: Running) -> None:
        assert (await decide(made, sent("ann", "bob")))["listed_by"] == ["cme"]

    served(after_restart)
