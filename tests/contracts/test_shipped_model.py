"""The model that is shipped, where one is, is whole and of this catalog; none is a choice."""

from __future__ import annotations

import numpy as np

from wavebreak import model
from wavebreak.features.catalog import FEATURES
from wavebreak.model.storage import SHIPPED


def test_the_shipped_model_loads_by_itself_and_none_is_a_choice() -> None:
    found = model.load_selected(None)
    assert (found is not None) == SHIPPED.is_dir()
    assert model.load_selected("none") is None
    if found is not None:
        assert found.version == model.load(SHIPPED).version
        assert {"restrict", "ban"} <= set(found.thresholds)
        nothing_known = np.full((1, len(FEATURES)), np.nan)
        chance = found.calibration.probability(found.scores(nothing_known))[0]
        assert chance < 0.5, "who is not known is not suspected"
