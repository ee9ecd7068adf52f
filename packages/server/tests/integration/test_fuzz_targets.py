"""What reads untrusted bytes takes or refuses them: seeds, the corpora, and mutations of both.

`python -m fuzz` searches for inputs that fail; here a fixed number is tried without a search.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import support
from fuzz import targets
from fuzz.mutations import MOST_BYTES, mutations

TESTS = Path(support.__file__).parents[1]
MUTATIONS = {
    "body-json": 400,
    "body-lines": 400,
    "body-arrow": 400,
    "snapshot": 60,
    "snapshot-file": 100,
    "backup": 80,
    "bundle": 200,
    "policy": 100,
    "identifiers": 1_000,
    "pdf": 300,
    "picture": 1_000,
    "warc": 1_000,
    "claims": 5,
    "batch": 200,
}
MOST_FILES = 40


def test_every_target_has_a_number_of_mutations() -> None:
    assert set(MUTATIONS) == set(targets.TARGETS)


@pytest.mark.parametrize("name", targets.TARGETS)
def test_target_takes_or_refuses_every_input(name: str, tmp_path: Path) -> None:
    known = targets.inputs(name)
    taken = sum(targets.run(name, data) for data in known)
    assert taken > 0
    changed = list(mutations(name, known, MUTATIONS[name]))
    refused = sum(not targets.run(name, data) for data in changed)
    assert refused > 0


def test_corpus_is_small() -> None:
    held = {path.name: list(path.iterdir()) for path in targets.CORPUS.iterdir()}
    assert set(held) == set(targets.TARGETS)
    assert all(0 < len(files) <= MOST_FILES for files in held.values())
    sizes = [file.stat().st_size for files in held.values() for file in files]
    assert max(sizes) <= MOST_BYTES


def test_command_fuzzes_a_target(tmp_path: Path) -> None:
    options = ["--seconds", "2", "--found", str(tmp_path / "found"), "identifiers"]
    done = subprocess.run(
        [sys.executable, "-m", "fuzz", *options],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])},
    )
    assert done.returncode == 0, done.stdout
    name, tried, said = done.stdout.split(maxsplit=2)
    assert (name, said.strip()) == ("identifiers:", "inputs, nothing found")
    assert int(tried.replace(",", "")) > 100
    assert list((tmp_path / "found").iterdir()) == []
