"""Middleware of the console: content policy, session ends, and the second factor."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from allauth.mfa.utils import is_mfa_enabled
from django.conf import settings
from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware
from django.urls import reverse
from django.utils.translation import override
from whitenoise.middleware import WhiteNoiseMiddleware

from wavebreak.durations import DAY_S, HOUR_S
from wavebreak_server.console.assets import asset_version
from wavebreak_server.console.openid_connect import signed_in_by_provider
from wavebreak_server.console.pages import error_page
from wavebreak_server.console.site import Site
from wavebreak_server.console.translations import COOKIE, PARAMETER, language_for, load_translations
from wavebreak_server.http.operations import TOO_LARGE
from wavebreak_server.texts import translate

Handler = Callable[[HttpRequest], HttpResponse]

CONTENT_POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
"""No script or style inline, nothing from elsewhere. `data:` images: the QR code of a second
factor, which must not be cached."""
_FOREVER = "public, max-age=31536000, immutable"
IDLE_S, ABSOLUTE_S = HOUR_S, 12 * HOUR_S
SEEN_EVERY_S = 60
_BEGAN, _SEEN = "began", "seen"
USER_PATH = "/console/user/"


class SecurityMiddleware:
    """Sets the security headers, and refuses a Host that is not the console's."""

    def __init__(self, get_response: Handler) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Handle a request."""
        hosts, host = Site.of(request).hosts, request.get_host()
        if host.rpartition(":")[0].strip("[]") not in hosts and host not in hosts:
            return HttpResponse("unknown host", status=400, content_type="text/plain")
        response = self._get_response(request)
        response.headers.setdefault("Content-Security-Policy", _content_policy(request))
        response.headers.setdefault(
            "Permissions-Policy", "camera=(), microphone=(), geolocation=()"
        )
        # With no-referrer, browsers send `Origin: null` with a form, which CSRF checks refuse.
        response.headers.setdefault("Referrer-Policy", "same-origin")
        response.headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
        # Pages name accounts: no copy stays in a browser's cache. Static files say otherwise.
        response.headers.setdefault("Cache-Control", "no-store")
        return response


def _content_policy(request: HttpRequest) -> str:
    """Return the content policy; the forms that sign in and out lead to the provider."""
    origin = Site.of(request).sign_in_origin
    if origin and (request.path.startswith(USER_PATH) or signed_in_by_provider(request)):
        # Browsers apply form-action to the redirects that follow a form, too.
        return CONTENT_POLICY.replace("form-action 'self'", f"form-action 'self' {origin}")
    return CONTENT_POLICY


class StaticFilesMiddleware(WhiteNoiseMiddleware):
    """Serves the assets, compressed as they were built, in the smallest way that a browser takes.

    An address with a file's version never changes its content: browsers need not ask again. Files
    are at most half a megabyte, so they are not streamed.
    """

    @staticmethod
    def serve(static_file: Any, request: HttpRequest) -> HttpResponse:
        """Return a file, or that it has not changed."""
        answer = static_file.get_response(request.method, request.META)
        content = b""
        if answer.file is not None:
            with answer.file as file:
                content = file.read()
        response = HttpResponse(content, status=int(answer.status))
        del response["content-type"]
        for name, value in answer.headers:
            response[name] = value
        asked = request.GET.get("v")
        if asked and asked == asset_version(request.path_info.removeprefix(settings.STATIC_URL)):
            response["Cache-Control"] = _FOREVER
        return response


class CompressionMiddleware(GZipMiddleware):
    """Compresses pages; streams of events pass as they are, since each part must arrive at once.

    What a page repeats of a request cannot be guessed from its size: Django masks the token of
    forms anew in every answer, and this adds up to a hundred random bytes.
    """

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> Any:
        """Return the response, compressed where the browser takes that."""
        if response.streaming:
            return response
        return super().process_response(request, response)


class LanguageMiddleware:
    """Renders pages of the console in the person's language; holders' pages choose their own."""

    def __init__(self, get_response: Handler) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Handle a request."""
        if not request.path.startswith("/console"):
            return self._get_response(request)
        language = language_for(request)
        load_translations(language)
        with override(language):
            response = self._answer(request)
        response.headers.setdefault("Content-Language", language)
        if request.path.startswith(USER_PATH) and request.GET.get(PARAMETER) == language:
            response.set_cookie(
                COOKIE,
                language,
                max_age=365 * DAY_S,
                path="/console",
                secure=settings.SESSION_COOKIE_SECURE,
                httponly=True,
                samesite="Lax",
            )
        return response

    def _answer(self, request: HttpRequest) -> HttpResponse:
        if not getattr(request, "scope", {}).get(TOO_LARGE):
            return self._get_response(request)
        return error_page(
            request,
            413,
            translate("The form is too large"),
            translate("Go back, shorten the texts or take a smaller file, and send it again."),
        )


class SessionAgeMiddleware:
    """Ends a session an hour after its last request and twelve hours after its begin."""

    def __init__(self, get_response: Handler) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Handle a request."""
        user: Any = getattr(request, "user", None)
        if user is not None and user.is_authenticated:
            now = int(time.time())
            began = request.session.setdefault(_BEGAN, now)
            seen = request.session.get(_SEEN, 0)
            if now - began > ABSOLUTE_S or (seen and now - seen > IDLE_S):
                request.session_over = True
                logout(request)
                return HttpResponseRedirect(reverse("account_login"))
            if now - seen > SEEN_EVERY_S:
                request.session[_SEEN] = now
        return self._get_response(request)


class SecondFactorMiddleware:
    """Sends a person without a second factor to set one up, where the console requires one."""

    def __init__(self, get_response: Handler) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Handle a request."""
        if Site.of(request).second_factor:
            user: Any = getattr(request, "user", None)
            inside = request.path.startswith("/console/")
            inside = inside and not request.path.startswith(USER_PATH)
            if inside and user is not None and user.is_authenticated and not is_mfa_enabled(user):
                return HttpResponseRedirect(reverse("mfa_index"))
        return self._get_response(request)
