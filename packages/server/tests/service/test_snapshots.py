"""Snapshots of a running engine: as it was between two batches, at no cost of what follows."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from support.parity_streams import crowded, log
from wavebreak import rules
from wavebreak.engine import Engine, snapshot
from wavebreak_server.pipeline.recovery import SnapshotScheduler, list_snapshots
from wavebreak_server.settings import Settings

WHOLE = log(crowded(random.Random(7)))
SECRET = bytes(range(16))
PARTS = [WHOLE[:80], WHOLE[80:160], WHOLE[160:]]


@pytest.fixture
def engine() -> Engine:
    return Engine(rules.load_policy(), secret=SECRET)


def in_order(array: Any) -> Any:
    """A table of pairs or ids is built anew: its entries may have changed places."""
    return np.sort(array) if array.dtype.names in (("key", "value"), ("low", "high")) else array


def of(engine: Engine, home: Path, said: list[str]) -> SnapshotScheduler:
    return SnapshotScheduler(
        Settings(home, snapshot_s=0, snapshot_events=1, snapshots=2),
        applied=lambda: engine.fanout.position,
        position=0,
        report=said.append,
    )


def test_snapshot_holds_the_state_between_two_batches(engine: Engine, tmp_path: Path) -> None:
    taking = of(engine, tmp_path, [])
    engine.take(PARTS[0])
    taking.between_batches(engine, 0)
    taking.wait()
    assert not list_snapshots(tmp_path), "memory is found first"
    engine.take(PARTS[1])
    known = {name: array.copy() for name, array in engine.dump().items()}
    taking.between_batches(engine, 0)
    engine.take(PARTS[2])
    taking.wait()
    ((position, _, path),) = list_snapshots(tmp_path)
    again = Engine(rules.load_policy(), secret=SECRET)
    snapshot.restore(again, path)
    assert position == 160
    assert all(
        np.array_equal(in_order(array), in_order(known[name]))
        for name, array in again.dump().items()
    )


def test_failed_allocation_is_reported_and_retried_later(engine: Engine, tmp_path: Path) -> None:
    said: list[str] = []
    taking = of(engine, tmp_path, said)
    engine.take(PARTS[0])
    with patch.object(snapshot, "CopyBuffer", side_effect=MemoryError) as asked:
        for _ in range(3):
            taking.between_batches(engine, 0)
            taking.wait()
    assert asked.call_count == 1
    assert said == ["not enough memory for a snapshot: the next start will replay more of the log"]
