from __future__ import annotations

import asyncio
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from wavebreak.schema.coverage import known_names
from wavebreak_client import EventError

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
