"""A model that needs no training: for what must hold with any model."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

from wavebreak.compiled.numba_runtime import Callback, address_as_void_pointer, callback, carray
from wavebreak.features.catalog import INDEX, NAMES
from wavebreak.model.calibration import Steps

SIZE = len(NAMES)
FIRST, SENDS, REPORTS = (INDEX[n] for n in ("first_contacts_1d", "sends_1d", "report_weight_7d"))


def _margin(_model: int, address: int) -> int:
    values = carray(address_as_void_pointer(address), (SIZE,), np.float64)
    reports = values[REPORTS] if values[REPORTS] == values[REPORTS] else 0.0
    return int(13_000 * values[FIRST] + 700 * values[SENDS] + 60_000 * reports) - 200_000


@cache
def _callback() -> Callback:
    return callback(_margin, 2)


class Synthetic:
    """Likes neither first contacts nor reports. `thresholds`: outcome to margin in 1/65,536."""

    digest = "0123456789ab" + "0" * 52
    version = f"synthetic-{digest[:12]}"
    calibration = Steps.logistic()
    numbers_address = 0
    silent = None
    at_home = False

    def __init__(self, thresholds: Mapping[str, int], newcomers: float = 0.0) -> None:
        self.thresholds, self.newcomers = thresholds, newcomers

    @property
    def address(self) -> int:
        """Address of the C function."""
        return _callback().address

    @property
    def keepalive(self) -> Any:
        """What owns it."""
        return _callback()

    def reasons(self, values: Any) -> Mapping[str, float]:
        """What it likes least."""
        return {NAMES[FIRST]: float(13_000 * values[FIRST] / 65_536)}


class Learned(Synthetic):
    """A model that the platform has learned by itself: the shipped policy lets it act."""

    at_home = True
