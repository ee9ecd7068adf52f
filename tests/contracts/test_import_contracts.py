"""The layout of the package, and the commands that keep it, are what they are said to be."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from wavebreak import __version__

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
def sources(tmp_path: Path) -> Path:
    """A copy of the sources of all distributions, to break: each package by its name."""
    ignored = shutil.ignore_patterns("__pycache__", "*.json", "*.toml", "static", "templates")
    for package in ROOT.glob("packages/*/src/*/"):
        shutil.copytree(package, tmp_path / package.name, ignore=ignored)
    return tmp_path


def append(path: Path, *imports: str) -> None:
    """Import something at the end of a module, or of a new one."""
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    after = "".join(f"import {name}\n" for name in imports)
    path.write_text(f"{before}\n{after}", encoding="utf-8")


def test_every_contract_is_kept() -> None:
    expected = len(contracts())
    assert expected == 24
    assert f"Contracts: {expected} kept, 0 broken." in lint(ROOT)


def test_every_contract_breaks_when_a_module_imports_what_it_may_not(sources: Path) -> None:
    heavy = ["numba", "lightgbm", "cmaes", "matplotlib", "phonenumbers", "typer", "jinja2"]
    heavy += ["django", "warcio", "cryptography", "bagit", "rapidfuzz", "wavebreak_client"]
    append(sources / "wavebreak/schema/events.py", *heavy, "wavebreak.cli", "wavebreak.rules")
    append(sources / "wavebreak/outcomes.py", "wavebreak_server.storage")
    append(sources / "wavebreak_server/pipeline/fair_queue.py", "wavebreak_server.console")
    append(sources / "wavebreak_cases/cases/case.py", "wavebreak_cases.pages.views")
    append(sources / "wavebreak_business/settings.py", "wavebreak_business.cli")
    append(sources / "wavebreak_business/findings.py", "wavebreak_business.service.api")
    append(sources / "wavebreak_lab/simulation/world.py", "wavebreak_lab.training")
    append(sources / "wavebreak_flink/rows.py", "wavebreak_flink.cli", "pyflink")
    # Long names are printed on several lines.
    said = " ".join(lint(sources).split())
    for contract in contracts().values():
        assert f"{contract['name']} BROKEN" in said


@pytest.mark.parametrize(
    ("package", "contract"),
    [
        ("wavebreak", "layers"), ("wavebreak_server", "server"),
        ("wavebreak_cases", "cases"), ("wavebreak_business", "business"),
        ("wavebreak_lab", "lab"), ("wavebreak_flink", "flink"),
    ],
)  # fmt: skip
def test_a_module_that_no_layer_names_is_refused(
    sources: Path, package: str, contract: str
) -> None:
    (sources / package / "stray.py").write_text('"""Stands nowhere."""\n', encoding="utf-8")
    said = lint(sources)
    assert f"{package}.stray" in said
    assert f"{contracts()[f'importlinter:contract:{contract}']['name']} BROKEN" in said


def test_the_layers_are_exhaustive_and_ignore_no_import() -> None:
    for name in ("layers", "server", "cases", "business", "lab", "flink"):
        layers = contracts()[f"importlinter:contract:{name}"]
        assert layers["exhaustive"] == "True"
        assert "ignore_imports" not in layers
        assert layers.get("exhaustive_ignores", "").split() in ([], ["__main__"])


@pytest.mark.parametrize(
    ("package", "above"),
    [("wavebreak", "server|cases|business|lab|flink"),
     ("wavebreak_server", "cases|business|lab|flink"),
     ("wavebreak_cases", "business|lab")],
)  # fmt: skip
def test_no_distribution_names_a_module_of_one_that_builds_on_it(package: str, above: str) -> None:
    """Not in a string either: what it shows of theirs comes by an entry point."""
    named = re.compile(rf"wavebreak_({above})\b")
    (folder,) = ROOT.glob(f"packages/*/src/{package}/")
    files = [path for path in folder.rglob("*") if path.suffix in (".py", ".html", ".toml")]
    assert len(files) > 60
    assert [str(p) for p in files if named.search(p.read_text(encoding="utf-8"))] == []


def test_the_distributions_have_one_version_and_pin_each_other_to_it() -> None:
    versions, pins = set(), []
    for file in ROOT.glob("packages/*/pyproject.toml"):
        text = file.read_text(encoding="utf-8")
        project = tomllib.loads(text)["project"]
        versions.add(project["version"])
        pins += re.findall(r'"wavebreak[\w-]*(?:\[[\w,]*\])?(?:==([\w.]+))?"', text)
    assert versions == {__version__}
    assert len(pins) > 6
    # A distribution's own extras name no version.
    assert set(pins) == {__version__, ""}


def test_make_help_lists_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+): ", makefile, re.MULTILINE))
    listed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert targets >= {
        "help",
        "demo",
        "test",
        "test-quick",
        "check",
        "fix",
        "speed",
        "docs",
        "lock",
        "clean",
    }
    assert set(re.findall(r"^  make ([a-z-]+) ", listed, re.MULTILINE)) == targets


def test_continuous_integration_runs_the_checks_and_each_test_but_speed_once() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    commands = [line for line in script if line and not line.startswith("#")]
    assert commands == [
        "set -euo pipefail",
        'cd "$(dirname "${BASH_SOURCE[0]}")/.."',
        "exec </dev/null",
        "export PATH=/usr/bin:/bin",
        "unset PYTHONDONTWRITEBYTECODE",
        "export WAVEBREAK_ALL_TESTS=1",
        "make check",
        "make test",
    ]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "TESTS = tests $(wildcard packages/*/tests) clients\n" in makefile
    # `make test` alone runs all tests; `make check` runs the examples in docstrings.
    ran = re.findall(r"/pytest (.+)", makefile)
    assert sorted(ran) == [
        "$(QUICK) -n $(WORKERS) --dist worksteal",
        "$(TESTS) -n $(WORKERS) --dist worksteal -rs",
        "$(if $(filter file,$(origin TESTS)),integrations,$(TESTS)) -rs",
        "--doctest-modules packages/*/src || failed=1; \\",
        "packages/flink/cluster_tests packages/server/cluster_tests -n0 -rs",
    ]


def test_the_locks_pin_every_package_by_hash_and_name_no_index() -> None:
    for name in ("requirements.lock", "requirements-flink.lock"):
        lock = (ROOT / name).read_text(encoding="utf-8")
        requirements = [line for line in lock.splitlines() if re.match(r"[a-z]", line)]
        assert len(requirements) > 30
        assert all("==" in line and line.endswith("\\") for line in requirements)
        assert not re.search(r"index-url|find-links|https?:", lock)
