"""Newcomers beside a restricted account: they are re-evaluated without events of their own."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from oracle.account_history import AccountHistory
from oracle.scoring_points import looks, with_re_evaluations
from support.parity_streams import DAY, HOUR, MINUTE, START, Both, Row, crowded, log
from wavebreak import rules
from wavebreak.engine import Engine
from wavebreak.features.catalog import INDEX
from wavebreak.features.shards import ShardedKernel, policy_without_rules
from wavebreak.schema.event_kinds import KINDS
from wavebreak.schema.events import TYPES

EPOCH = KINDS.index("epoch")


def registrations(count: int, **places: str) -> list[Row]:
    """Accounts y0, y1, ... that register a minute apart in one place, and do nothing more."""
    kind = TYPES.index("account.registered")
    return [
        {"id": f"r{n}", "ts": START + n * MINUTE, "type": kind, "account": f"y{n}"} | places
        for n in range(count)
    ]


def labelled(who: str, after: int, label: int = 0) -> list[Row]:
    """A label (0: abusive), and an event of somebody else by which the epoch closes."""
    at = START + after
    return [
        {"id": f"l{who}{after}", "ts": at, "type": TYPES.index("label.assigned"), "account": who,
         "label": label, "source": 0},
        {"id": f"x{who}{after}", "ts": at + HOUR, "type": TYPES.index("session.started"),
         "account": "z"},
    ]  # fmt: skip


def looked(events: list[Row], **settings: Any) -> list[tuple[str, int]]:
    """Who was looked at by the close of an epoch after the registrations, and when (ms)."""
    engine = Engine(rules.load_policy(), record=True, accounts=64, **settings)
    engine.take(log(events))
    points = engine.points()
    points = points[(points["kind"] == EPOCH) & (points["ts"] > START + 30 * MINUTE)]
    names = engine.fanout.accounts.texts(points["account"].astype(np.int64)).to_pylist()
    return list(zip(names, points["ts"].tolist(), strict=True))


@pytest.mark.parametrize("place", ["network", "block", "device"])
def test_newcomers_on_same_entity_are_re_evaluated_at_close(place: str) -> None:
    events = registrations(4, **{place: "p"}) + labelled("y1", 5 * HOUR)
    end = (START + 5 * HOUR) // MINUTE * MINUTE + 59_000
    assert dict(looked(events)) == {"y0": end, "y1": START + 5 * HOUR, "y2": end, "y3": end}


def test_newcomers_shared_client_or_benign_label_is_no_trigger() -> None:
    assert {who for who, _ in looked(registrations(4, client="c") + labelled("y1", HOUR))} == {"y1"}
    benign = registrations(4, network="p") + labelled("y1", HOUR, label=1)
    assert looked(benign) == []


def test_newcomers_last_eight_are_kept_while_young() -> None:
    many = registrations(12, network="p")
    assert {who for who, _ in looked(many + labelled("y11", HOUR))} == {
        f"y{n}" for n in range(4, 12)
    }
    assert looked(many + labelled("y11", 8 * DAY)) == []


def test_age_counts_up_to_the_re_evaluation() -> None:
    engine = Engine(rules.load_policy(), record=True, accounts=64)
    engine.take(log(registrations(2, device="d") + labelled("y0", 6 * HOUR)))
    point = engine.points()[-1]
    assert KINDS[point["kind"]] == "epoch"
    assert point["values"][INDEX["age_s"]] == point["ts"] // 1000 - (START + MINUTE) // 1000


@pytest.mark.parametrize("seed", range(3))
def test_re_evaluations_in_a_crowd_equal_the_oracle(seed: int) -> None:
    rng = random.Random(seed)
    events = crowded(rng, 60)
    for n in range(6):
        at = events[rng.randrange(30, len(events))]["ts"] + n
        events.append(
            {"id": f"l{n}", "ts": at, "type": TYPES.index("label.assigned"), "source": 0,
             "account": f"y{rng.randrange(30)}", "label": 0}
        )  # fmt: skip
    events.sort(key=lambda row: row["ts"])
    both = Both()
    both.core = ShardedKernel(
        policy_without_rules(), np.zeros(len(INDEX)), enforce=False, accounts=64, record=True
    )
    both.take(log(events))
    points, found, epochs = both.core.points(), 0, sorted(both.naive.epochs)
    for account, slot in both.slots.items():
        if account in both.naive.facts:
            story = AccountHistory(both.naive.facts[account], both.naive.shared, both.naive.epoch)
            story = with_re_evaluations(account, story, epochs)
            found += len(story.looks)
            assert len(looks(story, epochs)) == int((points["account"] == slot).sum())
    assert found > 3
