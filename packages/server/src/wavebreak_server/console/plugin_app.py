"""What a plug-in of the console is to Django: an app with links in the navigation.

A distribution names a subclass of `ConsolePlugin` as an entry point of the group
`wavebreak.console_plugins`. It is imported while Django is configured, before any model can be:
what needs models is in the app's module `hooks`, which `console.plugins` loads.
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from django.apps import AppConfig


class NavigationItem(NamedTuple):
    """A link of the navigation."""

    name: str
    label: str
    icon: str
    permission: str
    key: str


class ConsolePlugin(AppConfig):
    """A Django app that adds pages to the console; its templates and tags are found in it.

    Attributes:
        name: The app's package; `hooks` in it is a `console.plugins.PluginHooks`.
        directory: Name of the directory of its files, below that of the service.
        navigation: Its links, each named after the address that it leads to.
        after: Name of the link that they come after.

    """

    directory: ClassVar[str]
    navigation: ClassVar[tuple[NavigationItem, ...]] = ()
    after: ClassVar[str] = ""
