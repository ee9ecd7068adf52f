"""A service that ended in a switch goes on with one of the two, and the job with the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.service_harness import migrated
from wavebreak.engine import Engine
from wavebreak.engine.switch_records import SwitchTerms
from wavebreak.engine.versions import engine_versions
from wavebreak.errors import UsageError
from wavebreak.rules import load_policy
from wavebreak_server.pipeline import job_switches

AFTER = SwitchTerms("p2 none f s", False)


@pytest.fixture(autouse=True)
def _table(tmp_path: Path) -> Iterator[None]:
    with migrated("sqlite", tmp_path):
        job_switches.reconcile(0, "")
        yield


@pytest.mark.parametrize(
    ("end", "versions", "settled"),
    [(7, AFTER.versions, True), (9, AFTER.versions, True), (9, "p1 none f s", True)],
)
def test_a_switch_that_decides_is_settled(end: int, versions: str, settled: bool) -> None:
    job_switches.record(7, AFTER)
    job_switches.reconcile(end, versions)
    record = job_switches.newest()
    assert record is not None
    assert (record.number, record.position, record.settled) == (1, 7, settled)


def test_a_switch_that_nothing_came_of_is_taken_back() -> None:
    job_switches.record(5, AFTER)
    job_switches.settle()
    job_switches.record(7, AFTER)
    job_switches.reconcile(7, "p1 none f s")
    record = job_switches.newest()
    assert record is not None
    assert record.number == 1


def test_a_switch_has_a_bound() -> None:
    large = SwitchTerms("p none f s", False, files={"model/booster.txt": "x" * (32 << 20)})
    with pytest.raises(UsageError, match="and a switch may have"):
        job_switches.record(7, large)


def test_only_policy_model_and_mode_are_switched_at_a_start() -> None:
    engine = Engine(load_policy(), accounts=1024, enforce=True)
    now = engine_versions(engine, 60)
    shadow = engine_versions(engine, 60, enforce=False)
    other = now.replace(engine.policy.version, "other-1")
    assert job_switches.former_mode(shadow, now, engine, 60) is False
    assert job_switches.former_mode(other, now, engine, 60) is True
    for same in ("", now, engine_versions(engine, 90), now.replace(engine.version, "catalog-0")):
        assert job_switches.former_mode(same, now, engine, 60) is None
