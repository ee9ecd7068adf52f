"""Compare a candidate policy or model with today's, and measure drift."""

from wavebreak.monitoring.drift import (
    DriftReport,
    FeatureDrift,
    measure_drift,
    print_drift,
    write_drift,
)
from wavebreak.monitoring.run_diff import (
    Change,
    Differences,
    Fate,
    compare,
    print_differences,
    replay,
    write_html,
)

__all__ = [
    "Change",
    "Differences",
    "DriftReport",
    "Fate",
    "FeatureDrift",
    "compare",
    "measure_drift",
    "print_differences",
    "print_drift",
    "replay",
    "write_drift",
    "write_html",
]
