"""Activities of benign personas, and the people that play them.

`Chats` and `Daily` cover most personas by parameters alone; the table is `personas`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from wavebreak.durations import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from wavebreak_lab.simulation import geography
from wavebreak_lab.simulation.attackers import CAMPAIGNS
from wavebreak_lab.simulation.behaviour import STYLE, ConversationStyle
from wavebreak_lab.simulation.context import SimulationContext
from wavebreak_lab.simulation.conversations import add_group_messages, converse
from wavebreak_lab.simulation.daily_life import add_group
from wavebreak_lab.simulation.log import Ints
from wavebreak_lab.simulation.newcomers import NewcomerBehaviour, add_newcomers
from wavebreak_lab.simulation.population import BEFORE_START, draw_devices

Span = tuple[int, int]
"""Begin and end in milliseconds."""

IntBounds = tuple[int, int]
"""Range of a whole number that is drawn uniformly; the upper bound is excluded."""

SHORT = ConversationStyle(length=2.5)
"""Style of short conversations."""


class Source(Protocol):
    """Origin of a persona's accounts."""

    @property
    def in_population(self) -> bool:
        """Whether the accounts belong to simulated people."""

    def prepare(self, sim: SimulationContext, count: int, family: str) -> Ints:
        """Assign or register accounts of a family; return their numbers."""


class Activity(Protocol):
    """An activity of a persona's accounts."""

    def plan(self, sim: SimulationContext, accounts: Ints) -> None:
        """Plan the events of the activity."""


def split(accounts: Ints, size: int) -> Iterator[Ints]:
    """Yield consecutive parties of at most `size` accounts."""
    for first in range(0, len(accounts), size):
        yield accounts[first : first + size]


Share = Callable[[SimulationContext, Ints], None]
"""Gives the people of a party common lines, phones or numbers."""


@dataclass(frozen=True, slots=True)
class People:
    """Accounts that belong to people of the world, with families and friends as well.

    Attributes:
        when: Shares of the span between which they register (None: before the simulation).
        new: Share of the accounts that registers during the simulation.
        virtual: Share with a number from a virtual range.
        types: They use the typing indicator; accounts that do not have a linked desktop.
        party: Size of the parties that `share` something (0: no parties).
        within_h: Hours in which a party registers, from a time in `when` on (0: each alone).
        early: Most of a party register in the first of these hours.
    """

    when: tuple[float, float] | None = None
    new: float = 1.0
    virtual: float = 0.0
    types: bool = True
    party: int = 0
    share: Share | None = None
    within_h: float = 0.0
    early: bool = True
    in_population: bool = True

    def prepare(self, sim: SimulationContext, count: int, family: str) -> Ints:
        """Assign established people to a family, and change what is special about them."""
        rng, people = sim.rng, sim.people
        accounts = sim.assign_people(count, family)
        for party in split(accounts, self.party) if self.party else ():
            if self.share:
                self.share(sim, party)
            if self.when and self.within_h:
                begin, size = int(sim.draw_times(*self.when, 1)[0]), len(party)
                delay = rng.beta(1.5, 3.0, size) if self.early else rng.random(size)
                registered_at = begin + (delay * self.within_h * HOUR_MS).astype(np.int64)
                people.registered_at[party] = np.minimum(registered_at, sim.end - 1)
        if self.when and not self.within_h:
            new = accounts[rng.random(count) < self.new] if self.new < 1 else accounts
            people.registered_at[new] = sim.draw_times(*self.when, len(new))
        if self.virtual:
            selected = accounts[rng.random(count) < self.virtual]
            people.phone[selected] = sim.pool.codes(
                geography.draw_phone_numbers(rng, geography.VIRTUAL, len(selected))
            )
        if not self.types:
            people.companion[accounts], people.typing[accounts] = True, 0.0
        return accounts


def share_phone(sim: SimulationContext, party: Ints) -> None:
    """Give a family one phone and one line."""
    people = sim.people
    for column in (people.device, people.client, people.home, people.carrier, people.work):
        column[party] = column[party[0]]


def share_carrier_address(sim: SimulationContext, party: Ints) -> None:
    """Give a family abroad one carrier address, one client, and phones of three models."""
    rng, people = sim.rng, sim.people
    country = geography.COUNTRIES[int(rng.integers(len(geography.COUNTRIES)))]
    address = sim.pool.code(geography.draw_addresses(rng, country.carriers, 1)[0])
    for networks in (people.home, people.carrier, people.work):
        networks[party] = address
    people.device[party] = draw_devices(rng, sim.pool, 3)[np.arange(len(party)) % 3]
    people.client[party] = people.client[party[0]]


