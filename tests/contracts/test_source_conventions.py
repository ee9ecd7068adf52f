"""The house rules that no linter knows, over every file that is kept under version control."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
UNTRACKED = {"build", "dist", "demo-out", "__pycache__"}
MAX_BYTES = 1 << 20

# Joined here, so that this file does not hold what it looks for.
MARKS = ["TO" + "DO", "FIX" + "ME", "XX" + "X"]
HOSTS = [
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "(org|com)"),
        ("yarnpkg", "com"),
        ("conda", "anaconda"),
        ("deb", "debian"),
        ("(archive|security|ports)", "ubuntu"),
        ("ftp", "[a-z]+", "debian"),
    )
]

Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def tracked() -> tuple[Path, ...]:
    """Every file under version control; where git is absent, every file that no tool made."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        tops = [top for top in ROOT.iterdir() if not top.name.startswith(".")]
        files = [ROOT / name for name in (".ci/run", ".gitignore", ".importlinter")]
        files += [p for top in tops for p in (top, *top.rglob("*"))]
        files = [p for p in files if not UNTRACKED & set(p.relative_to(ROOT).parts)]
    else:
        command = [git, "-c", "safe.directory=*", "ls-files", "-z"]
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
        files = [ROOT / name.decode() for name in listed.split(b"\0") if name]
    return tuple(path for path in files if path.is_file())


def modules(pattern: str) -> Iterator[tuple[str, ast.Module]]:
    """Every Python source in which a pattern occurs, by its path, parsed.

    They are found in the folders, so that a new one counts.
    """
    looked_at, wanted = 0, re.compile(pattern, re.MULTILINE)
    for folder in ("packages", "tests", "docs", "experiments", "benchmarks", "clients"):
        for path in (ROOT / folder).rglob("*.py"):
            looked_at += 1
            text = path.read_text(encoding="utf-8")
            if wanted.search(text):
                yield str(path.relative_to(ROOT)), ast.parse(text)
    assert looked_at > 10


def texts() -> Iterator[tuple[str, str]]:
    """Name and text of every tracked file that is text."""
    looked_at = 0
    for path in tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        looked_at += 1
        yield str(path.relative_to(ROOT)), text
    assert looked_at > 10


def late_imports(tree: ast.Module) -> Iterator[ast.stmt]:
    """Imports that are not statements of the module itself, nor below `if TYPE_CHECKING`."""
    top: set[ast.stmt] = set(tree.body)
    for node in tree.body:
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            top.update(node.body)
    for found in ast.walk(tree):
        if isinstance(found, ast.Import | ast.ImportFrom) and found not in top:
            yield found


def defines(tree: ast.Module, name: str) -> bool:
    """Return whether a module declares a function or a class of this name."""
    return name in {n.name for n in tree.body if isinstance(n, Function | ast.ClassDef)}


def shadowed_modules(package: Path) -> Iterator[str]:
    """Return modules of a package whose name its `__init__` gives to a function or a class.

    Which of the two an import gets depends on which was loaded first.
    """
    tree = ast.parse((package / "__init__.py").read_text(encoding="utf-8"))
    imported = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    exports = {alias.asname or alias.name: alias.name for node in imported for alias in node.names}
    for path in sorted(package.glob("*.py")):
        source = ast.parse(path.read_text(encoding="utf-8"))
        if defines(tree, path.stem) or defines(source, exports.get(path.stem, "")):
            yield path.stem


def skips(tree: ast.Module) -> Iterator[ast.AST]:
    """Every call or mark by which pytest passes over a test or expects it to fail."""
    called = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in {"skip", "skipif", "xfail"}:
            if ast.unparse(node.value).startswith("pytest"):
                yield called.get(id(node), node)
        elif isinstance(node, ast.Attribute) and node.attr == "importorskip":
            yield node


