"""Which extra brings an optional package, and what happens without it."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from wavebreak import cli
from wavebreak.errors import MissingExtraError
from wavebreak.extras import EXTRAS, LazyModule, load, load_plugin, missing_extra
from wavebreak.reports import charts
from wavebreak.reports.charts import Interval
from wavebreak.reports.html import render_html
from wavebreak.reports.report import Report, Section

PROJECTS = {
    project["name"]: project
    for file in (Path(__file__).resolve().parents[3] / "packages").glob("*/pyproject.toml")
    for project in [tomllib.loads(file.read_text(encoding="utf-8"))["project"]]
}
DISTRIBUTIONS = {
    "confluent_kafka": "confluent-kafka",
    "opentelemetry.exporter": "opentelemetry-exporter-otlp-proto-http",
    "opentelemetry.sdk": "opentelemetry-sdk", "rfc3161_client": "rfc3161-client",
}  # fmt: skip
LAZY = (
    "wavebreak.evaluation", "wavebreak.explain", "wavebreak_cases.claims", "wavebreak_lab.training",
)  # fmt: skip
"""Packages whose modules are imported when a name is first wanted."""
BLOCKED = """
import sys
from importlib.abc import MetaPathFinder
class Absent(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name in {names}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
"""
CORE = ("events", "ledger", "models", "policy", "run")


def requirements(extra: str) -> set[str]:
    """Names that an extra such as `wavebreak-server[kafka]` requires itself."""
    name, _, of = extra.rstrip("]").partition("[")
    listed = PROJECTS[name]["optional-dependencies"][of]
    return {re.split(r"[\[=<>~! ]", line)[0] for line in listed}


def test_extras_of_modules_are_those_of_the_projects() -> None:
    for module, extra in EXTRAS.items():
        assert DISTRIBUTIONS.get(module, module) in requirements(extra), module
    declared = {
        f"{name}[{extra}]"
        for name, project in PROJECTS.items()
        for extra in project.get("optional-dependencies", {})
    }
    # `all` brings the other distributions; the pages of cases, and the platform for businesses in
    # a service, need no package but the server.
    of_server = {"wavebreak-cases[console]", "wavebreak-business[service]"}
    assert declared == {*EXTRAS.values(), "wavebreak[all]", *of_server}


def test_all_brings_every_distribution_with_every_extra() -> None:
    brought = " ".join(PROJECTS["wavebreak"]["optional-dependencies"]["all"])
    for name, project in PROJECTS.items():
        extras = sorted({*project.get("optional-dependencies", {})} - {"all"})
        wanted = f"{name}[{','.join(extras)}]" if extras else name
        assert wanted in brought


def test_missing_extra_of_a_submodule_is_its_packages() -> None:
    error = missing_extra("opentelemetry.sdk.trace")
    assert error is not None
    assert error.fix == "pip install 'wavebreak-server[otel]'"
    assert missing_extra("opentelemetry.trace") is None


def test_load_without_the_package_raises_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rfc3161_client", None)
    monkeypatch.delitem(sys.modules, "rfc3161_client.base", raising=False)
    with pytest.raises(MissingExtraError, match=r"`wavebreak\[stamps\]` brings it"):
        load("rfc3161_client.base")
    with pytest.raises(ModuleNotFoundError):
        load("wavebreak.no_such_module")


def test_plugin_of_an_absent_distribution_raises_what_to_install() -> None:
    with pytest.raises(MissingExtraError, match="the reader is not installed") as missing:
        load_plugin("wavebreak.no_such_group", "reader", "wavebreak-server", "the reader")
    assert missing.value.fix == "pip install wavebreak-server"


def test_command_without_its_extra_ends_with_code_two(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def absent() -> None:
        raise ModuleNotFoundError("No module named 'psycopg'", name="psycopg")

    monkeypatch.setattr(cli, "app", absent)
    monkeypatch.setattr(sys, "argv", ["wavebreak", "backup"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert "fix: pip install 'wavebreak-server[postgres]'" in capsys.readouterr().err


def test_picture_without_matplotlib_is_a_note_with_the_fix(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(charts, "matplotlib", LazyModule("matplotlib"))
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    chart = charts.Shares("a", "A", "", ["x"], {"x": [Interval(0.1, 0.0, 0.2, "10 %")]})
    page = render_html(Report("Title", [], [Section("Heading", [chart])]))
    assert '<p class="note">No chart: matplotlib is not installed' in page
    assert "wavebreak[charts]" in page


def test_core_commands_import_without_any_extra() -> None:
    code = BLOCKED.format(names=set(EXTRAS))
    code += "".join(f"import wavebreak.cli.{name}\n" for name in CORE)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("package", LAZY)
def test_every_name_of_a_package_is_found_and_no_other(package: str) -> None:
    found = import_module(package)
    values = {name: getattr(found, name) for name in found.__all__}
    assert all(vars(found)[name] is value for name, value in values.items())
    with pytest.raises(AttributeError, match="no attribute 'nobody'"):
        _ = found.nobody


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        (
            "wavebreak_server.cli.serve",
            "sklearn scipy.special scipy.stats matplotlib lightgbm playwright",
        ),
        ("wavebreak_cases.cli.claims", "sklearn scipy matplotlib lightgbm playwright numba django"),
    ],
)
def test_command_imports_nothing_of_other_commands(module: str, unwanted: str) -> None:
    program = f"import sys, {module}; print(*sys.modules)"
    command = [sys.executable, "-c", program]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert set(said) & set(unwanted.split()) == set()
