"""Sheets of a policy: TOML files, shipped under `policy/` or of a local directory, as values.

Rules and actions have a loader of their own, since they are merged rule by rule; a sheet is taken
whole.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from wavebreak.errors import PolicyError

SHIPPED = Path(__file__).resolve().parent / "policy"

Config = TypeVar("Sheet")


def resolve_path(name: str, directory: Path | None = None) -> Path:
    """Name a sheet's file: that of a local policy where it has one, else the shipped one.

    >>> chosen("cases/names.toml") == SHIPPED / "cases" / "names.toml"
    True
    """
    own = directory / name if directory else None
    return own if own and own.exists() else SHIPPED / name


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file; raises `PolicyError` where it cannot be read or is none."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        raise PolicyError(f"{path} cannot be read", fix="make it a readable UTF-8 file") from None
    except tomllib.TOMLDecodeError as error:
        raise PolicyError(f"{path.name}: {error}", fix="mend the TOML there") from None


def load_config(path: Path, kind: type[Config]) -> Config:
    """Read a sheet as a value of `kind`; raises `PolicyError` that names file, field and fix.

    >>> read(chosen("quota.toml"), dict[str, dict[str, float]])["quota"]["first_warning"]
    0.5
    """
    try:
        return msgspec.convert(read_toml(path), kind)
    except msgspec.ValidationError as error:
        fix = f"compare with the shipped {path.name}"
        raise PolicyError(f"{path.name}: {error}", fix=fix) from None
