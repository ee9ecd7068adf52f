from __future__ import annotations

import asyncio
import re
import socketserver
import threading
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from wavebreak.schema.coverage import known_names
from wavebreak_client import Client, EventError

from synapse_support.fakes import Database, FakeClient, settings_of
from wavebreak_synapse import health
from wavebreak_synapse.feed import Bounds, Feed
from wavebreak_synapse.metrics import Metrics
from wavebreak_synapse.reporter import Reporter
from wavebreak_synapse.service import ClosedError, Service

EVENT = {"id": "a", "ts": 1, "type": "account.deleted", "account": "@a:hs.test"}


def connected(**settings: Any) -> tuple[Service, FakeClient]:
    client = FakeClient()
    return Service(settings_of(**settings), lambda: client), client


def test_declaration_follows_the_settings() -> None:
    service, client = connected(receipts=False, contacts=False)
    assert service.declare()
    carries, can = client.declared[0]
    assert "message.read" not in carries
    assert "message.sent.in_contacts" not in carries
    assert can == ["refuse", "suspend", "lift", "notify"]


def test_declaration_has_what_remote_accounts_send() -> None:
    service, client = connected()
    service.declare()
    carries, _ = client.declared[0]
    assert {"message.sent.origin", "contact.requested.origin"} <= set(carries)
    assert set(carries) <= known_names()
    service, client = connected(remote=False)
    service.declare()
    assert [name for name in client.declared[0][0] if name.endswith(".origin")] == []


def test_declaration_beside_mas_has_no_logins() -> None:
    client = FakeClient()
    Service(settings_of(), lambda: client, delegates_auth=True).declare()
    carries, _ = client.declared[0]
    assert "account.registered" in carries
    unseen = ("account.registered.", "session.")
    assert [name for name in carries if name.startswith(unseen)] == []


def test_field_that_is_not_declared_is_not_sent() -> None:
    service, client = connected()
    service.deliver([EVENT | {"device": "d"}], 1.0)
    service.attempt([EVENT | {"device": "d"}])
    assert client.told == client.attempts == [EVENT]


def test_shadow_mode_declares_that_it_can_do_nothing() -> None:
    service, client = connected(mode="shadow")
    service.declare()
    assert client.declared[0][1] == []


def test_event_outside_the_schema_is_counted_and_the_rest_goes() -> None:
    service, client = connected()
    take = client.tell

    def tell(*events: Any) -> bool:
        if events[0]["id"] == "bad":
            raise EventError("is too long", field="account")
        return take(*events)

    client.tell = tell  # type: ignore[method-assign]
    assert service.deliver([{**EVENT, "id": "bad"}, EVENT], 1.0)
    assert client.told == [EVENT]
    assert service.undeliverable == 1


@pytest.mark.parametrize(("offset", "ts"), [(4_000, 1), (120_000, 120_001), (-120_000, -119_999)])
def test_clock_that_is_wrong_gives_way_to_the_service_s(offset: int, ts: int) -> None:
    service, client = connected()
    client.clock_offset_ms = offset
    service.deliver([EVENT], 1.0)
    assert client.told == [EVENT | {"ts": ts}]


def test_closed_client_takes_nothing() -> None:
    service, client = connected()
    client.open = False
    with pytest.raises(ClosedError):
        service.deliver([EVENT], 1.0)


def test_health_shows_figures_to_administrators_alone() -> None:
    service, _ = connected()
    assert health.report(service, settings_of(), full=True) == (503, {"status": "starting"})
    service.client.health()
    assert health.report(service, settings_of(), full=False) == (200, {"status": "ok"})
    assert "counts" in health.report(service, settings_of(), full=True)[1]


def test_health_is_degraded_where_the_declaration_was_not_taken() -> None:
    service, client = connected()
    client.takes_declarations = False
    assert not service.declare()
    status, shown = health.report(service, settings_of(), full=True)
    assert (status, shown["status"]) == (503, "degraded")
    assert shown["problems"] == [health.UNDECLARED]
    client.takes_declarations = True
    assert service.declare()
    assert health.report(service, settings_of(), full=False) == (200, {"status": "ok"})


