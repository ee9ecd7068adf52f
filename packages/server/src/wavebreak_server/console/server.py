"""Pages in the service: configuration at start, and the ASGI apps that route to them."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import urlsplit

from django.conf import settings
from django.core.handlers.asgi import ASGIHandler

from wavebreak.errors import UsageError
from wavebreak_server.console import sign_in_limits
from wavebreak_server.http.responses import App, Receive, Scope, Send
from wavebreak_server.storage.django_settings import (
    CONSOLE_MIDDLEWARE,
    OPENID_CONNECT,
    PUBLIC_MIDDLEWARE,
)

PUBLIC_PREFIXES = ("/static/", "/notice/", "/appeal/", "/help/", "/business/")
"""Paths of the pages for account holders and of what these load; they are served always."""
PREFIXES = ("/console", *PUBLIC_PREFIXES)
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True)
class ConsoleOptions:
    """Options of the console.

    Attributes:
        url: The public address, as people type it: `https://abuse.example.org`.
        second_factor: Whether everybody needs a second factor (None: unless on loopback).
        oidc: Settings of an OpenID Connect provider (empty: none).
        trusted_proxies: Proxies in front of the service that set X-Forwarded-For.
    """

    url: str
    second_factor: bool | None = None
    oidc: Mapping[str, Any] = field(default_factory=dict)
    trusted_proxies: int = 0


def configure(options: ConsoleOptions, secret: bytes) -> None:
    """Set what depends on the deployment; called once, before the app is made.

    Raises UsageError for an address that is no http or https URL.
    """
    parts = urlsplit(options.url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError("--console-url is not an address", fix="write https://abuse.example.org")
    secure, local = parts.scheme == "https", parts.hostname in LOOPBACK
    settings.SECRET_KEY = hmac.digest(secret, b"wavebreak console", hashlib.sha256).hex()
    settings.CONSOLE_URL = options.url.rstrip("/")
    settings.CONSOLE_HOSTS = frozenset({parts.hostname, *(LOOPBACK if local else ())})
    settings.CONSOLE_SECOND_FACTOR = (
        not local if options.second_factor is None else options.second_factor
    )
    settings.SESSION_COOKIE_SECURE = settings.CSRF_COOKIE_SECURE = secure
    settings.CSRF_TRUSTED_ORIGINS = [f"{parts.scheme}://{parts.netloc}"] if secure else []
    settings.MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = not secure
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = options.trusted_proxies
    sign_in_limits.limits.forget()
    settings.CONSOLE_SIGN_IN_ORIGIN = ""
    apps = [dict(options.oidc)] if options.oidc else []
    settings.SOCIALACCOUNT_PROVIDERS = {"openid_connect": OPENID_CONNECT | {"APPS": apps}}
    if options.oidc:
        given = options.oidc["settings"]
        at = urlsplit(given.get("authorization_origin") or given["server_url"])
        settings.CONSOLE_SIGN_IN_ORIGIN = f"{at.scheme}://{at.netloc}"


class ConsoleRouter:
    """ASGI app: the paths of all pages through Django with sessions, all others to the API."""

    prefixes: ClassVar[tuple[str, ...]] = PREFIXES
    middleware: ClassVar[tuple[str, ...]] = CONSOLE_MIDDLEWARE

    def __init__(self, api: App) -> None:
        self._api, self._pages = api, _handler(self.middleware)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        page = scope["type"] == "http" and scope["path"].startswith(self.prefixes)
        await (self._pages if page else self._api)(scope, receive, send)


class PublicRouter(ConsoleRouter):
    """ASGI app: the pages for account holders, without sessions; all other paths to the API."""

    prefixes = PUBLIC_PREFIXES
    middleware = PUBLIC_MIDDLEWARE


def _handler(middleware: Sequence[str]) -> App:
    """Return a Django handler with the middleware of pages; the API's handler keeps its own."""
    former = settings.MIDDLEWARE
    settings.MIDDLEWARE = list(middleware)
    try:
        handler: App = ASGIHandler()
    finally:
        settings.MIDDLEWARE = former
    return handler
