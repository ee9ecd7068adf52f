"""What counts as one peer: by every form in which a server or a proxy names an address."""

from __future__ import annotations

import pytest

from wavebreak_server.console.public_access import WRITES, PeerLimits
from wavebreak_server.http.peer_networks import peer_network
from wavebreak_server.http.protocol import Connections

SAME_IPV4 = (
    "198.51.100.7",
    " 198.51.100.7 ",
    "198.51.100.7:52114",
    "::ffff:198.51.100.7",
    "::FFFF:c633:6407",
    "0:0:0:0:0:ffff:198.51.100.7",
    "::ffff:198.51.100.7%eth0",
    "[::ffff:198.51.100.7]:443",
    "::ffff:0:198.51.100.7",
    "64:ff9b::198.51.100.7",
    "2002:c633:6407::1",
)
"""One IPv4 peer: plain, with a port, mapped in several spellings, translated, and by 6to4."""


@pytest.mark.parametrize("address", SAME_IPV4)
def test_peer_network_of_an_ipv4_peer_is_its_address(address: str) -> None:
    assert peer_network(address) == "198.51.100.7"


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("2001:db8::7", "2001:db8::"),
        ("2001:db8::7%eth0", "2001:db8::"),
        ("[2001:db8::ffff:7]:443", "2001:db8::"),
        ("2001:db8:0:1::7", "2001:db8:0:1::"),
        ("fe80::1%2", "fe80::"),
        ("2001:0:c000:201:0:0:39cc:9bf8", "198.51.100.7"),
        ("127.0.0.1", ""),
        ("::1", ""),
        ("::ffff:127.0.0.1", ""),
        ("unknown", ""),
        ("", ""),
    ],
)
def test_peer_network_of_other_addresses(address: str, network: str) -> None:
    assert peer_network(address) == network


def test_two_peers_of_a_dual_stack_proxy_have_own_limits() -> None:
    limits = PeerLimits(lambda: 0.0)
    rate, burst = WRITES

    def taken(peer: str) -> bool:
        return limits.wait_s(peer, "write", (rate, burst)) == 0

    assert all(taken("::ffff:198.51.100.7") for _ in range(int(burst)))
    assert not taken("198.51.100.7")
    assert taken("::ffff:198.51.100.8")


def test_two_peers_of_a_dual_stack_socket_have_own_connections() -> None:
    connections = Connections(most=9, by_peer=1)
    assert not connections.admit(object(), "::ffff:198.51.100.7")
    assert connections.admit(object(), "64:ff9b::198.51.100.7")
    assert not connections.admit(object(), "64:ff9b::198.51.100.8")
