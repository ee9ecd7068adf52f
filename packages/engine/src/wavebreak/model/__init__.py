"""Models: LightGBM trees with exact inference, calibration, explanations and storage.

Inference is compiled by Numba: each name is imported on first use.
"""

from typing import TYPE_CHECKING

from wavebreak.extras import lazily

if TYPE_CHECKING:
    from wavebreak.model.calibration import Steps, to_fixed_point
    from wavebreak.model.inference import ONE, REJECTED
    from wavebreak.model.model import NEVER_INPUTS, Model, from_booster, smallest_model
    from wavebreak.model.storage import load, load_selected, save
else:
    __getattr__ = lazily(
        __name__,
        {
            "calibration": "Steps to_fixed_point",
            "inference": "ONE REJECTED",
            "model": "NEVER_INPUTS Model from_booster smallest_model",
            "storage": "load load_selected save",
        },
    )

__all__ = [
    "NEVER_INPUTS",
    "ONE",
    "REJECTED",
    "Model",
    "Steps",
    "from_booster",
    "load",
    "load_selected",
    "save",
    "smallest_model",
    "to_fixed_point",
]
