"""Configuration loader: TOML files of a policy, shipped or of a local directory.

Rules and actions have a loader of their own, which merges rule by rule; any other file of a local
directory replaces the shipped one as a whole.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from wavebreak.errors import PolicyError

SHIPPED = Path(__file__).resolve().parent / "policy"

Config = TypeVar("Config")


def resolve_path(name: str, directory: Path | None = None) -> Path:
    """Return a configuration file's path: the local policy's if it exists, else the shipped one.

    >>> resolve_path("cases/names.toml") == SHIPPED / "cases" / "names.toml"
    True
    """
    own = directory / name if directory else None
    return own if own and own.exists() else SHIPPED / name


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file; raises `PolicyError` where it cannot be read or is not TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        raise PolicyError(
            f"{path} cannot be read", fix="make it a readable file in UTF-8"
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise PolicyError(
            f"{path.name}: {error}", fix="correct the TOML syntax at that line"
        ) from None


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
        fix = f"compare with the shipped {path.name}"
        raise PolicyError(f"{path.name}: {error}", fix=fix) from None
