"""Stages of a start: the application context, background tasks and middleware of a service.

Traces go to an OpenTelemetry endpoint if one is set. A span names a route and a status, never an
account, a key or an address.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import structlog
from opentelemetry.trace import NoOpTracer, Tracer

from wavebreak import extras
from wavebreak.rules import Policy
from wavebreak_server.http import app_context
from wavebreak_server.http.auth import TOGETHER, KeyRing
from wavebreak_server.http.middleware import Operations, RequestMiddleware
from wavebreak_server.pipeline import decide, holder_notices
from wavebreak_server.pipeline.holder_notices import HolderNotices
from wavebreak_server.pipeline.observability import Metrics, rejected_by_cause, service_gauges
from wavebreak_server.pipeline.service import Background, Service
from wavebreak_server.service_plugins import plugin_tasks
from wavebreak_server.slices.keys import service as api_keys
from wavebreak_server.slices.sources.coverage import CoverageReport
from wavebreak_server.slices.sources.service import SourceUpkeep
from wavebreak_server.slices.webhooks.service import WebhookDispatcher
from wavebreak_server.storage import log_bodies
from wavebreak_server.storage.models import ApiKey

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

logger = structlog.stdlib.get_logger("wavebreak.background")

TRACED_SERVICE_NAME = "wavebreak"
RESTART_PAUSE_S, MAX_RESTART_PAUSE_S = 1.0, 60.0
"""Pause before a failed task restarts: doubled with each failure, up to the second."""
LOG_UPKEEP_S = 60.0
"""How often the store of the log's bodies may do what is due."""
REFRESH_S = 2.0
"""How often keys are reloaded: a change by the command line takes effect within this time."""


@dataclass(frozen=True)
class ServeOptions:
    """Options of `serve` beside the service's own settings.

    Attributes:
        traces: OTLP endpoint of traces (empty: none).
        allow_private_webhooks: Whether webhooks may go to private addresses.
        allow_insecure_webhooks: Whether webhooks may go to http.
        webhook_key: Key of the secrets of webhooks (empty: the pseudonymization key).
        profiled: Whether a profile says what the stream carries.
        policy: Directory of a local policy (None: the shipped one).
    """

    traces: str = ""
    allow_private_webhooks: bool = False
    allow_insecure_webhooks: bool = False
    webhook_key: bytes = b""
    profiled: bool = False
    policy: Path | None = None


def make_tracer(endpoint: str, exporter: SpanExporter | None = None) -> Tracer:
    """Return a tracer for an OTLP/HTTP `endpoint` (empty: none); tests pass an `exporter`.

    Raises MissingExtraError if the extra `otel` is not installed.
    """
    if not endpoint and exporter is None:
        return NoOpTracer()
    resources = extras.load("opentelemetry.sdk.resources")
    resource = resources.Resource.create({"service.name": TRACED_SERVICE_NAME})
    trace = extras.load("opentelemetry.sdk.trace")
    provider: TracerProvider = trace.TracerProvider(resource=resource)
    export = extras.load("opentelemetry.sdk.trace.export")
    if exporter is None:
        otlp = extras.load("opentelemetry.exporter.otlp.proto.http.trace_exporter")
        otlp_exporter = otlp.OTLPSpanExporter(endpoint=endpoint)
        provider.add_span_processor(export.BatchSpanProcessor(otlp_exporter))
    else:
        provider.add_span_processor(export.SimpleSpanProcessor(exporter))
    return provider.get_tracer(TRACED_SERVICE_NAME)


def create_context(
    policy: Policy, local: Path | None, secret: bytes, options: ServeOptions
) -> app_context.AppContext:
    """Create the application context, with the stored keys."""
    holder_notices.warm()
    key_ring = KeyRing(time.time, time.monotonic)
    key_ring.replace(app_context.load_key_entries())
    return app_context.AppContext(
        key_ring,
        Metrics(),
        decide.load_quota_config(local),
        options.webhook_key or secret,
        edge_key=secret,
        allow_private_webhooks=options.allow_private_webhooks,
        allow_insecure_webhooks=options.allow_insecure_webhooks,
        holder_notices=HolderNotices.load(policy, local),
    )


