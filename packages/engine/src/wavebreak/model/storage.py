"""Storage of models: a directory with the trees as LightGBM writes them, and metadata as JSON."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from wavebreak.durable_files import replace_file
from wavebreak.errors import ModelError
from wavebreak.model.calibration import Steps
from wavebreak.model.model import Model, Support

TREES, METADATA = "booster.txt", "model.json"
LAYOUT = 1
NONE = "none"
"""Name that selects no model."""


def save(model: Model, directory: Path) -> None:
    """Write a model's two files into `directory`; the same model gives the same bytes."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in files_of(model).items():
        replace_file(directory / name, text.encode())


def files_of(model: Model) -> dict[str, str]:
    """Return a model's two files by their names."""
    content = json.loads(model.metadata())
    document = {"layout": LAYOUT, "version": model.version, "model": content}
    document["sums"] = {TREES: _digest(model.text), "model": _digest(model.metadata())}
    text = json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return {TREES: model.text, METADATA: text + "\n"}


def load(directory: Path) -> Model:
    """Load a model from a directory.

    Raises:
        ModelError: The directory has no model, a file is damaged (the error names it), or the
            catalog has other features than the model was trained on.
    """
    text, document = _read(directory / TREES), _read_metadata(directory)
    if _digest(text) != document["sums"].get(TREES):
        raise _damaged_error(directory / TREES)
    try:
        model = decode_model(text, document["model"])
        own, digest = model.version, _digest(model.metadata())
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _damaged_error(directory / METADATA) from error
    if own != document["version"] or digest != document["sums"].get("model"):
        raise _damaged_error(directory / METADATA)
    return model


def load_selected(directory: str | None) -> Model | None:
    """Load the model in a directory. None and "none" select no model: rules alone decide.

    Raises:
        ModelError: As for `load`.
    """
    return None if directory in (None, NONE) else load(Path(directory))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise _damaged_error(path) from error
    except OSError as error:
        raise ModelError(
            f"{path.parent} is not a model directory: {path.name} is missing or unreadable",
            fix="give the directory that `wavebreak train -o` wrote, or --model none",
        ) from error


def _read_metadata(directory: Path) -> dict[str, Any]:
    try:
        document = json.loads(_read(directory / METADATA))
        complete = isinstance(document["sums"], dict) and isinstance(document["model"], dict)
        layout = document["layout"]
        document["version"]
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged_error(directory / METADATA) from error
    if layout != LAYOUT:
        raise ModelError(
            f"the model in {directory} is of another layout than this Wavebreak's",
            fix="train again: `wavebreak train`; or run with --model none",
        )
    if not complete:
        raise _damaged_error(directory / METADATA)
    return dict(document)


def decode_model(text: str, metadata: dict[str, Any]) -> Model:
    """Return the model of a file of trees and its metadata."""
    calibration = metadata["calibration"]
    cascade = [-np.inf if step is None else float(step) for step in metadata["cascade"]]
    return Model(
        name=str(metadata["name"]),
        text=text,
        features=tuple((str(name), int(version)) for name, version in metadata["features"]),
        calibration=Steps(
            np.array(calibration["edges"], np.int64), np.array(calibration["levels"], np.float64)
        ),
        thresholds={str(outcome): int(at) for outcome, at in metadata["thresholds"].items()},
        cascade=np.array(cascade, np.float64),
        seed=int(metadata["seed"]),
        training_digest=str(metadata["training_digest"]),
        training=dict(metadata["training"]),
        silent=metadata.get("silent"),
        support=Support.from_json(metadata.get("support")),
    )


def _damaged_error(path: Path) -> ModelError:
    return ModelError(
        f"the model's file {path} is damaged", fix="copy the model again, or train it again"
    )
