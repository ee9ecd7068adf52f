"""Comparison of a candidate policy or model with today's, and measurement of drift."""

from wavebreak.monitoring.drift import (
    DriftReport,
    FeatureDrift,
    measure_drift,
    print_drift,
    write_drift,
)
from wavebreak.monitoring.run_diff import (
    AccountResult,
    Change,
    Differences,
    compare,
    print_differences,
    replay,
    write_html,
)

__all__ = [
    "AccountResult",
    "Change",
    "Differences",
    "DriftReport",
    "FeatureDrift",
    "compare",
    "measure_drift",
    "print_differences",
    "print_drift",
    "replay",
    "write_drift",
    "write_html",
]
