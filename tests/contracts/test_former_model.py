"""No model is shipped, and the model that 0.2 shipped loads from the bundles that hold it."""

from __future__ import annotations

import numpy as np

from support.former_model import VERSION, load_former_model
from wavebreak import config, model
from wavebreak.features.catalog import FEATURES
from wavebreak.model.storage import TREES


def test_no_model_is_shipped_and_none_is_the_default() -> None:
    assert list(config.SHIPPED.rglob(TREES)) == []
    assert model.load_selected(None) is None
    assert model.load_selected("none") is None


def test_the_model_of_0_2_loads_and_scores() -> None:
    former = load_former_model()
    assert former.version == VERSION
    assert not former.at_home
    unknown = np.full((1, len(FEATURES)), np.nan)
    assert former.calibration.probability(former.scores(unknown))[0] < 0.5
