"""Start of the console: its options, the app that routes to it, and its background tasks."""

from __future__ import annotations

import secrets
import tomllib
from collections.abc import Callable
from pathlib import Path

from django.conf import settings
from django.urls import clear_url_caches

from wavebreak.console import case_store
from wavebreak.console.config import load_config
from wavebreak.console.indexer import Indexer
from wavebreak.console.models import User
from wavebreak.console.permissions import ROLES
from wavebreak.console.server import ConsoleOptions, ConsoleRouter, configure
from wavebreak.console.users import create_user
from wavebreak.errors import UsageError
from wavebreak.ledger.checkpoints import load_or_create_signer
from wavebreak.service.app_context import closing_connection, run_in_transaction
from wavebreak.service.ingest_app import App
from wavebreak.service.service import Background

_OIDC_FIX = "give provider_id, name, client_id, secret and [settings] server_url"


def options(
    url: str, second_factor: bool | None, oidc: Path | None, trusted_proxies: int
) -> ConsoleOptions:
    """Return the console's options; raises UsageError for a file that is no provider."""
    provider = _provider(oidc) if oidc else {}
    return ConsoleOptions(url, second_factor, provider, trusted_proxies)


def _provider(path: Path) -> dict[str, object]:
    try:
        provider = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        raise UsageError(f"--oidc: {path} cannot be read as TOML", fix=_OIDC_FIX) from None
    missing = {"provider_id", "name", "client_id", "secret", "settings"} - provider.keys()
    if missing or "server_url" not in provider["settings"]:
        named = ", ".join(sorted(missing)) or "settings.server_url"
        raise UsageError(f"--oidc: {path} lacks {named}", fix=_OIDC_FIX)
    return provider


def start(
    chosen: ConsoleOptions, secret: bytes, local: Path | None
) -> tuple[Callable[[App], App], list[Background]]:
    """Configure the console; return what wraps the API's app, and the background tasks."""
    configure(chosen, secret)
    clear_url_caches()
    return ConsoleRouter, [Indexer(load_config(local).queue)]


def open_cases(directory: Path, seal_key: Path | None, secret: bytes, local: Path | None) -> None:
    """Serve the cases of a directory; their steps are sealed with the key of the ledger."""
    case_store.configure(
        case_store.CaseStore(directory, load_or_create_signer(seal_key), secret, local)
    )


def use_port(url: str, port: int) -> None:
    """Let links name the port that is listened on, where no public address was given."""
    if not url:
        settings.CONSOLE_URL = f"http://localhost:{port}"


def people() -> int:
    """Return how many people may sign in."""
    return closing_connection(lambda: int(User.objects.filter(is_active=True).count()))()


def create_demo_people() -> tuple[tuple[str, ...], str]:
    """Create a person of each role for a demonstration, with one password for all.

    Returns:
        Their names, which are their roles, and the password; nobody where people are known already.
    """
    password = secrets.token_urlsafe(12)

    def create() -> tuple[str, ...]:
        if User.objects.exists():
            return ()
        return tuple(create_user(role.replace("_", "-"), role, password).username for role in ROLES)

    return run_in_transaction(create), password
