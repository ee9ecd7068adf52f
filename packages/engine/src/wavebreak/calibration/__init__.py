"""Calibration: a platform's own floors, ceilings, allowances and thresholds, from days in shadow.

`calibrate` replays the days, derives a policy's numbers from them, and writes what a person
approves.
"""

from wavebreak.calibration.config import Settings, load_settings
from wavebreak.calibration.platform_run import calibrate
from wavebreak.calibration.report import Calibration, calibration_report

__all__ = ["Calibration", "Settings", "calibrate", "calibration_report", "load_settings"]
