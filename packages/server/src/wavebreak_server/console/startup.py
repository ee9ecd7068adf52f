"""Start of the console: its options, the app that routes to it, and its background tasks."""

from __future__ import annotations

import asyncio
import secrets
import tomllib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
from django.conf import settings
from django.urls import clear_url_caches

from wavebreak.errors import UsageError
from wavebreak.outcomes import WITHOUT_STATEMENT
from wavebreak_server.console.server import (
    LOOPBACK,
    ConsoleOptions,
    ConsoleRouter,
    PublicRouter,
    configure,
)
from wavebreak_server.http.app_context import (
    AppContext,
    closing_connection,
    run_background_query,
    run_in_transaction,
)
from wavebreak_server.http.ingest_app import App
from wavebreak_server.pipeline.holder_notices import HolderNotices
from wavebreak_server.pipeline.service import Background, Service
from wavebreak_server.pipeline.statement_links import notice_of
from wavebreak_server.slices.appeals import service as appeals
from wavebreak_server.slices.users.models import User
from wavebreak_server.slices.users.permissions import ROLES
from wavebreak_server.slices.users.service import create_user
from wavebreak_server.slices.versions import live_challengers
from wavebreak_server.slices.versions.model_versions import MODEL
from wavebreak_server.slices.versions.policy_versions import POLICY
from wavebreak_server.slices.versions.service import settle_interrupted
from wavebreak_server.storage import django_settings
from wavebreak_server.storage.authentic_rows import checked_decisions
from wavebreak_server.storage.models import Decision

DEMO_LOOK_S = 1.0
"""Seconds between two looks for a notice of the demonstration."""
_OIDC_FIX = "give provider_id, name, client_id, secret and [settings] server_url"


def options(
    url: str, second_factor: bool | None, oidc: Path | None, trusted_proxies: int
) -> ConsoleOptions:
    """Return the console's options; raises UsageError for a file that is no provider."""
    provider = _provider(oidc) if oidc else {}
    return ConsoleOptions(url, second_factor, provider, trusted_proxies)


def _provider(path: Path) -> dict[str, Any]:
    try:
        provider = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        raise UsageError(f"--oidc: {path} cannot be read as TOML", fix=_OIDC_FIX) from None
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
) -> tuple[Callable[[App], App], list[Background]]:
    """Configure the console; return what wraps the API's app, and the background tasks.

    What people did when the service ended is settled first.
    """
    configure(chosen, secret)
    run_in_transaction(partial(settle_interrupted, (POLICY, MODEL), home))
    clear_url_caches()
    return ConsoleRouter, [partial(live_challengers.keep_following, context)]


def start_without_console(chosen: ConsoleOptions, secret: bytes) -> Callable[[App], App]:
    """Configure the pages for account holders alone; return what wraps the API's app."""
    configure(chosen, secret)
    django_settings.without_console()
    clear_url_caches()
    return PublicRouter


def demo_notice(app: AppContext) -> Background:
    """Return the task that reports where the holder of an account reads why it was limited."""

    async def run(service: Service) -> None:
        while not (
            url := await run_background_query(
                partial(_appealable_notice, app.holder_notices, service.clock())
            )
        ):
            await asyncio.sleep(DEMO_LOOK_S)
        service.report(f"what an account holder reads, and can appeal against: {url}")

    return run


def _appealable_notice(notices: HolderNotices, now_ms: int) -> str:
    """Return the address of the newest notice that is due and can be appealed against, if any."""
    newest = Decision.objects.exclude(outcome__in=WITHOUT_STATEMENT).order_by("-number")[:100]
    for row in checked_decisions(newest):
        decision = msgspec.json.decode(bytes(row.body)) | {"number": row.number}
        made = notice_of(notices, decision)
        due = made is not None and made.notify_at_ms <= now_ms
        if made is not None and due and appeals.may_appeal(notices, decision, now_ms):
            return made.url
    return ""


def use_port(context: AppContext, url: str, port: int) -> None:
    """Let links name the port that is listened on, where no public address was given."""
    if not url:
        settings.CONSOLE_URL = f"http://localhost:{port}"
        context.set_public_url(settings.CONSOLE_URL)


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
