"""How far the scores of a live stream have moved from what the model was trained on, for a metric.

The last scores of accounts are held against the baseline's bins of scores at scoring points: not
quite the same people, so that the index's change says more than its height. `wavebreak doctor` says
it exactly.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np

from wavebreak.features.state import SHARDS
from wavebreak.pipeline import Engine
from wavebreak.service.metrics import Metrics
from wavebreak.service.running import Service
from wavebreak.training import baseline

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
                self._metrics.shift.set(baseline.psi(self._then, found))
            await asyncio.sleep(self._every_s)
