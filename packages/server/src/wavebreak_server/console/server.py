"""Pages in the service: their options, their start, and the ASGI apps that route to them."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.urls import clear_url_caches

from wavebreak.errors import UsageError
from wavebreak_server import django_settings
from wavebreak_server.console.site import LOOPBACK, Site
from wavebreak_server.http.app_context import AppContext, closing_connection, run_in_transaction
from wavebreak_server.http.responses import App, Receive, Scope, Send
from wavebreak_server.slices.users.models import User
from wavebreak_server.slices.users.permissions import ROLES
from wavebreak_server.slices.users.service import create_user
from wavebreak_server.slices.versions.model_versions import MODEL
from wavebreak_server.slices.versions.policy_versions import POLICY
from wavebreak_server.slices.versions.service import settle_interrupted
from wavebreak_server.storage.private_files import OTHERS

PUBLIC_PREFIXES = ("/static/", "/notice/", "/appeal/", "/help/", "/business/")
"""Paths of the pages for account holders and of what these load; they are served always."""
PREFIXES = ("/console", *PUBLIC_PREFIXES)
_OIDC_FIX = "give provider_id, name, client_id, secret and [settings] server_url"


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


def configure(options: ConsoleOptions, secret: bytes) -> Site:
    """Set what depends on the deployment; called once, before the app is made.

    Returns:
        What pages read of it; it belongs into the application context.

    Raises:
        UsageError: The address is no http or https URL.
    """
    parts = urlsplit(options.url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError("--console-url is not an address", fix="write https://abuse.example.org")
    secure, local = parts.scheme == "https", parts.hostname in LOOPBACK
    settings.SECRET_KEY = hmac.digest(secret, b"wavebreak console", hashlib.sha256).hex()
    settings.SESSION_COOKIE_SECURE = settings.CSRF_COOKIE_SECURE = secure
    settings.CSRF_TRUSTED_ORIGINS = [f"{parts.scheme}://{parts.netloc}"] if secure else []
    settings.MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = not secure
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = options.trusted_proxies
    apps = [dict(options.oidc)] if options.oidc else []
    settings.SOCIALACCOUNT_PROVIDERS = {
        "openid_connect": django_settings.OPENID_CONNECT | {"APPS": apps}
    }
    sign_in_origin = ""
    if options.oidc:
        given = options.oidc["settings"]
        at = urlsplit(given.get("authorization_origin") or given["server_url"])
        sign_in_origin = f"{at.scheme}://{at.netloc}"
    return Site(
        options.url.rstrip("/"),
        frozenset({parts.hostname, *(LOOPBACK if local else ())}),
        not local if options.second_factor is None else options.second_factor,
        sign_in_origin,
        options.trusted_proxies,
    )


class ConsoleRouter:
    """ASGI app: the paths of all pages through Django with sessions, all others to the API."""

    prefixes: ClassVar[tuple[str, ...]] = PREFIXES
    middleware: ClassVar[tuple[str, ...]] = django_settings.CONSOLE_MIDDLEWARE
    start: ClassVar[bytes] = b"/console/"

    def __init__(self, api: App) -> None:
        self._api, self._pages = api, _handler(self.middleware)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request; a browser that asks for `/` is led to the console."""
        if self.start and _asks_for_start(scope):
            headers = [(b"location", self.start), (b"content-length", b"0")]
            await send({"type": "http.response.start", "status": 302, "headers": headers})
            await send({"type": "http.response.body", "body": b""})
            return
        page = scope["type"] == "http" and scope["path"].startswith(self.prefixes)
        await (self._pages if page else self._api)(scope, receive, send)


class PublicRouter(ConsoleRouter):
    """ASGI app: the pages for account holders, without sessions; all other paths to the API."""

    prefixes = PUBLIC_PREFIXES
    middleware = django_settings.PUBLIC_MIDDLEWARE
    start = b""


def _asks_for_start(scope: Scope) -> bool:
    """Whether a browser asks for the address without a path: programs get the API's 404."""
    if scope["type"] != "http" or scope["path"] != "/" or scope["method"] not in ("GET", "HEAD"):
        return False
    return any(name == b"accept" and b"text/html" in value for name, value in scope["headers"])


