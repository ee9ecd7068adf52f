"""No model is shipped; the one that 0.2 shipped reads features that are gone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from support.former_model import extract_shipped_files, load_former_model
from wavebreak import config, model
from wavebreak.errors import ModelError
from wavebreak.features.catalog import FEATURES
from wavebreak.model.storage import TREES


def test_no_model_is_shipped_and_none_is_the_default() -> None:
    assert list(config.SHIPPED.rglob(TREES)) == []
    assert model.load_selected(None) is None
    assert model.load_selected("none") is None


def test_the_model_of_0_2_is_refused_with_the_fix(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="unknown feature: 'gap_autocorr'") as refused:
        model.load(extract_shipped_files(tmp_path))
    assert "train again" in str(refused.value.fix)


def test_trees_of_earlier_format_score() -> None:
    former = load_former_model()
    assert not former.at_home
    unknown = np.full((1, len(FEATURES)), np.nan)
    assert former.calibration.probability(former.scores(unknown))[0] < 0.5
