"""Declarations of features, and of windowed counts with their counters."""

from __future__ import annotations

from typing import NamedTuple

from wavebreak.durations import DAY_MS
from wavebreak.features.descriptions import describe_feature


class Feature(NamedTuple):
    """One line of the catalog.

    `sources` are the event types, or `type.field`, without which the feature is missing for every
    account of a stream; `resolution_ms` is the coarsest clock on which it still means something.
    """

    name: str
    unit: str
    family: str
    window: str
    meaning: str
    sources: tuple[str, ...]
    false_positives: str
    blind_spots: str
    version: int = 1
    resolution_ms: int = DAY_MS

    @property
    def description(self) -> str:
        """What it says, in a sentence for people who review accounts; `meaning` is exact."""
        return describe_feature(self.name)


class WindowedCount(NamedTuple):
    """A feature that counts one event over its window.

    `counts` is one of `window_counters.ROW_EVENTS` or `RARE_EVENTS`; `field` is the ring buffer's
    field in the account's record (None: the feature's name). A bucket holds at most `bucket_max`,
    255 or 65,535; the feature's value is the window's total over `per`.
    """

    feature: Feature
    counts: str
    field: str | None = None
    bucket_max: int = 65_535
    per: int = 1
