"""Everyday activity of ordinary people, planned one time window after another."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from wavebreak.durations import DAY_MS, HOUR_MS, MINUTE_MS
from wavebreak_lab.simulation.behaviour import ConversationStyle
from wavebreak_lab.simulation.context import SimulationContext
from wavebreak_lab.simulation.conversations import (
    add_conversations,
    add_group_messages,
    draw_conversations,
)
from wavebreak_lab.simulation.geography import (
    COUNTRIES,
    Clock,
    day_curve,
    draw_addresses,
    local_hour,
)
from wavebreak_lab.simulation.groups import Groups
from wavebreak_lab.simulation.log import ABSENT, Floats, Ints
from wavebreak_lab.simulation.population import draw_devices

NEVER = 1 << 62


@dataclass(frozen=True, slots=True)
class Habits:
    """Rates of everyday life: a day and a person, or shares.

    `connects` sessions a day beside those at work; networks by hour: at home at night, else
    `out` on the carrier. `new_device` people a day change their phone. `meets` new acquaintances
    a day: `met_known` of them have the opener in contacts before the first message, `looks_up` of
    the openers look the number up, `saves` of either side add the other. `quarrels` blocks and
    `false_reports` reports among acquaintances; `group_joins`, `group_leaves`, `new_groups`,
    `tidies` (contacts removed) as their names say. `meets_spread`: sigma of the log of how sociable
    people are. `flock`: conversations that follow one's last at once, `flock_gap` (median) later.
    `sharpness` and `late` shape the day curve (`geography.day_curve`). `roams`: the share
    of sessions from a new place.
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
    meets_spread: float = 0.0
    flock: float = 0.0
    flock_gap: float = 4 * MINUTE_MS
    sharpness: float = 1.0
    late: float = 0.0
    roams: float = 0.0