def answering(status: int, media: str, body: bytes) -> type[BaseHTTPRequestHandler]:
    class Answering(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            self.send_response(status)
            self.send_header("content-type", media)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_PUT = do_GET  # noqa: N815 - http.server's names

    return Answering


PROBLEM = "application/problem+json"
NO_SOURCE = (
    b'{"title": "Conflict", "status": 409, "detail": "this key belongs to no source",'
    b' "fix": "create one that does"}'
)


@pytest.mark.parametrize(
    ("answer", "problem", "blames_key"),
    [
        (None, r"nothing can be reached at http://\S+ \(the connection is refused\)", False),
        ((404, "text/html", b"<h1>Not here</h1>"), r"is no Wavebreak \(status 404\); fix: ", False),
        ((401, "text/html", b"<h1>Log in</h1>"), r"is no Wavebreak \(status 401\); fix: ", False),
        ((200, "text/html", b"<h1>Hello</h1>"), r"is no Wavebreak \(status 200\); fix: ", False),
        ((404, "application/json", b'{"detail": "Not Found"}'), r"is no Wavebreak", False),
        ((401, PROBLEM, b'{"title": "Unauthorized"}'), r"refuses the key for \S+ \(401\)", True),
        ((409, PROBLEM, NO_SOURCE), r"belongs to no source; fix: create one that does", True),
    ],
)  # fmt: skip
def test_health_tells_no_service_another_and_a_refused_key_apart(
    answer: tuple[int, str, bytes] | None, problem: str, blames_key: bool
) -> None:
    handler = answering(*answer or (0, "", b""))
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as at:
        url = f"http://127.0.0.1:{at.server_address[1]}"
        settings = settings_of(url=url)
        if answer is None:
            at.server_close()
        else:
            threading.Thread(target=at.serve_forever, daemon=True).start()
        service = Service(settings, lambda: Client(url, "wb_1"))
        assert not service.declare()
        status, body = health.report(service, settings, full=True)
        service.close()
        if answer is not None:
            at.shutdown()
    said = " ".join(body["problems"])
    assert status == 503
    assert re.search(problem, said), said
    assert bool(re.search(r"\bkey\b", said)) is blames_key, said


def test_metrics_show_the_counts_of_the_client() -> None:
    service, client = connected()
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    metrics.follow(service)
    metrics.refused.labels("room", "limit").inc()
    assert client is service.client
    shown = generate_latest(registry).decode()
    assert 'wavebreak_refused_total{act="room",outcome="limit"} 1.0' in shown
    assert "wavebreak_client_no_answer_total 0.0" in shown
    assert "wavebreak_clock_skew_seconds 0.0" in shown


class Reported:
    def __init__(self) -> None:
        self.service, self.client = connected(history_days=0)
        self.database = Database()
        self.now = 10_000_000
        feed = Feed(settings_of(history_days=0), "hs.test")
        self.reporter = Reporter(
            feed,
            self.service,
            Metrics(CollectorRegistry()),
            now_ms=lambda: self.now,
            bounds=lambda: Bounds(0, 0),
            run_db=self.database.run,
            run_in_thread=self._at_once,
        )

    @staticmethod
    async def _at_once(function: Any, *arguments: Any) -> Any:
        return function(*arguments)

    def run(self) -> None:
        self.now += 2_000
        asyncio.run(self.reporter.run())


def test_reporter_delivers_and_forgets() -> None:
    reported = Reported()
    reported.run()
    reported.database.put(
        "wavebreak_outbox", id="a", ts=1, ready=1, body='{"id":"a","type":"account.deleted"}'
    )
    reported.run()
    reported.run()
    assert [event["id"] for event in reported.client.told] == ["a"]
    assert reported.database.outbox() == []


def test_reporter_keeps_what_is_not_delivered_yet() -> None:
    reported = Reported()
    reported.run()
    reported.database.put(
        "wavebreak_outbox", id="a", ts=1, ready=1, body='{"id":"a","type":"account.deleted"}'
    )
    reported.client.delivers = False
    reported.run()
    reported.run()
    assert [event["id"] for event in reported.database.outbox()] == ["a"]
    reported.client.delivers = True
    reported.run()
    assert len(reported.client.told) == 1
    assert reported.database.outbox() == []
