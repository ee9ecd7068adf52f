"""Traces after OpenTelemetry, by setting: without an endpoint nothing is recorded or sent.

A span names a route and a status, never an account, a key or an address.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.trace import NoOpTracer, Tracer

from wavebreak import extras

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

NAME = "wavebreak"


def tracer(endpoint: str, exporter: SpanExporter | None = None) -> Tracer:
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
