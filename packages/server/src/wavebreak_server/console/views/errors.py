"""Pages of errors that Django raises by itself."""

from __future__ import annotations

from typing import Any

import structlog
from django.http import HttpRequest, HttpResponse

from wavebreak_server.console.pages import error_page
from wavebreak_server.http import responses

logger = structlog.stdlib.get_logger("wavebreak.console")


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Refuse a form that this console did not send."""
    return error_page(
        request, 403, "This form is out of date", "Go back, reload the page and send it again."
    )


def not_found(request: HttpRequest, **details: Any) -> HttpResponse:
    """Return the page of an unknown address, or the API's problem."""
    if request.path.startswith("/console") and request.user.is_authenticated:
        return error_page(request, 404, "There is no such page", "Use the navigation.")
    return responses.not_found(request, **details)


def server_error(request: HttpRequest) -> HttpResponse:
    """Log what went wrong, without a value of the request, and say so."""
    match = request.resolver_match
    logger.exception("page failed", route=match.route if match else "")
    if request.path.startswith("/console") and getattr(request, "user", None) is not None:
        return error_page(request, 500, "Something went wrong here", "Try again; it is logged.")
    return responses.malformed(request)
