"""Django's configuration of the console."""

from __future__ import annotations

from django.apps import AppConfig


class ConsoleConfig(AppConfig):
    """The console as a Django app."""

    name = "wavebreak.console"
    label = "console"
