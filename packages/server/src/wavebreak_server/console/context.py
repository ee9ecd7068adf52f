"""Template context of every page: navigation, permissions, assets."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.http import HttpRequest
from django.urls import get_resolver

from wavebreak import __version__
from wavebreak_server.console.plugin_app import NavigationItem
from wavebreak_server.console.plugins import with_plugin_links

NAVIGATION = (
    NavigationItem("overview", "Overview", "overview", "view_overview", "g o"),
    NavigationItem("queue", "Queue", "queue", "view_queue", "g q"),
    NavigationItem("accounts", "Accounts", "account", "view_accounts", "g a"),
    NavigationItem("operators", "Operators", "operators", "view_accounts", "g p"),
    NavigationItem("appeals", "Appeals", "appeals", "view_appeals", "g e"),
    NavigationItem("policy", "Policy", "policy", "view_policy", "g r"),
    NavigationItem("reports", "Reports", "reports", "view_reports", "g t"),
    NavigationItem("settings", "Settings", "settings", "view_settings", "g s"),
)


def page(request: HttpRequest) -> dict[str, Any]:
    """Return what every template may read."""
    user: Any = getattr(request, "user", None)
    signed_in = user is not None and user.is_authenticated
    section = request.path.removeprefix("/console").strip("/").partition("/")[0] or "overview"
    return {
        "navigation": [
            n
            for n in with_plugin_links(NAVIGATION)
            if signed_in and user.may(n.permission) and n.name in get_resolver().reverse_dict
        ],
        "section": section,
        "version": __version__,
        "session_began": _began(request) if signed_in else "",
    }


def _began(request: HttpRequest) -> str:
    """Return when the session began, as ISO 8601."""
    began = request.session.get("began", 0)
    return datetime.fromtimestamp(began, UTC).isoformat() if began else ""
