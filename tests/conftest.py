"""Registers what every test session gets (`support.session`), and makes `tests/` importable."""

from __future__ import annotations

import pytest

from support import session

NAME = "wavebreak-tests"


def pytest_configure(config: pytest.Config) -> None:
    """Register it, once for all folders of tests."""
    if not config.pluginmanager.has_plugin(NAME):
        config.pluginmanager.register(session, NAME)
