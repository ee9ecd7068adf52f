"""A model: trees, calibration, thresholds, and the features that it was trained on.

`smallest_model` returns a model of one split, to compile inference before a model is loaded.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from wavebreak.errors import ModelError
from wavebreak.features.catalog import FEATURES, FORMER_NAMES, INDEX, NAMES
from wavebreak.model import inference
from wavebreak.model.calibration import Steps
from wavebreak.model.shap import Paths, contributions, paths_of
from wavebreak.model.trees import Forest, parse_trees
from wavebreak.outcomes import ABOVE_ALLOW, BY_RANK

NEVER_INPUTS = ("score", "registration_score")
"""A model's own scores: features for rules that no model reads."""
REASONS: Final = 5
"""Features given as reasons of one decision."""
COLUMNS: Final[dict[str, int]] = INDEX | {
    former: INDEX[name] for former, name in FORMER_NAMES.items()
}
"""Column of the values by name of a feature; a model trained with 0.1 uses former names."""
_AGAIN = "train again: `wavebreak train`; or run with --model none"


NEVER_FAR = -1.0
"""The number of features allowed outside that a packed support without ranges begins with."""


@dataclass(frozen=True)
class Support:
    """Ranges of some features in training, and how many of them may be exceeded.

    A row with more than `most` features outside their range (`ranges`: lowest and highest value by
    name) is far from the training data, and gets the lowest score. A missing value is outside no
    range.

    `newcomers` is the largest share of newcomers among the active accounts of a platform on which
    the model says anything (0: any). See `features.newcomer_share`.
    """

    ranges: Mapping[str, tuple[float, float]]
    most: int
    newcomers: float = 0.0

    def packed(self, names: tuple[str, ...]) -> npt.NDArray[np.float64]:
        """Return `most`, the lowest and the highest value of each column: float64[1 + 2 n].

        >>> Support({"b": (0.0, 5.0)}, 1).packed(("a", "b")).tolist()
        [1.0, -inf, 0.0, inf, 5.0]
        """
        low, high = np.full(len(names), -np.inf), np.full(len(names), np.inf)
        for name, (lowest, highest) in self.ranges.items():
            low[names.index(name)], high[names.index(name)] = lowest, highest
        return np.concatenate([[float(self.most)], low, high])

    def as_json(self) -> dict[str, Any]:
        """Return the support as plain JSON values."""
        written = {"most": self.most, "ranges": {n: list(r) for n, r in self.ranges.items()}}
        return written | ({"newcomers": self.newcomers} if self.newcomers else {})

    @classmethod
    def from_json(cls, written: Mapping[str, Any] | None) -> Support | None:
        """Return the support that `as_json` wrote (None: none).

        Raises:
            TypeError, ValueError, KeyError: It is not well formed.

        >>> Support.from_json({"most": 1, "ranges": {"age_s": [0.0, 9.0]}})
        Support(ranges={'age_s': (0.0, 9.0)}, most=1, newcomers=0.0)
        """
        if written is None:
            return None
        ranges = {str(n): (float(low), float(high)) for n, (low, high) in written["ranges"].items()}
        newcomers = float(written.get("newcomers", 0.0))
        if not 0.0 <= newcomers <= 1.0:
            raise ValueError("newcomers is no share")
        return cls(ranges, int(written["most"]), newcomers)


def no_support(columns: int) -> npt.NDArray[np.float64]:
    """Return a packed support from which no row is far."""
    return np.full(1 + 2 * columns, NEVER_FAR)


