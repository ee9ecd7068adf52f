"""Compare a candidate policy or model with today's, and measure drift."""

from wavebreak.monitoring.drift import Checkup, Drift, examine, print_checkup, write_checkup
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
    "Change", "Checkup", "Differences", "Drift", "Fate", "compare",
    "examine", "print_checkup", "print_differences", "replay",
    "write_checkup", "write_html",
]  # fmt: skip
