"""Where our outgoing requests may go: public addresses only, resolved once and then held to.

A URL that a stranger wrote must not make us speak to machines of our own (server-side request
forgery). A name is resolved once, every address that it has is judged, and the connection is made
to the address that was judged: a name server that answers anew cannot move it. Redirects are new
requests, and each is judged again.

Sources: the IANA special-purpose address registries, RFC 6890; RFC 6598 (shared addresses of
carriers), RFC 6052 and 8215 (NAT64), RFC 3056 (6to4), RFC 4380 (Teredo), RFC 4291 (mapped).
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import urlsplit

import httpx

from wavebreak.errors import WavebreakError

Resolver = Callable[[str, int], Sequence[str]]
"""Gives the addresses of a host and port, as text."""

PORTS = {"http": 80, "https": 443}
"""The schemes that may be asked for, with their ports."""

MAX_URL = 4096
"""Characters of a URL; longer ones are no address of a page."""

_MAX_ADDRESSES = 32
_NAT64 = ip_network("64:ff9b::/96")
# Special by the registries, yet called global by some versions of `ipaddress`; Teredo (in
# 2001::/23) and NAT64 of local use wrap addresses that cannot be told, and are refused whole.
_NEVER = tuple(
    ip_network(net)
    for net in (
        "0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15",
        "240.0.0.0/4", "::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32",
        "3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
    )
)  # fmt: skip


class ForbiddenAddressError(WavebreakError):
    """An address that our own requests must not go to."""


@dataclass(frozen=True)
class Target:
    """Where a request goes: the URL's parts, and the one address to connect to."""

    scheme: str
    host: str
    port: int
    address: str


def resolve_host(host: str, port: int) -> list[str]:
    """Ask the system for a host's addresses; raises ReachError where there is none."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise ForbiddenAddressError(
            "the host has no address", fix="check the name in the URL"
        ) from None
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def is_public(address: str) -> bool:
    """Say whether an address belongs to the public internet, looking into what wraps IPv4.

    >>> is_public("198.51.100.7"), is_public("1.1.1.1"), is_public("100.64.0.1")
    (False, True, False)
    >>> is_public("::ffff:127.0.0.1"), is_public("64:ff9b::a00:1"), is_public("2002:7f00:1::")
    (False, False, False)
    """
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return _judged(_wrapped(found) or found if isinstance(found, IPv6Address) else found)


def _wrapped(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that an IPv6 address stands for, if it does."""
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour


def _judged(address: IPv4Address | IPv6Address) -> bool:
    if any(address in net for net in _NEVER if net.version == address.version):
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
) -> Target:
    """Judge a URL and give the one address to connect to.

    Every address that the host has must be public, so that a name with one public and one
    private address is refused. `ports` are those allowed (default: any); `allow_private` lifts
    the judgement of addresses alone. Raises ReachError for another scheme, credentials in the
    URL, a host without address, or one that must not be reached.

    >>> reach("https://shop.example/x", resolver=lambda host, port: ["1.1.1.1"])
    Target(scheme='https', host='shop.example', port=443, address='1.1.1.1')
    >>> try:
    ...     reach("http://shop.example/x", resolver=lambda host, port: ["10.0.0.8"])
    ... except ReachError as error:
    ...     print(error.what)
    the host is not on the public internet
    """
    scheme, host, port = _parts(url)
    if ports is not None and port not in ports:
        listed = ", ".join(map(str, sorted(ports)))
        raise ForbiddenAddressError(
            f"port {port} is not one that may be reached", fix=f"use {listed}"
        )
    literal = _literal(host)
    found = [literal] if literal else list(resolver(host, port))[:_MAX_ADDRESSES]
    if not found:
        raise ForbiddenAddressError("the host has no address", fix="check the name in the URL")
    if not allow_private and not all(map(is_public, found)):
        raise ForbiddenAddressError(
            "the host is not on the public internet",
            fix="give a public address, or allow private ones where that is meant",
        )
    return Target(scheme, host, port, found[0])


def _parts(url: str) -> tuple[str, str, int]:
    # Line ends and blanks inside a URL are read differently by different readers of it.
    if len(url) > MAX_URL or any(c.isspace() or not c.isprintable() or c == "\\" for c in url):
        raise ForbiddenAddressError(
            "the URL is too long, or has characters that none has", fix="shorten it"
        )
    try:
        parts = urlsplit(url)
        scheme, host = parts.scheme.lower(), (parts.hostname or "").rstrip(".")
        port = parts.port or PORTS.get(scheme, 0)
        named = host if _literal(host) else host.encode("idna").decode("ascii")
    except ValueError:
        raise ForbiddenAddressError(
            "the URL cannot be read", fix="write it as https://host/path"
        ) from None
    if scheme not in PORTS:
        raise ForbiddenAddressError(
            "only http and https can be reached", fix="write it as https://host/path"
        )
    if parts.username is not None or parts.password is not None:
        raise ForbiddenAddressError(
            "the URL holds credentials", fix="leave out what stands before the @"
        )
    if not host:
        raise ForbiddenAddressError("the URL names no host", fix="write it as https://host/path")
    return scheme, named, port


def _literal(host: str) -> str | None:
    """An address written as a host; numbers that only some resolvers read as one (0x7f.1) too."""
    try:
        return str(ip_address(host.partition("%")[0]))
    except ValueError:
        pass
    try:
        return socket.inet_ntoa(socket.inet_aton(host)) if host[:1].isdigit() else None
    except OSError:
        return None


class PinnedTransport(httpx.BaseTransport):
    """Sends httpx's requests only where `reach` lets them, to the address that it judged.

    Certificates are checked against the name in the URL. Connections are not kept: one that was
    opened for a host must not serve another host at the same address.

    >>> transport = PinnedTransport(resolver=lambda host, port: ["127.0.0.1"])
    >>> try:
    ...     httpx.Client(transport=transport).post("http://hook.example/")
    ... except ReachError as error:
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
            trust_env=False, limits=httpx.Limits(max_keepalive_connections=0)
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request; raises ReachError before anything is sent."""
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
        """Close what is open."""
        self._inner.close()
