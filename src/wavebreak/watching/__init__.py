"""Watch and change safely: what a candidate would change, what drifted, what retraining cuts."""

from wavebreak.watching.checkup import print_checkup, write_checkup
from wavebreak.watching.differences import Change, Differences, Fate, compare
from wavebreak.watching.drift import Checkup, Drift, examine
from wavebreak.watching.replaying import replay
from wavebreak.watching.retraining import Setting, Week, as_json, cuts, live
from wavebreak.watching.showing import print_differences, write_html
from wavebreak.watching.weeks import print_weeks, write_weeks

__all__ = [
    "Change", "Checkup", "Differences", "Drift", "Fate", "Setting", "Week", "as_json", "compare",
    "cuts", "examine", "live", "print_checkup", "print_differences", "print_weeks", "replay",
    "write_checkup", "write_html", "write_weeks",
]  # fmt: skip
