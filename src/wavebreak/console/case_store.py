"""Where the console finds legal cases: their directory, the keys that seal and name them.

This module needs no extra: `case_files` and what builds on it need `wavebreak[cases]`, and are
imported through `optional` when a page of cases is first asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from django.conf import settings

from wavebreak.errors import MissingExtraError
from wavebreak.extras import missing_extra
from wavebreak.ledger import Signer


@dataclass(frozen=True)
class CaseStore:
    """The cases that a service works on.

    Attributes:
        directory: Directory of the case workspaces, one each; it need not exist yet.
        signer: Key that seals the steps.
        secret: The deployment's pseudonym key, from which each case's own is derived.
        policy: Directory of a local policy (None: the shipped one).

    """

    directory: Path
    signer: Signer
    secret: bytes
    policy: Path | None = None


def configure(store: CaseStore) -> None:
    """Set the store of this process; called once at the start of the console."""
    settings.CONSOLE_CASES = store


def current() -> CaseStore:
    """Return the store of this process; raises MissingExtraError where none is configured."""
    store: CaseStore | None = getattr(settings, "CONSOLE_CASES", None)
    if store is None:
        raise MissingExtraError(
            "this service was started without cases", fix="start it with --cases DIRECTORY"
        )
    return store


def optional(module: str) -> Any:
    """Import a module that needs the extra `cases`; raises MissingExtraError where it is missing.

    >>> optional("json").loads("[]")
    []
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        missing = missing_extra(error.name or "", "case")
        if missing is None:
            raise
        raise missing from None


class Lazy:
    """A module that is imported, through `optional`, when something of it is first used."""

    def __init__(self, module: str) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(optional(self._module), name)


def linked_cases(accounts: Sequence[str]) -> list[Any]:
    """Return the cases that link any of some accounts; none where cases are not installed."""
    if getattr(settings, "CONSOLE_CASES", None) is None:
        return []
    try:
        find: Callable[[CaseStore, Sequence[str]], list[Any]] = optional(
            "wavebreak.console.case_files"
        ).cases_of_accounts
    except MissingExtraError:
        return []
    return find(current(), accounts)