def share_office(sim: SimulationContext, party: Ints) -> None:
    """Give the staff of a firm one address and one client."""
    people = sim.people
    address = sim.pool.code(geography.draw_addresses(sim.rng, geography.CONSUMERS, 1)[0])
    for networks in (people.home, people.work):
        networks[party] = address
    people.client[party] = people.client[party[0]]


def share_in_cohort(addresses: int = 1, models: int = 0, width: int = 0) -> Share:
    """Return how a cohort shares a /24 network, models of phones, or a row of numbers.

    Args:
        addresses: Addresses in one /24 network (0: each on its own line).
        models: Device fingerprints (0: each its own).
        width: Width of the block of their numbers (0: from anywhere).
    """

    def share(sim: SimulationContext, party: Ints) -> None:
        rng, people, pool, count = sim.rng, sim.people, sim.pool, len(party)
        if addresses:
            network = geography.draw_addresses(rng, geography.CONSUMERS, 1)[0].rpartition(".")[0]
            hosts = rng.choice(np.arange(1, 255), min(addresses, 254), replace=False)
            lines = pool.codes(f"{network}.{host}" for host in hosts.tolist())
            for networks in (people.home, people.work, people.carrier):
                networks[party] = lines[rng.integers(0, len(lines), count)]
        if models:
            devices = draw_devices(rng, pool, models)
            people.device[party] = devices[rng.integers(0, models, count)]
        if width:
            block = geography.MOBILES[int(rng.integers(len(geography.MOBILES)))]
            people.phone[party] = pool.codes(geography.draw_number_block(rng, block, count, width))

    return share


@dataclass(frozen=True, slots=True)
class Persona:
    """A kind of benign accounts: their origin, and their activities beside everyday life.

    Attributes:
        about: Description.
        activities: Planned in this order.
        source: Origin of the accounts.
        per_person: Accounts for each simulated person.
    """

    name: str
    about: str
    activities: tuple[Activity, ...] = ()
    source: Source = field(default=People())
    per_person: float = 0.01

    def prepare(self, sim: SimulationContext, count: int) -> Ints:
        """Assign or register accounts; called for every persona before any is played."""
        return self.source.prepare(sim, count, self.name)

    def play(self, sim: SimulationContext, accounts: Ints) -> None:
        """Plan all activities."""
        for activity in self.activities:
            activity.plan(sim, accounts)


Pace = Callable[[SimulationContext, Span, int], Ints]
"""Draws the times of a number of chats in a span."""


def at_any_time(sim: SimulationContext, span: Span, count: int) -> Ints:
    """Draw times, unsorted."""
    return sim.rng.integers(*span, count)


def in_order(sim: SimulationContext, span: Span, count: int) -> Ints:
    """Draw times, sorted."""
    return np.sort(sim.rng.integers(*span, count))


def all_day(sim: SimulationContext, span: Span, count: int) -> Ints:
    """Draw times that fill a span."""
    gaps = sim.rng.lognormal(0.0, 0.7, count)
    share = np.cumsum(gaps) / gaps.sum()
    return np.asarray(span[0] + (share * 0.98 * (span[1] - span[0])).astype(np.int64))


def in_a_row(gap_ms: float, sigma: float = 1.1) -> Pace:
    """Return a pace of one chat after the other, a median gap apart."""

    def pace(sim: SimulationContext, span: Span, count: int) -> Ints:
        steps = sim.rng.lognormal(np.log(gap_ms), sigma, count)
        return np.asarray(sim.rng.integers(*span) + np.cumsum(steps).astype(np.int64))

    return pace


@dataclass(frozen=True, slots=True)
class AccountDay:
    """An account's working hours of a day, and the groups that it posts to."""

    account: int
    span: Span
    groups: Ints
    sizes: Ints


DayPart = Callable[[SimulationContext, AccountDay], None]


