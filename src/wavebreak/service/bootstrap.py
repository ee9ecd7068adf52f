"""Traces after OpenTelemetry, by setting: without an endpoint nothing is recorded or sent.

A span names a route and a status, never an account, a key or an address.

From a service to a served one: keys, metrics, webhooks, brokers, traces put around it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from opentelemetry.trace import NoOpTracer, Tracer

from wavebreak import extras
from wavebreak.rules import Policy
from wavebreak.service import brokers, decide
from wavebreak.service.api.admin import add
from wavebreak.service.api.system import causes, gauges
from wavebreak.service.app_context import Desk, alone, entries
from wavebreak.service.auth import SCOPES, Ring
from wavebreak.service.middleware import Front
from wavebreak.service.models import ApiKey
from wavebreak.service.observability import Drifting, Metrics
from wavebreak.service.request_decoder import Body
from wavebreak.service.service import Background, Service
from wavebreak.service.webhooks import Courier

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

NAME = "wavebreak"


def make_tracer(endpoint: str, exporter: SpanExporter | None = None) -> Tracer:
    """Make a tracer that sends to an OTLP/HTTP `endpoint` ("": none); tests give an `exporter`.

    Raises MissingExtraError where the extra `otel` is not installed.
    """
    if not endpoint and exporter is None:
        return NoOpTracer()
    named = extras.load("opentelemetry.sdk.resources").Resource.create({"service.name": NAME})
    provider: TracerProvider = extras.load("opentelemetry.sdk.trace").TracerProvider(resource=named)
    export = extras.load("opentelemetry.sdk.trace.export")
    if exporter is None:
        otlp = extras.load("opentelemetry.exporter.otlp.proto.http.trace_exporter")
        sent = otlp.OTLPSpanExporter(endpoint=endpoint)
        provider.add_span_processor(export.BatchSpanProcessor(sent))
    else:
        provider.add_span_processor(export.SimpleSpanProcessor(exporter))
    return provider.get_tracer(NAME)


logger = logging.getLogger("wavebreak.background")

AGAIN_S = 5.0
REFRESH_S = 2.0
"""A key that the command line made or ended counts after so many seconds."""


@dataclass(frozen=True)
class Wishes:
    """What the one who serves asks for.

    `traces` is an OTLP endpoint ("": none); `private` lets webhooks go to private addresses;
    `sources` are brokers' streams to be read; `model` is the model's directory (None: no model).
    """

    traces: str = ""
    private: bool = False
    sources: Sequence[brokers.Source] = field(default_factory=tuple)
    model: Path | None = None


def desk_of(policy: Policy, local: Path | None, secret: bytes, wishes: Wishes) -> Desk:
    """Lay out what answers need, with the keys that there are."""
    ring = Ring(time.time, time.monotonic)
    ring.replace(entries())
    return Desk(
        ring, Metrics(), decide.load_terms(local), policy.enforcement.new_chats_1d, secret,
        private=wishes.private,
    )  # fmt: skip


def first_key(now_ms: int) -> str:
    """Make a key with all scopes where there is none at all; gives its text ("": there are)."""

    def first() -> str:
        if ApiKey.objects.exists():
            return ""
        return str(add("first", SCOPES, now_ms, "start", "made at the first start").text)

    return alone(first)


def background(desk: Desk, wishes: Wishes) -> list[Background]:
    """What runs beside the service."""
    made: list[Background] = [_refreshing(desk), Courier(desk, Random())]
    if wishes.model is not None:
        made.append(Drifting(desk.metrics, wishes.model))
    made += [_consuming(desk, source) for source in wishes.sources]
    return [_lasting(work) for work in made]


def _lasting(work: Background) -> Background:
    """Work that is begun again where it fails."""

    async def lasting(service: Service) -> None:
        while True:
            try:
                await work(service)
            except Exception:
                logger.exception("background work failed; it begins again")
            await asyncio.sleep(AGAIN_S)

    return lasting


def _refreshing(desk: Desk) -> Background:
    async def work(_service: Service) -> None:
        while True:
            await desk.refresh()
            await asyncio.sleep(REFRESH_S)

    return work


def _consuming(desk: Desk, source: brokers.Source) -> Background:
    async def work(service: Service) -> None:
        async def accept(body: bytes, form: str, key: str) -> int:
            sender = f"stream {source.name}"
            made = await service.accept(Body(body, form), sender=sender, key=key)
            return int(made.count)

        await brokers.consume(source, accept, desk.metrics)

    return work


def front(service: Service, desk: Desk, wishes: Wishes) -> Callable[[Any], Front]:
    """What wraps the app; the metrics read the service from now on."""
    desk.metrics.watch(lambda: gauges(service), lambda: causes(service))
    tracer = make_tracer(wishes.traces)
    return lambda app: Front(app, desk, tracer)
