"""What is imported late: what an installation may lack, and what only some commands need.

A plain `pip install wavebreak` runs, explains and evaluates. `EXTRAS` says what draws charts or
talks to another database or broker; these packages are imported when first used. `COMMANDS` says
which distribution brings a command, and entry points say which are installed: no distribution
imports one that builds on it. What only one command needs (SciPy, Matplotlib, readers of pages)
would cost every start up to two seconds: a package names it by `lazily`, a module by `LazyModule`,
and a module of commands is imported within `deferred_imports`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.metadata import entry_points
from importlib.util import LazyLoader
from types import ModuleType
from typing import Any

from wavebreak.errors import MissingExtraError

EXTRAS: Mapping[str, str] = {
    "babel": "wavebreak[notices]",
    "confluent_kafka": "wavebreak-server[kafka]",
    "httpx": "wavebreak[stamps]",
    "matplotlib": "wavebreak[charts]",
    "opentelemetry.exporter": "wavebreak-server[otel]",
    "opentelemetry.sdk": "wavebreak-server[otel]",
    "psycopg": "wavebreak-server[postgres]",
    "rfc3161_client": "wavebreak[stamps]",
}
"""The distribution and extra that install each optional package, by the name that is imported."""

SERVER, CASES, LAB = "wavebreak-server", "wavebreak-cases", "wavebreak-lab"
BUSINESS, FLINK = "wavebreak-business", "wavebreak-flink"

COMMANDS: Mapping[str, str] = {
    "demo": LAB,
    "assess": "wavebreak",
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
    "learn": SERVER,
    "red-team": LAB,
    "claim": CASES,
    "serve": SERVER,
    "config": SERVER,
    "key": SERVER,
    "sources": SERVER,
    "lists": SERVER,
    "lane": SERVER,
    "traps": SERVER,
    "user": SERVER,
    "ledger": "wavebreak",
    "transparency": SERVER,
    "case": CASES,
    "bundle": CASES,
    "verify": CASES,
    "business": BUSINESS,
    "flink": FLINK,
    "backup": SERVER,
    "restore": SERVER,
    "upgrade": SERVER,
    "log": SERVER,
    "precompile": "wavebreak",
}
"""The distribution that brings each command and group, in the order of the root help."""


def missing_extra(module: str) -> MissingExtraError | None:
    """Return the error for a module that cannot be imported; None where no extra brings it.

    Args:
        module: The name that could not be imported.

    Returns:
        The error, which names the extra to install.

    Example:
        >>> missing_extra("matplotlib.figure").fix
        "pip install 'wavebreak[charts]'"
        >>> missing_extra("wavebreak.no_such_module") is None
        True
    """
    parts = module.split(".")
    for length in range(len(parts), 0, -1):
        package = ".".join(parts[:length])
        if package in EXTRAS:
            return MissingExtraError(
                f"{package} is not installed; `{EXTRAS[package]}` brings it",
                fix=f"pip install '{EXTRAS[package]}'",
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


def load_home_fit() -> Any:
    """Return what fits trees on a platform's own labels (`evaluation.home_learning.learn`).

    Raises:
        MissingExtraError: The distribution that brings it is not installed.
    """
    return load_plugin("wavebreak.fits", "home", LAB, "the fit of a model")


def load(module: str) -> Any:
    """Import an optional module; raises MissingExtraError where its extra is not installed."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        missing = missing_extra(error.name or "")
        if missing is None:
            raise
        raise missing from None


class LazyModule:
    """A module that is imported when an attribute of it is first read, optional or not.

    >>> LazyModule("json").loads("[1]")
    [1]
    """

    def __init__(self, module: str) -> None:
        self._name = module

    def __getattr__(self, attribute: str) -> Any:
        """Import the module, and return what it has under a name."""
        value = getattr(load(self._name), attribute)
        setattr(self, attribute, value)
        return value


class _Deferring(MetaPathFinder):
    """Finds our own modules in such a way that they run when an attribute is first read.

    Packages of commands run at once. So do the modules of Django's models, which Django imports
    for their effect, and whatever a module imports that runs.
    """

    is_active = False

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the specification of a module that is to run later; None for any other."""
        parts = name.split(".")
        if not (self.is_active and parts[0].startswith("wavebreak")):
            return None
        if "cli" in parts or parts[-1] in ("models", "django_settings"):
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and type(spec.loader) is SourceFileLoader:
            spec.loader = LazyLoader(_Running(spec.loader.name, spec.loader.path))
        return spec


class _Running(SourceFileLoader):
    """Runs a module, of which no import is deferred."""

    def exec_module(self, module: ModuleType) -> None:
        """Run a module."""
        active, _DEFERRING.is_active = _DEFERRING.is_active, False
        try:
            super().exec_module(module)
        finally:
            _DEFERRING.is_active = active


_DEFERRING = _Deferring()
sys.meta_path.insert(0, _DEFERRING)


@contextmanager
def deferred_imports() -> Iterator[None]:
    """Defer within the context what modules of commands import until it is used.

    `from wavebreak import engine` at the head of such a module costs nothing until a command reads
    an attribute of `engine`; `from wavebreak.engine import run` reads one.
    """
    active, _DEFERRING.is_active = _DEFERRING.is_active, True
    try:
        yield
    finally:
        _DEFERRING.is_active = active


def lazily(package: str, modules: Mapping[str, str]) -> Callable[[str], object]:
    """Return a package's `__getattr__`: `modules` maps a module of it to its names, by spaces.

    Each name is looked up once, then kept in the package.

    >>> lazily("json", {"decoder": "JSONDecoder"})("JSONDecoder")
    <class 'json.decoder.JSONDecoder'>
    """
    module_of = {name: module for module, names in modules.items() for name in names.split()}

    def load_name(name: str) -> object:
        if name not in module_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}", name=name)
        value: object = getattr(import_module(f"{package}.{module_of[name]}"), name)
        setattr(sys.modules[package], name, value)
        return value

    return load_name
