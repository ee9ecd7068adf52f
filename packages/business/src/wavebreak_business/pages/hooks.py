"""What the console asks of the pages of businesses: their addresses, panel and texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import path

from wavebreak_business.pages import shown, views
from wavebreak_business.pages.apps import BusinessPages
from wavebreak_server.console.plugins import DemoTask, PluginOptions

__all__ = ["URLS", "account_panel", "demo_tasks", "open", "party_panel", "texts", "waiting_panel"]

URLS: list[Any] = [
    path("portfolios", views.portfolios, name="portfolios"),
    # No portfolio is named so: a name begins with a letter or a digit.
    path("portfolios/-/consents", views.consents, name="portfolio_consents"),
    path("portfolios/<str:portfolio>", views.portfolio, name="portfolio"),
    path("portfolios/<str:portfolio>/preview", views.preview, name="portfolio_preview"),
    path("portfolios/<str:portfolio>/standing", views.act, name="portfolio_act"),
    path("portfolios/<str:portfolio>/appeal", views.decide_appeal, name="portfolio_appeal"),
]
"""Addresses of the pages, below those of the console."""


def open(options: PluginOptions) -> None:
    """Nothing is opened: the platform is the service's own."""


def account_panel(request: HttpRequest, accounts: Sequence[str], *, several: bool) -> str:
    """Return of which businesses accounts are numbers; nothing to who may not see businesses.

    The page of a business does not say it of its own numbers.
    """
    user: Any = request.user
    may = getattr(user, "may", None)
    match = request.resolver_match
    if not may or not may("view_appeals") or (match and match.url_name == "portfolio"):
        return ""
    panel: str = render_to_string(
        "console/parts/portfolios_of_accounts.html",
        {"found": views.portfolios_of(request, accounts), "several": several},
    )
    return panel


def party_panel(request: HttpRequest, names: Sequence[str]) -> str:
    """Return nothing: the list of businesses finds them by name."""
    return ""


def waiting_panel(request: HttpRequest) -> str:
    """Return nothing: appeals of businesses stand on their list."""
    return ""


def demo_tasks() -> list[DemoTask]:
    """Return no task: a demonstration has no business."""
    return []


def texts() -> Iterator[str]:
    """Yield the texts of tables that pages show translated."""
    yield from (item.label for item in BusinessPages.navigation)
    yield from shown.CODES
