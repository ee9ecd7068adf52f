"""The client libraries are light, generated from the schema, and no part of the main wheel."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from packages import build

ROOT = Path(__file__).resolve().parents[2]
CLIENTS = ROOT / "clients"
PYTHON = CLIENTS / "python"
TYPESCRIPT = CLIENTS / "typescript"


@pytest.fixture
def generator() -> ModuleType:
    path = CLIENTS / "generate_events.py"
    spec = importlib.util.spec_from_file_location("generate_events", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_generated_events_are_current(generator: ModuleType) -> None:
    stale = [str(path.relative_to(ROOT)) for path in generator.stale()]
    assert stale == [], "run: python clients/generate_events.py"


def test_generated_events_cover_every_type(generator: ModuleType) -> None:
    schema = json.loads(generator.SCHEMA.read_text(encoding="utf-8"))
    types = set(schema["discriminator"]["mapping"])
    for path in (generator.PYTHON, generator.TYPESCRIPT):
        text = path.read_text(encoding="utf-8")
        assert types <= set(re.findall(r'"([a-z]+\.[a-z_]+)": ', text))


def test_main_wheel_has_no_client() -> None:
    for file in ROOT.glob("packages/*/pyproject.toml"):
        project = tomllib.loads(file.read_text(encoding="utf-8"))
        (carried,) = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
        assert [path.name for path in (file.parent / "src").iterdir()] == [Path(carried).name]
        assert not any("wavebreak-client" in each for each in project["project"]["dependencies"])


def test_python_client_imports_only_httpx() -> None:
    allowed = sys.stdlib_module_names | {"httpx", "httpcore", "wavebreak_client"}
    imported = set()
    for path in (PYTHON / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {name.name.partition(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(str(node.module).partition(".")[0])
    assert "httpx" in imported
    assert imported <= allowed
    project = tomllib.loads((PYTHON / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert [re.split("[<>=]", each)[0] for each in project["dependencies"]] == ["httpx", "httpcore"]


def test_typescript_client_depends_on_nothing() -> None:
    package = json.loads((TYPESCRIPT / "package.json").read_text(encoding="utf-8"))
    assert not {"dependencies", "peerDependencies", "optionalDependencies"} & set(package)
    sources = {path.name: path.read_text("utf-8") for path in (TYPESCRIPT / "src").glob("*.ts")}
    imports = {name: re.findall(r'from "([^"]+)"', text) for name, text in sources.items()}
    elsewhere = {name for name, froms in imports.items() if any(f[0] != "." for f in froms)}
    # A journal on disk needs the file system, so it is an entry of its own.
    assert elsewhere == {"spool.ts"}
    assert not any("spool.js" in from_ for name in imports for from_ in imports[name])


def test_each_distribution_has_licence_readme_and_version() -> None:
    python = tomllib.loads((PYTHON / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    typescript = json.loads((TYPESCRIPT / "package.json").read_text(encoding="utf-8"))
    assert build.npm_version(python["version"]) == typescript["version"]
    init = (PYTHON / "src" / "wavebreak_client" / "__init__.py").read_text(encoding="utf-8")
    assert f'__version__ = "{python["version"]}"' in init
    for folder, licence in ((PYTHON, python["license"]), (TYPESCRIPT, typescript["license"])):
        assert licence == "Apache-2.0"
        assert (folder / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
        assert len((folder / "README.md").read_text(encoding="utf-8")) > 200


def test_each_vector_file_is_explained_and_has_unique_names() -> None:
    explained = (CLIENTS / "conformance" / "README.md").read_text(encoding="utf-8")
    files = sorted((CLIENTS / "conformance").glob("*.jsonl"))
    assert len(files) >= 9
    for path in files:
        assert f"`{path.name}`" in explained
        names = [json.loads(line)["name"] for line in path.read_text("utf-8").split("\n") if line]
        assert len(names) == len(set(names)) >= 8