class DailyLife:
    """Plans what people do, window by window, from their ties and groups."""

    def __init__(
        self, sim: SimulationContext, groups: Groups, style: ConversationStyle, habits: Habits
    ) -> None:
        people = sim.people
        self.groups, self.style, self.habits = groups, style, habits
        curve = day_curve(habits.sharpness, habits.late)
        self.clocks = [Clock(place.zone, curve) for place in COUNTRIES]
        self._people = np.searchsorted(people.country, np.arange(len(COUNTRIES) + 1))
        ties = np.searchsorted(people.ties.opener, self._people)
        self._ties = [(int(a), int(b)) for a, b in pairwise(ties)]
        self._tie_rates = [np.cumsum(people.ties.per_day[a:b]) for a, b in self._ties]
        self._second = np.full(len(people), ABSENT, np.int64)
        owners = np.flatnonzero(people.companion)
        self._second[owners] = draw_devices(sim.rng, sim.pool, len(owners))
        self._plan_new_phones(sim)
        self._sociability = self._cumulative_sociability(sim) if habits.meets_spread else None

    def _cumulative_sociability(self, sim: SimulationContext) -> Floats:
        """Return the running sum over people of how sociable each is."""
        drawn = sim.rng.lognormal(0.0, self.habits.meets_spread, len(sim.people))
        return np.concatenate([[0.0], np.cumsum(drawn)])

    def _plan_new_phones(self, sim: SimulationContext) -> None:
        count = len(sim.people)
        self._switch = np.full(count, NEVER, np.int64)
        changes = sim.rng.random(count) < self.habits.new_device * sim.span / DAY_MS
        self._switch[changes] = sim.rng.integers(sim.start, sim.end, int(changes.sum()))
        self._next = sim.people.device.copy()
        self._next[changes] = draw_devices(sim.rng, sim.pool, int(changes.sum()))
        self.changed = np.flatnonzero(changes)

    def window(self, sim: SimulationContext, low: int, high: int) -> None:
        """Plan everything that starts between two times (milliseconds)."""
        for index, clock in enumerate(self.clocks):
            if self._people[index] == self._people[index + 1]:
                continue
            share = clock.share(low, high)
            self._conversations(sim, index, share, low, high)
            self._add_new_contacts(sim, index, share, low, high)
            self._sessions(sim, index, share, low, high)
            self._group_talk(sim, index, share, low, high)
            self._group_changes(sim, index, share, low, high)
            self._blocks_and_reports(sim, index, share, low, high)

    def _draw_actors(
        self, sim: SimulationContext, index: int, rate: float, low: int, high: int
    ) -> tuple[Ints, Ints]:
        """Draw (people, times) of something that a person of a country does at a rate a window."""
        first, last = int(self._people[index]), int(self._people[index + 1])
        count = sim.rng.poisson(rate * (last - first))
        who = sim.rng.integers(first, last, count)
        ts = self.clocks[index].times(sim.rng, low, high, count)
        there = sim.people.registered_at[who] < ts
        return who[there], ts[there]

    def _pick_ties(self, sim: SimulationContext, index: int, count: int) -> Ints:
        rates = self._tie_rates[index]
        drawn = np.searchsorted(rates, sim.rng.random(count) * rates[-1], side="right")
        return np.asarray(self._ties[index][0] + np.minimum(drawn, len(rates) - 1))

    def _conversations(
        self, sim: SimulationContext, index: int, share: float, low: int, high: int
    ) -> None:
        if not len(self._tie_rates[index]):
            return
        ties, registered_at = sim.people.ties, sim.people.registered_at
        count = sim.rng.poisson(self._tie_rates[index][-1] * share)
        tie = self._pick_ties(sim, index, count)
        start = self.clocks[index].times(sim.rng, low, high, count)
        there = np.maximum(registered_at[ties.opener[tie]], registered_at[ties.other[tie]]) < start
        tie, start = tie[there], start[there]
        opener = ties.opener[tie]
        if self.habits.flock:
            start = self._cluster_starts(sim, opener, start, high)
        add_conversations(
            sim,
            draw_conversations(
                sim,
                self.style,
                start,
                opener,
                ties.other[tie],
                known=ties.known[tie],
                back=ties.back[tie],
                silent=ties.silent[tie],
            ),
            self.style,
        )

    def _cluster_starts(self, sim: SimulationContext, opener: Ints, start: Ints, high: int) -> Ints:
        """Move some conversations to right after the opener's last one: people write in bursts."""
        rng, habits = sim.rng, self.habits
        order = np.lexsort((start, opener))
        same = np.zeros(len(order), bool)
        same[1:] = opener[order][1:] == opener[order][:-1]
        same &= rng.random(len(order)) < habits.flock
        gap = rng.lognormal(np.log(habits.flock_gap), 0.9, len(order)) * same
        head = np.maximum.accumulate(np.where(same, 0, np.arange(len(order))))
        total = np.cumsum(gap)
        moved = start[order][head] + (total - total[head]).astype(np.int64)
        start[order] = np.minimum(moved, high - 1)
        return start

    def _new_contacts(
        self, sim: SimulationContext, index: int, rate: float, low: int, high: int
    ) -> tuple[Ints, Ints]:
        """Draw (people, times) of who meets somebody: some people far more often than others."""
        who, ts = self._draw_actors(sim, index, rate, low, high)
        if self._sociability is not None:
            first, last = self._sociability[self._people[index : index + 2]]
            drawn = first + sim.rng.random(len(who)) * (last - first)
            who = np.searchsorted(self._sociability, drawn, side="right") - 1
            there = sim.people.registered_at[who] < ts
            who, ts = who[there], ts[there]
        return who, ts

    def _add_new_contacts(
        self, sim: SimulationContext, index: int, share: float, low: int, high: int
    ) -> None:
        """Plan new acquaintances: look the number up, add it, write, be added back."""
        habits, rng = self.habits, sim.rng
        who, ts = self._new_contacts(sim, index, habits.meets * share, low, high)
        first, last = int(self._people[index]), int(self._people[index + 1])
        other = rng.integers(first, last, len(who))
        real = (other != who) & (sim.people.registered_at[other] < ts)
        who, ts, other = who[real], ts[real], other[real]
        looks = rng.random(len(who)) < habits.looks_up
        saved = rng.random(len(who)) < habits.saves
        back = rng.random(len(who)) < habits.saves
        early = ts - rng.integers(2_000, MINUTE_MS, len(who))
        sim.log.add("contact.looked_up", early[looks], who[looks], count=1, hits=1)
        sim.log.add("contact.added", early[saved] + 500, who[saved], peer=other[saved])
        late = ts + rng.integers(MINUTE_MS, HOUR_MS, len(who))
        sim.log.add("contact.added", late[back], other[back], peer=who[back])
        add_conversations(
            sim,
            draw_conversations(
                sim,
                self.style,
                ts,
                who,
                other,
                known=habits.met_known,
                back=saved,
                silent=0.06,
            ),
            self.style,
        )

    def _sessions(
        self, sim: SimulationContext, index: int, share: float, low: int, high: int
    ) -> None:
        """Plan connections: at home, at work or on the carrier, by the hour; some companions."""
        people, rng = sim.people, sim.rng
        who, ts = self._draw_actors(sim, index, self.habits.connects * share, low, high)
        hour = local_hour(ts, people.zone[who])
        busy = (hour >= 9) & (hour < 17)
        ip = np.where(busy, people.work[who], people.home[who])
        ip = np.where(rng.random(len(who)) < self.habits.out, people.carrier[who], ip)
        linked = busy & people.companion[who] & (rng.random(len(who)) < self.habits.linked)
        ip = np.where(linked, people.work[who], ip)
        if self.habits.roams:
            away = np.flatnonzero(rng.random(len(who)) < self.habits.roams)
            place = COUNTRIES[index]
            ip[away] = sim.pool.codes(
                draw_addresses(rng, (*place.homes, *place.carriers), len(away))
            )
        phone = np.where(ts >= self._switch[who], self._next[who], people.device[who])
        device = np.where(linked, self._second[who], phone)
        sim.log.add(
            "session.started",
            ts,
            who,
            ip=ip,
            device=device,
            client=people.client[who],
            linked=np.where(linked, 1, ABSENT),
        )

    def _group_talk(
        self, sim: SimulationContext, index: int, share: float, low: int, high: int
    ) -> None:
        groups, rng = self.groups, sim.rng
        rates = groups.rates[index]
        if not len(rates):
            return
        count = rng.poisson(rates[-1] * share)
        drawn = np.searchsorted(rates, rng.random(count) * rates[-1], side="right")
        start = self.clocks[index].times(rng, low, high, count)
        group, ts, sender = groups.bursts(rng, groups.first[index] + drawn, start)
        there = sim.people.registered_at[sender] < ts
        group, ts, sender = group[there], ts[there], sender[there]
        size = groups.sizes[group] - 1
        add_group_messages(sim, ts, sender, groups.names[group], size, self.style)

    def _group_changes(
        self, sim: SimulationContext, index: int, share: float, low: int, high: int
    ) -> None:
        groups, habits, rng = self.groups, self.habits, sim.rng
        if not len(groups.rates[index]):
            return
        span = groups.first[index], groups.first[index + 1]
        who, ts = self._draw_actors(sim, index, habits.group_joins * share, low, high)
        sim.log.add("group.joined", ts, who, group=groups.names[rng.integers(*span, len(who))])
        who, ts = self._draw_actors(sim, index, habits.group_leaves * share, low, high)
        sim.log.add("group.left", ts, who, group=groups.names[rng.integers(*span, len(who))])
        makers, ts = self._draw_actors(sim, index, habits.new_groups * share, low, high)
        for maker, when in zip(makers.tolist(), ts.tolist(), strict=True):
            groups.create_group(sim, maker, when, groups.draw_size(rng))

    def _blocks_and_reports(
        self, sim: SimulationContext, index: int, share: float, low: int, high: int
    ) -> None:
        """Plan rare quarrels, mistaken reports and tidied address books."""
        habits, rng, ties = self.habits, sim.rng, sim.people.ties
        if not len(self._tie_rates[index]):
            return

        def pairs(rate: float) -> tuple[Ints, Ints, Ints]:
            who, ts = self._draw_actors(sim, index, rate * share, low, high)
            tie = self._pick_ties(sim, index, len(who))
            return ties.opener[tie], ties.other[tie], ts

        who, peer, ts = pairs(habits.quarrels)
        sim.log.add("user.blocked", ts, who, peer=peer)
        again = rng.random(len(ts)) < habits.reconciles
        sim.log.add(
            "user.unblocked",
            ts[again] + rng.integers(HOUR_MS, DAY_MS),
            who[again],
            peer=peer[again],
        )
        who, peer, ts = pairs(habits.false_reports)
        sim.log.add("user.reported", ts, who, peer=peer, reason=sim.pool.code("other"))
        who, peer, ts = pairs(habits.tidies)
        sim.log.add("contact.removed", ts, who, peer=peer)
