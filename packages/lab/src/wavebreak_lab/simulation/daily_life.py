"""Everyday activity of ordinary people and their groups, planned one time window after another."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from wavebreak.durations import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from wavebreak_lab.simulation.behaviour import STYLE
from wavebreak_lab.simulation.context import SimulationContext
from wavebreak_lab.simulation.conversations import add_group_messages, converse
from wavebreak_lab.simulation.geography import COUNTRIES, Clock, local_hour
from wavebreak_lab.simulation.log import ABSENT, Floats, Ints
from wavebreak_lab.simulation.population import Society, draw_devices

NEVER = 1 << 62


@dataclass(frozen=True, slots=True)
class Habits:
    """Rates of everyday life: a day and a person, or shares.

    `connects` sessions a day beside those at work; networks by hour: at home at night, else
    `out` on the carrier. `new_device` people a day change their phone. `meets` new acquaintances
    a day: `met_known` of them have the opener in contacts before the first message, `looks_up` of
    the openers look the number up, `saves` of either side add the other. `quarrels` blocks and
    `false_reports` reports among acquaintances; `group_joins`, `group_leaves`, `new_groups`,
    `tidies` (contacts removed) as their names say.
    """

    connects: float = 3.5
    out: float = 0.35
    linked: float = 0.5
    new_device: float = 0.0007
    meets: float = 0.06
    met_known: float = 0.72
    looks_up: float = 0.5
    saves: float = 0.6
    quarrels: float = 0.0008
    reconciles: float = 0.3
    false_reports: float = 0.0003
    group_joins: float = 0.006
    group_leaves: float = 0.004
    new_groups: float = 0.004
    tidies: float = 0.002


@dataclass(frozen=True, slots=True)
class GroupHabits:
    """What groups are like.

    `each`: groups a person; `size` and `size_spread`: log-normal members (most under ten),
    between `smallest` and `largest`. `reach`: how far from the founder members live, in
    positions, times the square root of the size. `bursts` of talk a group and day, of `length`
    messages (median), with a median `gap` between them (milliseconds). `keen`: the larger, the
    more of the talk comes from few members.
    """

    each: float = 0.6
    size: float = 5.0
    size_spread: float = 0.65
    smallest: int = 3
    largest: int = 256
    reach: float = 8.0
    bursts: float = 0.9
    bursts_spread: float = 1.0
    length: float = 3.0
    length_spread: float = 0.9
    gap: float = 40 * SECOND_MS
    gap_spread: float = 1.5
    keen: float = 1.8


class Everyday(NamedTuple):
    """What people and their groups are like, and how often they do what people do."""

    society: Society = Society()
    habits: Habits = Habits()
    groups: GroupHabits = GroupHabits()


EVERYDAY = Everyday()


class Groups:
    """All groups: names, sizes, members, and how often each talks.

    `first` are the positions of the groups of each country, `rates[country]` the running sum of
    bursts a day over its groups.
    """

    def __init__(self, sim: SimulationContext, habits: GroupHabits) -> None:
        rng, people, self.habits = sim.rng, sim.people, habits
        count = int(len(people) * habits.each)
        founder = np.sort(rng.integers(0, len(people), count))
        size = self._sizes(rng, count)
        group_of = np.repeat(np.arange(count), size)
        step = rng.normal(0.0, 1.0, len(group_of)) * habits.reach * np.sqrt(size[group_of])
        low = np.searchsorted(people.country, people.country[founder[group_of]])
        high = np.searchsorted(people.country, people.country[founder[group_of]], side="right")
        member = low + np.mod(founder[group_of] + step.astype(np.int64) - low, high - low)
        pairs = np.unique(group_of * len(people) + member)
        self.members = pairs % len(people)
        self.sizes = np.bincount(pairs // len(people), minlength=count)
        self.offsets = np.cumsum(self.sizes) - self.sizes
        self.names = sim.new_groups(count)
        rate = habits.bursts * rng.lognormal(0.0, habits.bursts_spread, count)
        starts = np.searchsorted(people.country, np.arange(len(COUNTRIES) + 1))
        self.first: list[int] = np.searchsorted(founder, starts).tolist()
        self.rates: list[Floats] = [np.cumsum(rate[a:b]) for a, b in pairwise(self.first)]

    def _sizes(self, rng: np.random.Generator, count: int) -> Ints:
        habits = self.habits
        sizes = rng.lognormal(np.log(habits.size), habits.size_spread, count)
        return np.clip(sizes, habits.smallest, habits.largest).astype(np.int64)

    def draw_size(self, rng: np.random.Generator) -> int:
        """Draw how many members a new group gets."""
        return int(self._sizes(rng, 1)[0])

    def speakers(self, rng: np.random.Generator, group: Ints) -> Ints:
        """Draw speakers of groups: some members far more often than others."""
        place = self.sizes[group] * rng.random(len(group)) ** self.habits.keen
        return np.asarray(self.members[self.offsets[group] + place.astype(np.int64)])

    def bursts(self, rng: np.random.Generator, group: Ints, start: Ints) -> tuple[Ints, Ints, Ints]:
        """Play bursts of talk: return group, time and speaker of every message."""
        habits = self.habits
        length = 1 + rng.lognormal(np.log(habits.length), habits.length_spread, len(group))
        count = np.minimum(length, 60).astype(np.int64)
        burst = np.repeat(np.arange(len(group)), count)
        first = np.cumsum(count) - count
        gap = rng.lognormal(np.log(habits.gap), habits.gap_spread, len(burst))
        total = np.cumsum(np.clip(gap, 500, 60 * MINUTE_MS))
        ts = start[burst] + (total - total[first][burst]).astype(np.int64)
        return group[burst], ts, self.speakers(rng, group[burst])


def add_group(
    sim: SimulationContext, maker: int, name: int, member: Ints, ts: int, gap: float
) -> Ints:
    """Plan a group's creation and its members' adding; return the times of adding."""
    steps = sim.rng.lognormal(np.log(gap * SECOND_MS), 0.8, len(member))
    times = ts + np.cumsum(steps).astype(np.int64)
    sim.log.add("group.created", np.array([ts]), maker, group=name)
    sim.log.add("group.member_added", times, maker, group=name, peer=member)
    return times


@dataclass(frozen=True, slots=True)
class _Window:
    """A time window in one country; `share` of a day's activity falls into it."""

    country: int
    clock: Clock
    low: int
    high: int
    share: float

    def times(self, rng: np.random.Generator, count: int) -> Ints:
        """Draw times in the window."""
        return self.clock.times(rng, self.low, self.high, count)


