"""What pages read of the deployment that they are served in."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import HttpRequest

from wavebreak_server.http.operations import RequestContext

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
        site: Site = RequestContext.of(request).app.states[cls]
        return site
