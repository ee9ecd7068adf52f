"""Run the notebooks of docs/notebooks, and keep their outputs in them.

    python docs/run_notebooks.py            # run, and write the outputs
    python docs/run_notebooks.py --check    # write nothing; exit code 1 where an output differs

Cells run as Jupyter runs them: in one namespace, and the value of the last expression is shown.
Times and speeds may differ between two runs.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import linecache
import pprint
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

NOTEBOOKS = Path(__file__).resolve().parent / "notebooks"
VARYING = re.compile(r"\b[\d,.]+ (?:s|events/s)\b")
"""What a clock makes of an output."""


def notebooks() -> list[Path]:
    """Return the notebooks."""
    return sorted(NOTEBOOKS.glob("*.ipynb"))


def executed(path: Path) -> dict[str, Any]:
    """Return a notebook with the outputs that its cells have now."""
    notebook: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    module = ModuleType("__main__")
    sys.modules[path.stem] = module
    module.__dict__["__name__"] = path.stem
    number = 0
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            number += 1
            name = f"<{path.name}, cell {number}>"
            cell["execution_count"] = number
            cell["outputs"] = _run("".join(cell["source"]), name, module.__dict__, number)
    return notebook


def same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    """Whether two notebooks are equal but for times and speeds."""
    return VARYING.sub("", _encode(first)) == VARYING.sub("", _encode(second))


def _run(source: str, name: str, namespace: dict[str, Any], number: int) -> list[dict[str, Any]]:
    """Run a cell, and return its outputs."""
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    tree = ast.parse(source, name)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    printed, value = io.StringIO(), None
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, name, "exec"), namespace)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), name, "eval"), namespace)
    outputs = list[dict[str, Any]]()
    if text := printed.getvalue():
        lines = text.splitlines(keepends=True)
        outputs.append({"name": "stdout", "output_type": "stream", "text": lines})
    if value is not None:
        outputs.append(
            {
                "data": _shown(value),
                "execution_count": number,
                "metadata": {},
                "output_type": "execute_result",
            }
        )
    return outputs


def _shown(value: Any) -> dict[str, list[str]]:
    """Return the forms of a value that Jupyter shows, by media type."""
    plain = repr(value) if hasattr(value, "_repr_html_") else pprint.pformat(value, width=100)
    data = {"text/plain": plain}
    for method, kind in (("_repr_html_", "text/html"), ("_repr_svg_", "image/svg+xml")):
        if hasattr(value, method):
            data[kind] = str(getattr(value, method)())
    return {kind: text.splitlines(keepends=True) for kind, text in data.items()}


def _encode(notebook: dict[str, Any]) -> str:
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def main(arguments: list[str]) -> int:
    """Run every notebook; 1 where one differs and nothing may be written."""
    code = 0
    for path in notebooks():
        kept, now = json.loads(path.read_text(encoding="utf-8")), executed(path)
        if same(kept, now):
            print(f"{path.name}: as it is")
        elif "--check" in arguments:
            print(f"{path.name}: differs; run docs/run_notebooks.py")
            code = 1
        else:
            path.write_text(_encode(now), encoding="utf-8")
            print(f"{path.name}: written")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
