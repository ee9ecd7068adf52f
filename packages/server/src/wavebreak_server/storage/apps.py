"""The service's tables as a Django application."""

from __future__ import annotations

from django.apps import AppConfig


class StorageConfig(AppConfig):
    """Tables keep the names that earlier versions gave them: the label is of 0.1."""

    name = "wavebreak_server.storage"
    label = "service"
