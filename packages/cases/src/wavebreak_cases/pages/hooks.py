"""What the console asks of the pages of cases: their addresses, panels, store and demonstration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.http import HttpRequest
from django.template.loader import render_to_string

from wavebreak_cases.pages import demo_case, files
from wavebreak_cases.pages.store import CaseStore, current_store, is_open, open_store
from wavebreak_cases.pages.urls import URLS
from wavebreak_server.console.plugins import PluginOptions
from wavebreak_server.pipeline.service import Background

__all__ = ["URLS", "account_panel", "demo_tasks", "open"]


def open(options: PluginOptions) -> None:
    """Serve the cases of a directory; their steps are sealed with the key of the ledger."""
    open_store(CaseStore(options.directory, options.signer, options.secret, options.policy))


def account_panel(request: HttpRequest, accounts: Sequence[str], *, several: bool) -> str:
    """Return the list of the cases that link an account, or any of several.

    Nobody but who may see cases is shown any.
    """
    user: Any = request.user
    may = getattr(user, "may", None)
    if not is_open() or not may or not may("view_cases"):
        return ""
    linked = files.cases_of_accounts(current_store(), accounts)
    panel: str = render_to_string(
        "console/parts/linked_cases.html", {"linked": linked, "several": several}
    )
    return panel


def demo_tasks() -> list[Background]:
    """Return the task that builds a legal case for a demonstration."""
    return [demo_case.build_when_decided]
