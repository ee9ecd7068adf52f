"""Dry run: it predicts an event's result and leaves the state unchanged."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from support.fake_model import Synthetic
from support.parity_streams import STEP, Row, Steps, log, rows, some_steps
from wavebreak import rules
from wavebreak.engine import Engine
from wavebreak.features.facts import EPOCH_MS, NO_FACT
from wavebreak.features.layout import OUTCOMES, SHARD_BITS, SHARDS
from wavebreak.schema.events import TYPES

POLICY = rules.load_policy()
MODEL = Synthetic({"challenge": -190_000, "limit": -150_000, "restrict": -90_000, "ban": 0})


def engine(**given: Any) -> Engine:
    return Engine(POLICY, accounts=64, secret=bytes(16), **given)


def state(of: Engine) -> dict[str, bytes]:
    """Everything that is kept, but for how much room there is for more."""
    arrays = of.dump()
    arrays["core.entities"] = arrays["core.entities"][: len(of.fanout.entities)]
    return {name: np.ascontiguousarray(array).tobytes() for name, array in arrays.items()}


def same(a: dict[str, bytes], b: dict[str, bytes]) -> list[str]:
    return [name for name in a if a[name] != b[name]]


def standing(of: Engine, account: str) -> tuple[int, int]:
    slot = int(of.fanout.accounts.find(log([{"id": "x", "ts": 0, "type": 0, "account": account}])
                                       .column("account"))[0])  # fmt: skip
    row = of.core.rows[slot % SHARDS].records[slot >> SHARD_BITS]
    return int(row["enforcement"]), int(row["until"])


def strangers(many: int) -> list[Row]:
    """A new account that writes to strangers, one a second."""
    start = 1_772_366_400_000
    sent = TYPES.index("message.sent")
    joined: Row = {
        "id": "r",
        "ts": start,
        "type": TYPES.index("account.registered"),
        "account": "s",
    }
    return [joined] + [
        {"id": f"m{i}", "ts": start + 200 * i, "type": sent, "account": "s", "peer": f"p{i}",
         "in_contacts": False, "size": 90}
        for i in range(many)
    ]  # fmt: skip


@settings(max_examples=40)
@given(st.lists(STEP, min_size=1, max_size=25), st.booleans(), st.booleans())
def test_dry_run_leaves_state_unchanged(steps: Steps, enforce: bool, scored: bool) -> None:
    of = engine(enforce=enforce, model=MODEL if scored else None)
    events = rows(steps)
    of.take(log(events[: len(events) // 2]))
    before = state(of)
    for row in events[len(events) // 2 :][:40]:
        of.trial(log([row | {"id": "asked"}]))
        assert same(before, state(of)) == []


def test_dry_runs_between_events_change_no_decision() -> None:
    rng = random.Random(3)
    events = rows(some_steps(rng, 150))
    asked, plain = engine(model=MODEL), engine(model=MODEL)
    made, expected = [], []
    for at in range(0, len(events), 7):
        for row in events[at : at + 3]:
            asked.trial(log([row | {"account": rng.choice("abxyz")}]))
            asked.trial(log([row | {"id": "asked"}]))
        made += asked.take(log(events[at : at + 7]))
        expected += plain.take(log(events[at : at + 7]))
    assert len(expected) > 10
    assert made == expected
    assert same(state(asked), state(plain)) == []


def test_dry_run_predicts_the_outcome() -> None:
    """Within an epoch: one that the act itself closes is read as it stood."""
    of, foretold, moved = engine(model=MODEL), 0, 0
    for row in rows(some_steps(random.Random(5), 400)):
        batch = log([row])
        if of.core.epoch == of.fanout.dated(row["ts"]) // EPOCH_MS:
            told = of.trial(batch)
            before = of.core.accounts and standing(of, row["account"])
            of.take(batch)
            has_fact = of.core.kinds[row["type"], 0] != NO_FACT
            if has_fact and not told.late and row["account"] != row.get("peer"):
                assert (told.outcome, told.until) == standing(of, row["account"])
                foretold += 1
                moved += before != standing(of, row["account"])
        else:
            of.take(batch)
    assert foretold > 300
    assert moved > 5


def test_dry_run_refuses_the_event_that_exceeds_a_limit() -> None:
    of = engine()
    told = []
    for row in strangers(60):
        told.append(of.trial(log([row])))
        of.take(log([row]))
    outcomes = [OUTCOMES[t.outcome] for t in told]
    first = next(i for i, outcome in enumerate(outcomes) if outcome in ("restrict", "ban"))
    assert not any(t.refused for t in told[:first] if t.outcome < OUTCOMES.index("challenge"))
    assert told[first].refused
    assert told[first].hits.size == 1


def test_dry_run_of_unknown_account_is_answered() -> None:
    of = engine()
    told = of.trial(log(strangers(1)[1:]))
    assert OUTCOMES[told.outcome] == "allow"
    assert not told.refused
    assert len(of.fanout.accounts) == 0
    assert of.core.accounts == 0
