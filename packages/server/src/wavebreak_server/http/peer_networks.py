"""Networks of peers: what counts as one where connections, requests and sign-ins are limited."""

from __future__ import annotations

import ipaddress
from ipaddress import IPv4Address, IPv6Address, IPv6Network

from wavebreak.ip_addresses import embedded_ipv4, last_32_bits, network_of

_TRANSLATED = tuple(map(IPv6Network, ("::ffff:0:0:0/96", "64:ff9b:1::/48")))
"""Further IPv6 networks whose addresses end in the IPv4 address of the peer that they are about
(RFC 2765, RFC 8215). Each holds all of IPv4, so that its /64 would be everybody."""


def peer_network(address: str) -> str:
    """Return the network that counts as one peer: an IPv4 address, or a /64 of IPv6.

    IPv6 addresses that hold an IPv4 address count as that one. The machine itself is no peer
    (a proxy beside the service speaks for everybody), nor is what is no address.

    Args:
        address: An address, also with a zone, or with a port as some proxies forward it.

    >>> peer_network("198.51.100.7"), peer_network("2001:db8::7"), peer_network("127.0.0.1")
    ('198.51.100.7', '2001:db8::', '')
    >>> peer_network("::ffff:198.51.100.7"), peer_network("[2001:db8::7%eth0]:443")
    ('198.51.100.7', '2001:db8::')
    """
    parsed = _parsed(address)
    if isinstance(parsed, IPv6Address):
        embedded = _embedded(parsed)
        parsed = embedded or parsed
    if parsed is None or parsed.is_loopback:
        return ""
    return str(network_of(parsed, 32, 64).network_address)


def _parsed(address: str) -> IPv4Address | IPv6Address | None:
    host = address.strip()
    if host.startswith("["):
        host = host[1:].partition("]")[0]
    elif host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None


def _embedded(address: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address that an IPv6 address holds."""
    if address.teredo is not None:
        return address.teredo[1]
    if any(address in network for network in _TRANSLATED):
        return last_32_bits(address)
    return embedded_ipv4(address)
