"""Comparison of a candidate policy or model with today's, and measurement of drift."""

from wavebreak.monitoring.drift import DriftReport, FeatureDrift, drift_report, measure_drift
from wavebreak.monitoring.run_diff import (
    AccountResult,
    Change,
    Differences,
    compare,
    differences_report,
    replay,
)

__all__ = [
    "AccountResult",
    "Change",
    "Differences",
    "DriftReport",
    "FeatureDrift",
    "compare",
    "differences_report",
    "drift_report",
    "measure_drift",
    "replay",
]
