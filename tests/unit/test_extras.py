"""Which extra brings an optional package, and what happens without it."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from wavebreak import cli
from wavebreak.errors import MissingExtraError
from wavebreak.extras import EXTRAS, Optional, load, load_plugin, missing_extra
from wavebreak.reports import charts
from wavebreak.reports.charts import Interval

PROJECT = tomllib.loads(
    (Path(__file__).resolve().parents[2] / "pyproject.toml").read_text(encoding="utf-8")
)["project"]
DISTRIBUTIONS = {
    "allauth": "django-allauth", "argon2": "argon2-cffi", "django_htmx": "django-htmx",
    "bs4": "beautifulsoup4", "docx": "python-docx", "nats": "nats-py", "sklearn": "scikit-learn",
    "opentelemetry.exporter": "opentelemetry-exporter-otlp-proto-http",
    "opentelemetry.sdk": "opentelemetry-sdk", "PIL": "pillow",
}  # fmt: skip
BLOCKED = """
import sys
from importlib.abc import MetaPathFinder
class Absent(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name in {names}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
"""
CORE = ("events", "ledger", "models", "policy", "run", "serve")


def requirements(extra: str) -> set[str]:
    """Names that an extra requires itself."""
    listed = PROJECT["optional-dependencies"][extra]
    return {re.split(r"[\[=<>~! ]", line)[0] for line in listed} - {"wavebreak"}


def test_extras_of_modules_are_those_of_the_project() -> None:
    for module, extra in EXTRAS.items():
        assert DISTRIBUTIONS.get(module, module) in requirements(extra), module
    declared = set(PROJECT["optional-dependencies"])
    assert declared == {*EXTRAS.values(), "all"}
    (everything,) = PROJECT["optional-dependencies"]["all"]
    assert set(re.findall(r"\w+", everything)) == {*EXTRAS.values(), "wavebreak"}


def test_missing_extra_of_a_submodule_is_its_packages() -> None:
    error = missing_extra("nats.js.errors")
    assert error is not None
    assert error.fix == "pip install 'wavebreak[nats]'"
    assert missing_extra("opentelemetry.trace") is None


def test_load_without_the_package_raises_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    monkeypatch.delitem(sys.modules, "redis.asyncio", raising=False)
    with pytest.raises(MissingExtraError, match="the extra `redis` brings it"):
        load("redis.asyncio")
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
        raise ModuleNotFoundError("No module named 'bs4'", name="bs4")

    monkeypatch.setattr(cli, "app", absent)
    for command, extra in (("train", "claims"), ("claim", "cases"), ("case", "cases")):
        monkeypatch.setattr(sys, "argv", ["wavebreak", command])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == 2
        assert f"fix: pip install 'wavebreak[{extra}]'" in capsys.readouterr().err


def test_picture_without_matplotlib_is_a_note_with_the_fix(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(charts, "matplotlib", Optional("matplotlib"))
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    drawn = charts.shares("a", "A", ["x"], {"x": [Interval(0.1, 0.0, 0.2, "10 %")]})
    assert drawn.startswith('<p class="note">No chart: matplotlib is not installed')
    assert "wavebreak[charts]" in drawn


def test_core_commands_import_without_any_extra() -> None:
    code = BLOCKED.format(names=set(EXTRAS))
    code += "".join(f"import wavebreak.cli.{name}\n" for name in CORE)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