@dataclass(frozen=True, slots=True)
class Chats:
    """Conversations of an account with acquaintances or strangers.

    Attributes:
        count: Conversations a day.
        reach: Distance of the acquaintances (0: strangers).
        pace: Times of the conversations.
        written: Share of the conversations that the other begins.
        known: The other side has the opener in contacts.
        back: The opener has the other side in contacts.
        silent: Others who do not answer the account.
        typing: Highest share of texts that the account types.
        looks_up: Share of the strangers whom the account looks up before.
        blocks: Share of the others who block the account.
        once: Shares of the span between which they begin, in one hour (None: a day).
        keeps_own: The account itself may be among the strangers, as in worlds of earlier versions.
    """

    count: IntBounds
    reach: float = 0.0
    pace: Pace = in_order
    written: float = 0.0
    known: float = 1.0
    back: float = 1.0
    silent: float = 0.0
    typing: float = 1.0
    style: ConversationStyle = STYLE
    looks_up: float = 0.0
    blocks: float = 0.0
    once: tuple[float, float] | None = None
    keeps_own: bool = False

    def __call__(self, sim: SimulationContext, day: AccountDay) -> None:
        """Plan the conversations of a day."""
        rng, me, span, count = sim.rng, day.account, day.span, int(sim.rng.integers(*self.count))
        if self.reach:
            peer = sim.people.draw_acquaintances(rng, me, count, self.reach)
        else:
            peer = sim.draw_strangers(count)
            peer = peer if self.keeps_own else peer[peer != me]
        if self.once:
            begin = int(sim.draw_times(*self.once, 1)[0])
            span = begin, begin + HOUR_MS
        start = self.pace(sim, span, len(peer))
        theirs = np.full(len(peer), self.written == 1)
        if 0 < self.written < 1:
            theirs = rng.random(len(peer)) < self.written
        known, back, is_own = self.known, self.back, ~theirs
        if self.written:
            converse(
                sim, self.style, start[theirs], peer[theirs], me, is_known=known, is_mutual=back
            )
        if self.written < 1:
            converse(
                sim, self.style, start[is_own], me, peer[is_own], is_known=known, is_mutual=back,
                silent=self.silent, typing=self.typing,
            )  # fmt: skip
        if self.looks_up:
            looks = start[rng.random(len(start)) < self.looks_up] - 20 * SECOND_MS
            sim.log.add("contact.looked_up", looks, me, count=1, hits=1)
        if self.blocks:
            blocks = rng.random(len(peer)) < self.blocks
            sim.log.add("user.blocked", start[blocks] + HOUR_MS, peer[blocks], peer=me)

    def plan(self, sim: SimulationContext, accounts: Ints) -> None:
        """Plan the conversations of accounts that have them once."""
        none = np.zeros(0, np.int64)
        for account in accounts.tolist():
            self(sim, AccountDay(account, (sim.start, sim.end), none, none))


def working_hours(
    sim: SimulationContext, low_hour: float, high_hour: float, account: int
) -> list[Span]:
    """Return an account's local working hours on each simulated day."""
    zone = int(sim.people.zone[account]) if account < len(sim.people) else 0
    first = (sim.start + zone * HOUR_MS) // DAY_MS * DAY_MS - zone * HOUR_MS
    spans = []
    for midnight in range(first, sim.end, DAY_MS):
        low = max(sim.start, int(midnight + low_hour * HOUR_MS))
        high = min(sim.end, int(midnight + high_hour * HOUR_MS))
        if high - low > HOUR_MS // 2:
            spans.append((low, high))
    return spans


@dataclass(frozen=True, slots=True)
class Daily:
    """Activities in the working hours of each day.

    Attributes:
        hours: Local hours.
        parts: Activities of a day, in this order.
        open_groups: Returns an account's groups and their sizes, before its first day.
    """

    hours: tuple[float, float]
    parts: tuple[DayPart, ...]
    open_groups: Callable[[SimulationContext, int], tuple[Ints, Ints]] | None = None

    def plan(self, sim: SimulationContext, accounts: Ints) -> None:
        """Plan every account's days."""
        groups = sizes = np.zeros(0, np.int64)
        for account in accounts.tolist():
            if self.open_groups:
                groups, sizes = self.open_groups(sim, account)
            for span in working_hours(sim, *self.hours, account):
                for part in self.parts:
                    part(sim, AccountDay(account, span, groups, sizes))


