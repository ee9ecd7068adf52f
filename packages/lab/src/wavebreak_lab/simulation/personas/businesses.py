"""Benign businesses: support account, shop, newsletter, radio station."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from wavebreak.durations import DAY_MS, HOUR_MS, SECOND_MS
from wavebreak_lab.simulation.behaviour import MessageContent, adjust_style
from wavebreak_lab.simulation.context import SimulationContext
from wavebreak_lab.simulation.conversations import (
    add_conversations,
    draw_conversations,
)
from wavebreak_lab.simulation.geography import COUNTRIES, Clock, draw_addresses, draw_phone_numbers
from wavebreak_lab.simulation.log import Ints
from wavebreak_lab.simulation.population import draw_clients, draw_devices
from wavebreak_lab.simulation.recipients import add_unsolicited_messages

OPENING = 0.02
"""Firms register within this share of the span, so that their channel is known."""
_HOMES = tuple(home for place in COUNTRIES for home in place.homes)
_MOBILES = tuple(block for place in COUNTRIES for block in place.mobile)


def register_businesses(
    sim: SimulationContext, count: int, family: str, channel: str, client: str = ""
) -> Ints:
    """Enrol firms that register at the beginning, each with its own number, line and device."""
    rng, pool = sim.rng, sim.pool
    account = sim.registry.add(count, "benign", family)
    ts = sim.draw_times(0.0, OPENING, count)
    ip = pool.codes(draw_addresses(rng, _HOMES, count))
    device = draw_devices(rng, pool, count)
    version = np.full(count, pool.code(client)) if client else draw_clients(rng, pool, count)
    sim.log.add(
        "account.registered",
        ts,
        account,
        phone=pool.codes(draw_phone_numbers(rng, _MOBILES, count)),
        ip=ip,
        device=device,
        client=version,
        attested=1,
        verification=pool.code("sms"),
        attempts=1,
        channel=pool.code(channel),
        business=portfolio_ids(sim, account),
    )
    sim.add_sessions(ts + 2 * SECOND_MS, account, ip, device, version)
    return account


def portfolio_ids(sim: SimulationContext, account: Ints) -> Ints:
    """Return the numbers of the portfolio ids of firms."""
    return sim.pool.codes(f"b{number:07d}" for number in account.tolist())


def opened_ms(sim: SimulationContext) -> int:
    """Return the time from which on every firm is open."""
    return sim.start + int(sim.span * 2 * OPENING)


def draw_customers(
    sim: SimulationContext, account: int, a_day: tuple[int, int]
) -> tuple[Ints, Ints]:
    """Draw (time, person) of people who write to a firm, as the day goes."""
    count = sim.rng.integers(*a_day) * sim.span / DAY_MS
    ts = Clock(0).times(sim.rng, opened_ms(sim), sim.end, max(1, int(count)))
    return ts, sim.rng.choice(np.flatnonzero(sim.people.registered_at < sim.start), len(ts))


class BusinessPersona:
    """A persona whose accounts are firms, apart from the people: registered at the beginning."""

    __slots__ = ()
    name: ClassVar[str]
    in_population: ClassVar[bool] = False
    per_person: ClassVar[float] = 0.003  # more, and people would write to firms more than to people
    channel: ClassVar[str] = "business_app"
    client: ClassVar[str] = ""

    def prepare(self, sim: SimulationContext, accounts: int) -> Ints:
        """Open the firms."""
        return register_businesses(sim, accounts, self.name, self.channel, self.client)


@dataclass(frozen=True, slots=True)
class SupportDesk(BusinessPersona):
    """Answers only: `chats_a_day` strangers write first, it never does."""

    name: ClassVar[str] = "support-desk"
    chats_a_day: tuple[int, int] = (80, 130)

    def play(self, sim: SimulationContext, accounts: Ints) -> None:
        """Plan the persona."""
        style = adjust_style(sim.style, answer_gap=50.0 * SECOND_MS, length=5.0)
        for account in accounts.tolist():
            ts, peer = draw_customers(sim, account, self.chats_a_day)
            asked = draw_conversations(
                sim, style, ts, peer, np.array(account), known=0.05, back=0.3
            )
            add_conversations(sim, asked, style)


@dataclass(frozen=True, slots=True)
class Shop(BusinessPersona):
    """A shop on the business app: replies to `orders` a day, and notifies customers later.

    `notified`: the share of customers notified; `silent` do not reply; half have the shop in
    contacts.
    """

    name: ClassVar[str] = "shop"
    orders: tuple[int, int] = (25, 70)
    notified: float = 0.5
    silent: float = 0.6

    def play(self, sim: SimulationContext, accounts: Ints) -> None:
        """Plan the persona."""
        rng = sim.rng
        short = adjust_style(sim.style, length=1.0, length_spread=0.5)
        for shop in accounts.tolist():
            ts, peer = draw_customers(sim, shop, self.orders)
            known = rng.random(len(ts)) < 0.5
            asked = draw_conversations(
                sim, sim.style, ts, peer, np.array(shop), known=0.3, back=known
            )
            add_conversations(sim, asked, sim.style)
            notified = rng.random(len(ts)) < self.notified
            later = ts[notified] + rng.integers(HOUR_MS, 8 * HOUR_MS, int(notified.sum()))
            news = draw_conversations(
                sim,
                short,
                later,
                np.array(shop),
                peer[notified],
                known=known[notified],
                silent=self.silent,
                typing=0.4,
            )
            add_conversations(sim, news, short)


@dataclass(frozen=True, slots=True)
class Newsletter(BusinessPersona):
    """An opted-in newsletter on the platform: consent first, then one template to all, at a pace.

    `readers`: bounds, at most `share` of all people. `rate`: messages a second. `revoke`: readers
    who revoke afterwards.
    """

    name: ClassVar[str] = "newsletter"
    channel: ClassVar[str] = "business_platform"
    client: ClassVar[str] = "platform/19.0"
    readers: tuple[int, int] = (150, 600)
    share: float = 0.4
    known: float = 0.3
    rate: float = 4.0
    revoke: float = 0.004

    def play(self, sim: SimulationContext, accounts: Ints) -> None:
        """Plan the persona."""
        rng, log, pool = sim.rng, sim.log, sim.pool
        most = max(1, int(self.share * len(sim.people)))
        for firm, portfolio in zip(
            accounts.tolist(), portfolio_ids(sim, accounts).tolist(), strict=True
        ):
            reader = sim.draw_strangers(min(int(rng.integers(*self.readers)), most))
            marketing = pool.code("marketing")
            log.add(
                "consent.granted",
                sim.draw_times(2 * OPENING, 0.3, len(reader)),
                reader,
                business=portfolio,
                category=marketing,
            )
            template = pool.code(f"t{portfolio}")
            for start in range(int(sim.draw_times(0.35, 0.6, 1)[0]), sim.end, DAY_MS):
                gaps = rng.exponential(SECOND_MS / self.rate, len(reader))
                add_unsolicited_messages(
                    sim,
                    start + np.cumsum(gaps).astype(np.int64),
                    firm,
                    reader,
                    content=MessageContent(variation=2.0, image=0.0),
                    behaviour=sim.tolerated,
                    template=template,
                    category=marketing,
                    in_contacts=-1,
                )
            gone = reader[rng.random(len(reader)) < self.revoke]
            log.add(
                "consent.revoked",
                sim.draw_times(0.7, 1.0, len(gone)),
                gone,
                business=portfolio,
                category=marketing,
            )


@dataclass(frozen=True, slots=True)
class Radio(BusinessPersona):
    """A radio station: `listeners` write first within `shows` an hour long; it answers some.

    `silent`: the share of listeners who get no answer.
    """

    name: ClassVar[str] = "radio"
    listeners: tuple[int, int] = (50, 200)
    shows: int = 2
    silent: float = 0.6

    def prepare(self, sim: SimulationContext, accounts: int) -> Ints:
        """Enrol stations: old personal accounts, so without a registration."""
        return sim.registry.add(accounts, "benign", self.name)

    def play(self, sim: SimulationContext, accounts: Ints) -> None:
        """Plan the persona."""
        rng = sim.rng
        style = adjust_style(sim.style, length=2.0, characters=40.0)
        for station in accounts.tolist():
            shows = max(1, round(self.shows * sim.span / DAY_MS))
            for start in sim.draw_times(0.1, 0.9, shows).tolist():
                peer = sim.draw_strangers(int(rng.integers(*self.listeners)))
                ts = start + (rng.beta(1.2, 3.0, len(peer)) * HOUR_MS).astype(np.int64)
                wrote = draw_conversations(
                    sim,
                    style,
                    ts,
                    peer,
                    np.array(station),
                    known=0.0,
                    back=0.4,
                    silent=self.silent,
                )
                add_conversations(sim, wrote, style)
