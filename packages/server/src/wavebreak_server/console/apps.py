"""Django's configuration of the console."""

from __future__ import annotations

from importlib import import_module

from django.apps import AppConfig


class ConsoleConfig(AppConfig):
    """The console as a Django app."""

    name = "wavebreak_server.console"
    label = "console"

    def ready(self) -> None:
        """Register what audits sign-ins, and what proves and audits changed credentials."""
        import_module("wavebreak_server.console.sign_in_audit")
        import_module("wavebreak_server.slices.users.credentials").connect_signals()
