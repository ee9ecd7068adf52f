"""Plug-ins of the console: pages of other distributions, and where the console shows them.

The console knows no plug-in by name. Without one its pages do not exist, and nothing links to them.
A distribution names a subclass of `ConsolePlugin` as an entry point of the group
`wavebreak.console_plugins`. It is imported, and this module with it, while Django is configured,
before any model can be: what needs models is in the app's module `hooks`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol, cast

from django.apps import AppConfig, apps
from django.http import HttpRequest
from django.utils.safestring import SafeString, mark_safe

from wavebreak.errors import MissingExtraError
from wavebreak.ledger import Signer
from wavebreak.ledger.checkpoints import load_or_create_signer

DemoTask = Callable[[Any], Awaitable[None]]
"""A background task of a service, which is called with it."""


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
        directory: Name of the directory of its files, below that of the service ("": it has none).
        navigation: Its links, each named after the address that it leads to.
        after: Name of the link that they come after.
    """

    directory: ClassVar[str] = ""
    navigation: ClassVar[tuple[NavigationItem, ...]] = ()
    after: ClassVar[str] = ""


@dataclass(frozen=True)
class PluginOptions:
    """What a service lends a plug-in.

    Attributes:
        directory: Directory of the plug-in's files; it need not exist yet.
        signer: Key of the ledger.
        secret: The deployment's pseudonym key.
        policy: Directory of a local policy (None: the shipped one).
    """

    directory: Path
    signer: Signer
    secret: bytes
    policy: Path | None = None


class PluginHooks(Protocol):
    """The module `hooks` of a plug-in's package."""

    @property
    def URLS(self) -> Sequence[Any]:  # noqa: N802 - a constant of the module
        """URL patterns of its pages, below `console/`."""

    def open(self, options: PluginOptions) -> None:
        """Serve what lies in a directory; called once, at the start of the console."""

    def account_panel(self, request: HttpRequest, accounts: Sequence[str], *, several: bool) -> str:
        """Return the HTML that the page of an account, or of an operator's several, shows."""

    def party_panel(self, request: HttpRequest, names: Sequence[str]) -> str:
        """Return the HTML that the page of a firm shows, by its name and those of its owners."""

    def waiting_panel(self, request: HttpRequest) -> str:
        """Return the HTML that the overview shows of what waits for the person."""

    def demo_tasks(self) -> list[DemoTask]:
        """Return background tasks that show something in a demonstration."""

    def texts(self) -> Iterable[str]:
        """Return texts of its tables that pages show translated, and that no call marks."""


def installed_plugins() -> list[ConsolePlugin]:
    """Return the plug-ins of this process, in the order of their names."""
    found = (app for app in apps.get_app_configs() if isinstance(app, ConsolePlugin))
    return sorted(found, key=lambda plugin: plugin.label)


def _hooks(plugin: ConsolePlugin) -> PluginHooks:
    return cast(PluginHooks, import_module(f"{plugin.name}.hooks"))


def plugin_texts(plugin: ConsolePlugin) -> list[str]:
    """Return the texts of a plug-in's tables."""
    return [text for text in _hooks(plugin).texts() if text]


def plugin_urls() -> list[Any]:
    """Return the URL patterns of all plug-ins."""
    return [pattern for plugin in installed_plugins() for pattern in _hooks(plugin).URLS]


def with_plugin_links(items: Sequence[NavigationItem]) -> list[NavigationItem]:
    """Return a navigation with the links of the plug-ins, each where its plug-in says."""
    shown = list(items)
    for plugin in installed_plugins():
        at = next((n for n, item in enumerate(shown, 1) if item.name == plugin.after), len(shown))
        shown[at:at] = plugin.navigation
    return shown


def account_panels(request: HttpRequest, accounts: str | Sequence[str]) -> SafeString:
    """Return what plug-ins show on the page of an account, or of an operator's accounts."""
    several = not isinstance(accounts, str)
    names = list(accounts) if several else [str(accounts)]
    panels = (
        _hooks(plugin).account_panel(request, names, several=several)
        for plugin in installed_plugins()
    )
    return mark_safe("".join(panels))  # noqa: S308 - each plug-in renders a template


def party_panels(request: HttpRequest, names: Sequence[str]) -> SafeString:
    """Return what plug-ins show on the page of a firm, by its name and those of its owners."""
    panels = (_hooks(plugin).party_panel(request, names) for plugin in installed_plugins())
    return mark_safe("".join(panels))  # noqa: S308 - each plug-in renders a template


def waiting_panels(request: HttpRequest) -> SafeString:
    """Return what plug-ins show on the overview of what waits for the person."""
    panels = (_hooks(plugin).waiting_panel(request) for plugin in installed_plugins())
    return mark_safe("".join(panels))  # noqa: S308 - each plug-in renders a template


def open_plugins(
    given: Mapping[str, Path | None],
    home: Path,
    seal_key: Path | None,
    secret: bytes,
    policy: Path | None,
) -> None:
    """Open each plug-in over its directory.

    Args:
        given: Directories by the plug-ins' names for them, where the service was given any; else
            it is the one of that name in the service's own directory.
        home: The service's own directory.
        seal_key: File of the ledger's key (None: where it is by default).
        secret: The deployment's pseudonym key.
        policy: Directory of a local policy (None: the shipped one).

    Raises:
        MissingExtraError: A directory was given for a plug-in that is not installed.
    """
    plugins = installed_plugins()
    known = {plugin.directory for plugin in plugins}
    for name in (name for name, path in given.items() if path is not None and name not in known):
        raise MissingExtraError(
            f"--{name}: the packages of the console's {name} are not installed",
            fix=f"pip install 'wavebreak-{name}[console]'",
        )
    for plugin in plugins:
        directory = given.get(plugin.directory) or home / plugin.directory
        options = PluginOptions(directory, load_or_create_signer(seal_key), secret, policy)
        _hooks(plugin).open(options)


def demo_tasks() -> list[DemoTask]:
    """Return the tasks by which plug-ins show something in a demonstration."""
    return [task for plugin in installed_plugins() for task in _hooks(plugin).demo_tasks()]
