"""Observability: Prometheus metrics and JSON logs.

No metric label holds an account, a key or an address. Logs contain only constant messages and
allow-listed fields; of an exception only its type and location, since its text may repeat input.
"""

from __future__ import annotations

import logging
import math
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from datetime import UTC, datetime
from typing import IO, Any

import msgspec
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from wavebreak_server.pipeline.service import Service

LATENCY_BUCKETS_S = (
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0,
)  # fmt: skip

Gauges = Mapping[str, tuple[str, float]]
"""Metric name (without prefix) to help text and current value."""


class _ScrapeCollector(Collector):
    """Reads values when Prometheus scrapes."""

    def __init__(self, read: Callable[[], Iterable[Metric]]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        """Return the current values."""
        yield from self._read()


class Metrics:
    """All metrics of one service, in a registry of its own.

    >>> metrics = Metrics()
    >>> metrics.requests.labels("decide", "POST", "200").inc()
    >>> b'wavebreak_requests_total{' in metrics.text()
    True
    """

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "wavebreak_requests", "HTTP requests.", ["route", "method", "status"], registry=registry
        )
        self.seconds = Histogram(
            "wavebreak_request_seconds",
            "Seconds from a request to the first byte of its response.",
            ["route"],
            buckets=LATENCY_BUCKETS_S,
            registry=registry,
        )
        self.decisions = Counter(
            "wavebreak_decisions", "Decisions.", ["outcome", "stage"], registry=registry
        )
        self.deliveries = Counter(
            "wavebreak_webhook_deliveries",
            "Webhook delivery attempts.",
            ["result"],
            registry=registry,
        )
        self.pending = Gauge(
            "wavebreak_webhook_pending", "Webhook deliveries that are pending.", registry=registry
        )
        self.dead_lettered = Gauge(
            "wavebreak_webhook_dead_lettered",
            "Webhook deliveries that were dead-lettered.",
            registry=registry,
        )
        self.task_failures = Counter(
            "wavebreak_background_failures",
            "Failures of tasks beside the service; each restarts.",
            ["task"],
            registry=registry,
        )

    def watch(
        self,
        gauges: Callable[[], Gauges],
        causes: Callable[[], Mapping[str, int]],
        skews: Callable[[], Mapping[str, float]] = dict,
    ) -> None:
        """Read `gauges`, rejected events by cause, and clock skews by key, at each scrape."""
        self.registry.register(_ScrapeCollector(lambda: _families(gauges(), causes(), skews())))

    def text(self) -> bytes:
        """Return all metrics in the Prometheus text format."""
        return generate_latest(self.registry)


def _families(
    gauges: Gauges, causes: Mapping[str, int], skews: Mapping[str, float]
) -> Iterator[Metric]:
    for name, (help_text, value) in gauges.items():
        kind = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
        yield kind(f"wavebreak_{name.removesuffix('_total')}", help_text, value=value)
    rejected = CounterMetricFamily(
        "wavebreak_events_refused", "Events rejected, by cause.", labels=["cause"]
    )
    for cause, count in causes.items():
        rejected.add_metric([cause], count)
    yield rejected
    behind = GaugeMetricFamily(
        "wavebreak_clock_skew_seconds",
        "Seconds between the service's clock and the newest event of a key's last body.",
        labels=["key"],
    )
    for key, seconds in skews.items():
        behind.add_metric([key], seconds)
    yield behind


