"""The names of `import wavebreak`: declared once, documented, shown in notebooks that run."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import wavebreak
from docs import generate_reference, run_notebooks
from wavebreak import library

ROOT = Path(__file__).resolve().parents[2]
NAMES = [name for name in wavebreak.__all__ if name != "__version__"]
MAX_NAMES = 24


def callables() -> Iterator[tuple[str, Any]]:
    """Yield each public function and method with its full name."""
    for name in NAMES:
        thing = getattr(wavebreak, name)
        if inspect.isfunction(thing):
            yield name, thing
        for member, value in generate_reference.public_members(thing):
            function = value.fget if isinstance(value, property) else value
            yield f"{name}.{member}", getattr(function, "__func__", function)


def test_the_root_offers_what_the_library_does_and_nothing_else() -> None:
    assert library.__all__ == NAMES
    assert len(NAMES) <= MAX_NAMES
    assert dir(wavebreak) == sorted(wavebreak.__all__)
    text = "import wavebreak, sys; print([m for m in sys.modules if m.startswith('wavebreak.')])"
    loaded = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, check=True
    )
    assert "numba" not in loaded.stdout
    assert "wavebreak.library.results" not in loaded.stdout


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'decid'"):
        getattr(wavebreak, "decid")  # noqa: B009 - a type checker knows better


@pytest.mark.parametrize("name", NAMES)
def test_each_name_has_a_docstring_and_a_place_in_the_reference(name: str) -> None:
    assert len(inspect.getdoc(getattr(wavebreak, name)) or "") > 30
    assert f"\n## {name}\n" in generate_reference.python_page()


@pytest.mark.parametrize(("name", "function"), list(callables()))
def test_each_parameter_is_documented(name: str, function: Any) -> None:
    text = inspect.getdoc(function) or ""
    assert text, name
    parameters = [p for p in inspect.signature(function).parameters if p not in ("self", "cls")]
    if len(parameters) > 1:
        missing = [p for p in parameters if not re.search(rf"^\s+\**{p}: ", text, re.MULTILINE)]
        assert missing == []


def test_the_page_on_the_library_names_only_what_there_is() -> None:
    page = (ROOT / "docs/how-to/use-as-a-library.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\bwb\.(\w+)", page))
    assert len(named) > 8
    assert named <= set(NAMES)


@pytest.mark.parametrize("path", run_notebooks.notebooks(), ids=lambda path: path.stem)
def test_a_notebook_shows_what_its_cells_give(path: Path) -> None:
    kept = json.loads(path.read_text(encoding="utf-8"))
    assert any(cell.get("outputs") for cell in kept["cells"])
    assert run_notebooks.same(kept, run_notebooks.executed(path))
