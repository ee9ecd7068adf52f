"""The layout of the package, and the commands that keep it, are what they are said to be."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / ".importlinter"
LINT_IMPORTS = Path(sys.executable).with_name("lint-imports")


def contracts() -> dict[str, dict[str, str]]:
    parser = configparser.ConfigParser()
    parser.read_string(CONFIG.read_text(encoding="utf-8"))
    return {s: dict(parser[s]) for s in parser.sections() if s.startswith("importlinter:contract")}


def lint(source: Path) -> str:
    """What lint-imports says of the package that stands in `source`."""
    command = [str(LINT_IMPORTS), "--no-logo", "--no-cache", str(CONFIG)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package's sources, to break."""
    ignored = shutil.ignore_patterns("__pycache__", "*.json", "*.toml")
    return shutil.copytree(ROOT / "src" / "wavebreak", tmp_path / "wavebreak", ignore=ignored)


def test_every_contract_is_kept() -> None:
    expected = len(contracts())
    assert expected == 21
    assert f"Contracts: {expected} kept, 0 broken." in lint(ROOT / "src")


def test_every_contract_breaks_when_a_module_imports_what_it_may_not(package: Path) -> None:
    heavy = ["numba", "lightgbm", "cmaes", "matplotlib", "phonenumbers", "typer", "jinja2"]
    heavy += ["django", "warcio", "cryptography", "bagit", "rapidfuzz", "wavebreak_client"]
    heavy += ["wavebreak.cli", "wavebreak.rules"]
    trespass = "\n".join(["", *(f"import {name}" for name in heavy), ""])
    events = package / "schema" / "events.py"
    case = package / "cases" / "case.py"
    events.write_text(events.read_text(encoding="utf-8") + trespass, encoding="utf-8")
    case.write_text("import wavebreak_server.service, wavebreak_lab.training\n", encoding="utf-8")
    (package / "console" / "stray.py").write_text("import wavebreak_cases.pages\n", encoding="utf-8")
    commands = {"options": "service", "sources": "cases", "claims": "training"}
    for module, package_of_another in commands.items():
        path = package / "cli" / f"{module}.py"
        stray = f"\nimport wavebreak.{package_of_another}\n"
        path.write_text(path.read_text(encoding="utf-8") + stray, encoding="utf-8")
    # Long names are printed on several lines.
    said = " ".join(lint(package.parent).split())
    for contract in contracts().values():
        assert f"{contract['name']} BROKEN" in said


def test_a_module_that_no_layer_names_is_refused(package: Path) -> None:
    (package / "stray.py").write_text('"""Stands nowhere."""\n', encoding="utf-8")
    said = lint(package.parent)
    assert "wavebreak.stray" in said
    assert f"{contracts()['importlinter:contract:layers']['name']} BROKEN" in said


def test_the_layers_are_exhaustive_and_ignore_no_import() -> None:
    layers = contracts()["importlinter:contract:layers"]
    assert layers["exhaustive"] == "True"
    assert "ignore_imports" not in layers
    assert layers["exhaustive_ignores"].split() == ["__main__"]


def test_the_server_names_no_module_of_cases() -> None:
    """Not in a string either: what it shows of cases comes from a plug-in."""
    named = re.compile(r"wavebreak[./](case_pages|cases|claims|bundles)\b")
    sources = [
        path
        for package in ("console", "service")
        for path in (ROOT / "src" / "wavebreak" / package).rglob("*")
        if path.suffix in (".py", ".html", ".toml")
    ]
    assert len(sources) > 100
    assert [str(p) for p in sources if named.search(p.read_text(encoding="utf-8"))] == []


def test_make_help_lists_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    listed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert targets >= {"help", "demo", "test", "check", "fix", "speed", "docs", "lock", "clean"}
    assert set(re.findall(r"^  make ([a-z]+) ", listed, re.MULTILINE)) == targets


def test_continuous_integration_runs_the_checks_and_each_test_but_speed_once() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    commands = [line for line in script if line and not line.startswith("#")]
    assert commands == [
        "set -euo pipefail",
        'cd "$(dirname "${BASH_SOURCE[0]}")/.."',
        "exec </dev/null",
        "export PATH=/usr/bin:/bin",
        "unset PYTHONDONTWRITEBYTECODE",
        "make check",
        "make test",
    ]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "TESTS = tests clients\n" in makefile
    # `make test` alone runs tests; `make check` runs the examples in docstrings.
    ran = re.findall(r"/pytest (.+)", makefile)
    assert sorted(ran) == [
        "$(TESTS) -n $(WORKERS) --dist worksteal -rs",
        "$(filter-out tests clients,$(TESTS)) "
        "$(if $(filter file,$(origin TESTS)),integrations) -rs",
        "--doctest-modules src",
    ]


def test_the_locks_pin_every_package_by_hash_and_name_no_index() -> None:
    for name in ("requirements.lock", "requirements-core.lock", "requirements-speed.lock"):
        lock = (ROOT / name).read_text(encoding="utf-8")
        requirements = [line for line in lock.splitlines() if re.match(r"[a-z]", line)]
        assert len(requirements) > 30
        assert all("==" in line and line.endswith("\\") for line in requirements)
        assert not re.search(r"index-url|find-links|https?:", lock)
