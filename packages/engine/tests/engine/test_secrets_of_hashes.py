"""The secret of the hashes decides nothing: not live, and not after a restart under another one."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec
import pytest

from support.parity_streams import crowded, log
from wavebreak.engine import Engine, snapshot
from wavebreak.rules import load_policy

STREAM = log(crowded(random.Random(11), sends=600))
HALF = STREAM.num_rows // 2


def _engine(secret: bytes) -> Engine:
    engine = Engine(load_policy(), enforce=True, accounts=1024, secret=secret)
    engine.fanout.seen.least = 64
    return engine


@pytest.fixture(scope="module")
def expected() -> bytes:
    engine = _engine(bytes(16))
    return msgspec.json.encode(engine.take(STREAM) + engine.finish())


def test_decisions_do_not_depend_on_the_secret(expected: bytes) -> None:
    engine = _engine(bytes(range(16)))
    assert msgspec.json.encode(engine.take(STREAM) + engine.finish()) == expected
    assert len(expected) > 1_000


def test_decisions_after_a_restart_under_another_secret(expected: bytes, tmp_path: Path) -> None:
    engine, other = _engine(bytes(16)), _engine(bytes(range(16)))
    made = engine.take(STREAM.slice(0, HALF))
    snapshot.save(engine, tmp_path / "state")
    snapshot.restore(other, tmp_path / "state")
    made += other.take(STREAM.slice(HALF)) + other.finish()
    assert msgspec.json.encode(made) == expected


def test_id_before_a_restart_is_known_under_another_secret(tmp_path: Path) -> None:
    engine, other = _engine(bytes(16)), _engine(bytes(range(16)))
    engine.take(STREAM)
    snapshot.save(engine, tmp_path / "state")
    snapshot.restore(other, tmp_path / "state")
    newest = STREAM.slice(STREAM.num_rows - 5)
    engine.take(newest)
    other.take(newest)
    assert other.fanout.duplicates == engine.fanout.duplicates > 0
