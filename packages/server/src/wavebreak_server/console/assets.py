"""Static files of the pages, and their versions: addresses that change with their content."""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from pathlib import Path

from django.contrib.staticfiles import finders
from django.templatetags.static import static

from wavebreak.errors import UsageError

MANIFEST = Path(__file__).parent / "static" / "console" / "manifest.json"
"""List of the built files; a wheel contains it, a checkout after `make assets`."""


def check_built() -> None:
    """Check that scripts and styles are built; raises UsageError."""
    if not MANIFEST.exists():
        raise UsageError(
            "the console's scripts and styles are not built in this checkout",
            fix="run `make assets` (or `python frontend/build.py`), or serve with --no-console",
        )


@cache
def asset_version(name: str) -> str:
    """Return the version of a static file by its name below the static address ("": none)."""
    path = finders.find(name)
    if not path:
        return ""
    with open(path, "rb") as file:
        return sha256(file.read()).hexdigest()[:8]


def asset_url(name: str) -> str:
    """Return the address of a static file of the console, with its version."""
    name = f"console/{name}"
    return f"{static(name)}?v={asset_version(name) or 'missing'}"
