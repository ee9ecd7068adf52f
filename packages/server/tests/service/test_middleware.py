from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from django.http import HttpRequest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import NoOpTracer

from support import service_harness
from wavebreak_server import bootstrap
from wavebreak_server.errors import ApiError
from wavebreak_server.http.auth import SCOPES, KeyEntry, generate_key
from wavebreak_server.http.middleware import Operations, RequestMiddleware
from wavebreak_server.http.operations import CALLER, MAX_BODY, SMALL_BODY, TOO_LARGE
from wavebreak_server.pipeline.observability import Metrics, service_gauges
from wavebreak_server.slices.routes import OPERATIONS

ROOT = Path(__file__).resolve().parents[4]


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """An app that gives back what it was sent; a page says that its form was too large."""
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    status = 413 if scope.get(TOO_LARGE) else 200
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": body})


KEY = generate_key()


def asked(
    path: str, content: Any = b"", tracer: Any = None, key: str = KEY.text, **headers: str
) -> tuple[httpx.Response, Metrics]:
    """Post with a key of every scope, or with another."""
    held = service_harness.context()
    entry = KeyEntry(KEY.prefix, KEY.digest, "test", frozenset(SCOPES) - {"admin"}, 10.0, 10.0)
    held.key_ring.replace([entry])
    app: Any = RequestMiddleware(echo, held, tracer or NoOpTracer(), Operations(OPERATIONS))
    named = {"authorization": f"Bearer {key}"} | headers

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            return await client.post(path, content=content, headers=named)

    return asyncio.run(ask()), held.metrics


async def unreadable() -> Any:
    """A body that must not be read."""
    yield b"x"
    raise AssertionError("the body was read")


async def parts(size: int) -> Any:
    for _ in range(size // 65_536):
        yield b"x" * 65_536


def test_request_that_was_let_into_another_operation_shows_its_key_anew() -> None:
    (operation,) = [each for each in OPERATIONS if each.name == "keys"]
    request: Any = HttpRequest()
    request.scope = {"wavebreak": None, "wavebreak.context": service_harness.context()}
    request.scope[CALLER] = (("read",), KEY.prefix)
    with pytest.raises(ApiError) as raised:
        asyncio.run(operation.respond(request, {}))
    assert raised.value.status == 401


def test_small_body_is_passed_on() -> None:
    assert asked("/v1/labels", b"abc" * 1000)[0].content == b"abc" * 1000


def test_large_body_is_refused_before_the_app() -> None:
    answer, metrics = asked("/v1/labels", parts(2 * MAX_BODY))
    assert answer.status_code == 413
    assert answer.json()["status"] == 413
    assert b'route="/v1/labels",status="413"} 1.0' in metrics.text()


@pytest.mark.parametrize(
    ("path", "key", "status"),
    [
        ("/v1/labels", "", 401),
        ("/v1/labels", KEY.text[:-1], 401),
        ("/v1/keys", KEY.text, 403),
        ("/v1/accounts/a/override", "", 401),
    ],
    ids=["no key", "cut key", "another scope", "no key, by account"],
)
def test_key_is_checked_before_a_body_byte_is_read(path: str, key: str, status: int) -> None:
    answer, _ = asked(path, unreadable(), key=key)
    assert answer.status_code == status
    assert answer.json()["status"] == status


@pytest.mark.parametrize("path", ["/v1/unknown", "/metrics", "/v1/accounts/a", "/static/x"])
def test_body_that_no_operation_takes_is_not_read(path: str) -> None:
    assert asked(path, unreadable())[0].content == b""


@pytest.mark.parametrize(
    ("path", "cookie", "size", "status"),
    [
        ("/v1/accounts/a/override", "", SMALL_BODY, 200),
        ("/v1/accounts/a/override", "", SMALL_BODY + 65_536, 413),
        ("/console/user/login/", "", SMALL_BODY, 200),
        ("/console/user/login/", "", SMALL_BODY + 65_536, 413),
        ("/console/cases/", "wavebreak_session=x", MAX_BODY, 200),
        ("/console/cases/", "wavebreak_session=x", MAX_BODY + 65_536, 413),
    ],
)
def test_body_is_bounded_by_its_path(path: str, cookie: str, size: int, status: int) -> None:
    assert asked(path, parts(size), cookie=cookie)[0].status_code == status


def test_hot_path_body_is_not_limited_by_middleware() -> None:
    assert len(asked("/v1/events", parts(2 * MAX_BODY))[0].content) == 2 * MAX_BODY


def test_trace_holds_only_route_and_status() -> None:
    exporter = InMemorySpanExporter()
    asked("/v1/accounts/+972501234567/override", b"x", bootstrap.make_tracer("", exporter))
    (span,) = exporter.get_finished_spans()
    assert span.name == "POST /v1/accounts/{account}/override"
    assert dict(span.attributes or {}) == {
        "http.route": "/v1/accounts/{account}/override",
        "http.response.status_code": 200,
    }


def test_tracer_without_endpoint_is_noop() -> None:
    assert isinstance(bootstrap.make_tracer(""), NoOpTracer)


def test_undeclared_paths_share_one_metric() -> None:
    _, metrics = asked("/admin/+972501234567")
    text = metrics.text().decode()
    assert 'route="other"' in text
    assert "+972" not in text


def test_dashboards_and_alerts_query_only_existing_metrics() -> None:
    metrics = Metrics()
    metrics.watch(lambda: dict.fromkeys(GAUGES, ("", 1.0)), lambda: {"content": 1})
    for name in ("requests", "decisions", "deliveries"):
        made = getattr(metrics, name)
        made.labels(*["x"] * len(made._labelnames)).inc()
    metrics.seconds.labels("x").observe(1)
    there = set(re.findall(r"^(wavebreak_\w+)", metrics.text().decode(), re.MULTILINE))
    boards = [json.loads(path.read_text("utf-8")) for path in (ROOT / "deploy").glob("*.json")]
    panels = [panel for board in boards for panel in board["panels"]]
    queries = [target["expr"] for panel in panels for target in panel["targets"]]
    alerts = yaml.safe_load((ROOT / "deploy" / "alerts.yaml").read_text("utf-8"))["groups"]
    queries += [rule["expr"] for group in alerts for rule in group["rules"]]
    asked_for = {name for query in queries for name in re.findall(r"wavebreak_\w+", query)}
    assert len(asked_for) >= 18
    assert asked_for - there == set()


GAUGES = (
    "ready",
    "model_abstains",
    "log_position",
    "decided_position",
    "applied_position",
    "lag_events",
    "queue_bodies",
    "queue_bytes",
    "snapshot_position",
    "state_bytes",
    "state_ceiling_bytes",
    "events_total",
    "bodies_total",
    "rules_off",
    "rules_off_in_part",
    "sources_waiting",
    "job_age_seconds",
    "owner_away_total",
    "busy_total",
    "earlier_decisions_differ",
    "log_time_seconds",
    "log_time_ahead_seconds",
    "late_events_total",
    "ahead_events_total",
    "duplicate_events_total",
)


def test_service_gauges_have_the_expected_names(tmp_path: Path) -> None:
    with service_harness.migrated("sqlite", tmp_path):
        assert set(service_gauges(service_harness.service(tmp_path))) == set(GAUGES)
