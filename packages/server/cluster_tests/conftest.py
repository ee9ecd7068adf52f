"""The Kafka broker of these tests."""

from __future__ import annotations

from support.broker_fixture import broker

__all__ = ["broker"]
