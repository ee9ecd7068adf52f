"""Replay of a log under two models: accounts that change, scores, precision on labels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from django.db import connection

from support.events import edge
from support.fake_model import Learned, Synthetic
from support.service_harness import abuser, migrated
from wavebreak.durations import DAY_MS
from wavebreak.engine import Engine
from wavebreak.io import log_rows
from wavebreak.rules import load_policy
from wavebreak.schema.events import WIRE_SCHEMA
from wavebreak_server.slices.versions.replay import EDGES, Change, first_position, run
from wavebreak_server.storage import event_log

TS = 1_767_222_000_000


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    with migrated("sqlite", tmp_path):
        yield tmp_path


def store(items: list[Any], first: int, received_ms: int) -> int:
    """Append events to the log; return its end."""
    batch = edge().apply(pa.RecordBatch.from_pylist(items, WIRE_SCHEMA))
    with connection.cursor() as cursor:
        event_log.append(cursor, first, batch.num_rows, received_ms, log_rows.encode_row(batch))
    return int(first + batch.num_rows)


def labelled(account: str, label: str) -> dict[str, Any]:
    return {
        "id": f"{account}-{label}", "ts": TS + 3_600_000, "type": "label.assigned",
        "account": account, "label": label, "source": "analyst",
    }  # fmt: skip


def side(model: Any) -> Engine:
    return Engine(load_policy(), accounts=1024, model=model, record=True)


def test_two_models_differ_in_accounts_and_precision(home: Path) -> None:
    end = store([*abuser(8, age_ms=600_000), *abuser(8, account="bob", age_ms=600_000)], 0, TS)
    store([labelled("ann", "abusive"), labelled("bob", "benign")], end, TS)
    found = run(
        side(Synthetic({})), side(Learned({"challenge": -150_000})), home / "out",
        days=0, now_ms=TS,
    )  # fmt: skip
    before, after = found.sides
    assert found.end == 20
    assert before.thresholds == {}
    reached = after.thresholds["challenge"]
    assert (reached.accounts, reached.abusive, reached.benign) == (2, 1, 1)
    assert 0 < reached.low < 0.5 < reached.high < 1
    assert sum(after.bins) == after.scored == before.scored
    assert len(after.bins) == len(EDGES) - 1
    lines = (home / "out" / "changes.jsonl").read_bytes().splitlines()
    changes = [msgspec.json.decode(line, type=Change) for line in lines]
    # A label leads to the same under both; what rules and score did before it counts.
    assert [(c.account, c.label) for c in changes] == [("bob", "benign")]
    assert (before.acted.accounts, after.acted.accounts, found.both) == (0, 2, 0)
    assert (before.missed, after.missed) == ((1, 1), (1, 0))


def test_replay_begins_with_the_days_that_are_asked_for(home: Path) -> None:
    end = store(abuser(3), 0, TS)
    end = store(abuser(3, account="bob", age_ms=600_000), end, TS + 2 * DAY_MS)
    now = TS + 2 * DAY_MS + 1
    assert first_position(0, end, 100, now) == 0
    assert first_position(1, end, 100, now) == 4
    assert first_position(7, end, 100, now) == 0
    assert first_position(7, end, 3, now) == end - 3
    assert first_position(1, end, 100, now + 5 * DAY_MS) == end
