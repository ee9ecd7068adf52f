"""An operator's infrastructure: phone numbers, addresses, devices, registrations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wavebreak.durations import HOUR_MS, SECOND_MS
from wavebreak_lab.simulation import geography
from wavebreak_lab.simulation.context import SimulationContext
from wavebreak_lab.simulation.log import Floats, Ints
from wavebreak_lab.simulation.population import draw_clients


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What an operator's registrations have in common.

    Numbers come from `blocks` narrow blocks of the given ranges, each `spread` numbers wide.
    Addresses lie in `networks` /24 networks of server hosts, or, when `residential`, each account
    has its own consumer address. `devices` fingerprints are shared by all accounts (a pool, tactic
    14). `client`: what the software calls itself; empty: the official versions (tactic 19).
    `attested` is a share; verification attempts are 1 + Poisson(`retries`); `verification` the
    method, or several in equal shares. `channel`: the product that they register with.
    """

    ranges: tuple[tuple[str, int], ...] = geography.MOBILES
    blocks: int = 2
    spread: int = 3000
    networks: int = 3
    residential: bool = False
    devices: int = 12
    client: str = ""
    attested: float = 0.6
    retries: float = 0.4
    verification: tuple[str, ...] = ("sms",)
    channel: str = "personal"


@dataclass(frozen=True, slots=True)
class RegisteredAccounts:
    """An operator's accounts, one row each: numbers of accounts, times, address, device, client."""

    account: Ints
    registered: Ints
    ip: Ints
    device: Ints
    client: Ints


def rent_consumer_addresses(sim: SimulationContext, count: int) -> Ints:
    """Rent consumer addresses, anywhere."""
    return sim.pool.codes(geography.draw_addresses(sim.rng, geography.HOMES, count))


def rent_hosted_addresses(sim: SimulationContext, count: int, networks: int) -> Ints:
    """Rent addresses in a few /24 networks of server hosts."""
    rng = sim.rng
    bases = [
        a.rsplit(".", 1)[0] for a in geography.draw_addresses(rng, geography.HOSTING, networks)
    ]
    range_index = rng.integers(0, networks, count).tolist()
    last = rng.integers(1, 255, count).tolist()
    return sim.pool.codes(f"{bases[k]}.{x}" for k, x in zip(range_index, last, strict=True))


def _draw_phones(sim: SimulationContext, count: int, enrolment: Enrolment) -> Ints:
    rng = sim.rng
    blocks = rng.choice(
        len(enrolment.ranges), min(enrolment.blocks, len(enrolment.ranges)), replace=False
    )
    share = -(-count // len(blocks))
    numbers = [
        n
        for b in blocks
        for n in geography.draw_number_block(rng, enrolment.ranges[b], share, enrolment.spread)
    ]
    return sim.pool.codes(numbers[:count])


class Infrastructure:
    """What an operator owns: numbers, addresses and devices, kept over all its registrations."""

    def __init__(self, sim: SimulationContext, enrolment: Enrolment, count: int) -> None:
        rng, pool = sim.rng, sim.pool
        self.how = enrolment
        self._ip = (
            np.zeros(0, np.int64)
            if enrolment.residential
            else rent_hosted_addresses(sim, count, enrolment.networks)
        )
        self._phone = _draw_phones(sim, count, enrolment)
        self.models = pool.add(
            f"d{v:016x}" for v in rng.integers(0, 1 << 62, enrolment.devices).tolist()
        )
        self.used = 0

    def enrol(
        self, sim: SimulationContext, ts: Ints, family: str, operator: str, *, aged: bool = False
    ) -> RegisteredAccounts:
        """Plan the registration of accounts, one a time given; label them abusive.

        Those that are `aged` were registered long before: the log shows a session alone.
        """
        rng, pool, count, enrolment = sim.rng, sim.pool, len(ts), self.how
        rows = slice(self.used, self.used + count)
        self.used += count
        account = sim.registry.add(count, "abusive", family, operator)
        ip = rent_consumer_addresses(sim, count) if enrolment.residential else self._ip[rows]
        device = self.models[rng.integers(0, enrolment.devices, count)]
        if enrolment.client:
            client = np.full(count, pool.code(enrolment.client))
        else:
            client = draw_clients(rng, pool, count)
        enrolled = RegisteredAccounts(account, np.asarray(ts), ip, device, client)
        if aged:
            sim.add_sessions(ts, account, ip, device, client)
            return enrolled
        verification = pool.codes(enrolment.verification)[
            rng.integers(0, len(enrolment.verification), count)
        ]
        sim.log.add(
            "account.registered", ts, account, phone=self._phone[rows], ip=ip, device=device,
            client=client, attested=rng.random(count) < enrolment.attested,
            verification=verification, attempts=1 + rng.poisson(enrolment.retries, count),
            channel=pool.code(enrolment.channel),
        )  # fmt: skip
        sim.add_sessions(ts + 2 * SECOND_MS, account, ip, device, client)
        return enrolled


def apply_hourly_cap(start: int, gaps: Floats, per_hour: int) -> Ints:
    """Space sends by gaps (milliseconds), waiting for the next hour at a cap.

    >>> apply_hourly_cap(0, np.full(5, 1000.0), per_hour=2).tolist()
    [1000, 2000, 3601000, 3602000, 7201000]
    >>> apply_hourly_cap(0, np.full(3, 2e6), per_hour=2).tolist()
    [2000000, 4000000, 6000000]
    """
    if not len(gaps):
        return np.zeros(0, np.int64)
    ts, ready, head = np.cumsum(gaps), 0.0, 0.0
    for first in range(0, len(gaps), per_hour):
        rows = slice(first, first + per_hour)
        head = max(ready, head)
        ts[rows] += head - (ts[first] - gaps[first])
        head, ready = head + HOUR_MS, float(ts[rows][-1])
    return start + ts.astype(np.int64)
