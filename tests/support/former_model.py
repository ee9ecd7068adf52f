"""The model that 0.2 shipped, read from the bundle that 0.2 made.

Tests score by these trees: they have everything that a stored model may have, support and a share
of newcomers included.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

from wavebreak.model import Model, load
from wavebreak.model.storage import METADATA, TREES

BUNDLE = Path(__file__).parents[1] / "fixtures" / "bundles" / "0.2.zip"
VERSION = "default-06c992e91e6f"


def extract_former_model(directory: Path) -> Path:
    """Write the model's files into a directory; return the directory."""
    directory.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(BUNDLE) as bundle:
        for name in bundle.namelist():
            if name.endswith((f"model/{TREES}", f"model/{METADATA}")):
                (directory / Path(name).name).write_bytes(bundle.read(name))
    return directory


def load_former_model() -> Model:
    """Load the model."""
    with TemporaryDirectory() as directory:
        return load(extract_former_model(Path(directory)))
