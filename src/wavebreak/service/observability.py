"""Numbers for Prometheus. No label holds an account, a key or an address.

Logs as one JSON object a line, without personal data.

What may be logged is a list: a message that is a constant, and fields by name. Of an exception only
its kind and where it came from are told, since its text may repeat what somebody sent.

How far the scores of a live stream have moved from what the model was trained on, for a metric.

The last scores of accounts are held against the baseline's bins of scores at scoring points: not
quite the same people, so that the index's change says more than its height. `wavebreak doctor` says
it exactly.
"""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import msgspec
import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from wavebreak.engine import Engine
from wavebreak.features.layout import SHARDS
from wavebreak.model import baseline
from wavebreak.service.service import Service

SECONDS = (
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0,
)  # fmt: skip
"""Bounds of latency histograms."""

Gauges = Mapping[str, tuple[str, float]]
"""Name (without prefix) to what it means and its value now."""


class _Live(Collector):
    """Asks for the values at the moment of a scrape."""

    def __init__(self, read: Callable[[], Iterable[Metric]]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        """Give the values as they are now."""
        yield from self._read()


class Metrics:
    """All metrics of one service, in a registry of its own.

    >>> metrics = Metrics()
    >>> metrics.requests.labels("decide", "POST", "200").inc()
    >>> b'wavebreak_requests_total{' in metrics.text()
    True
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        held = self.registry
        self.requests = Counter(
            "wavebreak_requests", "Requests answered.", ["route", "method", "status"], registry=held
        )
        self.seconds = Histogram(
            "wavebreak_request_seconds", "Seconds from a request to its answer's first byte.",
            ["route"], buckets=SECONDS, registry=held,
        )  # fmt: skip
        self.decisions = Counter(
            "wavebreak_decisions", "Decisions.", ["outcome", "stage"], registry=held
        )
        self.deliveries = Counter(
            "wavebreak_webhook_deliveries",
            "Attempts to deliver a decision.",
            ["result"],
            registry=held,
        )
        self.waiting = Gauge(
            "wavebreak_webhook_waiting", "Decisions that wait to be delivered.", registry=held
        )
        self.dead = Gauge("wavebreak_webhook_dead", "Decisions that were given up.", registry=held)
        self.consumed = Counter(
            "wavebreak_stream_events", "Events taken from a broker.", ["result"], registry=held
        )
        self.shift = Gauge(
            "wavebreak_score_shift",
            "Population stability index of the last scores of accounts against the model's "
            "baseline (NaN: not known). Its change tells more than its height.", registry=held,
        )  # fmt: skip
        self.shift.set(float("nan"))

    def watch(self, gauges: Callable[[], Gauges], causes: Callable[[], Mapping[str, int]]) -> None:
        """Have `gauges` and refusals by cause read at each scrape."""
        self.registry.register(_Live(lambda: _families(gauges(), causes())))

    def text(self) -> bytes:
        """Everything in the text format."""
        return generate_latest(self.registry)


def _families(gauges: Gauges, causes: Mapping[str, int]) -> Iterator[Metric]:
    for name, (meaning, value) in gauges.items():
        kind = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
        yield kind(f"wavebreak_{name.removesuffix('_total')}", meaning, value=value)
    refused = CounterMetricFamily(
        "wavebreak_events_refused", "Events refused, by cause.", labels=["cause"]
    )
    for cause, count in causes.items():
        refused.add_metric([cause], count)
    yield refused


FIELDS = frozenset(
    {"route", "method", "status", "ms", "key", "cause", "count", "position", "events", "bytes",
     "webhook", "attempt", "stream", "seconds", "number", "host", "port", "version"}
)  # fmt: skip
"""Fields that a record may carry (`logger.info("…", extra={"told": {…}})`)."""


class Lines(logging.Formatter):
    """Formats records as JSON lines; fields that are not listed are left out, arguments too."""

    def format(self, record: logging.LogRecord) -> str:
        """One record as one line: `ts` (RFC 3339), `level`, `logger`, `event`, then its fields."""
        told = getattr(record, "told", {})
        line = {
            "ts": self.formatTime(record, "%Y-%m-%dT%H:%M:%S") + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            # Not getMessage(): arguments are values.
            "event": str(record.msg),
        } | {name: value for name, value in told.items() if name in FIELDS}
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = type(record.exc_info[1]).__name__
            frames = traceback.extract_tb(record.exc_info[2])[-6:]
            line["at"] = [f"{f.filename.rsplit('/', 1)[-1]}:{f.lineno} {f.name}" for f in frames]
        return msgspec.json.encode(line).decode()


def set_up(stream: IO[str], level: int = logging.INFO) -> logging.Handler:
    """Have every logger of the process write JSON lines to `stream`; returns the handler."""
    handler = logging.StreamHandler(stream)
    made = Lines()
    made.converter = time.gmtime
    handler.setFormatter(made)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # Access lines hold addresses and paths; the metrics count requests.
    logging.getLogger("uvicorn.access").disabled = True
    for name in ("httpx", "httpcore", "django.request"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return handler


EVERY_S = 60.0
LEAST = 200
"""Accounts with a score under which nothing is said."""
ONE = 65_536.0


def scores(engine: Engine, most: int = 20_000) -> Any:
    """Last scores (log-odds) of accounts that have one: of every shard's newest accounts."""
    found = []
    for s in range(SHARDS):
        used = len(range(s, engine.core.accounts, SHARDS))
        rows = engine.core.rows[s].records[max(0, used - most // SHARDS) : used]
        found.append(rows["score"][rows["score"] != 0] / ONE)
    return np.concatenate(found)


class Drifting:
    """Sets the metric once a minute; a coroutine of `Service(background=…)`."""

    def __init__(self, metrics: Metrics, model: Path, every_s: float = EVERY_S) -> None:
        self._metrics, self._every_s = metrics, every_s
        self._then = baseline.load(model)["score"]

    async def __call__(self, service: Service) -> None:
        """Work until cancelled."""
        while True:
            found = await service.ask(scores)
            if len(found) >= LEAST:
                self._metrics.shift.set(baseline.population_stability_index(self._then, found))
            await asyncio.sleep(self._every_s)
