"""What pages read of the deployment that they are served in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest

from wavebreak_server.http.app_context import AppContext

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True)
class Site:
    """Where the pages of a service are, and who may come in.

    Attributes:
        url: The public address, without a slash at its end.
        hosts: Names of the host under which the pages answer.
        second_factor: Whether everybody needs a second factor.
        sign_in_origin: The origin of the provider's sign-in page ("": there is no provider).
        trusted_proxies: Proxies in front of the service that set X-Forwarded-For.
    """

    url: str
    hosts: frozenset[str]
    second_factor: bool = False
    sign_in_origin: str = ""
    trusted_proxies: int = 0

    @classmethod
    def of(cls, request: HttpRequest) -> Site:
        """Return the site of a request."""
        site: Site = app_of(request).states[cls]
        return site


def app_of(request: HttpRequest) -> AppContext:
    """Return the application context, which the front has put into the scope of a request."""
    scope: Any = getattr(request, "scope")  # noqa: B009 - not in Django's type
    app: AppContext = scope["wavebreak.context"]
    return app