class DailyLife:
    """Plans what people do, window by window, from their ties and groups."""

    def __init__(self, sim: SimulationContext, groups: Groups, habits: Habits) -> None:
        rng, people, count = sim.rng, sim.people, len(sim.people)
        self.groups, self.habits = groups, habits
        self._clocks = [Clock(country.zone) for country in COUNTRIES]
        self._people = np.searchsorted(people.country, np.arange(len(COUNTRIES) + 1))
        ties = np.searchsorted(people.ties.opener, self._people)
        self._ties = [(int(a), int(b)) for a, b in pairwise(ties)]
        self._tie_rates = [np.cumsum(people.ties.per_day[a:b]) for a, b in self._ties]
        self._companion = np.full(count, ABSENT, np.int64)
        owners = np.flatnonzero(people.companion)
        self._companion[owners] = draw_devices(rng, sim.pool, len(owners))
        changes = rng.random(count) < self.habits.new_device * sim.span / DAY_MS
        self._changed_at = np.full(count, NEVER, np.int64)
        self._changed_at[changes] = rng.integers(sim.start, sim.end, int(changes.sum()))
        self._new_device = people.device.copy()
        self._new_device[changes] = draw_devices(rng, sim.pool, int(changes.sum()))

    def add_window(self, sim: SimulationContext, low: int, high: int) -> None:
        """Plan everything that starts between two times (milliseconds)."""
        for country, clock in enumerate(self._clocks):
            if self._people[country] == self._people[country + 1]:
                continue
            window = _Window(country, clock, low, high, clock.share(low, high))
            has_ties = len(self._tie_rates[country]) > 0
            if has_ties:
                self._add_conversations(sim, window)
            self._add_new_contacts(sim, window)
            self._add_sessions(sim, window)
            if len(self.groups.rates[country]):
                self._add_group_talk(sim, window)
                self._add_group_changes(sim, window)
            if has_ties:
                self._add_blocks_and_reports(sim, window)

    def _draw_actors(
        self, sim: SimulationContext, window: _Window, rate: float
    ) -> tuple[Ints, Ints]:
        first, last = self._people[window.country : window.country + 2].tolist()
        count = sim.rng.poisson(rate * window.share * (last - first))
        person, ts = sim.rng.integers(first, last, count), window.times(sim.rng, count)
        present = sim.people.registered_at[person] < ts
        return person[present], ts[present]

    def _draw_ties(self, sim: SimulationContext, window: _Window, count: int) -> Ints:
        rates = self._tie_rates[window.country]
        rows = np.searchsorted(rates, sim.rng.random(count) * rates[-1], side="right")
        return np.asarray(self._ties[window.country][0] + np.minimum(rows, len(rates) - 1))

    def _add_conversations(self, sim: SimulationContext, window: _Window) -> None:
        registered_at = sim.people.registered_at
        count = sim.rng.poisson(self._tie_rates[window.country][-1] * window.share)
        ties = sim.people.ties.select(self._draw_ties(sim, window, count))
        start = window.times(sim.rng, count)
        present = np.maximum(registered_at[ties.opener], registered_at[ties.other]) < start
        ties, start = ties.select(present), start[present]
        converse(
            sim, STYLE, start, ties.opener, ties.other, is_known=ties.known, is_mutual=ties.back,
            silent=ties.silent,
        )  # fmt: skip

    def _add_new_contacts(self, sim: SimulationContext, window: _Window) -> None:
        rng, log = sim.rng, sim.log
        person, ts = self._draw_actors(sim, window, self.habits.meets)
        first, last = self._people[window.country : window.country + 2].tolist()
        other = rng.integers(first, last, len(person))
        real = (other != person) & (sim.people.registered_at[other] < ts)
        person, ts, other = person[real], ts[real], other[real]
        looks = rng.random(len(person)) < self.habits.looks_up
        saved = rng.random(len(person)) < self.habits.saves
        saves_back = rng.random(len(person)) < self.habits.saves
        early = ts - rng.integers(2_000, MINUTE_MS, len(person))
        log.add("contact.looked_up", early[looks], person[looks], count=1, hits=1)
        log.add("contact.added", early[saved] + 500, person[saved], peer=other[saved])
        late = ts + rng.integers(MINUTE_MS, HOUR_MS, len(person))
        log.add("contact.added", late[saves_back], other[saves_back], peer=person[saves_back])
        met_known = self.habits.met_known
        converse(sim, STYLE, ts, person, other, is_known=met_known, is_mutual=saved, silent=0.06)

    def _add_sessions(self, sim: SimulationContext, window: _Window) -> None:
        people, rng = sim.people, sim.rng
        person, ts = self._draw_actors(sim, window, self.habits.connects)
        hour = local_hour(ts, people.zone[person])
        busy = (hour >= 9) & (hour < 17)
        ip = np.where(busy, people.work[person], people.home[person])
        ip = np.where(rng.random(len(person)) < self.habits.out, people.carrier[person], ip)
        linked = busy & people.companion[person] & (rng.random(len(person)) < self.habits.linked)
        ip = np.where(linked, people.work[person], ip)
        phone = np.where(
            ts >= self._changed_at[person], self._new_device[person], people.device[person]
        )
        device = np.where(linked, self._companion[person], phone)
        mark = np.where(linked, 1, ABSENT)
        client = people.client[person]
        sim.log.add("session.started", ts, person, ip=ip, device=device, client=client, linked=mark)

    def _add_group_talk(self, sim: SimulationContext, window: _Window) -> None:
        groups, rng, rates = self.groups, sim.rng, self.groups.rates[window.country]
        count = rng.poisson(rates[-1] * window.share)
        offset = np.searchsorted(rates, rng.random(count) * rates[-1], side="right")
        start = window.times(rng, count)
        group, ts, sender = groups.bursts(rng, groups.first[window.country] + offset, start)
        present = sim.people.registered_at[sender] < ts
        group, ts, sender = group[present], ts[present], sender[present]
        add_group_messages(sim, ts, sender, groups.names[group], groups.sizes[group] - 1)

    def _add_group_changes(self, sim: SimulationContext, window: _Window) -> None:
        groups, rng = self.groups, sim.rng
        span = groups.first[window.country], groups.first[window.country + 1]
        for kind, rate in (
            ("group.joined", self.habits.group_joins),
            ("group.left", self.habits.group_leaves),
        ):
            person, ts = self._draw_actors(sim, window, rate)
            sim.log.add(kind, ts, person, group=groups.names[rng.integers(*span, len(person))])
        makers, times = self._draw_actors(sim, window, self.habits.new_groups)
        for maker, ts in zip(makers.tolist(), times.tolist(), strict=True):
            size = groups.draw_size(rng)
            name = int(sim.new_groups(1)[0])
            add_group(sim, maker, name, sim.people.draw_acquaintances(rng, maker, size), ts, 3.0)

    def _add_blocks_and_reports(self, sim: SimulationContext, window: _Window) -> None:
        rng, log = sim.rng, sim.log

        def draw_pairs(rate: float) -> tuple[Ints, Ints, Ints]:
            person, ts = self._draw_actors(sim, window, rate)
            ties = sim.people.ties.select(self._draw_ties(sim, window, len(person)))
            return ties.opener, ties.other, ts

        person, peer, ts = draw_pairs(self.habits.quarrels)
        log.add("user.blocked", ts, person, peer=peer)
        reconciles = rng.random(len(ts)) < self.habits.reconciles
        unblocked_at = ts[reconciles] + rng.integers(HOUR_MS, DAY_MS)
        log.add("user.unblocked", unblocked_at, person[reconciles], peer=peer[reconciles])
        person, peer, ts = draw_pairs(self.habits.false_reports)
        log.add("user.reported", ts, person, peer=peer, reason=sim.pool.code("other"))
        person, peer, ts = draw_pairs(self.habits.tidies)
        log.add("contact.removed", ts, person, peer=peer)
