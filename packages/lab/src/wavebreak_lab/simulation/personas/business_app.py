"""Firms on the small-business app, and how they use what the app offers.

Strangers write to them first; quick replies, away messages, catalogues and broadcast lists to
people who saved the number are normal there. Some professions write first themselves.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from wavebreak.durations import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from wavebreak_lab.simulation.behaviour import MessageContent, adjust_style
from wavebreak_lab.simulation.context import SimulationContext
from wavebreak_lab.simulation.conversations import add_conversations, draw_conversations
from wavebreak_lab.simulation.geography import Clock
from wavebreak_lab.simulation.log import Ints
from wavebreak_lab.simulation.personas.businesses import (
    OPENING,
    BusinessPersona,
    opened_ms,
)
from wavebreak_lab.simulation.personas.people import working_hours
from wavebreak_lab.simulation.recipients import add_unsolicited_messages

_NONE: Ints = np.zeros(0, np.int64)
_BY_HAND_MS = 90 * SECOND_MS
"""Median time until a person at the counter answers."""
_QUICK_MS = 4 * SECOND_MS
"""The same with a quick reply: a canned text, chosen from a list."""
_AT_ONCE_MS = 1.5 * SECOND_MS
"""The same of the app alone, outside the hours of opening."""
_FROM_ONE_OF_A_LIST_TO_THE_NEXT_MS = 250.0
_COMPLAINT_DELAY_MS = 12 * MINUTE_MS


@dataclass(frozen=True, slots=True)
class AppFirm(BusinessPersona):
    """A firm on the business app: what it does a day, with customers who live round it.

    `hours` it is open (local). `asked` people write to it first, by day and by night; of the
    answers a share `quick` is canned, and at night the app answers a share `away` at once, the firm
    in the morning. `catalogue`: the share of messages that are pictures. It writes to `writes`
    customers first on each day: spread over the day, or one after the other with a median `gap` of
    seconds where that is above zero. Of these, `known` have saved its number, `silent` do not
    answer, and of those who have not saved it `blocks` block it and `reports` report it.
    `broadcasts` a day go to `audience` people who have saved the number.
    """

    reach: ClassVar[float] = 400.0
    hours: tuple[int, int] = (8, 18)
    asked: tuple[int, int] = (15, 40)
    quick: float = 0.5
    away: float = 0.7
    catalogue: float = 0.06
    writes: tuple[int, int] = (4, 12)
    gap: float = 0.0
    known: float = 0.5
    silent: float = 0.5
    blocks: float = 0.004
    reports: float = 0.0008
    broadcasts: float = 0.0
    audience: tuple[int, int] = (60, 250)

    def play(self, sim: SimulationContext, accounts: Ints) -> None:
        """Plan the persona."""
        settled = np.flatnonzero(sim.people.registered_at < sim.start)
        for firm in accounts.tolist():
            centre = int(sim.rng.choice(settled))
            around = sim.people.draw_acquaintances(sim.rng, centre, 400, self.reach)
            begin = opened_ms(sim)
            spans = [
                (max(low, begin), high)
                for low, high in working_hours(sim, *self.hours, centre)
                if high > begin + MINUTE_MS
            ]
            self._answer(sim, firm, centre, around, spans)
            self._write(sim, firm, around, spans)
            self._broadcast(sim, firm, around, spans)

    def _answer(
        self, sim: SimulationContext, firm: int, centre: int, around: Ints,
        spans: list[tuple[int, int]],
    ) -> None:  # fmt: skip
        """Plan the chats that strangers begin."""
        rng = sim.rng
        count = max(1, int(rng.integers(*self.asked) * sim.span / DAY_MS))
        zone = int(sim.people.zone[centre])
        ts = np.sort(Clock(zone).times(rng, opened_ms(sim), sim.end, count))
        peer = rng.choice(around, count)
        opens = np.array([low for low, _ in spans] or [sim.end], np.int64)
        closes = np.array([high for _, high in spans] or [sim.end], np.int64)
        last = np.searchsorted(opens, ts, side="right") - 1
        is_open = (last >= 0) & (ts < closes[np.maximum(last, 0)])
        quick = rng.random(count) < self.quick
        pictures = (1 - self.catalogue, self.catalogue, 0.0, 0.0, 0.0, 0.0)
        for chosen, gap in ((is_open & quick, _QUICK_MS), (is_open & ~quick, _BY_HAND_MS)):
            style = adjust_style(sim.style, answer_gap=gap, length=4.0, turn_first=0.97)
            style = replace(style, media=pictures)
            asked = draw_conversations(
                sim, style, ts[chosen], peer[chosen], np.array(firm), known=0.05, back=0.3
            )
            if gap == _QUICK_MS:
                asked = replace(asked, typing_back=np.zeros(len(asked)))
            add_conversations(sim, asked, style)
        night = np.flatnonzero(~is_open)
        self._answer_at_night(sim, firm, ts[night], peer[night])
        morning = np.searchsorted(opens, ts[night], side="right")
        there = morning < len(opens)
        begun = opens[morning[there]] + rng.integers(0, 2 * HOUR_MS, int(there.sum()))
        style = adjust_style(sim.style, length=2.0)
        later = draw_conversations(
            sim, style, begun, np.array(firm), peer[night[there]], known=0.3, back=0.2
        )
        add_conversations(sim, later, style)

    def _answer_at_night(self, sim: SimulationContext, firm: int, ts: Ints, peer: Ints) -> None:
        """Plan what people write after hours, and what the app answers by itself."""
        automatic = sim.rng.random(len(ts)) < self.away
        style = adjust_style(
            sim.style, turn_first=1.0, answer_gap=_AT_ONCE_MS, answer_spread=0.1, characters=90.0
        )
        asked = draw_conversations(
            sim, style, ts, peer, np.array(firm), known=0.05, back=0.3, silent=~automatic,
            length=np.where(automatic, 2, 1),
        )  # fmt: skip
        add_conversations(sim, replace(asked, typing_back=np.zeros(len(asked))), style)

    def _write(
        self, sim: SimulationContext, firm: int, around: Ints, spans: list[tuple[int, int]]
    ) -> None:
        """Plan the chats that the firm begins, and who complains of it."""
        rng = sim.rng
        drawn = [self._day(sim, around, span) for span in spans]
        ts = np.concatenate([_NONE, *(day[0] for day in drawn)])
        peer = np.concatenate([_NONE, *(day[1] for day in drawn)])
        known = rng.random(len(ts)) < self.known
        first = np.zeros(len(ts), bool)
        first[np.unique(peer, return_index=True)[1]] = True
        blocks = first & ~known & (rng.random(len(ts)) < self.blocks)
        reports = first & ~known & (rng.random(len(ts)) < self.reports)
        silent = (rng.random(len(ts)) < self.silent) | blocks | reports
        style = adjust_style(sim.style, length=1.0, length_spread=0.5, characters=70.0)
        said = draw_conversations(
            sim, style, ts, np.array(firm), peer, known=known, back=0.5, silent=silent, typing=0.3
        )
        add_conversations(sim, said, style)
        for kind, rows in (("user.blocked", blocks), ("user.reported", reports)):
            wait = rng.lognormal(np.log(_COMPLAINT_DELAY_MS), 1.5, int(rows.sum()))
            columns = {"reason": sim.pool.code("spam")} if kind == "user.reported" else {}
            sim.log.add(kind, ts[rows] + wait.astype(np.int64), peer[rows], peer=firm, **columns)

    def _day(
        self, sim: SimulationContext, around: Ints, span: tuple[int, int]
    ) -> tuple[Ints, Ints]:
        """Return when the firm writes first on a day, and to whom."""
        rng = sim.rng
        count = min(int(rng.integers(*self.writes)), len(around))
        peer = rng.choice(around, count, replace=False)
        if not self.gap:
            return np.sort(rng.integers(*span, count)), peer
        gaps = self.gap * SECOND_MS * rng.lognormal(0.0, 0.6, count)
        return rng.integers(*span) + np.cumsum(gaps).astype(np.int64), peer

    def _broadcast(
        self, sim: SimulationContext, firm: int, around: Ints, spans: list[tuple[int, int]]
    ) -> None:
        """Plan the lists that are written to at once; their people saved the number before."""
        rng = sim.rng
        count = rng.poisson(self.broadcasts * len(spans)) if self.broadcasts else 0
        if not count:
            return
        people = around[: int(rng.integers(*self.audience))]
        sim.log.add("contact.added", sim.draw_times(0.0, OPENING, len(people)), people, peer=firm)
        for day in rng.integers(0, len(spans), count).tolist():
            low, high = spans[day]
            gaps = rng.exponential(_FROM_ONE_OF_A_LIST_TO_THE_NEXT_MS, len(people))
            add_unsolicited_messages(
                sim,
                int(rng.integers(low, high)) + np.cumsum(gaps).astype(np.int64),
                firm,
                people,
                content=MessageContent(variation=0.0, image=0.5, dead=0.003),
                behaviour=sim.tolerated,
                in_contacts=1,
                broadcast=1,
            )


@dataclass(frozen=True, slots=True)
class AppShop(AppFirm):
    """A shop with a catalogue, quick replies and news twice a week to who saved its number."""

    name: ClassVar[str] = "app-shop"
    hours: tuple[int, int] = (9, 20)
    asked: tuple[int, int] = (25, 70)
    catalogue: float = 0.25
    writes: tuple[int, int] = (3, 12)
    broadcasts: float = 0.3


@dataclass(frozen=True, slots=True)
class Clinic(AppFirm):
    """A clinic that reminds tomorrow's patients, one after the other; few have saved its number."""

    name: ClassVar[str] = "clinic"
    hours: tuple[int, int] = (8, 18)
    writes: tuple[int, int] = (30, 90)
    gap: float = 20.0
    known: float = 0.35
    silent: float = 0.55
    blocks: float = 0.003
    reports: float = 0.0005


