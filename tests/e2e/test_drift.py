"""Drift against the training stream and another one."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from support import scoring_points
from wavebreak import cli, monitoring, rules
from wavebreak.reports.html import render_html
from wavebreak_lab import simulation, training

SMALL, POLICY = scoring_points.small(), rules.load_policy()


def world(out: Path, seed: int) -> Path:
    made = simulation.simulate(
        people=150,
        days=0.3,
        campaigns=[("blast", 6), ("jitter", 6)] * 4,
        personas=["courier"],
        seed=seed,
    )
    simulation.write(made, out)
    return out


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A world, and a small model of it."""
    place = tmp_path_factory.mktemp("drift")
    source = world(place / "world", 1_006)
    training.train([source], place / "model", POLICY, SMALL, seed=2, allow=scoring_points.NAMES)
    return source, place / "model"


def test_drift_on_the_training_stream_is_steady(trained: tuple[Path, Path], tmp_path: Path) -> None:
    source, made = trained
    found = monitoring.measure_drift(made, source, POLICY)
    assert found.verdict == "steady"
    assert found.points > 300
    assert found.calibration
    assert sum(one.observed for one in found.calibration) > 0
    again = monitoring.measure_drift(made, source, POLICY)
    pages = [render_html(monitoring.drift_report(drift)) for drift in (found, again)]
    assert pages[0] == pages[1]


def test_drift_without_registrations_and_typing_has_moved(
    trained: tuple[Path, Path], tmp_path: Path
) -> None:
    _, made = trained
    poor = tmp_path / "poor.csv"
    with poor.open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["ts", "type", "account", "peer"])
        lines.writerows(
            [1_767_225_600 + 37 * k, "m", f"a{k % 9}", f"a{(k + 1) % 9}"] for k in range(900)
        )
    ran = CliRunner().invoke(
        cli.app,
        [
            "import",
            "csv",
            str(poor),
            "--types",
            "m=message.sent",
            "-o",
            str(tmp_path / "events.parquet"),
        ],
    )
    assert ran.exit_code == 0, ran.output
    result = CliRunner().invoke(
        cli.app, ["drift", str(made), str(tmp_path / "events.parquet"), "--json", "--strict"]
    )
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert found["verdict"] == "moved"
    assert next(f for f in found["features"] if f["name"] == "age_s")["missing_now"] == 1.0
