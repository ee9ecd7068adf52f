"""Where the time stamp (RFC 3161) of a bundle lies: beside it, under its name."""

from __future__ import annotations

from pathlib import Path

STAMP = ".tsr"
"""What the name of a bundle's time stamp ends with, after the bundle's own."""


def stamp_beside(source: Path) -> Path | None:
    """Return the path of the time stamp that lies beside a bundle; None: there is none."""
    beside = source.with_name(f"{source.name}{STAMP}")
    return beside if beside.exists() else None