def organise_events(sim: SimulationContext, account: int) -> tuple[Ints, Ints]:
    """Plan groups for one to three events, with posts and members who leave."""
    rng = sim.rng
    times = sim.draw_times(0.1, 0.7, int(rng.integers(1, 3, endpoint=True)))
    for ts in times.tolist():
        group = int(sim.new_groups(1)[0])
        member = sim.people.draw_acquaintances(rng, account, int(rng.integers(20, 80)), 150.0)
        complete = add_group(sim, account, group, member, ts, 4.0)[-1]
        posts = np.sort(rng.integers(MINUTE_MS, 10 * HOUR_MS, int(rng.integers(3, 9))))
        add_group_messages(sim, complete + posts, account, group, len(member))
        leaves = member[rng.random(len(member)) < 0.03]
        left_at = complete + rng.integers(MINUTE_MS, 10 * HOUR_MS, len(leaves))
        sim.log.add("group.left", left_at, leaves, group=group, peer=account)
    return times[:0], times[:0]


def open_classes(sim: SimulationContext, account: int) -> tuple[Ints, Ints]:
    """Plan the group of a new class; return it beside 5 to 13 other classes."""
    rng = sim.rng
    size = int(rng.integers(18, 34))
    member = sim.people.draw_acquaintances(rng, account, size, 300.0)
    name = int(sim.new_groups(1)[0])
    add_group(sim, account, name, member, int(sim.draw_times(0.1, 0.6, 1)[0]), 3)
    groups = sim.new_groups(int(rng.integers(5, 14)))
    return groups, np.full(len(groups), size)


def post_to_classes(sim: SimulationContext, day: AccountDay) -> None:
    """Plan two posts to each class."""
    group = np.repeat(day.groups, 2)
    times = in_order(sim, day.span, len(group))
    sim.rng.shuffle(group)
    add_group_messages(sim, times, day.account, group, np.repeat(day.sizes, 2))


def open_large_groups(sim: SimulationContext, _account: int) -> tuple[Ints, Ints]:
    """Return three groups of many strangers."""
    return sim.new_groups(3), sim.rng.integers(60, 250, 3)


def post_to_large_groups(sim: SimulationContext, day: AccountDay) -> None:
    """Plan 50 to 149 posts to large groups."""
    times = in_order(sim, day.span, int(sim.rng.integers(50, 150)))
    group = sim.rng.integers(0, len(day.groups), len(times))
    add_group_messages(sim, times, day.account, day.groups[group], day.sizes[group])


def change_networks(sim: SimulationContext, day: AccountDay) -> None:
    """Plan 4 to 15 sessions from other addresses, three in ten through a rented tunnel."""
    rng, people, pool = sim.rng, sim.people, sim.pool
    ts = in_order(sim, day.span, int(rng.integers(4, 16)))
    tunnel = rng.random(len(ts)) < 0.3
    plain = pool.codes(geography.draw_addresses(rng, geography.CONSUMERS, len(ts)))
    ip = np.where(
        tunnel, pool.codes(geography.draw_addresses(rng, geography.HOSTING, len(ts))), plain
    )
    account = np.full(len(ts), day.account)
    device, client = int(people.device[day.account]), int(people.client[day.account])
    sim.add_sessions(ts, account, ip, device, client)


@dataclass(frozen=True, slots=True)
class Arrival:
    """Registration and first hours of the accounts that register during the simulation."""

    behaviour: NewcomerBehaviour

    def plan(self, sim: SimulationContext, accounts: Ints) -> None:
        """Plan registrations, look-ups and first chats."""
        new = sim.people.registered_at[accounts] != BEFORE_START
        add_newcomers(sim, accounts[new], self.behaviour)


@dataclass(frozen=True, slots=True)
class Acquaintance:
    """Members of a cohort get to know each other.

    Attributes:
        party: Members of a cohort.
        writes: Others whom each writes to.
        known: The other has the number.
        silent: Others who do not answer.
        over_h: Hours in which the chats begin.
    """

    party: int
    writes: IntBounds = (3, 12)
    known: float = 0.2
    silent: float = 0.25
    over_h: float = 12.0

    def plan(self, sim: SimulationContext, accounts: Ints) -> None:
        """Plan the chats within each cohort."""
        rng, registered_at = sim.rng, sim.people.registered_at
        for cohort in split(accounts, self.party):
            opener = np.repeat(cohort, rng.integers(*self.writes, len(cohort)))
            other = rng.choice(cohort, len(opener))
            ready = np.maximum(registered_at[opener], registered_at[other]) + 2 * MINUTE_MS
            delay = rng.random(len(opener)) ** 2 * self.over_h * HOUR_MS
            start, real = ready + delay.astype(np.int64), opener != other
            converse(
                sim, STYLE, start[real], opener[real], other[real], is_known=self.known,
                is_mutual=0.5, silent=self.silent,
            )  # fmt: skip


