"""Declared lanes: who may give one, what it does at once, and what the audit says."""

from __future__ import annotations

from typing import Any

from support.service_harness import Live, Running, now_ms
from wavebreak_server.http.app_context import run_query
from wavebreak_server.storage.models import AuditEntry

BECAUSE = "because a test asks for it"


def declared(lane: str = "clinic") -> dict[str, Any]:
    return {"type": "account.declared", "account": "ann", "lane": lane, "ts": now_ms()}


async def declare(made: Running, lane: str, scope: str = "admin") -> Any:
    body = {"lane": lane, "reason": BECAUSE}
    return await made.ask("PUT", "/v1/accounts/ann/lane", made.keys[scope], json=body)


async def lane_of(made: Running) -> Any:
    return (await made.ask("GET", "/v1/accounts/ann")).json()["lane"]


async def write(made: Running, first: int, many: int) -> None:
    """Let ann write first to strangers, after she registers."""
    now = now_ms()
    new = (
        [{"type": "account.registered", "account": "ann", "ts": now - 3_600_000}]
        if first == 0
        else []
    )
    sent = [
        {"type": "message.sent", "account": "ann", "peer": f"s{n}", "ts": now}
        for n in range(first, first + many)
    ]
    await made.send([*new, *sent])


async def outcome(made: Running) -> str:
    return str((await made.ask("GET", "/v1/accounts/ann")).json()["outcome"])


def test_no_key_declares_an_account_by_an_event(live: Live) -> None:
    async def test(made: Running) -> None:
        for scope in ("ingest", "override", "admin", "list"):
            answer = await made.ask("POST", "/v1/events", made.keys[scope], json=[declared()])
            assert answer.status_code == (422 if scope in ("ingest", "list") else 403)
            if answer.status_code == 422:
                assert answer.json()["refused"][0]["cause"] == "missing_scope"
        decided = await made.ask("POST", "/v1/decide", made.keys["decide"], json=[declared()])
        assert decided.status_code == 403
        for scope in ("ingest", "override", "decide", "read", "list"):
            assert (await declare(made, "clinic", scope)).status_code == 403
        await made.send([{"type": "account.registered", "account": "ann", "ts": now_ms()}])
        assert await lane_of(made) == "none"

    live(test)


def test_an_administrator_declares_and_withdraws_with_audit(live: Live) -> None:
    async def test(made: Running) -> None:
        await write(made, 0, 10)
        given = await declare(made, "clinic")
        assert (given.status_code, given.json()["lane"]) == (200, "clinic")
        assert await lane_of(made) == "clinic"
        await write(made, 10, 20)
        assert await outcome(made) == "allow"
        assert (await declare(made, "none")).json()["lane"] == "none"
        await write(made, 30, 1)
        assert await outcome(made) == "limit"
        said = await run_query(
            lambda: [
                (row.object, row.reason, row.outcome)
                for row in AuditEntry.objects.filter(action="declare_lane").order_by("number")
            ]
        )
        assert said == [
            ("ann", f"clinic: {BECAUSE}", "done"),
            ("ann", f"none: {BECAUSE}", "done"),
        ]

    live(test)


def test_a_lane_that_there_is_not_and_a_missing_reason_are_refused(live: Live) -> None:
    async def test(made: Running) -> None:
        assert (await declare(made, "vip")).status_code == 422
        path, key = "/v1/accounts/ann/lane", made.keys["admin"]
        assert (await made.ask("PUT", path, key, json={"lane": "clinic"})).status_code == 422
        assert await lane_of(made) == "none"

    live(test)