def create_first_key(now_ms: int) -> str:
    """Create a key with every scope but `list` if there is none; return its text, else ""."""

    def create() -> str:
        if ApiKey.objects.exists():
            return ""
        _, text = api_keys.create_key("first", TOGETHER, now_ms, "start", "created at first start")
        return text

    return app_context.run_in_transaction(create)


def background_tasks(
    context: app_context.AppContext, options: ServeOptions, more: Iterable[Background] = ()
) -> list[Background]:
    """Return the coroutines that run beside the service; each restarts when it fails.

    They end when another server has taken over the log.

    Args:
        context: The application context, whose metrics count the failures.
        options: Options of `serve`.
        more: Further tasks, which restart too.
    """
    tasks: list[Background] = [
        _key_refresher(context),
        WebhookDispatcher(context, Random()),
        SourceUpkeep(),
        _log_upkeep(),
    ]
    if not options.profiled:
        tasks.append(CoverageReport())
    tasks += plugin_tasks(context, options.policy)
    names = Counter[str]()
    supervised = []
    for task in (*tasks, *more):
        name = task_name(task)
        names[name] += 1
        name = f"{name}_{names[name]}" if names[name] > 1 else name
        supervised.append(_restarting(task, name, context.metrics))
    return supervised


def task_name(task: Background) -> str:
    """Return the name of a task: of its class, or of the function that returned it.

    >>> task_name(SourceUpkeep()), task_name(_log_upkeep())
    ('source_upkeep', 'log_upkeep')
    """
    name = getattr(task, "__qualname__", type(task).__name__).partition(".")[0].lstrip("_")
    return re.sub("(?<!^)(?=[A-Z])", "_", name).lower()


def _restarting(task: Background, name: str, metrics: Metrics) -> Background:
    """Return a task that restarts after a failure, and ends when the task ends in order."""

    async def run(service: Service) -> None:
        pause_s = RESTART_PAUSE_S
        while not service.lost():
            begin = time.monotonic()
            try:
                await _until_lost(service, asyncio.ensure_future(task(service)), name)
            except Exception as error:
                logger.exception("background task failed; it restarts", task=name)
                metrics.task_failures.labels(name).inc()
                service.failing_tasks[name] = type(error).__name__
            else:
                service.failing_tasks.pop(name, None)
                return
            if time.monotonic() - begin > MAX_RESTART_PAUSE_S:
                pause_s = RESTART_PAUSE_S
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, MAX_RESTART_PAUSE_S)

    return run


async def _until_lost(service: Service, running: asyncio.Future[None], name: str) -> None:
    """Wait for a task; cancel it when another server has taken over the log."""
    begin = time.monotonic()
    try:
        while not running.done() and not service.lost():
            await asyncio.wait({running}, timeout=REFRESH_S)
            if not running.done() and time.monotonic() - begin > MAX_RESTART_PAUSE_S:
                service.failing_tasks.pop(name, None)
        if running.done():
            running.result()
    finally:
        running.cancel()


def _key_refresher(context: app_context.AppContext) -> Background:
    async def run(service: Service) -> None:
        while True:
            await context.refresh()
            if service.progress().ready:
                await app_context.run_background_query(service.ledger_store.seal_pending)
            await asyncio.sleep(REFRESH_S)

    return run


def _log_upkeep() -> Background:
    async def run(service: Service) -> None:
        while True:
            if service.progress().ready:
                await app_context.run_background_query(log_bodies.bound().upkeep)
            await asyncio.sleep(LOG_UPKEEP_S)

    return run


def request_middleware(
    service: Service, context: app_context.AppContext, options: ServeOptions, operations: Operations
) -> Callable[[Any], RequestMiddleware]:
    """Return what wraps the ASGI app, and register the service's metrics."""
    context.metrics.watch(
        lambda: service_gauges(service),
        lambda: rejected_by_cause(service),
        lambda: dict(service.skews.seconds),
    )
    tracer = make_tracer(options.traces)
    return lambda app: RequestMiddleware(app, context, tracer, operations)
