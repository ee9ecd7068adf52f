"""A model in a directory: the trees as LightGBM writes them, and everything else as JSON."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from wavebreak.errors import ModelError
from wavebreak.model.calibration import Steps
from wavebreak.model.model import Model

TREES, METADATA = "booster.txt", "model.json"
LAYOUT = 1
SHIPPED = Path(__file__).resolve().parents[1] / "policy" / "model"
"""Where the default model is, if this copy of Wavebreak has one."""
NONE = "none"
"""The name by which a run is told to ask no model."""


def save(model: Model, directory: Path) -> None:
    """Write a model's two files into `directory`: the same model, the same bytes."""
    directory.mkdir(parents=True, exist_ok=True)
    told = json.loads(model.told())
    sealed = {"layout": LAYOUT, "version": model.version, "model": told}
    sealed["sums"] = {TREES: _digest(model.text), "model": _digest(model.told())}
    text = json.dumps(sealed, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    for name, content in ((TREES, model.text), (METADATA, text + "\n")):
        fresh = directory / f"{name}.new"
        fresh.write_bytes(content.encode())
        fresh.replace(directory / name)


def load(directory: Path) -> Model:
    """Read a model.

    Raises `ModelError` where the directory holds none, a file of it is damaged (it names which),
    or the catalog has other features than the model was trained on.
    """
    text, sealed = _read(directory / TREES), _read_metadata(directory)
    if _digest(text) != sealed["sums"].get(TREES):
        raise _damaged_error(directory / TREES)
    try:
        model = _decode_model(text, sealed["model"])
        own, told = model.version, _digest(model.told())
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _damaged_error(directory / METADATA) from error
    if own != sealed["version"] or told != sealed["sums"].get("model"):
        raise _damaged_error(directory / METADATA)
    return model


def load_selected(given: str | None) -> Model | None:
    """Read the model in the directory `given`; "none": no model; None: the shipped one, if any.

    Raises `ModelError` as `load` does.
    """
    if given == NONE or (given is None and not SHIPPED.is_dir()):
        return None
    return load(SHIPPED if given is None else Path(given))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise _damaged_error(path) from error
    except OSError as error:
        raise ModelError(
            f"{path.parent} is not a model: there is no readable {path.name}",
            fix="give the directory that `wavebreak train -o` wrote, or --model none",
        ) from error


def _read_metadata(directory: Path) -> dict[str, Any]:
    try:
        sealed = json.loads(_read(directory / METADATA))
        there = isinstance(sealed["sums"], dict) and isinstance(sealed["model"], dict)
        layout = sealed["layout"]
        sealed["version"]
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged_error(directory / METADATA) from error
    if layout != LAYOUT:
        raise ModelError(
            f"the model in {directory} is of another layout than this Wavebreak's",
            fix="train again: `wavebreak train`; or run with --model none",
        )
    if not there:
        raise _damaged_error(directory / METADATA)
    return dict(sealed)


def _decode_model(text: str, told: dict[str, Any]) -> Model:
    calibration = told["calibration"]
    cascade = [-np.inf if step is None else float(step) for step in told["cascade"]]
    return Model(
        name=str(told["name"]),
        text=text,
        features=tuple((str(name), int(version)) for name, version in told["features"]),
        calibration=Steps(
            np.array(calibration["edges"], np.int64), np.array(calibration["levels"], np.float64)
        ),
        thresholds={str(outcome): int(at) for outcome, at in told["thresholds"].items()},
        cascade=np.array(cascade, np.float64),
        seed=int(told["seed"]),
        training_digest=str(told["training_digest"]),
        training=dict(told["training"]),
        silent=told.get("silent"),
    )


def _damaged_error(path: Path) -> ModelError:
    return ModelError(
        f"the model's file {path} is damaged", fix="copy the model again, or train it again"
    )
