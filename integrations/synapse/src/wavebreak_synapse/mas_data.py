"""Policy data of the Matrix Authentication Service (MAS): networks that only banned accounts use.

With MAS on, registrations are decided by its Open Policy Agent policy, which asks nobody: it reads
a list. Wavebreak has no addresses, only pseudonyms of them; so the list is made here, from the
homeserver's own table of who was seen where, and the states of these accounts.
"""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wavebreak_synapse.homeserver_database import CommandError, open_database
from wavebreak_synapse.mapping import opaque_id

IPV4_PREFIX = 24
IPV6_PREFIX = 48
"""The networks are those that Wavebreak counts by."""
ACCOUNTS_A_REQUEST = 1_000
LEAST_ACCOUNTS = 3
LEAST_SHARE = 0.9
DAYS = 28


@dataclass(frozen=True)
class Bounds:
    """Which networks are listed.

    Attributes:
        accounts: At least so many banned accounts were seen in it.
        share: At least this share of all accounts seen in it is banned, 0.5 to 1.
        days: How far back it is looked, in days.
    """

    accounts: int = LEAST_ACCOUNTS
    share: float = LEAST_SHARE
    days: int = DAYS

    def __post_init__(self) -> None:
        if self.accounts < 1 or not 0.5 <= self.share <= 1 or self.days < 1:
            raise CommandError("accounts and days are 1 or more, share is 0.5 to 1. Fix: set these")


def network_of(address: str) -> str | None:
    """Return the network of an address; None for what is no address of the internet.

    A reverse proxy that does not pass addresses on makes all accounts seem to come from itself:
    such an address must never be listed.

    >>> network_of("198.18.0.1"), network_of("10.1.2.3"), network_of("no address")
    (None, None, None)
    >>> network_of("9.9.9.9"), network_of("2620:fe::fe"), network_of("::ffff:9.9.9.9")
    ('9.9.9.0/24', '2620:fe::/48', '9.9.9.0/24')
    """
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return None
    if found.version == 6 and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    if not found.is_global or found.is_multicast:
        return None
    prefix = IPV4_PREFIX if found.version == 4 else IPV6_PREFIX
    return str(ipaddress.ip_network((found, prefix), strict=False))


def banned_networks(
    seen: Iterable[tuple[str, str]],
    banned_among: Callable[[Sequence[str]], Collection[str]],
    bounds: Bounds,
) -> list[str]:
    """Return the networks to list, in order.

    Args:
        seen: Accounts and the addresses that they were seen at.
        banned_among: Returns which of some accounts are banned.
        bounds: Which networks are listed.

    >>> seen = [(f"@s{n}:hs", "9.9.9.1") for n in range(9)] + [("@ann:hs", "9.9.8.1")]
    >>> banned_networks([*seen, ("@ann:hs", "9.9.9.2")], lambda names: set(names) - {"@ann:hs"},
    ...                 Bounds())
    ['9.9.9.0/24']
    """
    users: dict[str, set[str]] = defaultdict(set)
    for account, address in seen:
        network = network_of(address)
        if network is not None:
            users[network].add(account)
    candidates = {name: who for name, who in users.items() if len(who) >= bounds.accounts}
    asked = sorted(set().union(*candidates.values()))
    banned: set[str] = set()
    for first in range(0, len(asked), ACCOUNTS_A_REQUEST):
        banned.update(banned_among(asked[first : first + ACCOUNTS_A_REQUEST]))
    listed = []
    for network, who in candidates.items():
        count = len(who & banned)
        if count >= bounds.accounts and count >= bounds.share * len(who):
            listed.append(network)
    return sorted(listed, key=lambda name: (":" in name, ipaddress.ip_network(name)))


def policy_data(networks: Sequence[str]) -> dict[str, Any]:
    """Return the data in the form that MAS's policy reads.

    >>> policy_data(["9.9.9.0/24"])
    {'requester': {'banned_ips': ['9.9.9.0/24']}}
    """
    return {"requester": {"banned_ips": list(networks)}}


def banned_by(client: Any) -> Callable[[Sequence[str]], set[str]]:
    """Return a function that asks the service which of some accounts are banned.

    Args:
        client: A `wavebreak_client.Client`.
    """

    def banned_among(accounts: Sequence[str]) -> set[str]:
        named = {opaque_id(account): account for account in accounts}
        states = client.fetch_states(list(named))
        return {named[state.account] for state in states if state.outcome == "ban"}

    return banned_among


def read_addresses(config: Mapping[str, Any], since_ms: int) -> list[tuple[str, str]]:
    """Return accounts and addresses that Synapse's database has.

    Args:
        config: What `homeserver.yaml` holds.
        since_ms: Since when.

    Raises:
        CommandError: Where the database is not named, or cannot be read.
    """
    query = "SELECT DISTINCT user_id, ip FROM user_ips WHERE last_seen >= {mark}"
    with open_database(config) as (connection, mark):
        cursor = connection.cursor()
        cursor.execute(query.format(mark=mark), (since_ms,))
        return [(str(account), str(address)) for account, address in cursor.fetchall()]
