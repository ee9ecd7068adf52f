"""The one file of a bundle that checks the bundle with Python alone, put together from ours.

The checks are those that `wavebreak verify` makes, from the same sources, one after the other:
what they import from each other falls away, and so does the library for signatures, whose place
the formulas of the file itself take.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

from wavebreak.ledger import key_changes, verifier
from wavebreak_cases.bundles import archive_reader, bundle_checks

_PARTS = (verifier, key_changes, archive_reader, bundle_checks)
_NOT_IMPORTED = ("wavebreak", "wavebreak_cases", "importlib")
_LIBRARY = ("_installed_library", "LIBRARY")
"""What the ledger's verifier has for the library for signatures."""


@cache
def verifier_program() -> bytes:
    r"""Return the source of the program.

    >>> program = verifier_program().decode()
    >>> "\nfrom wavebreak" in program or "cryptography.hazmat" in program
    False
    """
    source = Path(bundle_checks.__file__).read_text("utf-8")
    imports: dict[str, set[str]] = {}
    bodies = [_body(Path(str(part.__file__)), imports) for part in _PARTS]
    lines = [
        f"from {module} import {', '.join(sorted(names))}\n" if names else f"{module}\n"
        for module, names in sorted(imports.items())
    ]
    head = ast.get_docstring(ast.parse(source), clean=False)
    parts = [
        f'"""{head}"""\n',
        f"import sys\n\n{_isolation()}\n",
        "".join(lines),
        "LIBRARY = None\n",
        *bodies,
    ]
    parts.append('if __name__ == "__main__":\n    sys.exit(main())\n')
    return "\n\n".join(parts).encode()


def _isolation() -> str:
    """Return the statement of the ledger's verifier that keeps modules beside the file out."""
    text = Path(verifier.__file__).read_text("utf-8")
    statement = next(node for node in ast.parse(text).body if isinstance(node, ast.If))
    return "".join(text.splitlines(keepends=True)[statement.lineno - 1 : statement.end_lineno])


def _body(path: Path, imports: dict[str, set[str]]) -> str:
    """Return a module's own definitions as they are written, and put aside what it imports."""
    text = path.read_text("utf-8")
    lines, kept, last = text.splitlines(keepends=True), list[str](), 0
    for node in ast.parse(text).body:
        # What stands between two statements belongs to the second one: comments, decorators.
        written, last = "".join(lines[last : node.end_lineno]), node.end_lineno or last
        if isinstance(node, ast.Import):
            for alias in node.names:
                imports[f"import {alias.name}"] = set()
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if module.partition(".")[0] not in _NOT_IMPORTED:
                imports.setdefault(module, set()).update(alias.name for alias in node.names)
        elif not _is_left_out(node, path):
            kept.append(written)
    return f"# {path.name}\n\n" + "".join(kept).strip("\n") + "\n"


def _is_left_out(node: ast.stmt, path: Path) -> bool:
    """Whether a statement has no place in the program: docstrings, the library, other mains."""
    if isinstance(node, ast.If):
        return True
    if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in _LIBRARY:
        return True
    if isinstance(node, ast.FunctionDef):
        elsewhere = node.name == "main" and path.name != "bundle_checks.py"
        return elsewhere or node.name in _LIBRARY
    return isinstance(node, ast.Expr) and node.lineno == 1
