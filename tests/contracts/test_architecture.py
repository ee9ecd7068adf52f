"""The page on the architecture agrees with the tree: packages, layers, commands, paths."""

from __future__ import annotations

import re
import tomllib
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/explanation/architecture.md").read_text(encoding="utf-8")
PACKAGES = {path.name: path for path in sorted((ROOT / "packages").glob("*/src/*/"))}
NO_LAYER = "–"


def section(heading: str) -> str:
    """Return the text below a heading, up to the next one of its level or above."""
    level = len(heading) - len(heading.lstrip("#"))
    text = PAGE.split(f"\n{heading}\n")[1]
    return re.split(rf"^#{{1,{level}}} ", text, flags=re.MULTILINE)[0]


def rows_of(distribution: str) -> dict[str, str]:
    """Return the layer of each package and module that the page lists."""
    table = section(f"### {distribution}")
    rows = re.findall(r"^\| (\S+) \| `([\w.]+)` \| \S.* \|$", table, re.MULTILINE)
    names = [name for _, name in rows]
    assert len(names) == len(set(names))
    return {name: layer for layer, name in rows}


def children_of(package: Path) -> set[str]:
    """Return the directories and modules directly in a package."""
    directories = {
        path.name
        for path in package.iterdir()
        if path.is_dir() and any(file.suffix != ".pyc" for file in path.rglob("*.*"))
    }
    return directories | {path.name for path in package.glob("*.py")} - {"__init__.py"}


def layers_of(distribution: str) -> dict[str, str]:
    """Return the layer of each package by the import contracts, counted from the lowest."""
    contracts = ConfigParser()
    contracts.read(ROOT / ".importlinter", encoding="utf-8")
    for name in contracts.sections():
        contract = contracts[name]
        if contract.get("containers") == distribution and "exhaustive" in contract:
            lines = contract["layers"].split("\n")[1:]
            return {
                name: str(number)
                for number, line in enumerate(reversed(lines), start=1)
                for name in re.split(r"[|:\s]+", line)
            }
    raise LookupError(distribution)


def projects() -> list[dict[str, Any]]:
    paths = sorted((ROOT / "packages").glob("*/pyproject.toml"))
    return [tomllib.loads(path.read_text(encoding="utf-8"))["project"] for path in paths]


def test_six_distributions_are_described() -> None:
    distributions = {"wavebreak", "wavebreak_server", "wavebreak_cases", "wavebreak_business"}
    assert set(PACKAGES) == {*distributions, "wavebreak_lab", "wavebreak_flink"}


@pytest.mark.parametrize("distribution", PACKAGES)
def test_page_has_a_row_for_each_package_and_module(distribution: str) -> None:
    rows, tree = set(rows_of(distribution)), children_of(PACKAGES[distribution])
    assert sorted(tree - rows) == [], "without a row in docs/explanation/architecture.md"
    assert sorted(rows - tree) == [], "in docs/explanation/architecture.md, not in the tree"


@pytest.mark.parametrize("distribution", PACKAGES)
def test_page_states_the_layers_of_the_contracts(distribution: str) -> None:
    rows = {
        name.removesuffix(".py"): layer
        for name, layer in rows_of(distribution).items()
        if layer != NO_LAYER
    }
    assert rows == layers_of(distribution)


def test_paths_that_the_page_names_exist() -> None:
    places = [ROOT, *(path.parent for path in PACKAGES.values())]
    named = re.findall(r"`([^`\s]*/[^`\s]*|\.importlinter)`", section("## Where things are"))
    paths = [path for path in named if "*" not in path]
    assert len(paths) > 100
    missing = [path for path in paths if not any((place / path).exists() for place in places)]
    assert missing == []


def test_page_names_each_group_of_entry_points() -> None:
    groups = {group for project in projects() for group in project["entry-points"]}
    assert set(re.findall(r"^\| `(wavebreak\.\w+)` \|", PAGE, re.MULTILINE)) == groups


def test_page_has_each_command_in_its_distribution() -> None:
    table = section("## Distributions")
    rows = re.findall(r"^\| `(wavebreak[\w-]*)` \|.*\| ([^|]+) \|$", table, re.MULTILINE)
    named = {name: {c.replace(" ", ".") for c in re.findall(r"`([^`]+)`", w)} for name, w in rows}
    assert named == {
        project["name"]: set(project["entry-points"]["wavebreak.commands"])
        for project in projects()
    }


def test_readme_lists_packages_that_exist_in_each_distribution() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    table = readme.split("\n## What is inside\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `([\w-]+)` \|.*\| ([^|]+) \|$", table, re.MULTILINE)
    assert {name.replace("-", "_") for name, _ in rows} == set(PACKAGES)
    for name, packages in rows:
        tree = children_of(PACKAGES[name.replace("-", "_")])
        assert set(re.findall(r"`(\w+)`", packages)) <= tree, name
