"""The engine's weights of reports on public data with known outcomes."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments import reporter_credibility

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data is absent")


def test_reporter_credibility_beats_report_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporter_credibility, "RESAMPLES", 20)
    results = reporter_credibility.run(DATA / "tagged_reports")
    assert len(results) == 2
    for count, weights in results.values():
        assert count.auc < 0.63
        assert weights.auc > 0.78
        assert weights.low <= weights.auc <= weights.high
