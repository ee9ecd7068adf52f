"""The simulated population: people, their ties, networks, phones and devices.

People who know each other have neighbouring numbers: families are adjacent, friends and colleagues
are drawn from nearby, and a long tail of acquaintances reaches further.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wavebreak.durations import DAY_MS
from wavebreak_lab.simulation.geography import (
    COUNTRIES,
    draw_addresses,
    draw_phone_numbers,
)
from wavebreak_lab.simulation.log import Bools, Columns, Floats, Ints, StringPool

BEFORE_START = -(1 << 62)
"""`registered_at` of accounts that existed before the simulation."""

TYPED = 0.92
"""Mean share of texts that people type; the rest is pasted, forwarded or dictated."""

_BALANCING_ROUNDS = 10


@dataclass(frozen=True, slots=True)
class Society:
    """What people are like; every number a share or a count a person unless it says otherwise.

    `family_sizes` are the shares of households of 1, 2, … people. Each layer of acquaintance is
    (how far away people are drawn, in positions; smallest and largest circle; share of a circle
    who write to each other; weight of such a tie). `far_ties` is the median of a log-normal
    number of acquaintances beyond, `far_spread` its sigma, `far_most` its cap.
    """

    family_sizes: tuple[float, ...] = (0.22, 0.26, 0.2, 0.19, 0.08, 0.05)
    family_weight: float = 4.0
    friends: tuple[float, int, int, float, float] = (30.0, 5, 12, 0.5, 1.5)
    work: tuple[float, int, int, float, float] = (400.0, 8, 36, 0.16, 0.7)
    far_ties: float = 1.6
    far_spread: float = 1.15
    far_most: int = 120
    far_reach: float = 3000.0
    far_weight: float = 0.4
    tie_spread: float = 1.4  # sigma of the log of a tie's strength
    known: float = 0.97  # ties where the one has the other in contacts
    silent: float = 0.045  # ties where the one person is written to never answers
    messages: float = 12.5  # one-to-one messages sent a day, median over people
    messages_spread: float = 0.5  # sigma of its log over people
    typing: tuple[float, float] = (11.5, 1.0)  # beta: share of texts typed, not pasted or said
    work_network: float = 0.55  # people with a network at work or school
    companion: float = 0.18  # people with a linked desktop companion
    newcomers: float = 0.01  # people a day person register during the simulation
    behind_one_carrier_address: int = 150  # people person share a carrier's NAT address
    behind_one_office_address: int = 60  # people to one address of a firm or school


@dataclass(frozen=True, slots=True)
class Ties(Columns):
    """Pairs of acquaintances, one row a direction, sorted by the opener.

    `per_day` conversations a day; `known`: the other has the opener in contacts; `back`: the
    opener has the other; `silent`: the other never answers.
    """

    opener: Ints
    other: Ints
    per_day: Floats
    known: Bools
    back: Bools
    silent: Bools


@dataclass(frozen=True, slots=True)
class People:
    """One row a person; a person's row is also the account's number.

    `country` indexes COUNTRIES, `zone` is hours ahead of UTC. `phone`, `device`, `client`,
    `home`, `carrier`, `work` are numbers of strings (`work` equals `home` without a workplace).
    `typing` is the share of texts that are typed; `registered_at` is a time or BEFORE_START.
    """

    country: Ints
    zone: Ints
    phone: Ints
    device: Ints
    client: Ints
    home: Ints
    carrier: Ints
    work: Ints
    companion: Bools
    typing: Floats
    registered_at: Ints
    ties: Ties

    def __len__(self) -> int:
        return len(self.country)

    def draw_acquaintances(
        self, rng: np.random.Generator, person: int, count: int, reach: float = 60.0
    ) -> Ints:
        """Draw distinct established people that live near a person, without that person."""
        low, high = np.searchsorted(self.country, self.country[person] + np.array([0, 1]))
        settled = int((self.registered_at[low:high] == BEFORE_START).sum())
        if settled <= count:  # too small a country: look everywhere
            low, high = 0, len(self)
            settled = int((self.registered_at == BEFORE_START).sum())
        count = min(count, settled - int(self.registered_at[person] == BEFORE_START))
        people: Ints = np.zeros(0, np.int64)
        while len(people) < count:
            step = rng.normal(0.0, reach, 2 * count + 8)
            candidates = _wrap_into_country(
                person + np.trunc(step + np.sign(step)).astype(np.int64), low, high
            )
            candidates = candidates[
                (candidates != person) & (self.registered_at[candidates] == BEFORE_START)
            ]
            candidates = np.concatenate([people, candidates])
            people = candidates[np.sort(np.unique(candidates, return_index=True)[1])]
            reach *= 1.5
        return people[:count]


def _wrap_into_country(positions: Ints, low: Ints | int, high: Ints | int) -> Ints:
    return np.asarray(low + np.mod(positions - low, np.maximum(high - low, 1)))


def _draw_circle_ties(
    rng: np.random.Generator, people: int, layer: tuple[float, int, int, float, float]
) -> tuple[Ints, Ints, Floats]:
    reach, smallest, largest, share, weight = layer
    order = np.argsort(np.arange(people) + rng.normal(0.0, reach, people), kind="stable")
    sizes = rng.integers(smallest, largest + 1, people // smallest + 1)
    circle = np.repeat(np.arange(len(sizes)), sizes)[:people]
    first_sides, second_sides = [], []
    for step in range(1, largest):
        rows = np.flatnonzero(circle[:-step] == circle[step:])
        rows = rows[rng.random(len(rows)) < share]
        first_sides.append(order[rows])
        second_sides.append(order[rows + step])
    first_side = np.concatenate(first_sides)
    return first_side, np.concatenate(second_sides), np.full(len(first_side), weight)


def _draw_families(
    rng: np.random.Generator, people: int, society: Society
) -> tuple[Ints, tuple[Ints, Ints, Floats]]:
    sizes = rng.choice(
        np.arange(1, len(society.family_sizes) + 1), people, p=np.array(society.family_sizes)
    )
    family = np.repeat(np.arange(people), sizes)[:people]
    pairs = [
        (rows, rows + step)
        for step in range(1, len(society.family_sizes))
        for rows in [np.flatnonzero(family[:-step] == family[step:])]
    ]
    first_side = np.concatenate([pair[0] for pair in pairs])
    other = np.concatenate([pair[1] for pair in pairs])
    return family, (first_side, other, np.full(len(first_side), society.family_weight))


def _draw_distant_ties(
    rng: np.random.Generator, country: Ints, society: Society
) -> tuple[Ints, Ints, Floats]:
    people = len(country)
    ties = rng.lognormal(np.log(society.far_ties), society.far_spread, people)
    first_side = np.repeat(np.arange(people), np.minimum(ties, society.far_most).astype(np.int64))
    low = np.searchsorted(country, country[first_side])
    high = np.searchsorted(country, country[first_side], side="right")
    step = rng.normal(0.0, society.far_reach, len(first_side)).astype(np.int64)
    return (
        first_side,
        _wrap_into_country(first_side + step, low, high),
        np.full(len(first_side), society.far_weight),
    )


def _balance_rates(first_side: Ints, other: Ints, weight: Floats, target: Floats) -> Floats:
    scale = np.ones(len(target))
    for _ in range(_BALANCING_ROUNDS):
        flow = weight * scale[first_side] * scale[other]
        have = np.bincount(first_side, flow, len(target)) + np.bincount(other, flow, len(target))
        scale *= np.sqrt(target / np.maximum(have, 1e-9))
        np.clip(scale, 1e-3, 1e3, out=scale)
    return np.asarray(weight * scale[first_side] * scale[other])


def _draw_ties(
    rng: np.random.Generator,
    layers: list[tuple[Ints, Ints, Floats]],
    people: int,
    society: Society,
    messages_a_conversation: float,
) -> Ties:
    first_side, other, weight = (np.concatenate(parts) for parts in zip(*layers, strict=True))
    low, high = np.minimum(first_side, other), np.maximum(first_side, other)
    _, first = np.unique(low * people + high, return_index=True)
    first = first[low[first] != high[first]]
    low, high = low[first], high[first]
    strength = weight[first] * rng.lognormal(0.0, society.tie_spread, len(first))
    target = rng.lognormal(np.log(society.messages), society.messages_spread, people)
    per_day = _balance_rates(low, high, strength, target / (messages_a_conversation / 2)) / 2
    is_known = rng.random((2, len(first))) < society.known
    silent = rng.random(len(first)) < society.silent
    ties = Ties(low, high, per_day, is_known[0], is_known[1], silent)
    ties = ties.append(Ties(high, low, per_day, is_known[1], is_known[0], silent))
    return ties.select(np.argsort(ties.opener, kind="stable"))


CLIENTS = tuple(f"official/2.1.{minor}" for minor in range(4, 12))
"""Versions of the official client in use, the newest last and most used."""


def draw_clients(rng: np.random.Generator, pool: StringPool, count: int) -> Ints:
    """Draw client versions as people have them: most are up to date."""
    shares = 2.0 ** np.arange(len(CLIENTS))
    return pool.codes(CLIENTS)[rng.choice(len(CLIENTS), count, p=shares / shares.sum())]


def draw_devices(rng: np.random.Generator, pool: StringPool, count: int) -> Ints:
    """Draw device fingerprints that nobody else has."""
    return pool.add(f"d{v:016x}" for v in rng.integers(0, 1 << 62, count).tolist())


def _draw_networks(
    rng: np.random.Generator, pool: StringPool, country: Ints, family: Ints, society: Society
) -> tuple[Ints, Ints, Ints]:
    people = len(country)
    homes, carriers, works = (np.zeros(people, np.int64) for _ in range(3))
    for index, place in enumerate(COUNTRIES):
        members = np.flatnonzero(country == index)
        if not len(members):
            continue
        houses, house = np.unique(family[members], return_inverse=True)
        homes[members] = pool.codes(draw_addresses(rng, place.homes, len(houses)))[house]
        nats = 1 + len(members) // society.behind_one_carrier_address
        nat = pool.codes(draw_addresses(rng, place.carriers, nats))
        carriers[members] = nat[rng.integers(0, nats, len(members))]
        seats = society.behind_one_office_address
        offices = 1 + len(members) // seats
        office = pool.codes(draw_addresses(rng, place.homes, offices))
        office_index = (
            np.arange(len(members)) // seats + rng.integers(-2, 3, len(members))
        ) % offices
        employed = rng.random(len(members)) < society.work_network
        works[members] = np.where(employed, office[office_index], homes[members])
    return homes, carriers, works


def draw_population(
    rng: np.random.Generator,
    pool: StringPool,
    people: int,
    society: Society,
    span: tuple[int, int],
    messages_a_conversation: float,
) -> People:
    """Draw people and their ties; `span` is start and end of the simulation (milliseconds)."""
    shares = np.cumsum([place.share for place in COUNTRIES])
    country = np.searchsorted(shares / shares[-1], (np.arange(people) + 0.5) / people)
    family, family_ties = _draw_families(rng, people, society)
    layers = [
        family_ties,
        _draw_circle_ties(rng, people, society.friends),
        _draw_circle_ties(rng, people, society.work),
        _draw_distant_ties(rng, country, society),
    ]
    phones = np.concatenate(
        [
            pool.codes(draw_phone_numbers(rng, place.mobile, int((country == index).sum())))
            for index, place in enumerate(COUNTRIES)
        ]
    )
    home, carrier, work = _draw_networks(rng, pool, country, family, society)
    device, client = draw_devices(rng, pool, people), draw_clients(rng, pool, people)
    companion = rng.random(people) < society.companion
    typing = rng.beta(*society.typing, people)
    registered_at = np.full(people, BEFORE_START, np.int64)
    start, end = span
    new = rng.random(people) < society.newcomers * (end - start) / DAY_MS
    registered_at[new] = rng.integers(start, end, int(new.sum()))
    return People(
        country=country,
        zone=np.array([place.zone for place in COUNTRIES])[country],
        phone=phones,
        device=device,
        client=client,
        home=home,
        carrier=carrier,
        work=work,
        companion=companion,
        typing=typing,
        registered_at=registered_at,
        ties=_draw_ties(rng, layers, people, society, messages_a_conversation),
    )


def placeholder_people(count: int) -> People:
    """Return people without attributes, for the accounts of a background trace."""
    none, blank, no_flags = np.zeros(0, np.int64), np.zeros(count, np.int64), np.zeros(0, bool)
    ties = Ties(none, none, np.zeros(0), no_flags, no_flags, no_flags)
    typing, registered_at = np.full(count, TYPED), np.full(count, BEFORE_START)
    return People(
        blank, blank, blank, blank, blank, blank, blank, blank, blank > 0, typing, registered_at,
        ties,
    )  # fmt: skip
