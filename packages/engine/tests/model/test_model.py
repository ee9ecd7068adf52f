"""Models: storage, versions, and refusal of features that they were not trained on."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest

from wavebreak import model
from wavebreak.errors import ModelError
from wavebreak.features.catalog import NAMES
from wavebreak.model.model import Support
from wavebreak.model.storage import METADATA, TREES

INPUTS = NAMES[:12]


def booster(names: tuple[str, ...] = INPUTS) -> Any:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(2_000, len(names)))
    y = x[:, 0] + x[:, 1] > rng.normal(size=len(x))
    settings = {"objective": "binary", "num_leaves": 7, "verbose": -1, "num_threads": 1}
    return lightgbm.train(settings, lightgbm.Dataset(x, y, feature_name=list(names)), 11)


def made(**more: Any) -> model.Model:
    given: dict[str, Any] = {
        "name": "test",
        "thresholds": {"ban": 6 * model.ONE, "restrict": 4 * model.ONE},
        "cascade": [-2.0, -np.inf],
        "seed": 7,
        "training_digest": "0" * 64,
        "training": {"rounds": 11},
    }
    return model.from_booster(booster(), **(given | more))


def test_model_saved_and_loaded_scores_alike(tmp_path: Path) -> None:
    before = made()
    model.save(before, tmp_path / "model")
    after = model.load(tmp_path / "model")
    rows = np.random.default_rng(2).normal(size=(500, len(NAMES)))
    assert after.version == before.version
    assert after.version.startswith("test-")
    assert len(after.version) == len("test-") + 12
    assert after.scores(rows).tolist() == before.scores(rows).tolist()
    assert after.thresholds == before.thresholds
    assert after.calibration.probability([0]) == before.calibration.probability([0])
    assert dict(after.training) == {"rounds": 11}


def test_model_abstains_far_from_its_training_data(tmp_path: Path) -> None:
    support = Support({INPUTS[0]: (-1.0, 1.0), INPUTS[1]: (0.0, 2.0)}, 1)
    plain, bounded = made(cascade=None), replace(made(cascade=None), support=support)
    rows = np.random.default_rng(3).normal(size=(400, len(NAMES)))
    rows[:50, :2] = np.nan
    outside = (np.abs(rows[:, 0]) > 1.0).astype(int)
    outside += (rows[:, 1] < 0.0) | (rows[:, 1] > 2.0)
    expected = np.where(outside > 1, model.REJECTED, plain.scores(rows))
    assert bounded.scores(rows).tolist() == expected.tolist()
    assert 20 < (outside > 1).sum() < 300
    model.save(bounded, tmp_path)
    after = model.load(tmp_path)
    assert (after.version, after.support) == (bounded.version, support)
    assert after.scores(rows).tolist() == expected.tolist()
    assert bounded.version != plain.version


def test_model_saved_twice_has_equal_bytes(tmp_path: Path) -> None:
    for name in "ab":
        model.save(made(), tmp_path / name)
    for file in (TREES, METADATA):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_model_version_covers_trees_and_metadata() -> None:
    changes: tuple[dict[str, Any], ...] = (
            {}, {"seed": 8}, {"thresholds": {"ban": 1}}, {"cascade": None}, {"training": {}},
            {"calibration": model.Steps.of([0.0], [0.1, 0.9])}, {"training_digest": "1"},
    )  # fmt: skip
    assert len({made(**more).version for more in changes}) == len(changes)


def test_model_load_does_not_import_lightgbm(tmp_path: Path) -> None:
    model.save(made(), tmp_path)
    told = (
        "import sys; from pathlib import Path; from wavebreak import model;"
        f"print(model.load(Path({str(tmp_path)!r})).version, 'lightgbm' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [made().version, "False"]


def edited(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def edit(directory: Path) -> None:
        told = json.loads((directory / METADATA).read_text(encoding="utf-8"))
        change(told)
        (directory / METADATA).write_text(json.dumps(told), encoding="utf-8")

    return edit


def cut_short(name: str) -> Callable[[Path], None]:
    def cut(directory: Path) -> None:
        content = (directory / name).read_bytes()
        (directory / name).write_bytes(content[: len(content) // 2])

    return cut


def flipped(directory: Path) -> None:
    content = bytearray((directory / TREES).read_bytes())
    content[len(content) // 3] ^= 1
    (directory / TREES).write_bytes(bytes(content))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (flipped, "booster.txt is damaged"),
        (cut_short(TREES), "booster.txt is damaged"),
        (cut_short(METADATA), "model.json is damaged"),
        (lambda d: (d / METADATA).write_bytes(b"\xff\xfe"), "model.json is damaged"),
        (lambda d: (d / METADATA).write_bytes(b"[]"), "model.json is damaged"),
        (lambda d: (d / TREES).unlink(), "booster.txt is missing or unreadable"),
        (lambda d: (d / METADATA).unlink(), "model.json is missing or unreadable"),
        (edited(lambda told: told.pop("sums")), "model.json is damaged"),
        (edited(lambda told: told.update(layout=2)), "another layout"),
        (edited(lambda told: told["model"].pop("seed")), "model.json is damaged"),
        (edited(lambda told: told["model"].update(seed=9)), "model.json is damaged"),
        (edited(lambda told: told["model"].update(cascade=[None])), "cascade has 1"),
        (edited(lambda told: told["model"].update(thresholds={"ban": "x"})), "is damaged"),
    ],
)
def test_model_damaged_file_is_named_in_the_error(
    tmp_path: Path, damage: Callable[[Path], object], said: str
) -> None:
    model.save(made(), tmp_path)
    damage(tmp_path)
    with pytest.raises(ModelError, match=said) as refused:
        model.load(tmp_path)
    assert refused.value.fix


def test_model_of_other_features_is_refused() -> None:
    with pytest.raises(ModelError, match="unknown feature: 'shoe_size'"):
        model.from_booster(booster((*NAMES[:11], "shoe_size")), name="test")
    older = ((INPUTS[0], 99), *made().features[1:])
    with pytest.raises(ModelError, match=f"another version of '{INPUTS[0]}'"):
        replace(made(), features=older)
    with pytest.raises(ModelError, match="feature_names differ"):
        replace(made(), features=made().features[::-1])


@pytest.mark.parametrize("name", model.NEVER_INPUTS)
def test_model_reading_scores_is_refused(name: str) -> None:
    with pytest.raises(ModelError, match="a model's own score"):
        model.from_booster(booster((*NAMES[:11], name)), name="test")


def test_model_threshold_of_unknown_outcome_is_refused() -> None:
    with pytest.raises(ModelError, match="unknown outcome 'smite'"):
        made(thresholds={"smite": 1})


def test_to_fixed_point_rounds_half_to_even_and_clips() -> None:
    half = 0.5 / model.ONE
    exact = [0.0, half, 3 * half, -half, -3 * half, 1e9, -1e9, np.inf, -np.inf]
    bound = 2**31 - 1
    assert model.to_fixed_point(exact).tolist() == [0, 0, 2, 0, -2, bound, -bound, bound, -bound]
    assert model.to_fixed_point([-1e9])[0] > model.REJECTED


def test_calibration_rises_and_steps_at_its_edges() -> None:
    steps = model.Steps.of([-1.0, 0.0, 2.5], [0.0, 0.2, 0.2, 0.9])
    at = model.to_fixed_point([-9.0, -1.0, -1e-9, 0.0, 2.49, 2.5, 99.0])
    assert steps.probability(at).tolist() == [0.0, 0.2, 0.2, 0.2, 0.2, 0.9, 0.9]
    assert steps.probability([model.REJECTED]).tolist() == [0.0]
    together = model.Steps.of([0.0, 1e-9, 1.0], [0.1, 0.2, 0.3, 0.4])
    assert together.probability([-1, 0, model.ONE]).tolist() == [0.1, 0.3, 0.4]
    logistic = model.Steps.logistic()
    margins = np.linspace(-9.9, 9.9, 101)
    error = logistic.probability(model.to_fixed_point(margins)) - 1 / (1 + np.exp(-margins))
    assert np.abs(error).max() < 0.05
    for edges, levels in (([1.0, 0.0], [0, 0.5, 1]), ([0.0], [0.5, 0.4]), ([0.0], [0.5, 1.1])):
        with pytest.raises(ModelError, match="do not rise"):
            model.Steps(model.to_fixed_point(edges), np.array(levels))