def service_gauges(service: Service) -> Gauges:
    """Return the service's own metrics, for `Metrics.watch`."""
    progress = service.progress()
    lag = progress.logged - progress.decided
    clock, fault = service.log_clock(), service.clock_fault()
    time_s = math.nan if clock.time_ms is None else clock.time_ms / 1000
    return {
        "ready": (
            "1 while events are accepted and decided, and the log's time is not ahead.",
            float(progress.ready and not fault),
        ),
        "log_time_seconds": ("Date of the newest event, in Unix seconds (NaN: none).", time_s),
        "log_time_ahead_seconds": (
            "How far the log's time is ahead of the service's clock (negative: behind it).",
            time_s - service.clock() / 1000,
        ),
        "late_events_total": (
            "Events of the log that were dated too far behind it, and changed nothing.",
            clock.late,
        ),
        "duplicate_events_total": (
            "Events of the log with an id that it had, which changed nothing.",
            clock.duplicates,
        ),
        "ahead_events_total": (
            "Events of the log that were dated too far ahead of it, and taken at its time.",
            clock.ahead,
        ),
        "log_position": ("Position after the newest event in the log.", progress.logged),
        "decided_position": ("Position up to which the engine has decided.", progress.decided),
        "applied_position": ("Position up to which decisions are stored.", progress.applied),
        "lag_events": ("Events in the log that are not decided yet.", lag),
        "queue_bodies": ("Request bodies that wait for the log.", progress.waiting_bodies),
        "queue_bytes": ("Bytes that wait for the log.", progress.waiting_bytes),
        "earlier_decisions_differ": (
            "Decisions by an earlier policy or model that the current one would not reproduce.",
            service.differ,
        ),
        "snapshot_position": ("Log position of the newest snapshot.", progress.snapshot),
        "events_total": ("Events accepted.", service.counts["events"]),
        "bodies_total": ("Request bodies accepted.", service.counts["bodies"]),
        "state_bytes": ("Bytes of the state of accounts.", service.state_size()[0]),
        "state_ceiling_bytes": (
            "Bytes that the state of accounts may have.",
            service.state_size()[1],
        ),
        "rules_off": (
            "Rules that cannot hold for any account, by what the sources are declared to carry.",
            len(service.rules_off()),
        ),
        "rules_off_in_part": (
            "Rules that cannot hold for the accounts of some source, and hold for those of others.",
            len({rule for off in service.rules_off_by_source().values() for rule in off}),
        ),
        "sources_waiting": (
            "Sources whose declaration waits for an administrator.",
            len(service.coverage.waiting),
        ),
        "model_abstains": (
            "1 while the model says nothing since nearly all active accounts are new.",
            float(service.model_abstains()),
        ),
        "job_age_seconds": (
            "How old answers are that are taken from a job on Flink (NaN: none may be).",
            service.age_s(),
        ),
        "owner_away_total": (
            "Attempts that a job on Flink did not answer in time: what was published answered.",
            service.counts["owner_away"],
        ),
        "busy_total": ("Requests refused because of backpressure.", service.counts["busy"]),
    }


def rejected_by_cause(service: Service) -> dict[str, int]:
    """Return how many events were rejected, by cause."""
    prefix = "refused."
    counts = dict(service.counts)
    return {n.removeprefix(prefix): c for n, c in counts.items() if n.startswith(prefix)}


ALLOWED_FIELDS = frozenset(
    {"route", "method", "status", "ms", "key", "cause", "count", "position", "events", "bytes",
     "webhook", "attempt", "stream", "seconds", "number", "host", "port", "version"}
)  # fmt: skip
"""Fields that a log entry may carry (`logger.info("…", webhook=…)`); all others are dropped."""

EventDict = MutableMapping[str, Any]


def _with_time(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Add `ts` (RFC 3339), `level` and `logger`."""
    record: logging.LogRecord = event["_record"]
    at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    ts = at.replace("+00:00", "Z")
    event.update(ts=ts, level=record.levelname.lower(), logger=record.name)
    return event


_PLACEHOLDERS = re.compile(r"%(?:\(\w+\))?[-+ #0]*[\d*]*(?:\.[\d*]+)?[a-zA-Z]")
_WORD = re.compile(r"\w")


def _without_arguments(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Replace the places of a message's arguments, which are values; keep an HTTP status."""
    record: logging.LogRecord = event["_record"]
    # The formatter has removed the arguments; messages of structlog have none.
    if record.args or not event.get("_from_structlog", True):
        text = _PLACEHOLDERS.sub("…", str(event["event"]))
        event["event"] = text if _WORD.search(text) else f"message of {record.name}"
    if status := getattr(record, "status_code", None):
        event["status"] = status
    return event


def _with_exception_location(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Replace an exception by its type and the innermost frames."""
    exc_info = event.pop("exc_info", None)
    error = exc_info[1] if isinstance(exc_info, tuple) else sys.exception() if exc_info else None
    if error is not None:
        frames = traceback.extract_tb(error.__traceback__)[-6:]
        event["error"] = type(error).__name__
        event["at"] = [f"{f.filename.rsplit('/', 1)[-1]}:{f.lineno} {f.name}" for f in frames]
    return event


def _allow_listed(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Drop every field that is not allow-listed."""
    head = {name: event[name] for name in ("ts", "level", "logger", "event")}
    fields = {name: value for name, value in event.items() if name in ALLOWED_FIELDS}
    tail = {name: event[name] for name in ("error", "at") if name in event}
    return head | fields | tail


def configure_logging(stream: IO[str], level: int = logging.INFO) -> logging.Handler:
    """Make every logger of the process write JSON lines to `stream`; return the handler."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[
                _with_time,
                _without_arguments,
                _with_exception_location,
                _allow_listed,
                structlog.processors.JSONRenderer(
                    serializer=lambda event, **_: msgspec.json.encode(event).decode()
                ),
            ],
            # The arguments of a message are values, which must not be logged.
            use_get_message=False,
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # Access logs hold addresses and paths; the metrics count requests.
    logging.getLogger("uvicorn.access").disabled = True
    for name in ("httpx", "httpcore", "django.request"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return handler
