"""What a declaration of a feature says."""

from __future__ import annotations

from typing import NamedTuple


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
    resolution_ms: int = 86_400_000