@dataclass(frozen=True, eq=False)
class Model:
    """Trees over the catalog's features, and the outcomes that follow from their margin.

    - `text`: the trees as LightGBM writes them; `features`: name and version of each input, in
      the order of training.
    - `calibration`: margin to probability. `thresholds`: outcome to the margin (fixed point of
      1/65,536, at or above) from which it follows.
    - `silent`: the most severe outcome for an account that has started no chat; None: any. Set
      where too few such accounts were in training.
    - `cascade`: float64, one a block of eight trees: a row whose sum after the block is below it
      is rejected with the lowest score; -inf never rejects. Source: Bourdev & Brandt, "Robust
      object detection via soft cascade", CVPR 2005.
    - `training`: small facts about the training (plain JSON values).
    - `support`: where the training data lay; far from there a row gets the lowest score (None:
      the model scores every row).
    """

    name: str
    text: str
    features: tuple[tuple[str, int], ...]
    calibration: Steps
    thresholds: Mapping[str, int]
    cascade: npt.NDArray[np.float64]
    seed: int
    training_digest: str
    training: Mapping[str, Any] = field(default_factory=dict)
    silent: str | None = None
    support: Support | None = None

    def __post_init__(self) -> None:
        for name, version in self.features:
            _check_input(name, version)
        if unknown := {*self.thresholds, self.silent or "ban"} - set(ABOVE_ALLOW):
            raise ModelError(
                f"thresholds name an unknown outcome {min(unknown)!r}",
                fix=f"use one of: {', '.join(ABOVE_ALLOW)}",
            )
        if self.forest.inputs != tuple(name for name, _ in self.features):
            raise ModelError(
                "the trees' feature_names differ from the model's list of features", fix=_AGAIN
            )
        if self.support and (unknown := set(self.support.ranges) - set(NAMES)):
            raise ModelError(
                f"the support names an unknown feature: {min(unknown)[:64]!r}", fix=_AGAIN
            )
        blocks = self.forest.blocks
        if self.cascade.shape != (blocks,):
            raise ModelError(
                f"the cascade has {self.cascade.size} steps for {blocks} blocks of trees",
                fix="give one threshold a block of eight trees",
            )

    @cached_property
    def forest(self) -> Forest:
        """The trees, over columns in the catalog's order."""
        return parse_trees(self.text, COLUMNS)

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of trees and metadata."""
        return hashlib.sha256(self.text.encode() + b"\0" + self.metadata().encode()).hexdigest()

    @property
    def version(self) -> str:
        """The model's name and the first 12 hex digits of its digest."""
        return f"{self.name}-{self.digest[:12]}"

    def metadata(self) -> str:
        """Return everything but the trees as JSON; the same model gives the same bytes."""
        cascade = [None if np.isneginf(step) else float(step) for step in self.cascade]
        metadata = {
            "name": self.name,
            "features": [[name, version] for name, version in self.features],
            "calibration": {
                "edges": self.calibration.edges.tolist(),
                "levels": self.calibration.levels.tolist(),
            },
            "thresholds": {o: int(self.thresholds[o]) for o in BY_RANK if o in self.thresholds},
            "cascade": cascade,
            "seed": self.seed,
            "training_digest": self.training_digest,
            "training": dict(self.training),
        } | ({"silent": self.silent} if self.silent else {})
        metadata |= {"support": self.support.as_json()} if self.support else {}
        return json.dumps(metadata, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)

    @property
    def at_home(self) -> bool:
        """Whether the platform that it scores has learned it by itself."""
        return self.training.get("learned") == "home"

    @property
    def address(self) -> int:
        """Address of the C function `int64 score(int64 model, int64 values)`."""
        return inference.scorer().address

    @cached_property
    def _numbers(self) -> npt.NDArray[np.int64]:
        return inference.pack_model(self.forest, self.cascade, self._packed_support)

    @property
    def newcomers(self) -> float:
        """Share of newcomers among active accounts above which the model abstains; 0: never."""
        return self.support.newcomers if self.support else 0.0

    @cached_property
    def _packed_support(self) -> npt.NDArray[np.float64]:
        return self.support.packed(NAMES) if self.support else no_support(len(NAMES))

    @property
    def numbers_address(self) -> int:
        """Address of the packed model, the first argument of the C function."""
        return int(self._numbers.ctypes.data)

    @property
    def keepalive(self) -> Any:
        """Owners of the memory at the addresses, and the paths that reasons need."""
        return self, self._numbers, self._packed_support, inference.scorer(), self._paths

    def margins(self, values: Any) -> npt.NDArray[np.float64]:
        """Return margins (raw log-odds), exactly LightGBM's: float64[n] of float64[n, catalog]."""
        return inference.margins(self.forest, values)

    def margin(self, values: Any) -> float:
        """Return the margin of one row, float64[catalog]: the same to the last bit."""
        return inference.margin(self.forest, values)

    @cached_property
    def _paths(self) -> Paths:
        return paths_of(self.forest)

    def contributions(self, values: Any) -> npt.NDArray[np.float64]:
        """Return each feature's contribution to one row's margin (TreeSHAP): float64[catalog]."""
        return contributions(self._paths, values, len(self.forest.names))

    def reasons(self, values: Any, most: int = REASONS) -> Mapping[str, float]:
        """Return the features that contributed most to a row's margin, largest first.

        In log-odds, above 0 for abuse, rounded to four places; zeros are left out.
        """
        made = np.round(self.contributions(values), 4)
        order = np.argsort(-np.abs(made), kind="stable")[:most]
        return {self.forest.names[f]: float(made[f]) for f in order if made[f] != 0}

    def partials(self, values: Any) -> npt.NDArray[np.float64]:
        """Return sums after each block of eight trees: float64[n, blocks]."""
        return inference.partials(self.forest, values)

    def scores(self, values: Any) -> npt.NDArray[np.int64]:
        """Return what the kernel gets: margins in fixed point through support and cascade."""
        return inference.scores(self.forest, self.cascade, self._packed_support, values)


def from_booster(
    booster: Any, *, name: str, calibration: Steps | None = None,
    thresholds: Mapping[str, int] | None = None, cascade: Any = None, seed: int = 0,
    training_digest: str = "", training: Mapping[str, Any] | None = None,
) -> Model:  # fmt: skip
    """Make a model of a `lightgbm.Booster` whose feature names are the catalog's.

    Defaults: logistic calibration, no thresholds, a cascade that never rejects.

    Raises:
        ModelError: The booster reads a feature that the catalog does not have.
    """
    text: str = booster.model_to_string()
    names: Sequence[str] = booster.feature_name()
    for feature in names:
        _check_input(feature, None)
    blocks = parse_trees(text, COLUMNS).blocks
    steps = np.full(blocks, -np.inf) if cascade is None else np.array(cascade, np.float64)
    return Model(
        name=name,
        text=text,
        features=tuple((n, FEATURES[INDEX[n]].version) for n in names),
        calibration=calibration or Steps.logistic(),
        thresholds=dict(thresholds or {}),
        cascade=steps,
        seed=seed,
        training_digest=training_digest,
        training=dict(training or {}),
    )


def _check_input(name: str, version: int | None) -> None:
    if name in NEVER_INPUTS:
        raise ModelError(f"the model reads {name!r}, which is a model's own score", fix=_AGAIN)
    if name not in COLUMNS:
        raise ModelError(f"the model reads an unknown feature: {name[:64]!r}", fix=_AGAIN)
    renamed = int(name in FORMER_NAMES)
    if version not in (None, FEATURES[COLUMNS[name]].version - renamed):
        raise ModelError(f"the model was trained on another version of {name!r}", fix=_AGAIN)


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


def smallest_model() -> Model:
    """Return a model of one split over the catalog's first feature, without thresholds.

    >>> smallest_model().margin(np.full(len(FEATURES), 5.0))
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
