"""A calibration over a simulated platform's day: from events to a policy that decides."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from support.events import edge
from wavebreak import calibration, rules
from wavebreak.calibration.measurement import measure
from wavebreak.cli.app import app
from wavebreak.engine import Engine
from wavebreak.errors import UsageError
from wavebreak.reports.report import print_report
from wavebreak.reports.tables import Console
from wavebreak_lab import simulation

POLICY = rules.load_policy()
SETTINGS = calibration.load_settings()


@pytest.fixture(scope="module")
def day() -> list[pa.RecordBatch]:
    """A day of 150 people and one sender."""
    world = simulation.simulate(
        people=150, days=1, campaigns=[("blast", 1)], personas=["teacher"], seed=3
    )
    return [edge().apply(batch) for batch in world.batches()]


def test_probes_change_no_decision_and_count_what_rules_see(day: list[pa.RecordBatch]) -> None:
    measured = measure(day, POLICY, None, None, SETTINGS)
    plain = Engine(POLICY)
    for log in day:
        plain.take(log)
    plain.finish()
    slowed = plain.rule_hits()["hourly_allowance"]
    assert measured.reached["hourly_allowance"][60] == slowed > 0
    for ladder in measured.reached.values():
        assert list(ladder.values()) == sorted(ladder.values(), reverse=True)
    assert sum(measured.outcomes.values()) >= measured.accounts


def test_measurement_depends_on_no_number_of_workers(day: list[pa.RecordBatch]) -> None:
    one, three = (measure(day, POLICY, None, None, SETTINGS, workers=n) for n in (1, 3))
    assert (one.reached, one.outcomes, one.accounts) == (
        three.reached, three.outcomes, three.accounts,
    )  # fmt: skip
    assert (one.rows == three.rows).all()


def test_calibration_writes_policy_report_and_numbers(
    day: list[pa.RecordBatch], tmp_path: Path
) -> None:
    def logs() -> Iterator[pa.RecordBatch]:
        yield from day

    target = tmp_path / "policy"
    made = calibration.calibrate(logs, POLICY, None, None, None, SETTINGS, target)
    written = json.loads((target / "calibration.json").read_text("utf-8"))
    assert written == json.loads(json.dumps(made.as_json()))
    assert written["versions"]["proposed policy"] == rules.load_policy(target).version
    page = (target / "calibration.html").read_text("utf-8")
    assert page.count("<svg") >= 2
    assert "http" not in page.replace("http://www.w3.org", "")
    console = Console(width=80, record=True, file=io.StringIO())
    print_report(calibration.calibration_report(made), console)
    assert max(map(len, console.export_text().splitlines())) <= 80


def test_log_without_accounts_cannot_be_calibrated(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="fix: run longer"):
        calibration.calibrate(lambda: [], POLICY, None, None, None, SETTINGS, tmp_path / "p")


def test_run_with_enforcement_is_refused(tmp_path: Path) -> None:
    summary = {"mode": "enforce", "versions": {"policy": POLICY.version, "model": None}}
    (tmp_path / "summary.json").write_text(json.dumps(summary), "utf-8")
    done = CliRunner().invoke(
        app, ["calibrate", str(tmp_path), "-o", str(tmp_path / "p"), "--model", "none"]
    )
    assert done.exit_code != 0
    assert isinstance(done.exception, UsageError)
    assert "run in shadow" in done.exception.fix
