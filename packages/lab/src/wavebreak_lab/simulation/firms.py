"""Benign firms: support desk, shop, newsletter, radio station, and firms on the business app."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from wavebreak.durations import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from wavebreak_lab.simulation import behaviour, geography
from wavebreak_lab.simulation.activities import IntBounds, Span, working_hours
from wavebreak_lab.simulation.context import SimulationContext
from wavebreak_lab.simulation.conversations import add_unsolicited_messages, converse
from wavebreak_lab.simulation.log import Ints
from wavebreak_lab.simulation.population import draw_clients, draw_devices

OPENING = 0.02
"""Firms register within this share of the span, so that their channel is known."""

BY_HAND_MS = 90 * SECOND_MS
"""Median time until a person at the counter answers."""
QUICK_REPLY_MS = 4 * SECOND_MS
"""Median time until a canned text, chosen from a list, is sent."""
AWAY_MESSAGE_MS = 1.5 * SECOND_MS
"""Median time until the app answers by itself outside opening hours."""
BROADCAST_GAP_MS = 250.0
"""Mean time between two messages of a broadcast."""
COMPLAINT_DELAY_MS = 12 * MINUTE_MS
"""Median time until a recipient blocks or reports a firm."""


@dataclass(frozen=True, slots=True)
class Firms:
    """Accounts apart from the people, registered at the beginning with a channel and a client."""

    channel: str = "business_app"
    client: str = ""
    in_population: bool = False

    def prepare(self, sim: SimulationContext, count: int, family: str) -> Ints:
        """Register firms, each with its own number, line and device."""
        rng, pool = sim.rng, sim.pool
        account = sim.registry.add(count, "benign", family)
        ts = sim.draw_times(0.0, OPENING, count)
        ip = pool.codes(geography.draw_addresses(rng, geography.HOMES, count))
        device = draw_devices(rng, pool, count)
        if self.client:
            client = np.full(count, pool.code(self.client))
        else:
            client = draw_clients(rng, pool, count)
        phone = pool.codes(geography.draw_phone_numbers(rng, geography.MOBILES, count))
        sim.log.add(
            "account.registered", ts, account, phone=phone, ip=ip, device=device, client=client,
            attested=1, verification=pool.code("sms"), attempts=1,
            channel=pool.code(self.channel), business=portfolio_ids(sim, account),
        )  # fmt: skip
        sim.add_sessions(ts + 2 * SECOND_MS, account, ip, device, client)
        return account


@dataclass(frozen=True, slots=True)
class OldAccounts:
    """Personal accounts apart from the people, from before the simulation."""

    in_population: bool = False

    def prepare(self, sim: SimulationContext, count: int, family: str) -> Ints:
        """Add accounts without a registration."""
        return sim.registry.add(count, "benign", family)


def portfolio_ids(sim: SimulationContext, account: Ints) -> Ints:
    """Return the numbers of the portfolio ids of firms."""
    return sim.pool.codes(f"b{number:07d}" for number in account.tolist())


def opened_at_ms(sim: SimulationContext) -> int:
    """Return the time from which on every firm is open."""
    return sim.start + int(sim.span * 2 * OPENING)


def draw_customers(sim: SimulationContext, a_day: IntBounds) -> tuple[Ints, Ints]:
    """Draw (time, person) of people who write to a firm, as the day goes."""
    count = sim.rng.integers(*a_day) * sim.span / DAY_MS
    ts = geography.Clock(0).times(sim.rng, opened_at_ms(sim), sim.end, max(1, int(count)))
    return ts, sim.rng.choice(np.flatnonzero(sim.people.registered_at < sim.start), len(ts))


class SupportDesk:
    """Answers 80 to 129 strangers a day who write first; never writes first."""

    def plan(self, sim: SimulationContext, accounts: Ints) -> None:
        """Plan the conversations."""
        style = behaviour.ConversationStyle(answer_gap=50.0 * SECOND_MS, length=5.0)
        for account in accounts.tolist():
            ts, peer = draw_customers(sim, (80, 130))
            converse(sim, style, ts, peer, account, is_known=0.05, is_mutual=0.3)


class Shop:
    """Answers 25 to 69 orders a day, and notifies half of the customers hours later."""

    def plan(self, sim: SimulationContext, accounts: Ints) -> None:
        """Plan orders and notifications."""
        rng, short = sim.rng, behaviour.ConversationStyle(length=1.0, length_spread=0.5)
        for account in accounts.tolist():
            ts, peer = draw_customers(sim, (25, 70))
            is_known = rng.random(len(ts)) < 0.5
            converse(sim, behaviour.STYLE, ts, peer, account, is_known=0.3, is_mutual=is_known)
            notified = rng.random(len(ts)) < 0.5
            notified_at = ts[notified] + rng.integers(HOUR_MS, 8 * HOUR_MS, int(notified.sum()))
            converse(
                sim, short, notified_at, account, peer[notified], is_known=is_known[notified],
                silent=0.6, typing=0.4,
            )  # fmt: skip


class Newsletter:
    """Sends one template a day to 150 to 599 readers, who consented before; some revoke."""

    def plan(self, sim: SimulationContext, accounts: Ints) -> None:
        """Plan consents, editions and revocations."""
        rng, log, pool = sim.rng, sim.log, sim.pool
        max_count = max(1, int(0.4 * len(sim.people)))
        firms = zip(accounts.tolist(), portfolio_ids(sim, accounts).tolist(), strict=True)
        for firm, portfolio in firms:
            reader = sim.draw_strangers(min(int(rng.integers(150, 600)), max_count))
            marketing = pool.code("marketing")
            consent = {"business": portfolio, "category": marketing}
            granted_at = sim.draw_times(2 * OPENING, 0.3, len(reader))
            log.add("consent.granted", granted_at, reader, **consent)
            for start in range(int(sim.draw_times(0.35, 0.6, 1)[0]), sim.end, DAY_MS):
                gaps = rng.exponential(SECOND_MS / 4, len(reader))
                add_unsolicited_messages(
                    sim, start + np.cumsum(gaps).astype(np.int64), firm, reader,
                    content=behaviour.MessageContent(variation=2.0, image=0.0),
                    behaviour=behaviour.TOLERATED, template=pool.code(f"t{portfolio}"),
                    category=marketing, in_contacts=-1,
                )  # fmt: skip
            leavers = reader[rng.random(len(reader)) < 0.004]
            log.add("consent.revoked", sim.draw_times(0.7, 1.0, len(leavers)), leavers, **consent)


class Radio:
    """Two shows a day, to each of which 50 to 199 listeners write; it answers some."""

    def plan(self, sim: SimulationContext, accounts: Ints) -> None:
        """Plan the conversations of the shows."""
        rng, style = sim.rng, behaviour.ConversationStyle(length=2.0, characters=40.0)
        for account in accounts.tolist():
            shows = max(1, round(2 * sim.span / DAY_MS))
            for start in sim.draw_times(0.1, 0.9, shows).tolist():
                peer = sim.draw_strangers(int(rng.integers(50, 200)))
                ts = start + (rng.beta(1.2, 3.0, len(peer)) * HOUR_MS).astype(np.int64)
                converse(sim, style, ts, peer, account, is_known=0.0, is_mutual=0.4, silent=0.6)


@dataclass(frozen=True, slots=True)
class AppFirm:
    """Day of a firm on the business app, with customers who live around it.

    Attributes:
        hours: Local opening hours.
        asked: People who write first, by day and by night.
        quick: Share of canned answers.
        away: Share of the messages at night that the app answers at once; the firm answers in
            the morning.
        catalogue: Share of messages that are pictures.
        writes: Customers whom the firm writes to first on each day.
        gap_s: Median gap between these, one after the other (0: spread over the day).
        known: Customers written to who have saved the number.
        silent: Customers written to who do not answer.
        blocks: Of those who have not saved the number, the share that blocks the firm.
        reports: Of those who have not saved the number, the share that reports the firm.
        broadcasts: Broadcasts a day, to people who saved the number.
        audience: People on a broadcast list.
        reach: Distance of the customers.
    """

    hours: tuple[int, int] = (8, 18)
    asked: IntBounds = (15, 40)
    quick: float = 0.5
    away: float = 0.7
    catalogue: float = 0.06
    writes: IntBounds = (4, 12)
    gap_s: float = 0.0
    known: float = 0.5
    silent: float = 0.5
    blocks: float = 0.004
    reports: float = 0.0008
    broadcasts: float = 0.0
    audience: IntBounds = (60, 250)
    reach: float = 400.0

    def plan(self, sim: SimulationContext, accounts: Ints) -> None:
        """Plan answers, first messages and broadcasts of each firm."""
        settled = np.flatnonzero(sim.people.registered_at < sim.start)
        opened_at = opened_at_ms(sim)
        for firm in accounts.tolist():
            centre = int(sim.rng.choice(settled))
            customers = sim.people.draw_acquaintances(sim.rng, centre, 400, self.reach)
            spans = [
                (max(low, opened_at), high)
                for low, high in working_hours(sim, *self.hours, centre)
                if high > opened_at + MINUTE_MS
            ]
            self._answer(sim, firm, int(sim.people.zone[centre]), customers, spans)
            self._write(sim, firm, customers, spans)
            self._broadcast(sim, firm, customers, spans)

    def _answer(
        self, sim: SimulationContext, firm: int, zone: int, customers: Ints, spans: list[Span]
    ) -> None:
        rng = sim.rng
        count = max(1, int(rng.integers(*self.asked) * sim.span / DAY_MS))
        ts = np.sort(geography.Clock(zone).times(rng, opened_at_ms(sim), sim.end, count))
        peer = rng.choice(customers, count)
        opens = np.array([low for low, _ in spans] or [sim.end], np.int64)
        closes = np.array([high for _, high in spans] or [sim.end], np.int64)
        last = np.searchsorted(opens, ts, side="right") - 1
        is_open = (last >= 0) & (ts < closes[np.maximum(last, 0)])
        quick = rng.random(count) < self.quick
        by_day = behaviour.ConversationStyle(
            length=4.0, turn_first=0.97,
            media=(1 - self.catalogue, self.catalogue, 0.0, 0.0, 0.0, 0.0),
        )  # fmt: skip
        for rows, gap, typing in (
            (is_open & quick, QUICK_REPLY_MS, 0.0),
            (is_open & ~quick, BY_HAND_MS, 1.0),
        ):
            converse(
                sim, replace(by_day, answer_gap=gap), ts[rows], peer[rows], firm, is_known=0.05,
                is_mutual=0.3, typing_back=typing,
            )  # fmt: skip
        ts, peer = ts[~is_open], peer[~is_open]
        automatic = rng.random(len(ts)) < self.away
        at_night = behaviour.ConversationStyle(
            turn_first=1.0, answer_gap=AWAY_MESSAGE_MS, answer_spread=0.1, characters=90.0
        )
        converse(
            sim, at_night, ts, peer, firm, is_known=0.05, is_mutual=0.3, silent=~automatic,
            length=np.where(automatic, 2, 1), typing_back=0.0,
        )  # fmt: skip
        morning = np.searchsorted(opens, ts, side="right")
        opens_again = morning < len(opens)
        answered_at = opens[morning[opens_again]] + rng.integers(
            0, 2 * HOUR_MS, int(opens_again.sum())
        )
        morning_style = behaviour.adjust_style(behaviour.STYLE, length=2.0)
        converse(
            sim, morning_style, answered_at, firm, peer[opens_again], is_known=0.3, is_mutual=0.2
        )

    def _write(self, sim: SimulationContext, firm: int, customers: Ints, spans: list[Span]) -> None:
        rng, none = sim.rng, np.zeros(0, np.int64)
        days = [self._draw_day(sim, customers, span) for span in spans]
        ts = np.concatenate([none, *(start for start, _ in days)])
        peer = np.concatenate([none, *(people for _, people in days)])
        is_known = rng.random(len(ts)) < self.known
        first = np.zeros(len(ts), bool)
        first[np.unique(peer, return_index=True)[1]] = True
        blocks = first & ~is_known & (rng.random(len(ts)) < self.blocks)
        reports = first & ~is_known & (rng.random(len(ts)) < self.reports)
        silent = (rng.random(len(ts)) < self.silent) | blocks | reports
        style = behaviour.ConversationStyle(length=1.0, length_spread=0.5, characters=70.0)
        converse(
            sim, style, ts, firm, peer, is_known=is_known, is_mutual=0.5, silent=silent, typing=0.3
        )
        spam = {"reason": sim.pool.code("spam")}
        for kind, rows, columns in (("user.blocked", blocks, {}), ("user.reported", reports, spam)):
            wait = rng.lognormal(np.log(COMPLAINT_DELAY_MS), 1.5, int(rows.sum()))
            sim.log.add(kind, ts[rows] + wait.astype(np.int64), peer[rows], peer=firm, **columns)

    def _draw_day(self, sim: SimulationContext, customers: Ints, span: Span) -> tuple[Ints, Ints]:
        rng = sim.rng
        count = min(int(rng.integers(*self.writes)), len(customers))
        peer = rng.choice(customers, count, replace=False)
        if not self.gap_s:
            return np.sort(rng.integers(*span, count)), peer
        gaps = self.gap_s * SECOND_MS * rng.lognormal(0.0, 0.6, count)
        return rng.integers(*span) + np.cumsum(gaps).astype(np.int64), peer

    def _broadcast(
        self, sim: SimulationContext, firm: int, customers: Ints, spans: list[Span]
    ) -> None:
        rng = sim.rng
        count = rng.poisson(self.broadcasts * len(spans)) if self.broadcasts else 0
        if not count:
            return
        people = customers[: int(rng.integers(*self.audience))]
        sim.log.add("contact.added", sim.draw_times(0.0, OPENING, len(people)), people, peer=firm)
        for day in rng.integers(0, len(spans), count).tolist():
            gaps = rng.exponential(BROADCAST_GAP_MS, len(people))
            add_unsolicited_messages(
                sim, int(rng.integers(*spans[day])) + np.cumsum(gaps).astype(np.int64), firm,
                people, content=behaviour.MessageContent(variation=0.0, image=0.5, dead=0.003),
                behaviour=behaviour.TOLERATED, in_contacts=1, broadcast=1,
            )  # fmt: skip
