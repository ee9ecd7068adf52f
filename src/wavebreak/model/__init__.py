"""A trained model: walked exactly, calibrated, explained, kept in a directory."""

from wavebreak.model.calibration import Steps, fixed
from wavebreak.model.declared import NEVER_INPUTS, Model, from_booster
from wavebreak.model.keeping import chosen, load, save
from wavebreak.model.smallest import smallest
from wavebreak.model.walking import ONE, REJECTED
from wavebreak.model.words import in_words, named, speaks

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
