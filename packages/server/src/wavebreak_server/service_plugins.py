"""Plug-ins of the service: what other distributions add to the API, its keys, tables and webhooks.

The service knows no plug-in by name. A distribution names a subclass of `ServicePlugin` as an entry
point of the group `wavebreak.service_plugins`: a Django app, whose tables and migrations are taken
with the service's own. It is imported, and this module with it, while Django is configured, before
any model can be: what needs models is in the app's module `hooks`. Pages of the console come by
`console.plugins`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Protocol, cast

from django.apps import AppConfig, apps

Task = Callable[[Any], Awaitable[None]]
"""A background task of a service, which is called with it."""


class ServicePlugin(AppConfig):
    """A Django app that adds to the service.

    Attributes:
        name: The app's package; `hooks` in it is a `ServiceHooks`.
        scopes: Scopes of API keys that its operations need.
        webhook_kinds: What webhooks may ask for beside decisions and states.
    """

    scopes: ClassVar[tuple[str, ...]] = ()
    webhook_kinds: ClassVar[tuple[str, ...]] = ()


class ServiceHooks(Protocol):
    """The module `hooks` of a plug-in's package."""

    @property
    def OPERATIONS(self) -> Sequence[Any]:  # noqa: N802 - a constant of the module
        """Operations of the API, as `http.operations` declares them."""

    def warm(self) -> None:
        """Compile, or load from the cache, all the compiled code that the plug-in calls.

        Called before the service is ready: nothing compiles within a transaction.
        """

    def background_tasks(self, context: Any, policy: Path | None) -> list[Task]:
        """Return what runs beside a service.

        Args:
            context: The application context (`http.app_context.AppContext`).
            policy: Directory of a local policy (None: the shipped one).
        """

    def erase(self, accounts: Sequence[str]) -> None:
        """Remove the pseudonyms of people from the plug-in's tables, for good.

        Safe where nothing of them is there, and where they were erased before.
        """


def installed_plugins() -> list[ServicePlugin]:
    """Return the plug-ins of this process, in the order of their names."""
    found = (app for app in apps.get_app_configs() if isinstance(app, ServicePlugin))
    return sorted(found, key=lambda plugin: plugin.label)


def _hooks() -> list[ServiceHooks]:
    return [
        cast(ServiceHooks, import_module(f"{plugin.name}.hooks")) for plugin in installed_plugins()
    ]


def plugin_scopes() -> tuple[str, ...]:
    """Return the scopes that plug-ins add."""
    return tuple(scope for plugin in installed_plugins() for scope in plugin.scopes)


def plugin_webhook_kinds() -> tuple[str, ...]:
    """Return the kinds of webhooks that plug-ins add."""
    return tuple(kind for plugin in installed_plugins() for kind in plugin.webhook_kinds)


def plugin_operations() -> list[Any]:
    """Return the operations that plug-ins add."""
    return [operation for hooks in _hooks() for operation in hooks.OPERATIONS]


def plugin_models() -> list[Any]:
    """Return the tables that plug-ins add: a backup has them too."""
    return [model for plugin in installed_plugins() for model in plugin.get_models()]


def warm_plugins() -> None:
    """Have the compiled code of plug-ins ready."""
    for hooks in _hooks():
        hooks.warm()


def plugin_tasks(context: Any, policy: Path | None) -> list[Task]:
    """Return what plug-ins run beside a service."""
    return [task for hooks in _hooks() for task in hooks.background_tasks(context, policy)]


def erase_from_plugins(accounts: Sequence[str]) -> None:
    """Remove the pseudonyms of people from the tables of plug-ins."""
    for hooks in _hooks():
        hooks.erase(accounts)
