"""Groups of people: mostly small, of people who live near each other, with bursts of messages."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from wavebreak.durations import MINUTE_MS, SECOND_MS
from wavebreak_lab.simulation.context import SimulationContext
from wavebreak_lab.simulation.geography import COUNTRIES
from wavebreak_lab.simulation.log import Floats, Ints


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


class Groups:
    """All groups: names, sizes, members, and how often each talks.

    `first` are the positions of the groups of each country, `rates[country]` the running sum of
    bursts a day over its groups.
    """

    def __init__(self, sim: SimulationContext, habits: GroupHabits) -> None:
        rng, people = sim.rng, sim.people
        count = int(len(people) * habits.each)
        self.habits = habits
        founder = np.sort(rng.integers(0, len(people), count))
        size = self._sizes(rng, count)
        of = np.repeat(np.arange(count), size)
        step = rng.normal(0.0, 1.0, len(of)) * habits.reach * np.sqrt(size[of])
        low = np.searchsorted(people.country, people.country[founder[of]])
        high = np.searchsorted(people.country, people.country[founder[of]], side="right")
        member = low + np.mod(founder[of] + step.astype(np.int64) - low, high - low)
        pairs = np.unique(of * len(people) + member)
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
        drawn = rng.lognormal(np.log(habits.size), habits.size_spread, count)
        return np.clip(drawn, habits.smallest, habits.largest).astype(np.int64)

    def draw_size(self, rng: np.random.Generator) -> int:
        """Draw how many members a new group gets."""
        return int(self._sizes(rng, 1)[0])

    def speakers(self, rng: np.random.Generator, group: Ints) -> Ints:
        """Draw who speaks in each group: some members far more than others."""
        place = self.sizes[group] * rng.random(len(group)) ** self.habits.keen
        return np.asarray(self.members[self.offsets[group] + place.astype(np.int64)])

    def bursts(self, rng: np.random.Generator, group: Ints, start: Ints) -> tuple[Ints, Ints, Ints]:
        """Play bursts of talk: return group, time and speaker of every message."""
        habits = self.habits
        length = 1 + rng.lognormal(np.log(habits.length), habits.length_spread, len(group))
        count = np.minimum(length, 60).astype(np.int64)
        of = np.repeat(np.arange(len(group)), count)
        first = np.cumsum(count) - count
        gap = rng.lognormal(np.log(habits.gap), habits.gap_spread, len(of))
        total = np.cumsum(np.clip(gap, 500, 60 * MINUTE_MS))
        ts = start[of] + (total - total[first][of]).astype(np.int64)
        return group[of], ts, self.speakers(rng, group[of])

    def create_group(
        self, sim: SimulationContext, maker: int, ts: int, size: int, gap: float = 3.0
    ) -> int:
        """Plan a new group of people near its maker; return the number of its name.

        Members are picked in the group's dialogue, a median `gap` seconds apart, and the maker
        greets them.
        """
        name = int(sim.new_groups(1)[0])
        member = sim.people.draw_acquaintances(sim.rng, maker, size)
        add_group(sim, maker, name, member, ts, gap)
        return name


def add_group(
    sim: SimulationContext, maker: int, name: int, member: Ints, ts: int, gap: float
) -> Ints:
    """Plan a group's creation and its members' adding; return the times of adding."""
    steps = sim.rng.lognormal(np.log(gap * SECOND_MS), 0.8, len(member))
    times = ts + np.cumsum(steps).astype(np.int64)
    sim.log.add("group.created", np.array([ts]), maker, group=name)
    sim.log.add("group.member_added", times, maker, group=name, peer=member)
    return times
