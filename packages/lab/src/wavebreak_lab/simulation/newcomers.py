"""People who register during the simulation: address book, first chats, being added back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wavebreak.durations import HOUR_MS, MINUTE_MS, SECOND_MS
from wavebreak_lab.simulation.behaviour import ConversationStyle, adjust_style
from wavebreak_lab.simulation.context import SimulationContext
from wavebreak_lab.simulation.conversations import (
    add_conversations,
    draw_conversations,
)
from wavebreak_lab.simulation.geography import HOSTING, draw_addresses
from wavebreak_lab.simulation.log import Ints

CHAT_OPENING_GAP = 14 * SECOND_MS
"""Median least time from opening one chat to opening the next, with the same hands."""


@dataclass(frozen=True, slots=True)
class NewcomerBehaviour:
    """What an honest newcomer does.

    `book`: numbers in the address book (log-normal median and sigma), of which about `found` are
    accounts. `first_chats`: people it writes to within the first `within` milliseconds (log-normal
    median and sigma, at most `first_chats_most`). The following are shares: `known` already have
    the new number; `added_back` add it; `answer` reply; `attested` registrations are attested;
    `retries` need a second verification attempt; `mobile` register over the carrier, not at home;
    `hosted` through a rented tunnel; `by_other_means` verify by voice, flash call or mail instead
    of SMS; `syncs` upload the address book.
    """

    book: float = 110.0
    book_spread: float = 0.6
    found: float = 0.7
    first_chats: float = 5.0
    first_chats_spread: float = 0.7
    first_chats_most: int = 150
    within: float = 5 * HOUR_MS
    known: float = 0.35
    added_back: float = 0.6
    answer: float = 0.9
    attested: float = 0.97
    retries: float = 0.12
    mobile: float = 0.4
    typing: float = 0.9
    hosted: float = 0.0
    by_other_means: float = 0.0
    syncs: float = 1.0


def add_registrations(
    sim: SimulationContext, who: Ints, ts: Ints, arrival: NewcomerBehaviour
) -> None:
    """Plan honest registrations: account, session, look-up of the address book."""
    rng, people, pool = sim.rng, sim.people, sim.pool
    count = len(who)
    out = rng.random(count) < arrival.mobile
    ip = np.where(out, people.carrier[who], people.home[who])
    if arrival.hosted:
        rented = pool.codes(draw_addresses(rng, HOSTING, count))
        ip = np.where(rng.random(count) < arrival.hosted, rented, ip)
    verification: Ints | int = pool.code("sms")
    if arrival.by_other_means:
        other = pool.codes(("voice", "flash", "email"))[rng.integers(0, 3, count)]
        verification = np.where(rng.random(count) < arrival.by_other_means, other, verification)
    sim.log.add(
        "account.registered",
        ts,
        who,
        phone=people.phone[who],
        ip=ip,
        device=people.device[who],
        client=people.client[who],
        attested=rng.random(count) < arrival.attested,
        verification=verification,
        attempts=1 + (rng.random(count) < arrival.retries),
        channel=pool.code("personal"),
    )
    sim.add_sessions(ts + 2 * SECOND_MS, who, ip, people.device[who], people.client[who])
    book = 1 + rng.lognormal(np.log(arrival.book), arrival.book_spread, count).astype(np.int64)
    found = np.clip(rng.normal(arrival.found, 0.08, count), 0.3, 0.95)
    synced, hits = (
        ts + rng.integers(5 * SECOND_MS, 3 * MINUTE_MS, count),
        (book * found).astype(np.int64),
    )
    some = np.flatnonzero(rng.random(count) < arrival.syncs) if arrival.syncs < 1 else slice(None)
    sim.log.add("contact.looked_up", synced[some], who[some], count=book[some], hits=hits[some])


def add_first_chats(
    sim: SimulationContext,
    who: int,
    ts: int,
    style: ConversationStyle,
    arrival: NewcomerBehaviour,
) -> None:
    """Plan how a newcomer first_chats acquaintances about the number, and who adds and answers."""
    rng = sim.rng
    wanted = rng.lognormal(np.log(arrival.first_chats), arrival.first_chats_spread)
    peer = sim.people.draw_acquaintances(rng, who, int(min(wanted, arrival.first_chats_most)) + 1)
    wished = np.sort(rng.random(len(peer)) ** 2 * arrival.within)
    gaps = np.cumsum(rng.lognormal(np.log(CHAT_OPENING_GAP), 0.6, len(peer)))
    held = gaps + np.maximum.accumulate(wished - gaps)  # one pair of hands: one chat after another
    start = ts + 4 * MINUTE_MS + held.astype(np.int64)
    short = adjust_style(style, length=2.5)
    add_conversations(
        sim,
        draw_conversations(
            sim,
            short,
            start,
            np.array(who),
            peer,
            known=arrival.known,
            silent=1 - arrival.answer,
            typing=arrival.typing,
        ),
        short,
    )
    adds = peer[rng.random(len(peer)) < arrival.added_back]
    late = start[: len(adds)] + rng.integers(MINUTE_MS, 8 * HOUR_MS, len(adds))
    sim.log.add("contact.added", late, adds, peer=who)


def add_newcomers(
    sim: SimulationContext, who: Ints, style: ConversationStyle, arrival: NewcomerBehaviour
) -> None:
    """Plan the registration and the first hours of people registered_at during the simulation."""
    registered_at = sim.people.registered_at[who]
    add_registrations(sim, who, registered_at, arrival)
    for account, ts in zip(who.tolist(), registered_at.tolist(), strict=True):
        add_first_chats(sim, account, ts, style, arrival)