def test_imports_are_at_module_level_except_in_commands() -> None:
    """A command imports what it runs when it runs, so that its help and other commands are fast."""
    late = [
        f"{name}:{node.lineno}"
        for name, tree in modules(r"^\s+(import|from)\b")
        if not re.match(r"packages/\w+/src/\w+/cli/", name)
        for node in late_imports(tree)
    ]
    assert late == []


def test_no_package_exports_a_function_named_like_its_module() -> None:
    packages = [path.parent for path in (ROOT / "packages").glob("*/src/**/__init__.py")]
    assert len(packages) > 50
    shadowed = {f"{p.name}.{name}" for p in packages for name in shadowed_modules(p)}
    assert shadowed == set()


def test_no_file_keeps_a_mark_for_later() -> None:
    marks = re.compile(rf"\b({'|'.join(MARKS)})\b")
    assert [name for name, text in texts() if marks.search(text)] == []


def test_no_file_names_a_package_registry() -> None:
    hosts = re.compile("|".join(host.replace(".", r"\.") for host in HOSTS), re.IGNORECASE)
    assert [name for name, text in texts() if hosts.search(text)] == []


def test_no_text_for_users_names_a_file_that_a_checkout_lacks() -> None:
    folders = "docs|deploy|packages|integrations|experiments|benchmarks|clients|frontend|tests"
    pattern = rf"(?<![\w./-])(?:{folders}|wavebreak\w*)/[\w./-]*\w"
    ending = r"\.(?:md|py|toml|json|ya?ml|lua|erl)\b"
    parents = [ROOT, *(ROOT / "packages").glob("*/src"), *(ROOT / "integrations").glob("*/src")]
    named = {
        (name, path)
        for name, text in texts()
        if re.match(r"packages/\w+/src|deploy|integrations|clients|[A-Z]+\.md", name)
        for path in re.findall(pattern + ending, text)
    } - {("integrations/harness/how_to.py", "docs/how-to/PAGE.md")}
    assert len(named) > 50
    files = {
        str(path.relative_to(parent))
        for parent in parents
        for path in tracked()
        if path.is_relative_to(parent)
    }
    assert sorted((name, path) for name, path in named if path not in files) == []


def test_nothing_is_set_on_a_service_after_its_construction() -> None:
    assignment = re.compile(r"\bservice\.\w+ [-+]?= ")
    assert assignment.search("made.service.switch = switch")
    sources = [(name, text) for name, text in texts() if re.match(r"packages/\w+/src/", name)]
    assert [name for name, text in sources if assignment.search(text)] == []


def test_no_file_is_over_one_mebibyte() -> None:
    sizes = {str(path.relative_to(ROOT)): path.stat().st_size for path in tracked()}
    assert len(sizes) > 10
    assert {name: size for name, size in sizes.items() if size > MAX_BYTES} == {}


def test_tests_are_passed_over_only_where_the_shared_traces_are_absent() -> None:
    bad = [
        f"{name} {ast.unparse(node)}"
        for name, tree in modules("skip|xfail")
        if "tests" in name.split("/")
        for node in skips(tree)
        if "shared/data" not in ast.unparse(node)
    ]
    assert bad == []


def test_the_rules_see_what_breaks_them(tmp_path: Path) -> None:
    (tmp_path / "__init__.py").write_text("from package.count import count\n", encoding="utf-8")
    (tmp_path / "count.py").write_text("def count() -> None: ...\n", encoding="utf-8")
    assert list(shadowed_modules(tmp_path)) == ["count"]
    tree = ast.parse("def f():\n    import os\n\nimport re\nif TYPE_CHECKING:\n    import io\n")
    assert [node.lineno for node in late_imports(tree)] == [2]
    tree = ast.parse(
        "@pytest.mark.xfail\ndef test_a():\n    pytest.skip('../shared/data absent')\n"
    )
    assert [ast.unparse(node) for node in skips(tree)] == [
        "pytest.mark.xfail",
        "pytest.skip('../shared/data absent')",
    ]
