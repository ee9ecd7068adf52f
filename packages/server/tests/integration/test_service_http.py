"""What the hot paths answer over HTTP: good bodies, bad ones, too much, and one event at once."""

from __future__ import annotations

import asyncio
import gzip
import http.client
import json
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest

from support.service_harness import service
from support.service_process import Server, serving
from wavebreak_server.pipeline.pending_requests import BusyError, Sender

NOON = 1_772_366_400_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("service") / "home") as running:
        yield running


def sent(n: int, **more: Any) -> dict[str, Any]:
    return {
        "id": f"e{n}",
        "ts": NOON + n,
        "type": "message.sent",
        "account": "a",
        "peer": f"p{n}",
        "in_contacts": False,
    } | more


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({}, b"[]", 202),
        ({"content_type": "application/json; charset=utf-8"}, b"[]", 202),
        ({"content_type": "text/plain"}, b"[]", 415),
        ({"content_type": ""}, b"[]", 415),
        ({"content_encoding": "br"}, b"[]", 415),
        ({"content_encoding": "gzip"}, b"[]", 400),
        ({"content_encoding": "gzip"}, gzip.compress(b"[]", mtime=0), 202),
        ({"content_length": str(1 << 40)}, b"", 413),
        ({"content_type": "application/vnd.apache.arrow.stream"}, b"junk", 400),
        ({"content_type": "application/cloudevents+json"}, b"{}", 415),
        ({"idempotency_key": "k" * 300}, b"[]", 400),
        ({}, b"[1]", 422),
    ],
)
def test_events_response_has_the_expected_status(
    server: Server, headers: dict[str, Any], body: bytes, status: int
) -> None:
    answer = server.post(body, **headers)
    assert answer.status == status
    media = "application/json" if status == 202 else "application/problem+json"
    assert answer.headers["content-type"] == media
    assert answer.headers["x-content-type-options"] == "nosniff"
    if status != 202:
        assert answer.json()["status"] == status


def test_hot_path_allows_only_post(server: Server) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.request("GET", "/v1/events")
    answer = connection.getresponse()
    assert (answer.status, answer.getheader("allow")) == (405, "POST")
    connection.close()


def test_rejected_events_show_index_and_field_but_no_value(
    server: Server,
) -> None:
    events = [sent(1), sent(2, text="secret words"), sent(3, size=-1), sent(4)]
    answer = server.post(json.dumps(events).encode())
    assert answer.status == 202
    told = answer.json()
    assert told["accepted"] == 2
    assert [(r["index"], r["field"]) for r in told["refused"]] == [(1, "text"), (2, "size")]
    assert b"secret" not in answer.body


def decide(server: Server, event: dict[str, Any], mode: str = "ask") -> dict[str, Any]:
    answer = server.post(json.dumps(event).encode(), f"/v1/decide?mode={mode}")
    assert answer.status == 200, answer.body
    told: dict[str, Any] = answer.json()
    return told


def test_decide_records_only_in_record_mode(server: Server) -> None:
    """A new account that writes to strangers without end: refused the sooner, the more it did."""
    flood = [sent(n, id=f"f{n}", account="flooder", ts=NOON + 60_000 + 150 * n) for n in range(150)]
    joined = {"id": "j", "ts": NOON + 60_000, "type": "account.registered", "account": "flooder"}
    assert decide(server, joined, "record")["allowed"]
    for _ in range(150):
        assert decide(server, flood[0])["outcome"] == "allow"
    told = [decide(server, event, "record") for event in flood]
    refused = [t for t in told if not t["allowed"]]
    assert refused
    first = refused[0]
    assert first["outcome"] in ("challenge", "limit", "restrict", "suspend", "ban")
    assert first["mode"] == "record"
    assert any(answer["rules"] for answer in told), "the act that led to it names its rule"
    assert decide(server, sent(999, account="flooder", ts=NOON + 90_000))["allowed"] is False
    assert decide(server, sent(999, account="somebody", ts=NOON + 90_000))["allowed"] is True


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/decide", b"[]", 422),
        ("/v1/decide", b"{}", 422),
        ("/v1/decide", b"[", 422),
        ("/v1/decide?mode=maybe", b"{}", 422),
        ("/v1/decide?mode=ask&x=1", b"{}", 422),
        ("/v1/events?x=1", b"[]", 422),
        ("/v1/decide", b" " * 70_000, 413),
        ("/v1/decide", b"[" + b" " * 300_000, 413),
        ("/v1/decide", json.dumps(sent(1, body="x")).encode(), 422),
    ],
)
def test_invalid_decide_request_is_refused(
    server: Server, path: str, body: bytes, status: int
) -> None:
    answer = server.post(body, path)
    assert answer.status == status
    assert answer.json()["detail"]
    assert answer.json()["fix"]


