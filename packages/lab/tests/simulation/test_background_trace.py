"""Campaigns planted into a trace leave it as it was, and bring only what it carries."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from wavebreak import io
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.schema import coverage
from wavebreak.schema.events import WIRE_SCHEMA
from wavebreak_lab.simulation import CAMPAIGNS, World, simulate, write

HOUR = 3_600_000
ROWS, ACCOUNTS = 2_000, 60
EDGE = Pseudonymizer(b"k" * 32)


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """Messages and nothing else, in whole seconds, over 20 days."""
    rng = np.random.default_rng(2)
    sender = rng.integers(0, ACCOUNTS, ROWS)
    peer = (sender + rng.integers(1, ACCOUNTS, ROWS)) % ACCOUNTS
    columns = {
        "id": [f"t{row}" for row in range(ROWS)],
        "ts": np.sort(rng.integers(0, 20 * 24 * 3600, ROWS)) * 1000,
        "type": ["message.sent"] * ROWS,
        "account": [f"u{n}" for n in sender],
        "peer": [f"u{n}" for n in peer],
    }
    batch = pa.RecordBatch.from_pydict(columns)
    path = tmp_path / "trace.parquet"
    io.write(path, [batch])
    return path


def planted(trace: Path) -> tuple[World, pa.Table]:
    world = simulate(
        people=1, days=2, campaigns=[(name, 3) for name in CAMPAIGNS], background=trace, seed=1
    )
    return world, pa.Table.from_batches(world.batches(), schema=WIRE_SCHEMA)


def test_trace_events_are_kept_unchanged(trace: Path) -> None:
    _, events = planted(trace)
    kept = events.filter(pc.starts_with(events["id"], "t")).select(["id", "ts", "account", "peer"])
    logs = pa.Table.from_batches([batch.log for batch in io.read(trace, EDGE)])
    before = logs.select(kept.schema.names).cast(kept.schema)
    by = [("ts", "ascending"), ("id", "ascending")]
    assert kept.sort_by(by).equals(before.sort_by(by))
    assert len(events) > 2 * len(before)


def test_profile_of_the_trace_is_unchanged(trace: Path, tmp_path: Path) -> None:
    world, events = planted(trace)
    assert events["type"].unique().to_pylist() == ["message.sent"]
    assert events["size"].null_count == events["group"].null_count == len(events)
    write(world, tmp_path / "planted")
    kept = coverage.load(tmp_path / "planted" / "events.profile.json")
    assert (set(kept.types), kept.resolution_ms) == ({"message.sent"}, 1000)
    assert kept.covers("message.sent.peer")
    assert not kept.covers("message.sent.size")


def test_campaigns_keep_to_the_requested_time_span(trace: Path) -> None:
    _, events = planted(trace)
    ours = events.filter(pc.invert(pc.starts_with(events["id"], "t")))["ts"].to_numpy()
    assert 47 * HOUR < ours.min() < 60 * HOUR
    assert ours.max() < 97 * HOUR


def test_trace_accounts_are_benign_unless_hijacked(trace: Path) -> None:
    world, events = planted(trace)
    of = {account: (label, family) for account, label, family, _ in world.labels}
    theirs = {of[f"u{n}"] for n in range(ACCOUNTS)}
    assert theirs == {
        ("benign", "background"),
        ("benign", "victim-of-reports"),
        ("benign", "victim-of-flood"),
        ("abusive", "hijack"),
    }
    assert set(events["account"].unique().to_pylist()) <= set(of)


def test_campaigns_on_a_trace_are_determined_by_the_seed(trace: Path) -> None:
    assert planted(trace)[1].equals(planted(trace)[1])


def test_simulated_background_shares_no_id_or_account(tmp_path: Path) -> None:
    write(simulate(people=60, days=1, seed=4), tmp_path)
    world = simulate(people=1, days=1, campaigns=[("blast", 5)], background=tmp_path, seed=4)
    events = pa.Table.from_batches(world.batches(), schema=WIRE_SCHEMA)
    assert pc.count_distinct(events["id"]).as_py() == len(events)
    assert sum(family == "blast" for _, _, family, _ in world.labels) == 5
    assert len({account for account, _, _, _ in world.labels}) == len(world.labels)
