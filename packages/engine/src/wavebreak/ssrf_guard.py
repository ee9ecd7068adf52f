"""SSRF guard: outgoing requests reach public addresses only, resolved once and pinned.

A URL from outside must not make this process contact internal machines (server-side request
forgery). The guard resolves a host once, checks every address that it has, and connects to the
checked address, so that a changed DNS answer has no effect. A redirect is a new request and is
checked again.

Sources: the IANA special-purpose address registries, RFC 6890; RFC 6598 (shared addresses of
carriers), RFC 6052 and 8215 (NAT64), RFC 3056 (6to4), RFC 4380 (Teredo), RFC 4291 (mapped).
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import urlsplit

import httpx

from wavebreak.errors import WavebreakError
from wavebreak.ip_addresses import embedded_ipv4

Resolver = Callable[[str, int], Sequence[str]]
"""Returns the addresses of a host and port, as text."""

PORTS = {"http": 80, "https": 443}
"""Allowed schemes with their default ports."""

MAX_URL = 4096
"""Maximum length of a URL in characters."""

_MAX_ADDRESSES = 32
# Special by the registries, yet called global by some versions of `ipaddress`; Teredo (in
# 2001::/23) and NAT64 of local use wrap addresses that cannot be extracted, and are refused whole.
_SPECIAL_NETWORKS = tuple(
    ip_network(net)
    for net in (
        "0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15",
        "240.0.0.0/4", "::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32",
        "3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
    )
)  # fmt: skip


class ForbiddenAddressError(WavebreakError):
    """A URL or address to which outgoing requests are not allowed."""


@dataclass(frozen=True)
class Target:
    """Target of a request: the parts of the URL, and the address to connect to."""

    scheme: str
    host: str
    port: int
    address: str


def resolve_host(host: str, port: int) -> list[str]:
    """Return a host's addresses; raises ForbiddenAddressError where there is none."""
    try:
        infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise ForbiddenAddressError(
            "the host has no address", fix="check the name in the URL"
        ) from None
    return list(dict.fromkeys(str(entry[4][0]) for entry in infos))


def is_public(address: str) -> bool:
    """Return whether an address is on the public internet; unwraps IPv4 within IPv6.

    >>> is_public("198.51.100.7"), is_public("1.1.1.1"), is_public("100.64.0.1")
    (False, True, False)
    >>> is_public("::ffff:127.0.0.1"), is_public("64:ff9b::a00:1"), is_public("2002:7f00:1::")
    (False, False, False)
    """
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return _is_allowed(
        embedded_ipv4(parsed) or parsed if isinstance(parsed, IPv6Address) else parsed
    )


def _is_allowed(address: IPv4Address | IPv6Address) -> bool:
    if any(address in net for net in _SPECIAL_NETWORKS if net.version == address.version):
        return False
    return address.is_global and not (
        address.is_private
        or address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_reserved
        or address.is_unspecified
    )


def resolve_target(
    url: str,
    *,
    resolver: Resolver = resolve_host,
    allow_private: bool = False,
    ports: frozenset[int] | None = None,
    schemes: frozenset[str] = frozenset(PORTS),
) -> Target:
    """Check a URL and return the address to connect to.

    Every address of the host must be public: a name with one public and one private address is
    refused.

    Args:
        url: The URL to request.
        resolver: Resolves a host and port.
        allow_private: Skip the check of addresses, but not of scheme, credentials and port.
        ports: Allowed ports; all by default.
        schemes: Allowed schemes.

    Raises:
        ForbiddenAddressError: Another scheme, credentials in the URL, a port that is not allowed,
            or a host without a public address.

    >>> resolve_target("https://shop.example/x", resolver=lambda host, port: ["1.1.1.1"])
    Target(scheme='https', host='shop.example', port=443, address='1.1.1.1')
    >>> try:
    ...     resolve_target("http://shop.example/x", resolver=lambda host, port: ["10.0.0.8"])
    ... except ForbiddenAddressError as error:
    ...     print(error.what)
    the host is not on the public internet
    """
    scheme, host, port = _parts(url)
    if scheme not in schemes:
        allowed = ", ".join(sorted(schemes))
        raise ForbiddenAddressError(f"the scheme {scheme} is not allowed", fix=f"use {allowed}")
    if ports is not None and port not in ports:
        allowed = ", ".join(map(str, sorted(ports)))
        raise ForbiddenAddressError(f"port {port} is not allowed", fix=f"use one of {allowed}")
    literal = _literal(host)
    addresses = [literal] if literal else list(resolver(host, port))[:_MAX_ADDRESSES]
    if not addresses:
        raise ForbiddenAddressError("the host has no address", fix="check the name in the URL")
    if not allow_private and not all(map(is_public, addresses)):
        raise ForbiddenAddressError(
            "the host is not on the public internet",
            fix="use a host with public addresses only",
        )
    return Target(scheme, host, port, addresses[0])