class OfficeChats:
    """Colleagues of an office of 25 write to each other after they register."""

    def plan(self, sim: SimulationContext, accounts: Ints) -> None:
        """Plan 4 to 14 chats of each with colleagues."""
        rng, registered_at = sim.rng, sim.people.registered_at
        for office in split(accounts, 25):
            for account in office.tolist():
                peer = rng.choice(office, int(rng.integers(4, 15)))
                ready = np.maximum(registered_at[peer], registered_at[account]) + 10 * MINUTE_MS
                start = ready + (rng.random(len(peer)) * 8 * HOUR_MS).astype(np.int64)
                peer, start = peer[peer != account], start[peer != account]
                converse(sim, STYLE, start, account, peer, is_known=0.6, is_mutual=0.6)


class FamilyChats:
    """Members of a family of ten write to each other, four chats a person."""

    def plan(self, sim: SimulationContext, accounts: Ints) -> None:
        """Plan the chats of each family after its members register."""
        rng, registered_at = sim.rng, sim.people.registered_at
        for family in split(accounts, 10):
            ts = geography.Clock(0).times(rng, sim.start, sim.end, 4 * len(family))
            opener, other = (rng.choice(family, len(ts)) for _ in range(2))
            registered = np.maximum(registered_at[opener], registered_at[other])
            real = (opener != other) & (ts > registered)
            converse(sim, STYLE, ts[real], opener[real], other[real])


class FalseReports:
    """A hired ring of 20 accounts (abusive) reports every victim."""

    def plan(self, sim: SimulationContext, accounts: Ints) -> None:
        """Plan the campaign of the ring."""
        ring = replace(CAMPAIGNS["mass-reports"], accounts=20)
        ring.play_against(sim, "ring-for-hire", accounts)


class Flood:
    """Hundreds of misled strangers write to the account within three hours, as a prank."""

    def plan(self, sim: SimulationContext, accounts: Ints) -> None:
        """Plan messages, and for one in twenty an invitation to a group instead."""
        rng, style = sim.rng, ConversationStyle(length=0.8, length_spread=0.6)
        max_count = max(2, int(0.25 * len(sim.people)))
        for account in accounts.tolist():
            crowd = sim.draw_strangers(min(int(rng.integers(150, 450)), max_count))
            crowd = crowd[crowd != account]
            begin = int(sim.draw_times(0.2, 0.75, 1)[0])
            ts = begin + (rng.beta(1.5, 2.5, len(crowd)) * 3 * HOUR_MS).astype(np.int64)
            present = sim.people.registered_at[crowd] < ts
            crowd, ts = crowd[present], ts[present]
            invite = rng.random(len(crowd)) < 0.05
            group = sim.new_groups(int(invite.sum()))
            sim.log.add("group.member_added", ts[invite], crowd[invite], peer=account, group=group)
            converse(
                sim,
                style,
                ts[~invite],
                crowd[~invite],
                account,
                is_known=0.0,
                is_mutual=0.0,
                silent=0.97,
            )


class RecoveredAccount:
    """The owner of a hijacked account is back in control, on a journey with a new phone."""

    def plan(self, sim: SimulationContext, accounts: Ints) -> None:
        """Plan a session on a foreign network, a passed challenge, and chats with contacts."""
        rng, people, pool, count = sim.rng, sim.people, sim.pool, len(accounts)
        ts = sim.draw_times(0.3, 0.7, count)
        device = draw_devices(rng, pool, count)
        countries = rng.integers(0, len(geography.COUNTRIES), count).tolist()
        ip = pool.codes(
            geography.draw_addresses(rng, geography.COUNTRIES[index].homes, 1)[0]
            for index in countries
        )
        sim.add_sessions(ts, accounts, ip, device, people.client[accounts])
        sim.log.add("challenge.passed", ts + 40 * SECOND_MS, accounts, kind=pool.code("code"))
        for account, returned_at in zip(accounts.tolist(), ts.tolist(), strict=True):
            counts = int(rng.integers(8, 22)), int(rng.integers(2, 6))
            for number, is_known in zip(counts, (0.97, 0.3), strict=True):
                peer = people.draw_acquaintances(rng, account, number)
                gaps = rng.lognormal(np.log(2 * MINUTE_MS), 1.2, len(peer))
                start = returned_at + 5 * MINUTE_MS + np.cumsum(gaps).astype(np.int64)
                converse(sim, STYLE, start, account, peer, is_known=is_known, silent=0.15)
