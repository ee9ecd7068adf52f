"""From shadow to enforcement: outcomes are cleared, evidence stays, no event is lost."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from support.events import Item, edge, sent
from support.parity_streams import crowded, log
from wavebreak import rules
from wavebreak.engine import Engine, snapshot
from wavebreak.engine.accounts_table import accounts_table
from wavebreak.engine.mode_switch import switch_mode
from wavebreak.schema.events import WIRE_SCHEMA

START = 1_772_366_400_000
HOUR = 3_600_000
TESTS = ("matured", "answered", "trials", "trials_answered", "complaint_bits", "contacted")


def blast(ts: int, sends: int = 120) -> list[Item]:
    """Messages to strangers, ten in a second."""
    return [sent(account="spam", peer=f"p{ts}-{k}", ts=ts + 100 * k) for k in range(sends)]


def batch(items: list[Item]) -> pa.RecordBatch:
    return edge().apply(pa.RecordBatch.from_pylist(items, WIRE_SCHEMA))


REGISTERED: Item = {"type": "account.registered", "ts": START, "account": "spam"}
FIRST = batch([REGISTERED, *blast(START + 1000)])


def engine(*, enforce: bool, workers: int = 1) -> Engine:
    return Engine(rules.load_policy(), enforce=enforce, workers=workers, accounts=1024)


def row(of: Engine, account: str = "spam") -> Any:
    return of.core.row_of(int(of.fanout.accounts.find(pa.array([account]))[0]))


def resumed(path: Path, *, shadow_first: bool, enforce: bool) -> Engine:
    """An engine that took the first events in one mode, and was resumed in another."""
    first = engine(enforce=not shadow_first)
    first.take(FIRST)
    snapshot.save(first, path / "snapshot")
    again = engine(enforce=enforce)
    assert snapshot.restore(again, path / "snapshot") is not shadow_first
    return again


def test_outcome_found_in_shadow_is_cleared(tmp_path: Path) -> None:
    found = row(resumed(tmp_path, shadow_first=True, enforce=True))
    for name in ("enforcement", "until", "quota", "strikes", "worst"):
        assert found[name] == 0, name


def test_evidence_found_in_shadow_stays(tmp_path: Path) -> None:
    again = resumed(tmp_path, shadow_first=True, enforce=True)
    before = engine(enforce=False)
    before.take(FIRST)
    assert row(before)["enforcement"] > 0
    for name in (*TESTS, "sends", "started", "unanswered_strangers_1d"):
        assert np.array_equal(row(again)[name], row(before)[name]), name


def test_message_after_the_switch_is_not_refused(tmp_path: Path) -> None:
    again = resumed(tmp_path, shadow_first=True, enforce=True)
    sends = int(row(again)["sends"])
    again.take(batch([sent(account="spam", peer="new", ts=START + 2 * HOUR)]))
    assert row(again)["sends"] == sends + 1


def test_rules_fire_anew_after_the_switch(tmp_path: Path) -> None:
    again = resumed(tmp_path, shadow_first=True, enforce=True)
    made = again.take(batch(blast(START + 2 * HOUR)))
    assert [each.account for each in made] == ["spam"] * len(made) != []
    assert row(again)["sends"] < 240, "what follows the new decision is refused"
    (account,) = (r for r in accounts_table(again).to_pylist() if r["account"] == "spam")
    assert account["worst"] == "limit", "of the ban that shadow found nothing is left"
    assert account["first_action_ms"] is None


def test_shared_state_after_the_switch_holds_no_outcome(tmp_path: Path) -> None:
    again = resumed(tmp_path, shadow_first=True, enforce=True)
    again.take(batch([sent(account="ann", peer="bob", ts=START + HOUR)]))
    assert not again.core.people.records[: again.core.accounts]["enforcement"].any()


def test_outcome_from_enforcement_runs_on_in_shadow(tmp_path: Path) -> None:
    again = resumed(tmp_path, shadow_first=False, enforce=False)
    assert row(again)["enforcement"] > 0
    sends = int(row(again)["sends"])
    again.take(batch([sent(account="spam", peer="new", ts=START + HOUR)]))
    assert row(again)["sends"] == sends + 1


@pytest.mark.parametrize("workers", [1, 3])
def test_resumed_run_equals_a_switch_without_snapshot(tmp_path: Path, workers: int) -> None:
    whole = log(crowded(random.Random(7)))
    for cut in (0, 77, 200, len(whole)):
        first = engine(enforce=False)
        first.take(whole[:cut])
        snapshot.save(first, tmp_path / f"{cut}")
        again = engine(enforce=True, workers=workers)
        snapshot.restore(again, tmp_path / f"{cut}")
        switch_mode(first, enforce=True)
        assert again.take(whole[cut:]) == first.take(whole[cut:])
        assert again.fanout.position == len(whole), "no event is lost"
        assert again.finish() == first.finish()
        now, wanted = again.dump(), first.dump()
        assert all(np.array_equal(now[f"core.rows{s}"], wanted[f"core.rows{s}"]) for s in range(64))


def test_switch_to_the_same_mode_changes_nothing() -> None:
    one = engine(enforce=True)
    one.take(FIRST)
    before = {name: array.copy() for name, array in one.dump().items()}
    switch_mode(one, enforce=True)
    assert all(np.array_equal(array, before[name]) for name, array in one.dump().items())
