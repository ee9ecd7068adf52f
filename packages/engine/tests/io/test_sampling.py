"""Samples of a file: where they lie, what they learn, and that they depend on the file alone."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from support.events import edge, sent
from wavebreak.engine.batch_run import stream_profile
from wavebreak.io import sample, write
from wavebreak.io.readers import PARTS
from wavebreak.schema import coverage
from wavebreak.schema.events import WIRE_SCHEMA

EVENTS = 260_000
FORMATS = ("jsonl", "jsonl.gz", "json", "parquet", "arrow", "ipc", "ipc.zst")


def batches() -> list[pa.RecordBatch]:
    """Sends, and in the last tenth also another type and linked sessions."""
    made = []
    for start in range(0, EVENTS, 10_000):
        rows = [
            sent(ts=(start + k) * 1000, account=f"a{k % 97}", peer=f"b{k % 89}")
            for k in range(10_000)
        ]
        if start >= 0.9 * EVENTS:
            for k in range(0, 10_000, 20):
                rows[k] = sent(type="user.blocked", ts=(start + k) * 1000)
            for k in range(1, 10_000, 20):
                rows[k] = {"type": "session.started", "ts": (start + k) * 1000, "account": "ann"}
                if k % 200 == 1:
                    rows[k]["linked"] = True
        made.append(pa.RecordBatch.from_pylist(rows, WIRE_SCHEMA))
    return made


BATCHES = batches()


@pytest.mark.parametrize("form", FORMATS)
def test_type_that_begins_late_is_learned(form: str, tmp_path: Path) -> None:
    path = tmp_path / f"events.{form}"
    write(path, BATCHES)
    profile, origin = stream_profile(path, None, edge())
    assert profile.covers("user.blocked")
    assert profile.covers("session.started.linked")
    assert profile.events < EVENTS
    assert origin == "learned from samples of the file"


def test_samples_of_a_small_file_are_the_file(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    write(path, BATCHES[:1])
    assert sum(log.num_rows for log in sample(path, edge())) == 10_000


def test_samples_are_the_same_each_time(tmp_path: Path) -> None:
    path = tmp_path / "events.parquet"
    write(path, BATCHES)
    assert coverage.measure(sample(path, edge())) == coverage.measure(sample(path, edge()))


def test_large_row_group_is_sampled_once_at_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "events.parquet"
    table = pa.Table.from_batches([*BATCHES, *BATCHES]).combine_chunks()
    write(path, table.to_batches())
    found = list(sample(path, edge()))
    assert 4 < len(found) <= 4 + PARTS


def test_damage_behind_the_beginning_ends_the_samples(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl.gz"
    write(path, BATCHES)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(0.8 * len(whole))])
    assert coverage.measure(sample(path, edge())).covers("message.sent")
