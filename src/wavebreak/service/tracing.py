"""Traces after OpenTelemetry, by setting: without an endpoint nothing is recorded or sent.

A span names a route and a status, never an account, a key or an address.
"""

from __future__ import annotations

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExporter
from opentelemetry.trace import NoOpTracer, Tracer

NAME = "wavebreak"


def tracer(endpoint: str, exporter: SpanExporter | None = None) -> Tracer:
    """Make a tracer that sends to an OTLP/HTTP `endpoint` ("": none); tests give an `exporter`."""
    if not endpoint and exporter is None:
        return NoOpTracer()
    provider = TracerProvider(resource=Resource.create({"service.name": NAME}))
    if exporter is None:
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
    else:
        provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider.get_tracer(NAME)
