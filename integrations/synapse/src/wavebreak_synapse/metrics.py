"""What the module counts, in the registry that Synapse serves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from wavebreak_synapse.service import Service

COUNTED = ("no_answer", "skipped", "rejected", "dropped_full", "dropped_rejected", "late")
"""What the client counts and is shown as `wavebreak_client_<name>_total`."""


class Metrics:
    """The module's counters.

    Attributes:
        asked: Acts that Wavebreak was asked about.
        saved: Messages that were answered from memory.
        refused: Acts that were refused, by act and outcome.
        held: Events that were read from the tables and are not delivered yet.
        lag: How old the newest event was when it was delivered, in seconds.
        delivered: Events that were delivered.
        unkept: Events that could not be written to the outbox, and are lost.
        suspended: Accounts that this module suspended.
        taken_back: What was taken back after a decision, by its kind.
        seconds: How long the module held a message up, by how it was answered: in shadow, from
            memory, as exempt, or asked.
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self._registry = registry
        self.asked = Counter(
            "wavebreak_asked", "Acts that Wavebreak was asked about", registry=registry
        )
        self.saved = Counter("wavebreak_saved", "Messages answered from memory", registry=registry)
        self.refused = Counter(
            "wavebreak_refused", "Acts refused", ["act", "outcome"], registry=registry
        )
        self.held = Gauge("wavebreak_held", "Events not delivered yet", registry=registry)
        self.lag = Gauge("wavebreak_lag_seconds", "Age of the newest event", registry=registry)
        self.delivered = Counter("wavebreak_delivered", "Events delivered", registry=registry)
        self.unkept = Counter(
            "wavebreak_unkept", "Events lost for want of space in the outbox", registry=registry
        )
        self.suspended = Gauge(
            "wavebreak_suspended", "Accounts suspended by the module", registry=registry
        )
        self.taken_back = Counter(
            "wavebreak_taken_back", "Taken back after a decision", ["kind"], registry=registry
        )
        self.seconds = Histogram(
            "wavebreak_message_seconds",
            "How long a message was held up",
            ["path"],
            buckets=(0.00002, 0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.3),
            registry=registry,
        )

    def follow(self, service: Service) -> None:
        """Show what the client counts too."""
        self._registry.register(_ClientCollector(service))


class _ClientCollector:
    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> Iterator[Metric]:
        """Return the client's figures; called at each scrape."""
        if not self._service.started:
            return
        health: Any = self._service.client.health()
        for name in COUNTED:
            yield CounterMetricFamily(
                f"wavebreak_client_{name}", f"Client: {name}", value=health.counts.get(name, 0)
            )
        yield GaugeMetricFamily(
            "wavebreak_clock_skew_seconds",
            "The service's clock less this machine's",
            value=health.clock_offset_ms / 1000,
        )
        yield GaugeMetricFamily(
            "wavebreak_healthy", "1 where there is no problem", value=float(health.ok)
        )

    def describe(self) -> list[Metric]:
        """Return nothing: the figures are there once the client is."""
        return []
