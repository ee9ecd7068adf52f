"""The smallest model: one split. For compiling what scores, where no model is shipped."""

from __future__ import annotations

import numpy as np

from wavebreak.features.catalog import FEATURES
from wavebreak.model.calibration import Steps
from wavebreak.model.declared import Model

_TEXT = """tree
num_class=1
num_tree_per_iteration=1
feature_names={name}

Tree=0
num_leaves=2
num_cat=0
split_feature=0
split_gain=1
threshold=1
decision_type=8
left_child=-1
right_child=-2
leaf_value=-1 1
leaf_count=1 1
internal_count=2

end of trees
"""


def smallest() -> Model:
    """Make a model of one split over the catalog's first feature; it acts nowhere.

    >>> smallest().margin(np.full(len(FEATURES), 5.0))
    1.0
    """
    first = FEATURES[0]
    return Model(
        name="smallest",
        text=_TEXT.format(name=first.name),
        features=((first.name, first.version),),
        calibration=Steps.logistic(),
        thresholds={},
        cascade=np.array([-np.inf]),
        seed=0,
        training_digest="",
    )