def _parts(url: str) -> tuple[str, str, int]:
    # Line ends and blanks inside a URL are read differently by different readers of it.
    if len(url) > MAX_URL or any(c.isspace() or not c.isprintable() or c == "\\" for c in url):
        raise ForbiddenAddressError(
            "the URL is too long or contains blanks, control characters or backslashes",
            fix=f"use at most {MAX_URL} characters and percent-encode special ones",
        )
    try:
        parts = urlsplit(url)
        scheme, host = parts.scheme.lower(), (parts.hostname or "").rstrip(".")
        port = parts.port or PORTS.get(scheme, 0)
        encoded_host = host if _literal(host) else host.encode("idna").decode("ascii")
    except ValueError:
        raise ForbiddenAddressError(
            "the URL cannot be read", fix="write it as https://host/path"
        ) from None
    if scheme not in PORTS:
        raise ForbiddenAddressError(
            "the scheme is not http or https", fix="write it as https://host/path"
        )
    if parts.username is not None or parts.password is not None:
        raise ForbiddenAddressError(
            "the URL contains credentials", fix="remove the part before the @"
        )
    if not host:
        raise ForbiddenAddressError("the URL has no host", fix="write it as https://host/path")
    return scheme, encoded_host, port


def _literal(host: str) -> str | None:
    """Return the address that a host is; also of forms that only some resolvers accept (0x7f.1)."""
    try:
        return str(ip_address(host.partition("%")[0]))
    except ValueError:
        pass
    try:
        return socket.inet_ntoa(socket.inet_aton(host)) if host[:1].isdigit() else None
    except OSError:
        return None


@cache
def _tls_context() -> ssl.SSLContext:
    """Return the settings of TLS; reading the certificates of authorities takes 10 ms and more."""
    return httpx.create_ssl_context(trust_env=False)


class PinnedTransport(httpx.BaseTransport):
    """HTTPX transport that connects only to addresses that `resolve_target` accepts.

    Certificates are checked against the name in the URL. Connections are not reused: a connection
    to one host must not serve another host at the same address.

    >>> transport = PinnedTransport(resolver=lambda host, port: ["127.0.0.1"])
    >>> try:
    ...     httpx.Client(transport=transport).post("http://webhook.example/")
    ... except ForbiddenAddressError as error:
    ...     print(error.what)
    the host is not on the public internet
    """

    def __init__(
        self,
        *,
        resolver: Resolver = resolve_host,
        allow_private: bool = False,
        ports: frozenset[int] | None = None,
    ) -> None:
        self._resolver = resolver
        self._allow_private = allow_private
        self._ports = ports
        self._inner = httpx.HTTPTransport(
            verify=_tls_context(),
            trust_env=False,
            limits=httpx.Limits(max_keepalive_connections=0),
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request; raises ForbiddenAddressError before anything is sent."""
        target = resolve_target(
            str(request.url),
            resolver=self._resolver,
            allow_private=self._allow_private,
            ports=self._ports,
        )
        extensions = {**request.extensions, "sni_hostname": target.host}
        pinned = httpx.Request(
            request.method,
            request.url.copy_with(host=target.address),
            headers=request.headers,
            stream=request.stream,
            extensions=extensions,
        )
        return self._inner.handle_request(pinned)

    def close(self) -> None:
        """Close the connections."""
        self._inner.close()
