"""IP addresses: the IPv4 address inside an IPv6 one, and the network that an address is of."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

NAT64 = IPv6Network("64:ff9b::/96")
"""The well-known prefix of translators (RFC 6052), which leads to all of IPv4."""


def embedded_ipv4(address: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address to which an IPv6 address leads: mapped, translated or 6to4.

    >>> embedded_ipv4(IPv6Address("::ffff:192.0.2.1")), embedded_ipv4(IPv6Address("2001:db8::1"))
    (IPv4Address('192.0.2.1'), None)
    """
    if address in NAT64:
        return last_32_bits(address)
    return address.ipv4_mapped or address.sixtofour


def last_32_bits(address: IPv6Address) -> IPv4Address:
    """Return the last 32 bits of an IPv6 address, where translators keep the IPv4 address."""
    return IPv4Address(int(address) & 0xFFFFFFFF)


def network_of(
    address: IPv4Address | IPv6Address, ipv4_bits: int, ipv6_bits: int
) -> IPv4Network | IPv6Network:
    """Return the network of an address whose prefix has so many bits.

    >>> str(network_of(IPv4Address("192.0.2.9"), 24, 48))
    '192.0.2.0/24'
    """
    if isinstance(address, IPv4Address):
        return IPv4Network((int(address), ipv4_bits), strict=False)
    return IPv6Network((int(address), ipv6_bits), strict=False)
