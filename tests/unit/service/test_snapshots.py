"""Snapshots of a running engine: as it was between two batches, at no cost of what follows."""

from __future__ import annotations

import random
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest

from support.parity_streams import crowded, log
from wavebreak import rules
from wavebreak.engine import Engine, snapshot
from wavebreak.service.recovery import Snapshots, snapshots

WHOLE = log(crowded(random.Random(7)))
PARTS = [WHOLE[:80], WHOLE[80:160], WHOLE[160:]]


@pytest.fixture
def engine() -> Engine:
    return Engine(rules.load_policy())


def of(engine: Engine, home: Path, said: list[str]) -> Snapshots:
    return Snapshots(
        home, seconds=0, events=1, keep=2, applied=lambda: engine.fanout.position, position=0,
        said=said.append,
    )  # fmt: skip


def test_a_snapshot_holds_what_the_engine_knew_between_two_batches(
    engine: Engine, tmp_path: Path
) -> None:
    taking = of(engine, tmp_path, [])
    engine.take(PARTS[0])
    taking.between(engine, 0)
    taking.wait()
    assert not snapshots(tmp_path), "memory is found first"
    engine.take(PARTS[1])
    known = {name: array.copy() for name, array in engine.dump().items()}
    taking.between(engine, 0)
    engine.take(PARTS[2])
    taking.wait()
    ((position, _, path),) = snapshots(tmp_path)
    again = Engine(rules.load_policy())
    snapshot.restore(again, path)
    assert position == 160
    assert all(np.array_equal(array, known[name]) for name, array in again.dump().items())


def test_memory_that_is_not_there_is_told_of_and_not_asked_for_again_at_once(
    engine: Engine, tmp_path: Path
) -> None:
    said: list[str] = []
    taking = of(engine, tmp_path, said)
    engine.take(PARTS[0])
    with patch.object(snapshot, "Room", side_effect=MemoryError) as asked:
        for _ in range(3):
            taking.between(engine, 0)
            taking.wait()
    assert asked.call_count == 1
    assert said == ["there is no memory for a snapshot: a start will read more of the log"]
