"""The same log decides the same bytes: over batch sizes, workers, and restarts in the middle."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from support.fake_model import Synthetic
from support.strict_policy import strict_policy
from support.traces import first_events
from wavebreak.engine import Engine
from wavebreak.engine.decision import Decision
from wavebreak.engine.snapshot import restore, save
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.schema import coverage
from wavebreak.schema.coverage import Profile
from wavebreak.schema.events import LOG_SCHEMA
from wavebreak_lab import simulation

EDGE = Pseudonymizer(b"a key for tests only")


def _one(batches: Iterator[pa.RecordBatch]) -> pa.RecordBatch:
    table = pa.Table.from_batches([EDGE.apply(b) for b in batches], LOG_SCHEMA)
    return table.combine_chunks().to_batches()[0]


def _simulated() -> pa.RecordBatch:
    world = simulation.simulate(
        people=30, days=1, campaigns=[(name, 1) for name in simulation.CAMPAIGNS],
        personas=["teacher", "courier", "hijack-owner", "victim-of-reports"], seed=5,
    )  # fmt: skip
    return _one(world.batches())


def _trace() -> pa.RecordBatch:
    return EDGE.apply(first_events("collegemsg", 6_000))


@pytest.fixture(scope="module", params=["a simulated day", "a real trace"])
def log(request: pytest.FixtureRequest) -> pa.RecordBatch:
    """A log with decisions in it, and with far dates, some of them in a row."""
    found = _simulated() if request.param == "a simulated day" else _trace()
    ts = found.column("ts").to_numpy().copy()
    for at in (70, 71, 900, 901, 902, 1_500, 4_000):
        ts[at] += 10_000 * 86_400_000
    return found.set_column(found.schema.get_field_index("ts"), "ts", pa.array(ts))


@pytest.fixture(scope="module")
def stream(log: pa.RecordBatch) -> Profile:
    """What the log carries."""
    return coverage.measure([log])


POLICY = strict_policy()
MODEL = Synthetic({"observe": -120_000, "challenge": 0, "restrict": 60_000, "ban": 200_000})
"""Scores decide in these runs, as rules do."""


def _bytes(decisions: list[Decision]) -> bytes:
    return b"\n".join(msgspec.json.encode(d) for d in decisions)


def _engine(stream: Profile, workers: int = 1) -> Engine:
    return Engine(POLICY, stream, enforce=True, workers=workers, accounts=4096, model=MODEL)


def _decided(engine: Engine, log: pa.RecordBatch, batch: int) -> list[Decision]:
    return [
        d for at in range(0, log.num_rows, batch) for d in engine.take(log.slice(at, batch))
    ]  # fmt: skip


@pytest.fixture(scope="module")
def expected(log: pa.RecordBatch, stream: Profile) -> bytes:
    """What one worker decides in batches of 5,000."""
    engine = _engine(stream)
    made = _decided(engine, log, 5_000) + engine.finish()
    assert len(made) >= 50
    assert sum(not d.rules and d.outcome not in ("allow", "ban") for d in made) >= 10
    return _bytes(made)


SINGLY = 6_000
"""So many events go in one by one, all far dates among them; what they leave decides the others."""


@pytest.mark.parametrize("batch", [1, 64, 50_000])
def test_decisions_do_not_depend_on_batch_size(
    log: pa.RecordBatch, stream: Profile, expected: bytes, batch: int
) -> None:
    engine, end = _engine(stream), SINGLY if batch == 1 else log.num_rows
    made = _decided(engine, log.slice(0, end), batch) + _decided(engine, log.slice(end), 5_000)
    assert _bytes(made + engine.finish()) == expected


@pytest.mark.parametrize("workers", [2, 7])
def test_decisions_do_not_depend_on_workers(
    log: pa.RecordBatch, stream: Profile, expected: bytes, workers: int
) -> None:
    engine = _engine(stream, workers)
    assert _bytes(_decided(engine, log, 700) + engine.finish()) == expected


def test_decisions_do_not_depend_on_restarts(
    log: pa.RecordBatch, stream: Profile, expected: bytes, tmp_path: Path
) -> None:
    rng = np.random.default_rng(11)
    cuts = [0, *sorted(rng.integers(1, log.num_rows, 10).tolist()), log.num_rows]
    made: list[Decision] = []
    engine = _engine(stream)
    for number, (begin, end) in enumerate(itertools.pairwise(cuts)):
        made += _decided(engine, log.slice(begin, end - begin), 900)
        save(engine, tmp_path / "snapshot")
        engine = _engine(stream, workers=1 + number % 3)
        restore(engine, tmp_path / "snapshot")
    assert _bytes(made + engine.finish()) == expected
