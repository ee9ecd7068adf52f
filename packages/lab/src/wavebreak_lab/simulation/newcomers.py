"""People who register during the simulation: address book, first chats, being added back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wavebreak.durations import HOUR_MS, MINUTE_MS, SECOND_MS
from wavebreak_lab.simulation.behaviour import STYLE, adjust_style
from wavebreak_lab.simulation.context import SimulationContext
from wavebreak_lab.simulation.conversations import converse
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
    `retries` need a second verification attempt; `mobile` register over the carrier, not at home.
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


def add_registrations(
    sim: SimulationContext, accounts: Ints, ts: Ints, arrival: NewcomerBehaviour
) -> None:
    """Plan honest registrations: account, session, look-up of the address book."""
    rng, people, pool, count = sim.rng, sim.people, sim.pool, len(accounts)
    ip = np.where(
        rng.random(count) < arrival.mobile, people.carrier[accounts], people.home[accounts]
    )
    device, client = people.device[accounts], people.client[accounts]
    sim.log.add(
        "account.registered", ts, accounts, phone=people.phone[accounts], ip=ip, device=device,
        client=client, attested=rng.random(count) < arrival.attested,
        verification=pool.code("sms"), attempts=1 + (rng.random(count) < arrival.retries),
        channel=pool.code("personal"),
    )  # fmt: skip
    sim.add_sessions(ts + 2 * SECOND_MS, accounts, ip, device, client)
    book = 1 + rng.lognormal(np.log(arrival.book), arrival.book_spread, count).astype(np.int64)
    hits = (book * np.clip(rng.normal(arrival.found, 0.08, count), 0.3, 0.95)).astype(np.int64)
    synced_at = ts + rng.integers(5 * SECOND_MS, 3 * MINUTE_MS, count)
    sim.log.add("contact.looked_up", synced_at, accounts, count=book, hits=hits)


def add_first_chats(
    sim: SimulationContext, account: int, ts: int, arrival: NewcomerBehaviour
) -> None:
    """Plan a newcomer's first chats with acquaintances, and the contacts that these add."""
    rng = sim.rng
    count = rng.lognormal(np.log(arrival.first_chats), arrival.first_chats_spread)
    peer = sim.people.draw_acquaintances(
        rng, account, int(min(count, arrival.first_chats_most)) + 1
    )
    wished = np.sort(rng.random(len(peer)) ** 2 * arrival.within)
    gaps = np.cumsum(rng.lognormal(np.log(CHAT_OPENING_GAP), 0.6, len(peer)))
    # One pair of hands: one chat after another.
    delay = gaps + np.maximum.accumulate(wished - gaps)
    start = ts + 4 * MINUTE_MS + delay.astype(np.int64)
    converse(
        sim, adjust_style(STYLE, length=2.5), start, account, peer, is_known=arrival.known,
        silent=1 - arrival.answer, typing=arrival.typing,
    )  # fmt: skip
    adds = peer[rng.random(len(peer)) < arrival.added_back]
    late = start[: len(adds)] + rng.integers(MINUTE_MS, 8 * HOUR_MS, len(adds))
    sim.log.add("contact.added", late, adds, peer=account)


def add_newcomers(sim: SimulationContext, accounts: Ints, arrival: NewcomerBehaviour) -> None:
    """Plan the registration and the first hours of people that register in the simulation."""
    registered_at = sim.people.registered_at[accounts]
    add_registrations(sim, accounts, registered_at, arrival)
    for account, ts in zip(accounts.tolist(), registered_at.tolist(), strict=True):
        add_first_chats(sim, account, ts, arrival)
