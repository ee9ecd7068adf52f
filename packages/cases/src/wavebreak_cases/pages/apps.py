"""Django's configuration of the pages of cases, and their link in the navigation."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from wavebreak_server.console.plugins import ConsolePlugin, NavigationItem

if TYPE_CHECKING:
    from wavebreak_cases.pages.store import CaseStore


class CasePages(ConsolePlugin):
    """The pages of cases as a plug-in of the console.

    Attributes:
        store: The cases that the service works on (None: the console has not opened any).

    """

    name = "wavebreak_cases.pages"
    label = "case_pages"
    directory = "cases"
    navigation: ClassVar = (NavigationItem("cases", "Cases", "cases", "view_cases", "g c"),)
    after = "appeals"
    store: CaseStore | None = None
