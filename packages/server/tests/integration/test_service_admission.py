"""What a valid event needs beside its schema: the right to label, on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pyarrow as pa
import pytest
from django.db import connection

from support import service_harness
from support.service_harness import DATABASES, Running, abuser, now_ms
from wavebreak.ledger import read_entry
from wavebreak_server.storage.models import LedgerEntry, LedgerOpening

DAY_MS = 86_400_000
FAR = 4_070_908_800_000
"""The year 2099."""
JSON, LINES = "application/json", "application/x-ndjson"
ARROW = "application/vnd.apache.arrow.stream"
Live = Callable[[Callable[[Running], Awaitable[None]]], None]


@pytest.fixture(scope="module", params=DATABASES)
def live(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Live]:
    """Runs coroutines against one service, which these tests share."""
    home = tmp_path_factory.mktemp(request.param)
    with service_harness.migrated(request.param, home), asyncio.Runner() as runner:
        service = service_harness.running(home)
        made = runner.run(service.__aenter__())
        yield lambda test: runner.run(_given(test, made))
        runner.run(service.__aexit__(None, None, None))


async def _given(test: Callable[[Running], Awaitable[None]], made: Running) -> None:
    await test(made)


def sent(n: int, **more: Any) -> dict[str, Any]:
    event = {"id": f"s{n}", "ts": now_ms(), "type": "message.sent", "account": "a", "peer": "b"}
    return event | more


def label(account: str, **more: Any) -> dict[str, Any]:
    event = {"id": f"l-{account}", "ts": now_ms(), "type": "label.assigned", "account": account}
    return event | {"label": "abusive", "source": "analyst"} | more


def bodies(events: list[dict[str, Any]]) -> list[tuple[str, bytes]]:
    """The same events in each form that a body may have."""
    sink = pa.BufferOutputStream()
    batch = pa.RecordBatch.from_pylist(events, pa.schema(_columns(events)))
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return [
        (JSON, json.dumps(events).encode()),
        (LINES, "\n".join(map(json.dumps, events)).encode()),
        (ARROW, bytes(sink.getvalue())),
    ]


def _columns(events: list[dict[str, Any]]) -> list[tuple[str, pa.DataType]]:
    names = sorted({name for event in events for name in event})
    return [(name, pa.int64() if name == "ts" else pa.string()) for name in names]


async def outcome(made: Running, account: str) -> str:
    await made.wait_until_applied()
    answer = await made.ask("GET", f"/v1/accounts/{account}")
    return str(answer.json().get("outcome", answer.status_code))


def test_label_without_override_is_refused_in_every_form(live: Live) -> None:
    async def test(made: Running) -> None:
        for n, (media, body) in enumerate(bodies([sent(1), label("ann"), sent(2)])):
            answer = await made.ask(
                "POST", "/v1/events", made.keys["ingest"],
                content=body, headers={"content-type": media},
            )  # fmt: skip
            assert answer.status_code == 202, answer.text
            assert answer.json()["accepted"] == 2
            (refused,) = answer.json()["refused"]
            assert (refused["index"], refused["cause"]) == (1, "missing_scope"), (n, refused)
            assert "override" in refused["reason"] + refused["fix"]
        assert await outcome(made, "ann") == "allow"
        alone = await made.ask("POST", "/v1/events", made.keys["ingest"], json=[label("ann")])
        assert alone.status_code == 422
        counted = f'{{cause="missing_scope"}} {made.service.counts["refused.missing_scope"]}.0'
        assert counted in (await made.ask("GET", "/metrics")).text

    live(test)


def test_recorded_label_without_override_is_forbidden(live: Live) -> None:
    async def test(made: Running) -> None:
        path = "/v1/decide?mode=record"
        answer = await made.ask("POST", path, made.keys["decide"], json=label("rex"))
        assert (answer.status_code, "override" in answer.text) == (403, True)
        assert await outcome(made, "rex") == "allow"
        assert (await made.ask("POST", path, json=label("rex"))).status_code == 200
        assert await outcome(made, "rex") == "ban"

    live(test)


def test_label_with_override_is_audited_and_sealed(live: Live) -> None:
    async def test(made: Running) -> None:
        prefix = made.key.split("_")[1]
        before = len((await made.ask("GET", "/v1/audit")).json()["entries"])
        sealed_before = len(await asyncio.to_thread(_sealed_labels))
        for n, (media, body) in enumerate(bodies([sent(1), label("ian"), label("ben")])):
            answer = await made.ask(
                "POST", "/v1/events", content=body, headers={"content-type": media}
            )
            assert (answer.json()["accepted"], answer.json()["refused"]) == (3, [])
            audit = (await made.ask("GET", "/v1/audit")).json()["entries"]
            assert len(audit) == before + n + 1
            assert (audit[-1]["key"], audit[-1]["action"]) == (prefix, "label")
            assert (audit[-1]["object"], audit[-1]["outcome"]) == ("2 labels", "done")
            assert audit[-1]["reason"] == "POST /v1/events"
        assert await outcome(made, "ian") == "ban"
        labels = {"labels": [{"account": "cyd", "label": "benign", "source": "appeal"}],
                "reason": "because a test asks for it"}  # fmt: skip
        await made.ask("POST", "/v1/labels", json=labels)
        sealed = await asyncio.to_thread(_sealed_labels)
        assert sealed[sealed_before:] == [
            ("ian", prefix, "abusive"),
            ("ben", prefix, "abusive"),
        ] * 3 + [("cyd", prefix, "benign")]

    live(test)


def test_event_ahead_of_the_clock_is_refused_in_every_form(live: Live) -> None:
    async def test(made: Running) -> None:
        far = [sent(n, ts=FAR + n, id=f"f{n}") for n in range(1200)]
        for media, body in bodies([sent(1), *far, sent(2)]):
            answer = await made.ask(
                "POST", "/v1/events", content=body, headers={"content-type": media}
            )
            assert (answer.status_code, answer.json()["accepted"]) == (202, 2)
            causes = {each["cause"] for each in answer.json()["refused"]}
            assert (causes, len(answer.json()["refused"])) == ({"ahead_of_clock"}, 100)
            assert answer.json()["refused_total"] == 1200
        alone = await made.ask("POST", "/v1/events", json=far[:1])
        assert (alone.status_code, alone.json()["refused"][0]["field"]) == (422, "ts")
        for mode in ("ask", "record"):
            asked = await made.ask("POST", f"/v1/decide?mode={mode}", json=far[0])
            assert (asked.status_code, "clock" in asked.json()["fix"]) == (422, True)
        edge = made.service.clock() + made.service.ahead_ms
        early = await made.ask("POST", "/v1/events", json=[sent(3, ts=edge + 20_000, id="edge")])
        assert early.status_code == 422
        await made.send(abuser(account="spammer", ts=now_ms() - 15_000))
        assert await outcome(made, "spammer") == "ban"
        text = (await made.ask("GET", "/metrics")).text
        assert 'wavebreak_events_refused_total{cause="ahead_of_clock"} 3604.0' in text
        late = made.service.log_clock().late
        assert f"wavebreak_late_events_total {late}.0" in text
        await made.send([sent(4, ts=now_ms() - 600_000, id="old")])
        assert made.service.log_clock().late == late + 1

    live(test)


def test_log_ahead_of_the_clock_is_not_ready(live: Live) -> None:
    async def test(made: Running) -> None:
        await made.send([sent(5)])
        assert (await made.ask("GET", "/readyz", "")).status_code == 200
        clock = made.service.clock
        made.service.clock = lambda: clock() - 2 * DAY_MS
        try:
            told = await made.ask("GET", "/readyz", "")
            assert told.status_code == 503
            assert "ahead of this machine's clock" in told.json()["detail"]
            assert "repairs the log" in told.json()["fix"]
            body = {"verdict": "abusive", "reason": "because a test asks for it"}
            refused = await made.ask("POST", "/v1/accounts/ann/override", json=body)
            assert (refused.status_code, refused.json()["fix"]) == (503, told.json()["fix"])
            text = (await made.ask("GET", "/metrics")).text
            (ahead,) = re.findall(r"^wavebreak_log_time_ahead_seconds (\S+)", text, re.MULTILINE)
            assert 2 * 86_400 - 3600 < float(ahead) < 2 * 86_400
            assert "wavebreak_ready 0.0" in text
        finally:
            made.service.clock = clock
        assert (await made.ask("GET", "/readyz", "")).status_code == 200

    live(test)


def test_id_that_looks_personal_is_refused_in_every_form(live: Live) -> None:
    async def test(made: Running) -> None:
        ids = [
            {"account": "+972541234567"}, {"account": "972541234567"}, {"peer": "ann@example.org"},
            {"peer": "meet me at nine"}, {"id": "http://x.y"}, {"account": "a\u0007"},
            {"account": "a\x1b]0;owned\x07"}, {"peer": "a\n"}, {"account": ".."},
        ]  # fmt: skip
        events = [sent(n + 10, **more) for n, more in enumerate(ids)]
        for media, body in bodies([sent(1), *events]):
            answer = await made.ask(
                "POST", "/v1/events", content=body, headers={"content-type": media}
            )
            told = answer.json()
            assert (answer.status_code, told["accepted"], len(told["refused"])) == (202, 1, 9)
            assert {each["cause"] for each in told["refused"]} == {"identifier"}
            assert [each["field"] for each in told["refused"]] == [next(iter(i)) for i in ids]
            planted = [value for each in ids[:6] for value in each.values()]
            assert not any(value in answer.text for value in planted)
        for mode in ("ask", "record"):
            asked = await made.ask("POST", f"/v1/decide?mode={mode}", json=events[0])
            assert (asked.status_code, "hash" in asked.json()["fix"]) == (422, True)
        verdict = {"verdict": "abusive", "reason": "because a test asks for it"}
        asked = await made.ask("POST", "/v1/accounts/+972541234567/override", json=verdict)
        assert (asked.status_code, "phone number" in asked.text) == (422, True)
        kept = await asyncio.to_thread(service_harness.held)
        assert b"972541234567" not in kept

    live(test)


ACCEPTED = ["a/override", "b/extension", "c/personal", "d?e#f%41", "é/ü", "g//h", "i;j", "k\\l",
            "...", "m/..n", "[bold]", "$(id)"]  # fmt: skip


def test_accepted_id_can_be_read_overruled_and_erased(live: Live) -> None:
    async def test(made: Running) -> None:
        because = "because a test asks for it"
        await made.send([sent(n + 40, account=name) for n, name in enumerate(ACCEPTED)])
        for name in ACCEPTED:
            path = f"/v1/accounts/{quote(name, safe='')}"
            assert (await made.ask("GET", path)).json()["account"] == name
            body = {"verdict": "abusive", "reason": because}
            changed = await made.ask("POST", f"{path}/override", json=body)
            assert changed.status_code == 200, changed.text
            assert changed.json()["outcome"] == "ban"
            assert await outcome(made, quote(name, safe="")) == "ban"
            erased = await made.ask("DELETE", f"{path}/personal", params={"reason": because})
            assert (erased.status_code, erased.json()["account"]) == (200, name)

    live(test)


def test_allowed_ids_may_look_personal_but_hold_no_controls(tmp_path: Path) -> None:
    async def test() -> None:
        async with service_harness.running(tmp_path, allow_identifiers=True) as made:
            await made.send([sent(1, account="+972541234567", peer="ann@example.org")])
            refused = await made.ask("POST", "/v1/events", json=[sent(2, account="a\x1b[2J")])
            assert refused.json()["refused"][0]["cause"] == "identifier"
            body = {"verdict": "abusive", "reason": "because a test asks for it"}
            path = "/v1/accounts/+972541234567/override"
            assert (await made.ask("POST", path, json=body)).json()["outcome"] == "ban"

    with service_harness.migrated("sqlite", tmp_path):
        asyncio.run(test())


def _sealed_labels() -> list[tuple[str, str, str]]:
    """Account, author and label of each sealed label."""
    with contextlib.closing(connection):
        return list(_read_labels())


def _read_labels() -> Iterator[tuple[str, str, str]]:
    for position, line in LedgerEntry.objects.order_by("position").values_list("position", "line"):
        entry = read_entry(bytes(line))
        if entry.kind == "label":
            kept = LedgerOpening.objects.get(position=position)
            openings = json.loads(bytes(kept.openings))
            label = msgspec.to_builtins(entry.body)["label"]
            yield openings["account"][1], openings["by"][1], label
