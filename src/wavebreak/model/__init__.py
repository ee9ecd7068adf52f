"""A trained model: walked exactly, calibrated, explained, kept in a directory."""

from wavebreak.model.calibration import Steps, fixed
from wavebreak.model.inference import ONE, REJECTED
from wavebreak.model.model import NEVER_INPUTS, Model, from_booster, smallest
from wavebreak.model.shap import in_words, named, speaks
from wavebreak.model.storage import chosen, load, save

__all__ = [
    "NEVER_INPUTS",
    "ONE",
    "REJECTED",
    "Model",
    "Steps",
    "chosen",
    "fixed",
    "from_booster",
    "in_words",
    "load",
    "named",
    "save",
    "smallest",
    "speaks",
]  # fmt: skip
