"""Eviction of idle accounts: nothing changes for those that stay, and what is on record stays."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from support.parity_streams import DAY, START, Row, crowded, log
from wavebreak.engine import Engine
from wavebreak.engine.decision import Decision
from wavebreak.engine.eviction import evict
from wavebreak.engine.state_check import check_state
from wavebreak.engine.state_size import state_bytes
from wavebreak.rules import load_policy
from wavebreak.schema.events import LABELS, TYPES

SENT, REGISTERED = TYPES.index("message.sent"), TYPES.index("account.registered")
LABELLED = TYPES.index("label.assigned")
IDLE_S = (START + 30 * DAY) // 1000


def _engine() -> Engine:
    return Engine(load_policy(), enforce=True, accounts=1024)


def _idle(count: int) -> list[Row]:
    """Accounts that register, write to each other, and are not seen again."""
    people = [
        {"id": f"r{k}", "ts": START + k, "type": REGISTERED, "account": f"idle{k}",
         "network": f"n{k}", "block": f"b{k}", "device": f"d{k}"}
        for k in range(count)
    ]  # fmt: skip
    sends = [
        {"id": f"s{k}", "ts": START + count + 500 * k, "type": SENT, "account": f"idle{k}",
         "peer": f"idle{(k * 7 + 1) % count}"}
        for k in range(count)
    ]  # fmt: skip
    return people + sends


def _later(stream: list[Row]) -> list[Row]:
    return [row | {"ts": row["ts"] + 60 * DAY} for row in stream]


LABEL = {"id": "l", "ts": START + 60_000, "type": LABELLED, "account": "idle3",
         "label": LABELS.index("abusive")}  # fmt: skip
BUSY = _later(crowded(random.Random(5), sends=400))


@pytest.fixture(scope="module")
def before() -> tuple[dict[str, Any], Engine]:
    engine = _engine()
    half = len(BUSY) // 2
    # The slots of those that stay come after those of the idle, and move.
    engine.take(log([*_idle(150)[:200], LABEL, *_idle(150)[200:]]))
    engine.take(log(BUSY[:half]))
    return {name: array.copy() for name, array in engine.dump().items()}, engine


def _rest() -> Any:
    return log(BUSY[len(BUSY) // 2 :])


def test_those_that_stay_are_decided_as_before(before: tuple[dict[str, Any], Engine]) -> None:
    arrays, _ = before
    whole, left = _engine(), _engine()
    whole.load(arrays)
    fewer, evicted = evict(arrays, IDLE_S)
    check_state(fewer, arrays["fired"].size)
    left.load(fewer)
    assert evicted == 149
    made: list[Decision] = whole.take(_rest()) + whole.finish()
    assert msgspec.json.encode(left.take(_rest()) + left.finish()) == msgspec.json.encode(made)
    assert len(made) > 3


def test_what_is_on_record_stays(before: tuple[dict[str, Any], Engine]) -> None:
    arrays, _ = before
    engine = _engine()
    engine.load(evict(arrays, IDLE_S)[0])
    names = engine.fanout.accounts.texts(range(len(engine.fanout.accounts))).to_pylist()
    assert [name for name in names if name.startswith("idle")] == ["idle3"]
    slot = names.index("idle3")
    assert engine.core.row_of(slot)["enforcement"] > 0


def test_eviction_of_nobody_changes_nothing(before: tuple[dict[str, Any], Engine]) -> None:
    arrays, _ = before
    whole, same = _engine(), _engine()
    whole.load(arrays)
    left, evicted = evict(arrays, 0)
    same.load(left)
    assert evicted == 0
    made = msgspec.json.encode(whole.take(_rest()) + whole.finish())
    assert msgspec.json.encode(same.take(_rest()) + same.finish()) == made


def test_evicted_accounts_free_their_memory(before: tuple[dict[str, Any], Engine]) -> None:
    arrays, engine = before
    left = _engine()
    left.load(evict(arrays, IDLE_S)[0])
    assert left.core.accounts == engine.core.accounts - 149
    assert state_bytes(left) < state_bytes(engine)