@pytest.mark.parametrize(
    ("event", "cause", "field"),
    [
        (sent(1, size=-1), "bad_value", "size"),
        (sent(1, text="secret"), "content", "text"),
        (sent(1, type="room.invited"), "bad_value", "type"),
        (sent(1, ip="junk"), "misplaced_field", "ip"),
        (sent(1, ts=4_000_000_000_000), "ahead_of_clock", "ts"),
        (sent(1, id="+972541234567"), "identifier", "id"),
    ],
)
def test_broken_event_has_one_error_wherever_it_is_sent(
    server: Server, event: dict[str, Any], cause: str, field: str
) -> None:
    body = json.dumps(event).encode()
    lines = server.post(body, "/v1/events", content_type="application/x-ndjson")
    answers = [server.post(body, path) for path in ("/v1/decide", "/v1/events")]
    answers += [server.post(b"[" + body + b"]", path) for path in ("/v1/decide", "/v1/events")]
    problems = [answer.json() for answer in (*answers, lines)]
    for problem in problems:
        assert (problem["status"], problem["cause"], problem["field"]) == (422, cause, field)
    assert len({problem["fix"] for problem in problems}) == 1
    details = [problem["detail"] for problem in problems]
    assert details[0] == details[1]
    assert details[2] == details[3] == f"item 1: {details[0]}"
    assert details[4] == f"line 1: {details[0]}"


def test_rejected_events_are_named_by_their_position(server: Server) -> None:
    events = [sent(1), sent(2), sent(3, size=-1)]
    items = server.post(json.dumps(events).encode()).json()
    lines = server.post(
        b"\n".join(json.dumps(one).encode() for one in events),
        content_type="application/x-ndjson",
    ).json()
    assert items["refused"][0]["reason"] == "item 3: field `size`: out of range"
    assert lines["refused"][0]["reason"] == "line 3: field `size`: out of range"
    assert items["refused"][0]["fix"].startswith("from 0 to ")


def test_every_hot_path_response_has_a_date(server: Server) -> None:
    for path in ("/v1/events", "/v1/decide"):
        date = server.post(b"[]", path).headers["date"]
        assert abs(parsedate_to_datetime(date).timestamp() - time.time()) < 60


def test_decide_without_engine_follows_on_failure(tmp_path: Path) -> None:
    """A service without an engine yet: no rule judges registrations, so both may pass."""
    made = service(tmp_path)
    with pytest.raises(BusyError, match="being loaded"):
        asyncio.run(made.decide(json.dumps(sent(1)).encode(), "ask", Sender()))
    made.states.clear()
    joined = {"id": "j", "ts": NOON, "type": "account.registered", "account": "n"}
    for event, allowed, wait in ((sent(1), True, None), (joined, True, None)):
        answer = asyncio.run(made.decide(json.dumps(event).encode(), "ask", Sender()))
        assert (answer.mode, answer.outcome) == ("on_failure", "allow")
        assert (answer.allowed, answer.retry_after_ms) == (allowed, wait)
        with pytest.raises(BusyError):
            asyncio.run(made.decide(json.dumps(event).encode(), "record", Sender()))
