"""What a platform asks of the service beside the hot path, on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from support import service_harness
from support.operator_events import TEAM, team_events
from support.service_harness import Live, Running, abuser
from support.state_stream import following
from wavebreak.features.layout import ON_DOUBT
from wavebreak_server.slices.keys.service import create_key

BECAUSE = "because a test asks for it"
NEW_CHATS = 10
"""What the limit of a test leaves in a day."""


def test_account_shows_restriction_and_decisions(live: Live) -> None:
    async def test(made: Running) -> None:
        await made.send(abuser())
        ann = (await made.ask("GET", "/v1/accounts/ann")).json()
        assert ann["outcome"] == "ban"
        assert ann["restrictions"][0]["refuses"] == "every act is refused"
        assert ann["restrictions"][0]["until_ms"] is None
        assert ann["decisions"][0]["decision"]["outcome"] == "ban"
        assert ann["restrictions"][0]["since_ms"] == ann["decisions"][0]["decision"]["ts"]
        ben = (await made.ask("GET", "/v1/accounts/ann-p1")).json()
        assert (ben["outcome"], ben["restrictions"], ben["decisions"]) == ("allow", [], [])

    live(test)


def test_override_enters_the_log_and_lifts_restriction(live: Live) -> None:
    async def test(made: Running) -> None:
        await made.send(abuser())
        body = {"verdict": "benign", "reason": BECAUSE, "by": "appeal"}
        told = (await made.ask("POST", "/v1/accounts/ann/override", json=body)).json()
        assert told["outcome"] == "allow"
        await made.wait_until_applied()
        assert (await made.ask("GET", "/v1/accounts/ann")).json()["outcome"] == "allow"
        last = (await made.ask("GET", "/v1/decisions")).json()["decisions"][-1]["decision"]
        assert (last["outcome"], last["stage"], last["trigger"]) == (
            "allow",
            "review",
            told["event"],
        )
        body = {"verdict": "abusive", "reason": BECAUSE}
        told = (await made.ask("POST", "/v1/accounts/ben/override", json=body)).json()
        assert told["outcome"] != "allow"
        audit = (await made.ask("GET", "/v1/audit")).json()["entries"]
        assert [(a["action"], a["object"], a["outcome"]) for a in audit[-2:]] == [
            ("override", "ann", "done"),
            ("override", "ben", "done"),
        ]
        assert audit[-1]["key"] == made.key.split("_")[1]
        assert audit[-1]["reason"] == f"abusive, analyst: {BECAUSE}"

    live(test)


def test_override_sets_a_chosen_outcome_for_a_time(live: Live) -> None:
    async def test(made: Running) -> None:
        await made.send(abuser())
        path = "/v1/accounts/ann/override"
        chosen = {"verdict": "undetermined", "outcome": "limit", "hold_s": 259_200}
        told = (await made.ask("POST", path, json=chosen | {"reason": BECAUSE})).json()
        assert told["outcome"] == "limit"
        await made.wait_until_applied()
        last = (await made.ask("GET", "/v1/decisions")).json()["decisions"][-1]["decision"]
        assert (last["outcome"], last["basis"], last["stage"]) == ("limit", "person", "review")
        assert last["until"] == told["until_ms"] == last["ts"] // 1000 * 1000 + 259_200_000
        ann = (await made.ask("GET", "/v1/accounts/ann")).json()
        assert (ann["outcome"], ann["until_ms"]) == ("limit", told["until_ms"])
        assert ann["quota"]["limit"] == last["new_chats_1d"] == 10
        audit = (await made.ask("GET", "/v1/audit")).json()["entries"]
        assert audit[-1]["reason"] == f"undetermined limit 259200, analyst: {BECAUSE}"
        back = {"verdict": "undetermined", "outcome": "ban", "reason": BECAUSE}
        assert (await made.ask("POST", path, json=back)).json()["outcome"] == "ban"
        alone = {"verdict": "undetermined", "reason": BECAUSE}
        assert (await made.ask("POST", path, json=alone)).json()["outcome"] == "ban"

    live(test)


@pytest.mark.parametrize(
    ("fields", "fix"),
    [
        ({"verdict": "benign", "outcome": "ban"}, "write that verdict"),
        ({"verdict": "undetermined", "hold_s": 60}, "give one above allow"),
        ({"verdict": "undetermined", "outcome": "allow", "hold_s": 60}, "or no hold_s"),
    ],
)
def test_override_with_a_stray_outcome_is_refused(
    live: Live, fields: dict[str, Any], fix: str
) -> None:
    async def test(made: Running) -> None:
        body = fields | {"reason": BECAUSE}
        answer = await made.ask("POST", "/v1/accounts/ann/override", json=body)
        assert answer.status_code == 422
        assert fix in answer.text

    live(test)


def test_replay_after_override_yields_identical_decisions(tmp_path: Path, live: Live) -> None:
    async def test(made: Running) -> None:
        await made.send(abuser())
        body = {"verdict": "benign", "reason": BECAUSE}
        await made.ask("POST", "/v1/accounts/ann/override", json=body)
        await made.wait_until_applied()
        before = (await made.ask("GET", "/v1/decisions")).json()
        for snapshot in tmp_path.glob("*.snapshot"):
            snapshot.unlink()
        await made.service.stop()
        for snapshot in tmp_path.glob("*.snapshot"):
            snapshot.unlink()
        async with service_harness.running(tmp_path) as again:
            assert (await again.ask("GET", "/v1/decisions")).json() == before
            assert (await again.ask("GET", "/v1/accounts/ann")).json()["outcome"] == "allow"

    live(test)


def test_labels_enter_the_log_with_their_source(live: Live) -> None:
    async def test(made: Running) -> None:
        await made.send(abuser(20))
        labels = [{"account": "ann", "label": "abusive", "source": "honeypot"}]
        answer = await made.ask("POST", "/v1/labels", json={"labels": labels, "reason": BECAUSE})
        assert answer.status_code == 202, answer.text
        assert len(answer.json()["events"]) == 1
        await made.wait_until_applied()
        assert (await made.ask("GET", "/v1/accounts/ann")).json()["outcome"] != "allow"

    live(test)


def test_operators_are_listed_and_shown_with_their_edges(live: Live) -> None:
    async def test(made: Running) -> None:
        assert (await made.ask("GET", "/v1/operators")).json() == {"operators": [], "total": 0}
        await made.send(team_events())
        listed = (await made.ask("GET", "/v1/operators?limit=1")).json()
        (operator,) = listed["operators"]
        assert (set(operator["accounts"]), listed["total"]) == (set(TEAM), 1)
        assert operator["edges"][0]["evidence"] == ["used one device"]
        shown = await made.ask("GET", f"/v1/operators/{operator['id']}")
        assert shown.json() == operator
        assert (await made.ask("GET", "/v1/operators/op-0123456789ab")).status_code == 404

    live(test)


def test_decisions_are_paged_and_streamed_from_a_number(live: Live) -> None:
    async def test(made: Running) -> None:
        await made.send(abuser())
        await made.send(abuser(account="bob", ts=1_767_222_060_000))
        every = (await made.ask("GET", "/v1/decisions")).json()
        numbers = [one["number"] for one in every["decisions"]]
        assert numbers == list(range(1, len(numbers) + 1))
        first = (await made.ask("GET", "/v1/decisions?limit=1")).json()
        assert first["decisions"] == every["decisions"][:1]
        rest = (await made.ask("GET", f"/v1/decisions?since={first['next']}")).json()
        assert rest["decisions"] == every["decisions"][1:]
        assert await _streamed(made, len(numbers) - 1, since="1") == every["decisions"][1:]

    live(test)


async def _streamed(made: Running, count: int, since: str) -> list[Any]:
    """The first decisions of a stream that begins after a Last-Event-ID."""
    async with following(made, event="decision", key=made.key, last=since) as heard:
        async with asyncio.timeout(20):
            found = [await heard.get() for _ in range(count)]
    while not heard.empty():
        found.append(heard.get_nowait())
    return [{"number": number, "decision": decision} for _, number, decision in found]


def _chats(count: int) -> list[dict[str, Any]]:
    """A known account opens so many chats."""
    return [
        {
            "id": f"c{n}",
            "ts": 1_767_222_000_000 + 60_000 * n,
            "type": "message.sent",
            "account": "eve",
            "peer": f"q{n}",
        }
        for n in range(count)
    ]


def test_quota_is_freed_by_reply_and_extended_once(live: Live) -> None:
    async def test(made: Running) -> None:
        await made.send(_chats(4))
        path, more = "/v1/accounts/eve", {"reason": BECAUSE}
        assert (await made.ask("GET", path)).json()["quota"]["state"] == "NONE"
        assert (await made.ask("POST", f"{path}/extension", json=more)).status_code == 409
        await made.service.ask(lambda engine: _limit(engine, "eve"))
        quota = (await made.ask("GET", path)).json()["quota"]
        limit = NEW_CHATS
        assert (quota["used"], quota["limit"], quota["left"]) == (4, limit, limit - 4)
        reply = {
            "id": "a1",
            "ts": 1_767_222_400_000,
            "type": "message.sent",
            "account": "q1",
            "peer": "eve",
        }
        await made.send([reply])
        quota = (await made.ask("GET", path)).json()["quota"]
        assert (quota["used"], quota["left"], quota["extension"]) == (3, limit - 3, "available")
        given = await made.ask("POST", f"{path}/extension", json=more)
        assert given.json()["left"] == limit - 3 + made.context.quota_config.extension
        assert (await made.ask("POST", f"{path}/extension", json=more)).status_code == 409
        assert (await made.ask("GET", path)).json()["quota"]["extension"] == "used"

    live(test)


def test_decide_allows_a_new_chat_for_each_reply(live: Live) -> None:
    async def test(made: Running) -> None:
        quota, ts = NEW_CHATS, 1_767_222_900_000
        await made.send(_chats(quota))
        await made.service.ask(lambda engine: _limit(engine, "eve"))

        async def may() -> Any:
            act = {"ts": ts, "type": "message.sent", "account": "eve", "peer": "somebody-new"}
            return (await made.ask("POST", "/v1/decide", json=act)).json()

        refused = await may()
        assert (refused["allowed"], refused["challenge"]) == (False, "captcha")
        assert 0 < refused["retry_after_ms"] <= 86_400_000
        reply = {"id": "a1", "ts": ts, "type": "message.sent", "account": "q1", "peer": "eve"}
        await made.send([reply])
        allowed = await may()
        assert (allowed["allowed"], allowed["challenge"]) == (True, None)
        await made.send(
            [{"id": "c99", "ts": ts, "type": "message.sent", "account": "eve", "peer": "q99"}]
        )
        assert (await may())["allowed"] is False
        await made.ask("POST", "/v1/accounts/eve/extension", json={"reason": BECAUSE})
        assert (await may())["allowed"] is True

    live(test)


def _limit(engine: Any, account: str) -> None:
    """Put an account under a limit on doubt, as the kernel would."""
    slot = int(engine.fanout.accounts.slots(service_harness.names(account))[0])
    row = engine.core.rows[slot % 64].records[slot // 64]
    row["enforcement"], row["until"] = 3, int(row["clock"]) + 86_400
    row["quota"] = NEW_CHATS
    row["flags"] |= ON_DOUBT


def test_erasure_removes_pseudonyms_and_keeps_decisions(tmp_path: Path, live: Live) -> None:
    async def test(made: Running) -> None:
        await made.send([*abuser(), *abuser(3, "bob", 1_767_222_100_000)])
        before = (await made.ask("GET", "/v1/decisions")).json()
        mine = [one for one in before["decisions"] if one["decision"]["account"] == "ann"]
        path = f"/v1/accounts/ann/personal?reason={BECAUSE}"
        erased = (await made.ask("DELETE", path)).json()
        assert erased == {"account": "ann", "events": 1, "batches": 1, "openings": len(mine)}
        assert (await made.ask("DELETE", path)).json()["events"] == 0
        held = await asyncio.to_thread(service_harness.logged)
        assert [e["number"] for e in held if e["account"] == "ann" and e["number"]] == []
        assert [e["address"] for e in held if e["account"] == "ann" and e["address"]] == []
        assert sum(e["number"] is not None for e in held if e["account"] == "bob") == 1
        assert sum(e["network"] is not None for e in held) == 2
        await made.service.stop()
        for snapshot in tmp_path.glob("*.snapshot"):
            snapshot.unlink()
        async with service_harness.running(tmp_path) as again:
            assert (await again.ask("GET", "/v1/decisions")).json() == before

    live(test)


def test_key_is_created_rotated_and_revoked(live: Live) -> None:
    async def test(made: Running) -> None:
        asked = {"name": "reader", "scopes": ["read"], "reason": BECAUSE}
        first = (await made.ask("POST", "/v1/keys", json=asked)).json()
        assert (await made.ask("GET", "/v1/decisions", first["text"])).status_code == 200
        listed = (await made.ask("GET", "/v1/keys")).text
        assert first["prefix"] in listed
        assert first["text"].split("_")[2] not in listed
        path, body = f"/v1/keys/{first['prefix']}", {"grace_s": 3600, "reason": BECAUSE}
        second = (await made.ask("POST", f"{path}/rotate", json=body)).json()
        assert (await made.ask("POST", f"{path}/rotate", json=body)).status_code == 409
        for key in (first, second):
            assert (await made.ask("GET", "/v1/decisions", key["text"])).status_code == 200
        assert (await made.ask("DELETE", f"{path}?reason={BECAUSE}")).status_code == 204
        assert (await made.ask("DELETE", f"{path}?reason={BECAUSE}")).status_code == 404
        assert (await made.ask("GET", "/v1/decisions", first["text"])).status_code == 401
        assert (await made.ask("GET", "/v1/decisions", second["text"])).status_code == 200

    live(test)


def test_new_key_works_at_once_and_guesses_are_bounded(live: Live) -> None:
    async def test(made: Running) -> None:
        def create() -> str:
            _, text = create_key("gateway", ["read"], 0, "test", BECAUSE)
            connection.close()
            return text

        new = await asyncio.to_thread(create)
        assert (await made.ask("GET", "/v1/decisions", new)).status_code == 200
        loads: list[int] = []
        load_keys = made.context.load_keys

        def count() -> None:
            loads.append(1)
            load_keys()

        made.context.load_keys = count  # type: ignore[method-assign]
        for n in range(60):
            guessed = f"wb_{n:08x}_{'0' * 64}"
            assert (await made.ask("GET", "/v1/decisions", guessed)).status_code == 401
        assert 1 <= len(loads) <= 40

    live(test)


def test_key_over_its_rate_gets_retry_after(live: Live) -> None:
    async def test(made: Running) -> None:
        asked = {
            "name": "slow",
            "scopes": ["read", "ingest"],
            "rate": 0.05,
            "burst": 1,
            "reason": BECAUSE,
        }
        key = (await made.ask("POST", "/v1/keys", json=asked)).json()["text"]
        assert (await made.ask("GET", "/v1/decisions", key)).status_code == 200
        for method, path in (("GET", "/v1/decisions"), ("POST", "/v1/events")):
            answer = await made.ask(method, path, key, json=[])
            assert answer.status_code == 429
            assert 1 <= int(answer.headers["retry-after"]) <= 20

    live(test)


def test_every_error_is_a_problem_without_request_values(live: Live) -> None:
    async def test(made: Running) -> None:
        planted = "+972501234567"
        for method, path, more in (
            ("GET", f"/v1/{planted}", {}),
            ("PUT", "/v1/labels", {"content": planted}),
            ("POST", "/v1/labels", {"content": planted}),
            ("POST", "/v1/labels", {"json": {"labels": [{"account": planted}]}}),
            ("POST", "/v1/labels", {"content": planted, "headers": {"Content-Type": "text/x"}}),
            ("POST", f"/v1/accounts/{planted}/override", {"json": {"verdict": planted}}),
            ("GET", f"/v1/decisions?since={planted}x", {}),
            ("GET", f"/v1/decisions?{planted}=1", {}),
            ("GET", "/v1/decisions?since=1&since=2", {}),
            ("GET", f"/v1/accounts/{'x' * 256}", {}),
            ("GET", "/v1/accounts/%00", {}),
            ("POST", "/v1/labels", {"content": b"x" * 2_000_000}),
        ):
            answer = await made.ask(method, path, **more)
            assert 400 <= answer.status_code < 500, (method, path, answer.status_code)
            assert answer.headers["content-type"] == "application/problem+json", (method, path)
            assert answer.json()["status"] == answer.status_code
            assert planted not in answer.text

    live(test)


def test_every_response_has_security_headers(live: Live) -> None:
    async def test(made: Running) -> None:
        for path in ("/api/docs", "/api/openapi.json", "/v1/decisions", "/nowhere", "/v1/events"):
            answer = await made.ask("GET", path)
            assert answer.headers["x-content-type-options"] == "nosniff", path
            assert "default-src 'none'" in answer.headers["content-security-policy"], path
            assert answer.headers["cache-control"] == "no-store", path
        page = await made.ask("GET", "/api/docs", "")
        assert "http://" not in page.text
        assert "<script" not in page.text
        assert "style-src 'sha256-" in page.headers["content-security-policy"]

    live(test)


def test_metrics_count_events_without_account_names(live: Live) -> None:
    async def test(made: Running) -> None:
        await made.send(abuser())
        await made.ask(
            "POST",
            "/v1/events",
            json=[{"ts": 1, "type": "message.sent", "account": "ann", "body": "x"}],
        )
        text = (await made.ask("GET", "/metrics")).text
        assert "wavebreak_events_total 121.0" in text
        assert 'wavebreak_requests_total{method="POST",route="/v1/events",status="202"} 1.0' in text
        assert "wavebreak_ready 1.0" in text
        assert re.findall(r"\bann\b", text) == []

    live(test)
