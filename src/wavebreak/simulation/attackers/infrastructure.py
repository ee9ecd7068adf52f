"""Operators: how one registers its accounts, and how it spaces its sends."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wavebreak.simulation.geography import (
    COUNTRIES,
    HOSTING,
    HOUR,
    SECOND,
    addresses,
    block_numbers,
)
from wavebreak.simulation.log import Floats, Ints
from wavebreak.simulation.population import clients
from wavebreak.simulation.scene import Scene

_HOMES = tuple(home for place in COUNTRIES for home in place.homes)
_MOBILES = tuple(block for place in COUNTRIES for block in place.mobile)


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What an operator's registrations have in common.

    Numbers come from `blocks` narrow blocks of the given ranges, each `spread` numbers wide.
    Addresses lie in `networks` /24 networks of server hosts, or, when `residential`, each account
    has its own consumer address. `devices` fingerprints are shared by all accounts (a pool, tactic
    14). `client`: what the software calls itself; empty: the official versions (tactic 19).
    `attested` is a share; verification attempts are 1 + Poisson(`retries`); `verification` the
    method, or several in equal shares.
    """

    ranges: tuple[tuple[str, int], ...] = _MOBILES
    blocks: int = 2
    spread: int = 3000
    networks: int = 3
    residential: bool = False
    devices: int = 12
    client: str = ""
    attested: float = 0.6
    retries: float = 0.4
    verification: tuple[str, ...] = ("sms",)


@dataclass(frozen=True, slots=True)
class Senders:
    """An operator's accounts, one row each: numbers of accounts, times, address, device, client."""

    account: Ints
    registered: Ints
    ip: Ints
    device: Ints
    client: Ints

    def pairs(self) -> list[tuple[int, int]]:
        """Return (account, time of registration) of each."""
        return list(zip(self.account.tolist(), self.registered.tolist(), strict=True))


def residential(scene: Scene, count: int) -> Ints:
    """Rent consumer addresses, anywhere."""
    return scene.pool.codes(addresses(scene.rng, _HOMES, count))


def hosted(scene: Scene, count: int, networks: int) -> Ints:
    """Rent addresses in a few /24 networks of server hosts."""
    rng = scene.rng
    bases = [a.rsplit(".", 1)[0] for a in addresses(rng, HOSTING, networks)]
    which = rng.integers(0, networks, count).tolist()
    last = rng.integers(1, 255, count).tolist()
    return scene.pool.codes(f"{bases[k]}.{x}" for k, x in zip(which, last, strict=True))


def _phones(scene: Scene, count: int, how: Enrolment) -> Ints:
    rng = scene.rng
    blocks = rng.choice(len(how.ranges), min(how.blocks, len(how.ranges)), replace=False)
    share = -(-count // len(blocks))
    found = [n for b in blocks for n in block_numbers(rng, how.ranges[b], share, how.spread)]
    return scene.pool.codes(found[:count])


class Stock:
    """What an operator owns: numbers, addresses and devices, kept over all its registrations."""

    def __init__(self, scene: Scene, how: Enrolment, count: int) -> None:
        rng, pool = scene.rng, scene.pool
        self.how = how
        self._ip = np.zeros(0, np.int64) if how.residential else hosted(scene, count, how.networks)
        self._phone = _phones(scene, count, how)
        self.models = pool.add(f"d{v:016x}" for v in rng.integers(0, 1 << 62, how.devices).tolist())
        self.used = 0

    def enrol(self, scene: Scene, ts: Ints, family: str, operator: str) -> Senders:
        """Plan the registration of accounts, one a time given; label them abusive."""
        rng, pool, count, how = scene.rng, scene.pool, len(ts), self.how
        mine = slice(self.used, self.used + count)
        self.used += count
        account = scene.roll.add(count, "abusive", family, operator)
        ip = residential(scene, count) if how.residential else self._ip[mine]
        device = self.models[rng.integers(0, how.devices, count)]
        client = np.full(count, pool.code(how.client)) if how.client else clients(rng, pool, count)
        verification = pool.codes(how.verification)[rng.integers(0, len(how.verification), count)]
        scene.log.add(
            "account.registered", ts, account, phone=self._phone[mine], ip=ip, device=device,
            client=client, attested=rng.random(count) < how.attested, verification=verification,
            attempts=1 + rng.poisson(how.retries, count), channel=pool.code("personal"),
        )  # fmt: skip
        scene.connect(ts + 2 * SECOND, account, ip, device, client)
        return Senders(account, np.asarray(ts), ip, device, client)


def enrol(scene: Scene, ts: Ints, family: str, operator: str, how: Enrolment) -> Senders:
    """Plan the registration of all of an operator's accounts, one a time given."""
    return Stock(scene, how, len(ts)).enrol(scene, ts, family, operator)


def paced(start: int, gaps: Floats, per_hour: int) -> Ints:
    """Space sends by gaps (milliseconds), waiting for the next hour at a cap.

    >>> paced(0, np.full(5, 1000.0), per_hour=2).tolist()
    [1000, 2000, 3601000, 3602000, 7201000]
    >>> paced(0, np.full(3, 2e6), per_hour=2).tolist()
    [2000000, 4000000, 6000000]
    """
    if not len(gaps):
        return np.zeros(0, np.int64)
    ts, ready, head = np.cumsum(gaps), 0.0, 0.0
    for first in range(0, len(gaps), per_hour):
        one = slice(first, first + per_hour)
        head = max(ready, head)
        ts[one] += head - (ts[first] - gaps[first])
        head, ready = head + HOUR, float(ts[one][-1])
    return start + ts.astype(np.int64)
