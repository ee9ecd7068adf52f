"""Replay of a service's log under its model and another one: accounts that change, and scores.

Both engines decide by the live policy, begin without state and see the same events, so that what
differs comes from the models alone. An account counts at its worst outcome, and at its highest
score.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from wavebreak.durations import DAY_MS
from wavebreak.engine import Engine
from wavebreak.engine.kernel_policy import Model as Scoring
from wavebreak.evaluation import exact_interval
from wavebreak.model import Model, to_fixed_point
from wavebreak_server.slices.versions import policy_replay
from wavebreak_server.storage import event_log
from wavebreak_server.storage.models import LogBatch

EDGES = (0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.97, 1.0)
"""Bounds of the bins of scores, as chances of abuse."""


class Reached(msgspec.Struct, frozen=True):
    """Accounts that a threshold, or an outcome, reaches; of these labelled abusive and benign.

    `low` and `high` are Clopper and Pearson's 95 % interval of the precision (0 and 1 where
    nobody is labelled).
    """

    accounts: int
    abusive: int
    benign: int
    low: float
    high: float


class Side(msgspec.Struct, frozen=True):
    """One of the two models over the events.

    Attributes:
        version: The model's version; "" without a model.
        scored: Accounts with a score.
        bins: Accounts by their highest chance of abuse, between `EDGES`.
        thresholds: What each threshold of the model reaches, by outcome.
        acted: Accounts that were limited or worse, by rules or score.
        missed: Accounts labelled abusive, and how many of them no limit or more met.
    """

    version: str
    scored: int
    bins: list[int]
    thresholds: dict[str, Reached]
    acted: Reached
    missed: tuple[int, int]


class ModelResult(policy_replay.LogReplay, frozen=True, kw_only=True):
    """What a replay of two models found, both under one policy.

    Attributes:
        days: Days of the log, from its end (0: as many events as allowed).
        sides: The model that scores, and the other one.
        both: Accounts that both limit or worse.
    """

    days: int
    sides: tuple[Side, Side]
    both: int


class Scores:
    """The highest margin of each account at its scoring points (NaN: never scored)."""

    def __init__(self) -> None:
        self.highest = np.zeros(0)

    def take(self, engine: Engine) -> int:
        """Note the scoring points of an engine since the last call; return how many."""
        points = engine.points()
        if engine.core.accounts > len(self.highest):
            more = engine.core.accounts - len(self.highest)
            self.highest = np.concatenate([self.highest, np.full(more, np.nan)])
        scored = points[~np.isnan(points["score"])]
        np.fmax.at(self.highest, scored["account"], scored["score"])
        return len(scored)

    def by_account(self, engine: Engine) -> dict[str, float]:
        """Return the margins of accounts that were scored."""
        slots = np.flatnonzero(~np.isnan(self.highest))
        names = engine.fanout.accounts.texts(slots).to_pylist()
        return dict(zip(names, self.highest[slots].tolist(), strict=True))


class Judged(NamedTuple):
    """Accounts that a person has labelled."""

    abusive: frozenset[str]
    benign: frozenset[str]

    def reached(self, accounts: set[str]) -> Reached:
        """Return how many of some accounts are labelled, and how."""
        bad, good = len(accounts & self.abusive), len(accounts & self.benign)
        low, high = exact_interval(bad, bad + good) if bad + good else (0.0, 1.0)
        return Reached(len(accounts), bad, good, round(low, 4), round(high, 4))


def _side(model: Scoring | None, scores: dict[str, float], acted: set[str], judged: Judged) -> Side:
    """Return what one model did."""
    missed = len(judged.abusive), len(judged.abusive - acted)
    if model is None:
        return Side("", 0, [0] * (len(EDGES) - 1), {}, judged.reached(acted), missed)
    margins = to_fixed_point(list(scores.values()))
    bins = np.histogram(model.calibration.probability(margins), EDGES)[0]
    names = np.array(list(scores), object)
    thresholds = {
        outcome: judged.reached(set(names[margins >= at].tolist()))
        for outcome, at in model.thresholds.items()
    }
    return Side(
        model.version, len(scores), bins.tolist(), thresholds, judged.reached(acted), missed
    )


def first_position(days: int, end: int, most: int, now_ms: int) -> int:
    """Return from which position on events were received in the last days, or `most` of them."""
    since = now_ms - days * DAY_MS
    batches = LogBatch.objects.filter(received_ms__gte=since).order_by("first")
    found = batches.values_list("first", flat=True).first() if days else 0
    return max(0, end - most, end if found is None else int(found))


def run(
    champion: Engine,
    challenger: Engine,
    out: Path,
    *,
    days: int,
    now_ms: int,
    most: int = policy_replay.MOST_EVENTS,
) -> ModelResult:
    """Replay the newest events of the bound database's log, and write what was found.

    Args:
        champion: An engine of the model that scores, without state, that records its points.
        challenger: One of the other model.
        out: Directory for `replay.json`, `changes.jsonl` and, meanwhile, `progress.json`.
        days: Days of the log, from its end (0: as many events as allowed).
        now_ms: The time.
        most: How many events at most.
    """
    out.mkdir(mode=0o700, parents=True, exist_ok=True)
    end = event_log.log_end()
    first, began = first_position(days, end, most, now_ms), time.monotonic()
    progress = policy_replay.ProgressFile(out, end - first)
    pairs = ((champion, Scores()), (challenger, Scores()))

    def note(events: int) -> None:
        for engine, scores in pairs:
            scores.take(engine)
        progress(events)

    progress(0)
    found = policy_replay.replay(policy_replay.service_log(first, end), champion, challenger, note)
    note(end - first)
    judged = Judged(*(
        frozenset(a for a, label in found.labels.items() if label == wanted)
        for wanted in ("abusive", "benign")
    ))  # fmt: skip
    sides = tuple(
        _side(engine.model, scores.by_account(engine), met, judged)
        for (engine, scores), met in zip(pairs, found.acted, strict=True)
    )
    result = ModelResult(
        live=champion.policy.version, days=days, first=first, end=end, **found.counts,
        sides=(sides[0], sides[1]), both=len(found.acted[0] & found.acted[1]),
        seconds=round(time.monotonic() - began, 1),
    )  # fmt: skip
    policy_replay.write_found(out, found.changes, result)
    return result


def inputs(model: Model, most: int = 10) -> list[tuple[str, float]]:
    """Return the features that a model reads most, with their share of the gain of its trees."""
    gains = model.forest.gains()
    whole = sum(gains.values()) or 1.0
    return [(name, gain / whole) for name, gain in list(gains.items())[:most]]
