"""Django's configuration of the pages of businesses, and their link in the navigation."""

from __future__ import annotations

from typing import ClassVar

from wavebreak.languages import msgid
from wavebreak_server.console.plugins import ConsolePlugin, NavigationItem


class BusinessPages(ConsolePlugin):
    """The pages of the platform for businesses as a plug-in of the console."""

    name = "wavebreak_business.pages"
    label = "business_pages"
    navigation: ClassVar = (
        NavigationItem("portfolios", msgid("Businesses"), "globe", "view_appeals", "g b"),
    )
    after = "appeals"
