"""Configuration loader: TOML files of a policy, shipped or of a local directory.

Rules and actions have a loader of their own, which merges rule by rule; any other file of a local
directory replaces the shipped one as a whole.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from wavebreak.errors import PolicyError

SHIPPED = Path(__file__).resolve().parent / "policy"

Config = TypeVar("Config")

MAX_TOML, MAX_NESTING, MAX_KEY_PARTS = 1_000_000, 32, 16
"""Characters of a file, brackets within brackets, and parts of a dotted key. The parser calls
itself for each bracket, and copies a key for each of its parts."""
_TOKEN = re.compile(
    r'''"""(?:[^\\]|\\.)*?"""|\'{3}.*?\'{3}|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|#[^\n]*|[][{}.=,\n]''',
    re.DOTALL,
)
"""A string or a comment, in which nothing counts, or a character that does."""


def resolve_path(name: str, directory: Path | None = None) -> Path:
    """Return a configuration file's path: the local policy's if it exists, else the shipped one.

    >>> resolve_path("cases/names.toml") == SHIPPED / "cases" / "names.toml"
    True
    """
    candidate = directory / name if directory else None
    return candidate if candidate and candidate.exists() else SHIPPED / name


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file; raises `PolicyError` where it cannot be read, or is not TOML in bounds."""
    try:
        text = path.read_text(encoding="utf-8")
        _check_bounds(path.name, text)
        return tomllib.loads(text)
    except (OSError, UnicodeDecodeError):
        raise PolicyError(
            f"{path} cannot be read", fix="make it a readable file in UTF-8"
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise PolicyError(
            f"{path.name}: {error}", fix="correct the TOML syntax at that line"
        ) from None
    except ValueError:
        # The parser leaves whole numbers of thousands of digits to Python, which refuses them.
        raise PolicyError(f"{path.name}: a number is too long", fix="shorten it") from None


def _check_bounds(name: str, text: str) -> None:
    """Raise `PolicyError` for a text on which the parser would spend too much."""
    if len(text) > MAX_TOML:
        raise PolicyError(f"{name} exceeds {MAX_TOML:,} characters", fix="make it several files")
    depth = dots = 0
    for token in _TOKEN.finditer(text):
        mark = token[0]
        depth += (mark in ("[", "{")) - (mark in ("]", "}"))
        if mark == ".":
            dots += 1
        elif len(mark) == 1:
            dots = 0
        problem, fix = "", ""
        if depth > MAX_NESTING:
            problem, fix = f"nested more than {MAX_NESTING} deep", "use fewer brackets"
        elif dots >= MAX_KEY_PARTS:
            problem, fix = f"a key of more than {MAX_KEY_PARTS} parts", "use fewer dots"
        if problem:
            line = text.count("\n", 0, token.start()) + 1
            raise PolicyError(f"{name}: {problem} (at line {line})", fix=fix)


def load_config(path: Path, kind: type[Config]) -> Config:
    """Read a configuration file as a value of `kind`.

    Raises:
        PolicyError: A field is missing, unknown or of another type; names file and field.


    >>> quota = load_config(resolve_path("quota.toml"), dict[str, dict[str, float]])
    >>> quota["quota"]["first_warning"]
    0.5
    """
    try:
        return msgspec.convert(read_toml(path), kind)
    except msgspec.ValidationError as error:
        fix = f"compare with the shipped {path.name}; docs/upgrade.md lists keys that are gone"
        raise PolicyError(f"{path.name}: {error}", fix=fix) from None
