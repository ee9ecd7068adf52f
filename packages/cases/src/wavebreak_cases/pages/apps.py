"""Django's configuration of the pages of cases, their link in the navigation, and their cases."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from django.apps import apps

from wavebreak.errors import ServiceError
from wavebreak.languages import msgid
from wavebreak.ledger import Signer
from wavebreak_server.console.plugins import ConsolePlugin, NavigationItem


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


class CasePages(ConsolePlugin):
    """The pages of cases as a plug-in of the console.

    Attributes:
        store: The cases that the service works on (None: the console has not opened any).
    """

    name = "wavebreak_cases.pages"
    label = "case_pages"
    directory = "cases"
    navigation: ClassVar = (NavigationItem("cases", msgid("Cases"), "cases", "view_cases", "g c"),)
    after = "appeals"
    store: CaseStore | None = None


def _plugin() -> CasePages:
    plugin: CasePages = apps.get_app_config(CasePages.label)
    return plugin


def open_store(store: CaseStore) -> None:
    """Set the store of this process; called once at the start of the console."""
    _plugin().store = store


def is_open() -> bool:
    """Return whether this process has a store."""
    return _plugin().store is not None


def current_store() -> CaseStore:
    """Return the store of this process; raises ServiceError where none is open."""
    store = _plugin().store
    if store is None:
        raise ServiceError(
            "this service was started without cases", fix="start it with --cases DIRECTORY"
        )
    return store
