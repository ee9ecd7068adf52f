"""Scoring points and scores: parity with the oracle."""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Sequence

import numpy as np
import pytest

from oracle.account_history import AccountHistory
from oracle.scoring_points import Scorer, looks, with_re_evaluations
from support.parity_streams import DAY, HOUR, Both, log, rows, some_steps
from wavebreak import rules
from wavebreak.compiled.numba_runtime import address_as_void_pointer, callback, carray
from wavebreak.engine import Engine
from wavebreak.features.catalog import FEATURES, INDEX, MODEL_INPUTS, NAMES
from wavebreak.features.shards import KernelPolicy, ShardedKernel, policy_without_rules
from wavebreak.schema.event_kinds import KINDS
from wavebreak.schema.events import TYPES

SIZE = len(NAMES)
SENDS, FIRST, KNOWN = (INDEX[n] for n in ("sends_1d", "first_contacts_1d", "known_s"))
MARGINS, CHANCES = [-200_000, -30_000, 0, 90_000, 400_000], [0.01, 0.1, 0.2, 0.3, 0.7, 0.99]


def _margin(_model: int, address: int) -> int:
    values = carray(address_as_void_pointer(address), (SIZE,), np.float64)
    return int(9_000 * values[FIRST] + 1_000 * values[SENDS] - values[KNOWN]) - 150_000


def _slowly(values: Sequence[float]) -> int:
    return int(9_000 * values[FIRST] + 1_000 * values[SENDS] - values[KNOWN]) - 150_000


SCORER = Scorer(_slowly, MARGINS, CHANCES)


def model() -> KernelPolicy:
    """No rules, and a model that likes neither sends nor first contacts."""
    made = callback(_margin, 2)
    return dataclasses.replace(
        policy_without_rules(), score=made.address, keepalive=(made, policy_without_rules()),
        margins=np.array(MARGINS), chances=np.array(CHANCES),
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(8))
def test_scores_are_of_last_point_and_last_registration(seed: int) -> None:
    events, both = rows(some_steps(random.Random(seed), 80)), Both(model=model(), scorer=SCORER)
    for part in range(3):
        both.take(log(events[len(events) * part // 3 : len(events) * (part + 1) // 3]))
        assert both.differences() == []
    found = {name: value for _, name, value, _ in both.compared() if not math.isnan(value)}
    assert 0 < found["score"] < 1


def _recorded(events: list[dict[str, object]], workers: int = 1, batch: int = 10_000) -> bytes:
    engine = Engine(rules.load_policy(), record=True, accounts=64, workers=workers)
    found = []
    for begin in range(0, len(events), batch):
        engine.take(log(events[begin : begin + batch]))
        found.append(engine.points())
    engine.finish()
    points = np.concatenate([*found, engine.points()])
    assert points.size > 0
    return points.tobytes()


def test_scoring_points_do_not_depend_on_batches_or_workers() -> None:
    events = rows(some_steps(random.Random(3), 80))
    assert _recorded(events) == _recorded(events, batch=37) == _recorded(events, workers=3)


@pytest.mark.parametrize("seed", range(4))
def test_scoring_points_equal_the_oracle(seed: int) -> None:
    events = rows(some_steps(random.Random(seed), 80))
    both = Both()
    both.core = ShardedKernel(
        policy_without_rules(), np.zeros(SIZE), enforce=False, accounts=64, record=True
    )
    both.take(log(events))
    points = both.core.points()
    for account, slot in both.slots.items():
        if account not in both.naive.facts:
            continue
        epochs = sorted(both.naive.epochs)
        story = AccountHistory(both.naive.facts[account], both.naive.shared, both.naive.epoch)
        story = with_re_evaluations(account, story, epochs)
        expected = looks(story, epochs)
        mine = points[points["account"] == slot]
        closes = [KINDS[kind] == "epoch" for kind in mine["kind"]]
        assert [close for _, _, close in expected] == closes
        for point, (number, _, close) in zip(mine, expected, strict=True):
            if not close:
                assert point["ts"] == story.facts[number].ts


def test_point_values_without_model_have_no_scores() -> None:
    kind = TYPES.index("message.sent")
    events = [
        {"id": f"e{i}", "ts": 100 * DAY + i * HOUR, "type": kind, "account": "a", "peer": f"p{i}"}
        for i in range(9)
    ]
    engine = Engine(rules.load_policy(), record=True, accounts=64)
    engine.take(log(events))
    points = engine.points()
    assert points["values"][:, FIRST].tolist() == [5, 8]
    scores = [NAMES.index("score"), NAMES.index("registration_score")]
    assert np.isnan(points["values"][:, scores]).all()
    assert np.isnan(points["score"]).all()
    assert engine.points().size == 0
    assert scores == [len(FEATURES) - 2, len(FEATURES) - 1]
    assert NAMES[: len(MODEL_INPUTS)] == MODEL_INPUTS
