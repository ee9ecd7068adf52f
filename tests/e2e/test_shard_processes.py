"""Shards in several processes decide what `wavebreak run` decides, to the byte.

One, two, three and five workers; killed at random points; more and fewer of them in mid-run; with
the model of 0.2. Decisions, operators, accounts and the whole state are compared. The longer runs
(a simulated week, dozens of kills) are `python -m support.shard_test`.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from support.shard_comparison import Reference, compared, reference
from support.shard_worker import Partition, Rounds
from support.traces import write_trace
from wavebreak.engine.exchange import ExchangeConflictError
from wavebreak_lab import simulation


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """A simulated stretch in which much is decided, and what one engine makes of it."""
    home = tmp_path_factory.mktemp("day")
    world = simulation.simulate(
        people=60, days=0.2, campaigns=[(name, 1) for name in simulation.CAMPAIGNS],
        personas=["teacher", "courier", "hijack-owner"], seed=5,
    )  # fmt: skip
    simulation.write(world, home / "world")
    made = reference(home / "world", home, model=True)
    assert len(made.decisions) > 20
    return made


@pytest.mark.parametrize("workers", [1, 2, 3, 5])
def test_any_number_of_workers_decides_the_same(
    day: Reference, tmp_path: Path, workers: int
) -> None:
    compared(day, tmp_path, [workers])


def test_killed_workers_say_and_decide_the_same(day: Reference, tmp_path: Path) -> None:
    done = compared(day, tmp_path, [2], kills=0.01, every=40)
    assert done.killed > 3
    assert done.repeated > 20


def test_rescaled_workers_decide_the_same(day: Reference, tmp_path: Path) -> None:
    compared(day, tmp_path, [2, 3, 1])


def test_state_that_comes_an_epoch_late_is_caught(day: Reference, tmp_path: Path) -> None:
    # With low thresholds several decisions of the day rest on what the last epoch shared.
    made = reference(day.log, tmp_path / "strict", model=True, strict=True)
    with pytest.raises(AssertionError, match="decisions differ"):
        compared(made, tmp_path / "stale", [2], stale=True)


def test_a_row_is_written_once_and_compared_after(tmp_path: Path) -> None:
    rounds = Rounds(tmp_path, groups=1, group=0)
    assert rounds.all(7, b"said") == [b"said"]
    assert rounds.all(8, b"other") == [b"other"]
    assert rounds.all(7, b"said") == [b"said"]
    with pytest.raises(ExchangeConflictError, match="round 7 of group 0"):
        rounds.all(7, b"not said")


def test_a_torn_value_is_dropped_and_written_again(tmp_path: Path) -> None:
    partition = Partition(tmp_path / "in")
    partition.append("one")
    partition.append("two")
    os.truncate(partition.path, partition.path.stat().st_size - 1)
    partition.drop_torn()
    partition.append("again")
    assert [partition.next() for _ in range(3)] == [(True, "one"), (True, "again"), (False, None)]
    partition.close()


def test_a_real_trace_is_decided_the_same(tmp_path: Path) -> None:
    log = write_trace("collegemsg", 1_500, tmp_path / "trace.jsonl")
    made = reference(log, tmp_path, model=True, strict=True)
    assert len(made.decisions) > 20
    compared(made, tmp_path / "divided", [3, 2])