def _handler(middleware: Sequence[str]) -> App:
    """Return a Django handler with the middleware of pages; the API's handler keeps its own."""
    former = settings.MIDDLEWARE
    settings.MIDDLEWARE = list(middleware)
    try:
        handler: App = ASGIHandler()
    finally:
        settings.MIDDLEWARE = former
    return handler


# Start


def options(
    url: str, second_factor: bool | None, oidc: Path | None, trusted_proxies: int
) -> ConsoleOptions:
    """Return the console's options; raises UsageError for a file that is no provider."""
    provider = _provider(oidc) if oidc else {}
    return ConsoleOptions(url, second_factor, provider, trusted_proxies)


def _provider(path: Path) -> dict[str, Any]:
    try:
        readable = path.stat().st_mode & OTHERS
        provider = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        raise UsageError(f"--oidc: {path} cannot be read as TOML", fix=_OIDC_FIX) from None
    if readable:
        raise UsageError(
            f"--oidc: others may read {path}, which holds the client's secret",
            fix=f"chmod 600 {path}",
        )
    missing = {"provider_id", "name", "client_id", "secret", "settings"} - provider.keys()
    if missing or "server_url" not in provider["settings"]:
        named = ", ".join(sorted(missing)) or "settings.server_url"
        raise UsageError(f"--oidc: {path} lacks {named}", fix=_OIDC_FIX)
    given = provider["settings"]
    for name in ("server_url", "authorization_origin"):
        parts = urlsplit(str(given.get(name, "https://unset")))
        if parts.scheme != "https" and parts.hostname not in LOOPBACK:
            raise UsageError(f"--oidc: {path}: settings.{name} is no https URL", fix=_OIDC_FIX)
    if unknown := set(given.get("roles", {}).values()) - set(ROLES):
        raise UsageError(
            f"--oidc: {path} names an unknown role {min(unknown)!r}", fix=f"use {', '.join(ROLES)}"
        )
    # A code that is stolen on its way is worth nothing without the verifier (RFC 9700, 2.1.1).
    return provider | {"settings": {"oauth_pkce_enabled": True} | given}


def start(
    chosen: ConsoleOptions, secret: bytes, home: Path, context: AppContext
) -> Callable[[App], App]:
    """Configure the console; return what wraps the API's app.

    What people did when the service ended is settled first.
    """
    context.states[Site] = configure(chosen, secret)
    run_in_transaction(partial(settle_interrupted, (POLICY, MODEL), home))
    clear_url_caches()
    return ConsoleRouter


def start_without_console(
    chosen: ConsoleOptions, secret: bytes, context: AppContext
) -> Callable[[App], App]:
    """Configure the pages for account holders alone; return what wraps the API's app."""
    context.states[Site] = configure(chosen, secret)
    settings.ROOT_URLCONF = django_settings.PUBLIC_URLS
    clear_url_caches()
    return PublicRouter


def use_port(context: AppContext, url: str, port: int) -> None:
    """Let links name the port that is listened on, where no public address was given."""
    if not url:
        url = f"http://localhost:{port}"
        context.states[Site] = replace(context.states[Site], url=url)
        context.set_public_url(url)


def people() -> int:
    """Return how many people may sign in."""
    return closing_connection(lambda: int(User.objects.filter(is_active=True).count()))()


def create_demo_people() -> tuple[tuple[str, ...], str]:
    """Create a person of each role for a demonstration, with one password for all.

    Of counsel there are two: one signs what the other prepared.

    Returns:
        Their names, which are their roles, and the password; nobody where people are known already.
    """
    password = secrets.token_urlsafe(12)

    def create() -> tuple[str, ...]:
        if User.objects.exists():
            return ()
        named = {role.replace("_", "-"): role for role in ROLES} | {"second-counsel": "counsel"}
        return tuple(create_user(name, role, password).username for name, role in named.items())

    return run_in_transaction(create), password
