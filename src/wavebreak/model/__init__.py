"""A trained model: walked exactly, calibrated, explained, kept in a directory."""

from wavebreak.model.calibration import Steps, fixed
from wavebreak.model.cascade import rejection_trace
from wavebreak.model.declared import NEVER_INPUTS, Model, from_booster
from wavebreak.model.keeping import load, save
from wavebreak.model.walking import ONE, REJECTED

__all__ = [
    "NEVER_INPUTS", "ONE", "REJECTED", "Model", "Steps", "fixed", "from_booster", "load",
    "rejection_trace", "save",
]  # fmt: skip