@dataclass(frozen=True, slots=True)
class SchoolOffice(AppFirm):
    """A school's office: parents write in the morning, and notices go to all of them."""

    name: ClassVar[str] = "school-office"
    hours: tuple[int, int] = (7, 16)
    asked: tuple[int, int] = (10, 40)
    writes: tuple[int, int] = (5, 25)
    gap: float = 60.0
    known: float = 0.6
    silent: float = 0.4
    blocks: float = 0.001
    reports: float = 0.0002
    broadcasts: float = 0.4
    audience: tuple[int, int] = (80, 256)


@dataclass(frozen=True, slots=True)
class AppCourier(AppFirm):
    """A courier firm that announces its stops; hardly anybody has its number, most are silent."""

    name: ClassVar[str] = "app-courier"
    reach: ClassVar[float] = 1500.0
    hours: tuple[int, int] = (8, 19)
    asked: tuple[int, int] = (3, 15)
    writes: tuple[int, int] = (60, 140)
    known: float = 0.2
    silent: float = 0.8
    blocks: float = 0.004
    reports: float = 0.0008


@dataclass(frozen=True, slots=True)
class Plumber(AppFirm):
    """One person with a van: answers when there is time, and writes that it comes now."""

    name: ClassVar[str] = "plumber"
    hours: tuple[int, int] = (7, 20)
    asked: tuple[int, int] = (4, 15)
    quick: float = 0.15
    away: float = 0.4
    writes: tuple[int, int] = (2, 8)
    known: float = 0.4
    silent: float = 0.3
    blocks: float = 0.002
    reports: float = 0.0003


