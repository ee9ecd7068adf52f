"""The quicker benchmarks on real labelled data reach their bars."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.benchmarks import botornot, sichuan, tagged_reports

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data is absent")


def test_reporter_credibility_beats_report_counts() -> None:
    found = tagged_reports.run(DATA, trained=False)
    assert all(bar.met for bar in found.bars), found.bars
    areas = {
        (row.on, row.method): row.figures.auc.value for row in found.rows if row.figures
    }  # fmt: skip
    for on in ("fold 1 → 2", "fold 2 → 1"):
        assert areas[on, "count only: reports"] < 0.63
        assert areas[on, "the live kernel's weights"] > 0.78


def test_botornot_timing_generalizes_across_languages() -> None:
    found = botornot.run(DATA)
    assert all(bar.met for bar in found.bars), found.bars


def test_sichuan_fraud_detection_matches_published_results() -> None:
    # Two repeats of the cross-validation and three fits, as shipped, take twice as long.
    found = sichuan.run(DATA, blend=sichuan.BLEND._replace(fits=1), repeats=1)
    crossed = found.rows[0].figures
    assert crossed is not None
    assert crossed.macro_f1 is not None
    # The bars of 0.96 and 0.91 lie within val's intervals; see the benchmark's report.
    area, f1 = found.bars
    assert min(area.value, crossed.auc.value) >= 0.951
    assert min(f1.value, crossed.macro_f1.value) >= 0.90
