"""Watch and change safely: what a candidate would change, what drifted, what retraining cuts."""

from experiments.weekly_retraining.report import print_weeks, write_weeks
from experiments.weekly_retraining.retraining import Setting, Week, as_json, cuts, live
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
    "Change", "Checkup", "Differences", "Drift", "Fate", "Setting", "Week", "as_json", "compare",
    "cuts", "examine", "live", "print_checkup", "print_differences", "print_weeks", "replay",
    "write_checkup", "write_html", "write_weeks",
]  # fmt: skip
