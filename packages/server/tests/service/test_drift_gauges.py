from __future__ import annotations

import asyncio
import contextlib
import math
from typing import Any

import numpy as np

from wavebreak.model import baseline
from wavebreak.model.storage import SHIPPED
from wavebreak_server.pipeline.observability import MIN_SCORED_ACCOUNTS, Metrics, ScoreDriftMonitor
from wavebreak_server.pipeline.pending_requests import BusyError


class Asked:
    """Stands for a service whose accounts have these scores."""

    def __init__(self, scores: Any, away: int) -> None:
        self.scores, self.away = scores, away

    async def query(self, _query: Any) -> Any:
        self.away -= 1
        if self.away >= 0:
            raise BusyError("something else decides now", retry_after_s=1.0)
        return self.scores


def shift(scores: Any, away: int = 0) -> float:
    metrics = Metrics()

    async def live() -> None:
        made: Any = Asked(scores, away)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.05):
                await ScoreDriftMonitor(metrics, SHIPPED, 0.001)(made)

    asyncio.run(live())
    return float(metrics.shift._value.get())


def test_drift_is_low_for_training_scores_and_high_for_shifted() -> None:
    edges = np.asarray(baseline.load(SHIPPED)["score"].edges)
    shares = np.asarray(baseline.load(SHIPPED)["score"].shares)[:-1]
    middles = np.concatenate([[edges[0] - 1], (edges[:-1] + edges[1:]) / 2, [edges[-1] + 1]])
    alike = np.repeat(middles, np.round(shares * 10_000).astype(int))
    assert shift(alike) < 0.01
    assert shift(alike + 5.0) > 0.25


def test_drift_is_measured_again_once_something_answers() -> None:
    assert shift(np.full(MIN_SCORED_ACCOUNTS, 5.0), away=3) > 0.25


def test_drift_of_few_accounts_is_unknown() -> None:
    assert math.isnan(shift(np.zeros(MIN_SCORED_ACCOUNTS - 1)))
