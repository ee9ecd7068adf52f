"""Numbers for Prometheus. No label holds an account, a key or an address."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

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
