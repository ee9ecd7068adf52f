"""Errors that Django raises by itself: a page for a person, the API's problem for a program."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import structlog
from django.conf import settings
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils.translation import override

from wavebreak.languages import msgid
from wavebreak_server import django_settings
from wavebreak_server.console.middleware import CONTENT_POLICY
from wavebreak_server.console.pages import FORBIDDEN, error_page
from wavebreak_server.console.translations import browser_language, load_translations
from wavebreak_server.console.views.public import Public
from wavebreak_server.errors import ApiError
from wavebreak_server.http import responses
from wavebreak_server.http.operations import BUSY
from wavebreak_server.texts import page_language, translate

logger = structlog.stdlib.get_logger("wavebreak.console")

_PUBLIC = frozenset({"notice", "appeal", "help", "business"})
_BUSY = msgid("The service is busy")
_BUSY_FIX = msgid(
    "Try again in a moment. If you sent a form, it may not be stored: open the page again and look "
    "before you send it again."
)


class BusyMiddleware:
    """Answers a form that was not read, since too many others are, with a page to try again."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Handle a request."""
        is_busy = getattr(request, "scope", {}).get(BUSY)
        return _busy(request) if is_busy else self._get_response(request)


def bad_request(request: HttpRequest, **_details: Any) -> HttpResponse:
    """Answer a request that Django could not read."""
    if _is_console(request):
        return _console_page(
            request,
            400,
            translate("This request could not be read"),
            translate("Go back, reload the page and send it again."),
        )
    if _is_public(request):
        return _public_page(request, 400, "unreadable")
    return responses.malformed(request)


def forbidden(request: HttpRequest, **_details: Any) -> HttpResponse:
    """Answer a request that a page does not allow."""
    if _is_console(request):
        return _console_page(
            request, 403, translate("Your role does not include this"), translate(FORBIDDEN)
        )
    if _is_public(request):
        return _public_page(request, 403, "nothing")
    return responses.not_found(request)


def not_found(request: HttpRequest, **details: Any) -> HttpResponse:
    """Answer a request to an unknown path."""
    if _is_console(request):
        return _console_page(
            request, 404, translate("There is no such page"), translate("Use the navigation.")
        )
    if _is_public(request):
        return _public_page(request, 404, "nothing")
    return responses.not_found(request, **details)


def server_error(request: HttpRequest) -> HttpResponse:
    """Log what went wrong, without a value of the request, and say so.

    A database that fails is a 503: the same request may pass in a moment.
    """
    match, error = request.resolver_match, sys.exc_info()[1]
    route = match.route if match else ""
    if isinstance(error, DatabaseError):
        logger.warning("database error", route=route, cause=type(error).__name__)
        return _busy(request)
    logger.exception("page failed", route=route)
    if _is_console(request):
        return _console_page(
            request,
            500,
            translate("Something went wrong here"),
            translate("Try again; it is logged."),
        )
    if _is_public(request):
        return _public_page(request, 500, "failed")
    return responses.problem_response(ApiError(500, "internal error"))


def _busy(request: HttpRequest) -> HttpResponse:
    if _is_console(request):
        response = _console_busy(request)
    elif _is_public(request):
        response = _public_page(request, 503, "busy")
    else:
        problem = ApiError(503, "the database is unavailable", fix="try again later")
        response = responses.problem_response(problem)
    response["Retry-After"] = "1"
    return response


def _console_page(request: HttpRequest, status: int, what: str, fix: str) -> HttpResponse:
    """Return an error in the console's frame, which reads the person from the database."""
    if getattr(request, "user", None) is None:
        return _frameless(request, status, what, fix)
    try:
        return error_page(request, status, what, fix)
    except DatabaseError:
        return _console_busy(request)


def _console_busy(request: HttpRequest) -> HttpResponse:
    # Before the person is read, no language is active.
    language = page_language().code
    if not hasattr(request, "_cached_user"):
        language = browser_language(request)
        load_translations(language)
    with override(language):
        return _frameless(request, 503, translate(_BUSY), translate(_BUSY_FIX))


def _frameless(request: HttpRequest, status: int, what: str, fix: str) -> HttpResponse:
    """Return an error without the console's navigation: nothing is read from the database."""
    is_part = bool(request.headers.get("HX-Request"))
    template = "console/parts/alert.html" if is_part else "console/shared_nothing.html"
    values = {"what": what, "fix": fix, "kind": "danger", "page_language": page_language()}
    return HttpResponse(render_to_string(template, values), status=status)


def _public_page(request: HttpRequest, status: int, name: str) -> HttpResponse:
    match = request.resolver_match
    page = Public(request, str(match.kwargs.get("lang", "")) if match else "")
    why = page.text(f"{name}_why", contact=page.contact())
    response = page.message(status, page.text(name), why)
    response["Content-Security-Policy"] = CONTENT_POLICY
    response["Referrer-Policy"] = "no-referrer"
    response["Vary"] = "Accept-Language"
    response["X-Robots-Tag"] = "noindex, nofollow, noarchive"
    # Django would log the path, and with it a token.
    setattr(response, "_has_been_logged", True)  # noqa: B010 - not in Django's type
    return response


def _is_console(request: HttpRequest) -> bool:
    has_console = settings.ROOT_URLCONF != django_settings.PUBLIC_URLS
    return has_console and _section(request) == "console"


def _is_public(request: HttpRequest) -> bool:
    """Whether a person reads the answer: on a public page, or by a browser outside the API."""
    section = _section(request)
    if section in _PUBLIC:
        return not request.path.endswith(".json")
    return section != "v1" and "text/html" in request.headers.get("Accept", "")


def _section(request: HttpRequest) -> str:
    return str(request.path.lstrip("/").partition("/")[0])