@dataclass(frozen=True, slots=True)
class EstateAgent(AppFirm):
    """An estate agent who writes to people that left their number at a portal."""

    name: ClassVar[str] = "estate-agent"
    hours: tuple[int, int] = (9, 19)
    asked: tuple[int, int] = (8, 30)
    catalogue: float = 0.2
    writes: tuple[int, int] = (10, 40)
    known: float = 0.15
    silent: float = 0.5
    blocks: float = 0.015
    reports: float = 0.002
    broadcasts: float = 0.1
    audience: tuple[int, int] = (30, 120)


@dataclass(frozen=True, slots=True)
class CampaignOffice(AppFirm):
    """A candidate's office that writes to those who signed up; some have changed their mind."""

    name: ClassVar[str] = "campaign-office"
    hours: tuple[int, int] = (9, 21)
    asked: tuple[int, int] = (5, 25)
    writes: tuple[int, int] = (40, 120)
    gap: float = 25.0
    known: float = 0.15
    silent: float = 0.75
    blocks: float = 0.02
    reports: float = 0.003
    broadcasts: float = 0.3
    audience: tuple[int, int] = (60, 256)


APP_FIRMS: dict[str, type[AppFirm]] = {
    kind.name: kind
    for kind in (
        AppShop, Clinic, SchoolOffice, AppCourier, Plumber, EstateAgent, CampaignOffice,
    )
}  # fmt: skip
"""Firms on the business app by name: only worlds that ask for them have any."""
