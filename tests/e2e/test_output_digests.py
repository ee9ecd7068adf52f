"""What is written today is byte for byte what was written when `output_digests.json` was made.

Held, each made by the console command alone (see `output_digests.py`, which also writes the file
anew): a simulated day; runs over it with and without the model of 0.2, in shadow and enforcing; a
run over a real trace; a sealed run's ledger; a case's bundle, member by member; the API's document
and the tables and migrations of a fresh service.

A sealed run and a case read the clock, draw salts and name the machine, so that their bytes vary:
their commands run here under a clock, salts and a name that are settled (see
`settled_process.py`). Not held:
the version of Wavebreak and Python; times and paths in summary.json; of a bundle the PDFs (their
bytes are the typesetter's and the fonts'), made.json, verifier.py and the manifests over them. A
service's own ledger is not held either: it seals in batches that depend on time.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from support import output_digests
from support.output_digests import HELD, MODELS, MODES, TRACE, TRACES

HELD_DIGESTS: dict[str, Any] = json.loads(HELD.read_text("utf-8"))


def differing(made: Any, held: Any, at: str = "") -> list[str]:
    """Where two trees of digests differ, by path."""
    if not (isinstance(made, dict) and isinstance(held, dict)):
        return [] if made == held else [f"{at}: {held!r} became {made!r}"]
    keys = [*held, *(key for key in made if key not in held)]
    return [line for key in keys for line in differing(made.get(key), held.get(key), f"{at}/{key}")]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return output_digests.day(tmp_path_factory.mktemp("day"))


def test_a_simulated_day_has_the_held_bytes(world: Path) -> None:
    assert differing(output_digests.of_day(world), HELD_DIGESTS["day"]) == []


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("mode", MODES)
def test_a_run_writes_what_is_held(world: Path, tmp_path: Path, mode: str, model: str) -> None:
    made = output_digests.decided(world, tmp_path / "out", mode, model)
    assert made["count"] > 20
    assert differing(made, HELD_DIGESTS[f"run, {mode}, {model}"]) == []


def test_a_real_trace_is_decided_as_is_held(tmp_path: Path) -> None:
    if not (TRACES / f"{TRACE}.csv.gz").exists():
        pytest.skip(f"../shared/data/traces/{TRACE}.csv.gz is absent")
    made = output_digests.of_trace(tmp_path)
    assert made["run"]["count"] > 3
    assert differing(made, HELD_DIGESTS[TRACE]) == []


def test_a_sealed_run_has_the_held_root(world: Path, tmp_path: Path) -> None:
    made = output_digests.sealed(world, tmp_path)
    assert made["size"] > 40
    assert differing(made, HELD_DIGESTS["sealed run"]) == []


def test_a_bundle_has_the_held_members(world: Path, tmp_path: Path) -> None:
    made = output_digests.of_case(world, tmp_path)
    assert differing(made, HELD_DIGESTS["bundle"]) == []


def test_api_and_tables_are_those_held(tmp_path: Path) -> None:
    made = output_digests.of_service(tmp_path)
    assert len(made["operations"]) > 20
    assert differing(made, HELD_DIGESTS["service"]) == []
