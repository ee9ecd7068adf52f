"""Innocent firms: support desk, shop, newsletter, radio station."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from wavebreak.simulation.behaviour import Pitch
from wavebreak.simulation.conversations import brief, chats, talk
from wavebreak.simulation.geography import COUNTRIES, DAY, HOUR, SECOND, Clock, addresses, numbers
from wavebreak.simulation.log import Ints
from wavebreak.simulation.population import clients, devices
from wavebreak.simulation.recipients import send
from wavebreak.simulation.scene import Scene

_OPENING = 0.02  # firms register within this share of the span, so that their channel is known
_HOMES = tuple(home for place in COUNTRIES for home in place.homes)
_MOBILES = tuple(block for place in COUNTRIES for block in place.mobile)


def open_firm(scene: Scene, count: int, family: str, channel: str, client: str = "") -> Ints:
    """Enrol firms that register at the beginning, each with its own number, line and device."""
    rng, pool = scene.rng, scene.pool
    account = scene.roll.add(count, "benign", family)
    ts = scene.at(0.0, _OPENING, count)
    ip = pool.codes(addresses(rng, _HOMES, count))
    device = devices(rng, pool, count)
    version = np.full(count, pool.code(client)) if client else clients(rng, pool, count)
    scene.log.add(
        "account.registered", ts, account, phone=pool.codes(numbers(rng, _MOBILES, count)), ip=ip,
        device=device, client=version, attested=1, verification=pool.code("sms"), attempts=1,
        channel=pool.code(channel), business=portfolios(scene, account),
    )  # fmt: skip
    scene.connect(ts + 2 * SECOND, account, ip, device, version)
    return account


def portfolios(scene: Scene, account: Ints) -> Ints:
    """Return the numbers of the portfolio ids of firms."""
    return scene.pool.codes(f"b{number:07d}" for number in account.tolist())


def customers(scene: Scene, account: int, a_day: tuple[int, int]) -> tuple[Ints, Ints]:
    """Draw (time, person) of people who write to a firm, as the day goes."""
    count = scene.rng.integers(*a_day) * scene.span / DAY
    low = scene.start + int(scene.span * 2 * _OPENING)
    ts = Clock(0).times(scene.rng, low, scene.end, max(1, int(count)))
    return ts, scene.rng.choice(np.flatnonzero(scene.people.born < scene.start), len(ts))


class Firm:
    """A persona whose accounts are firms, apart from the people: registered at the beginning."""

    __slots__ = ()
    name: ClassVar[str]
    lives: ClassVar[bool] = False
    per_person: ClassVar[float] = 0.003  # more, and people would write to firms more than to people
    channel: ClassVar[str] = "business_app"
    client: ClassVar[str] = ""

    def prepare(self, scene: Scene, accounts: int) -> Ints:
        """Open the firms."""
        return open_firm(scene, accounts, self.name, self.channel, self.client)


@dataclass(frozen=True, slots=True)
class SupportDesk(Firm):
    """Answers only: `chats_a_day` strangers write first, it never does."""

    name: ClassVar[str] = "support-desk"
    chats_a_day: tuple[int, int] = (80, 130)

    def play(self, scene: Scene, accounts: Ints) -> None:
        """Plan the persona."""
        style = brief(scene.style, answer_gap=50.0 * SECOND, length=5.0)
        for desk in accounts.tolist():
            ts, peer = customers(scene, desk, self.chats_a_day)
            asked = chats(scene, style, ts, peer, np.array(desk), known=0.05, back=0.3)
            talk(scene, asked, style)


@dataclass(frozen=True, slots=True)
class Shop(Firm):
    """A shop on the business app: answers `orders` a day, and later says that goods are ready.

    `tells`: the share of customers told; few answer (`silent`), half have the shop in contacts.
    """

    name: ClassVar[str] = "shop"
    orders: tuple[int, int] = (25, 70)
    tells: float = 0.5
    silent: float = 0.6

    def play(self, scene: Scene, accounts: Ints) -> None:
        """Plan the persona."""
        rng = scene.rng
        short = brief(scene.style, length=1.0, length_spread=0.5)
        for shop in accounts.tolist():
            ts, peer = customers(scene, shop, self.orders)
            known = rng.random(len(ts)) < 0.5
            asked = chats(scene, scene.style, ts, peer, np.array(shop), known=0.3, back=known)
            talk(scene, asked, scene.style)
            told = rng.random(len(ts)) < self.tells
            later = ts[told] + rng.integers(HOUR, 8 * HOUR, int(told.sum()))
            news = chats(
                scene, short, later, np.array(shop), peer[told], known=known[told],
                silent=self.silent, typing=0.4,
            )  # fmt: skip
            talk(scene, news, short)


@dataclass(frozen=True, slots=True)
class Newsletter(Firm):
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

    def play(self, scene: Scene, accounts: Ints) -> None:
        """Plan the persona."""
        rng, log, pool = scene.rng, scene.log, scene.pool
        most = max(1, int(self.share * len(scene.people)))
        for firm, portfolio in zip(
            accounts.tolist(), portfolios(scene, accounts).tolist(), strict=True
        ):
            reader = scene.strangers(min(int(rng.integers(*self.readers)), most))
            marketing = pool.code("marketing")
            log.add(
                "consent.granted", scene.at(2 * _OPENING, 0.3, len(reader)), reader,
                business=portfolio, category=marketing,
            )  # fmt: skip
            template = pool.code(f"t{portfolio}")
            for start in range(int(scene.at(0.35, 0.6, 1)[0]), scene.end, DAY):
                gaps = rng.exponential(SECOND / self.rate, len(reader))
                send(
                    scene, start + np.cumsum(gaps).astype(np.int64), firm, reader,
                    pitch=Pitch(variation=2.0, image=0.0), mood=scene.tolerated, template=template,
                    category=marketing, in_contacts=-1,
                )  # fmt: skip
            gone = reader[rng.random(len(reader)) < self.revoke]
            log.add(
                "consent.revoked", scene.at(0.7, 1.0, len(gone)), gone, business=portfolio,
                category=marketing,
            )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Radio(Firm):
    """A radio station: `listeners` write first within `shows` an hour long; it answers some.

    `silent`: the share of listeners who get no answer.
    """

    name: ClassVar[str] = "radio"
    listeners: tuple[int, int] = (50, 200)
    shows: int = 2
    silent: float = 0.6

    def prepare(self, scene: Scene, accounts: int) -> Ints:
        """Enrol stations: old personal accounts, so without a registration."""
        return scene.roll.add(accounts, "benign", self.name)

    def play(self, scene: Scene, accounts: Ints) -> None:
        """Plan the persona."""
        rng = scene.rng
        style = brief(scene.style, length=2.0, characters=40.0)
        for station in accounts.tolist():
            shows = max(1, round(self.shows * scene.span / DAY))
            for start in scene.at(0.1, 0.9, shows).tolist():
                peer = scene.strangers(int(rng.integers(*self.listeners)))
                ts = start + (rng.beta(1.2, 3.0, len(peer)) * HOUR).astype(np.int64)
                wrote = chats(
                    scene, style, ts, peer, np.array(station), known=0.0, back=0.4,
                    silent=self.silent,
                )  # fmt: skip
                talk(scene, wrote, style)
