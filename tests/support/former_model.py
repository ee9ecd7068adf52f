"""A model with everything that a stored one may have: support and a share of newcomers included.

Its trees are those that 0.2 shipped, read from the bundle that 0.2 made. They read features that
Wavebreak no longer has; each is replaced by one that it has, so scores mean nothing.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from wavebreak.features.catalog import NAMES, current_name, get_feature
from wavebreak.model import Model, load, storage

BUNDLE = Path(__file__).parents[1] / "fixtures" / "bundles" / "0.2.zip"
REPLACEMENTS = (
    "stranger_contacts", "stranger_answers", "unanswered_strangers_1d", "strangers_contacted_1h",
    "answers_of_strangers_1h", "first_contact_allowance_1h", "strangers_written_15s",
    "recipients_on_device", "operator_accounts", "operator_abusive_accounts", "origin_bad",
    "mass_mentions_1h", "people_mentioned_1d", "group_reports_1d", "lane", "verification_weak",
    "block_arrivals", "block_young", "label_unconfirmed",
)  # fmt: skip
"""In place of the features that are gone, in the order of the model's inputs."""


def extract_shipped_files(directory: Path) -> Path:
    """Write the files of 0.2's model into a directory; return the directory."""
    directory.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(BUNDLE) as bundle:
        for name in bundle.namelist():
            if name.endswith((f"model/{storage.TREES}", f"model/{storage.METADATA}")):
                (directory / Path(name).name).write_bytes(bundle.read(name))
    return directory


def extract_former_model(directory: Path) -> Path:
    """Write the model's files into a directory; return the directory."""
    extract_shipped_files(directory)
    document = json.loads((directory / storage.METADATA).read_text("utf-8"))["model"]
    gone = [name for name, _ in document["features"] if current_name(name) not in NAMES]
    replaced = dict(zip(gone, REPLACEMENTS, strict=True))
    document["features"] = [
        _input(name, version, replaced) for name, version in document["features"]
    ]
    ranges = document["support"]["ranges"]
    document["support"]["ranges"] = {replaced.get(name, name): ranges[name] for name in ranges}
    lines = (directory / storage.TREES).read_text("utf-8").split("\n")
    for number, line in enumerate(lines):
        if line.startswith("feature_names="):
            names = line.removeprefix("feature_names=").split(" ")
            lines[number] = "feature_names=" + " ".join(replaced.get(n, n) for n in names)
    storage.save(storage.decode_model("\n".join(lines), document), directory)
    return directory


def _input(name: str, version: int, replaced: dict[str, str]) -> list[Any]:
    return (
        [replaced[name], get_feature(replaced[name]).version]
        if name in replaced
        else [name, version]
    )


def load_former_model() -> Model:
    """Load the model."""
    with TemporaryDirectory() as directory:
        return load(extract_former_model(Path(directory)))
