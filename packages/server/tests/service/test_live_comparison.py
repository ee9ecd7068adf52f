"""A challenger on the live stream: figures from the beginning on, that a restart keeps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from django.db import connection

from support.events import edge
from support.fake_model import Learned, Synthetic
from support.service_harness import abuser, migrated
from wavebreak.engine import Engine
from wavebreak.io import log_rows
from wavebreak.rules import load_policy
from wavebreak.schema.events import WIRE_SCHEMA
from wavebreak_server.slices.versions.live_comparison import LiveComparison, LiveFound, read_live
from wavebreak_server.slices.versions.policy_replay import Change
from wavebreak_server.storage import event_log

TS = 1_767_222_000_000
LABEL = {"id": "l", "ts": TS + 3_600_000, "type": "label.assigned", "source": "analyst"}


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    with migrated("sqlite", tmp_path):
        yield tmp_path


def log(items: list[Any]) -> None:
    """Append events to the log."""
    batch = edge().apply(pa.RecordBatch.from_pylist(items, WIRE_SCHEMA))
    with connection.cursor() as cursor:
        end, row = event_log.log_end(), log_rows.encode_row(batch)
        event_log.append(cursor, end, batch.num_rows, TS, row)


def following(home: Path, version: str = "other") -> LiveComparison:
    """A following of a model that challenges senders, beside one that challenges nobody."""
    models = (Synthetic({}), Learned({"challenge": -150_000}))
    models[1].version = version
    one, other = (Engine(load_policy(), accounts=1024, model=m, record=True) for m in models)
    return LiveComparison(one, other, home / "out", days=1, clock=lambda: TS + 1)


def looks(*between: Callable[[], None]) -> Callable[[], bool]:
    """Return what is wanted for as many looks at the log, with something done before each."""
    left = list(between)

    def wanted() -> bool:
        if not left:
            return False
        left.pop(0)()
        return True

    return wanted


def nothing() -> None:
    """Do nothing between two looks."""


def found_in(home: Path) -> LiveFound:
    found = read_live(home / "out")
    assert found is not None
    return found


def test_following_counts_what_came_after_its_beginning(home: Path) -> None:
    log(abuser(8))
    one = following(home)
    bob = abuser(8, account="bob", ts=1_767_222_600_000, age_ms=598_000)
    more = [*bob, LABEL | {"account": "bob", "label": "benign"}]
    one.run(looks(nothing, lambda: log(more), nothing, nothing), _no_wait)
    found = found_in(home)
    # Ann's events before it gave both models their state; her epoch closed after it.
    assert (found.begun, found.position, found.behind, found.warming) == (9, 19, 0, 0)
    assert found.accounts == 2
    assert (found.acted[0].accounts, found.acted[1].accounts, found.both) == (0, 1, 0)
    alone = found.only[1]
    assert (alone.accounts, alone.abusive, alone.benign, alone.low) == (1, 0, 1, 0.0)
    assert alone.high == 0.975
    assert (found.agree, found.changed) == (1, 1)
    assert found.scored[0] == found.scored[1] > 0
    lines = (home / "out" / "changes.jsonl").read_bytes().splitlines()
    changes = [msgspec.json.decode(line, type=Change) for line in lines]
    assert [(c.account, c.before, c.label) for c in changes] == [("bob", "allow", "benign")]


def test_following_goes_on_where_it_began_before_a_restart(home: Path) -> None:
    log(abuser(8))
    following(home).run(looks(nothing, lambda: log(abuser(8, account="bob")), nothing), _no_wait)
    before = found_in(home)
    log(abuser(8, account="carl"))
    following(home).run(looks(*[nothing] * 6), _no_wait)
    after = found_in(home)
    assert (after.begun, after.begun_ms) == (before.begun, before.begun_ms)
    assert (before.acted[1].accounts, after.acted[1].accounts) == (1, 2)
    assert after.scored[1] > before.scored[1]


def test_following_under_another_model_begins_anew(home: Path) -> None:
    log(abuser(8))
    following(home).run(looks(nothing), _no_wait)
    log(abuser(8, account="bob"))
    following(home, "third").run(looks(*[nothing] * 6), _no_wait)
    found = found_in(home)
    assert found.versions[:2] == ("synthetic-0123456789ab", "third")
    assert (found.begun, found.acted[1].accounts) == (18, 0)


def _no_wait(_seconds: float) -> None:
    """Look again at once."""
