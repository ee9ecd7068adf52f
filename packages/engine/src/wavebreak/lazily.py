"""Names of a package whose modules are imported when a name is first wanted.

A command imports the packages that it may need; what only another command needs (SciPy,
scikit-learn, Matplotlib, readers of pages) would cost each start up to two seconds.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


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


class LazyModule:
    """A module that is imported when something of it is first used.

    >>> LazyModule("json").dumps([1])
    '[1]'
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        """Import the module, and return what it has under a name."""
        return getattr(import_module(self._name), name)
