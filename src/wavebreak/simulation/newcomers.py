"""People who register during the simulation: address book, first contacts, being added back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wavebreak.simulation.conversations import Style, brief, chats, talk
from wavebreak.simulation.geography import HOSTING, HOUR, MINUTE, SECOND, addresses
from wavebreak.simulation.log import Ints
from wavebreak.simulation.scene import Scene

HANDS_GAP = 14 * SECOND
"""Median least time from opening one chat to opening the next, with the same hands."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """What an honest newcomer does.

    `book`: numbers in the address book (log-normal median and sigma), of which about `found`
    are accounts. `tells`: whom it writes to in the first `within` (log-normal median and sigma);
    `known`: the share who have the new number already. `added_back` add it. `answer`: the share
    who answer. `attested`, `retries` (a second verification attempt) and `mobile` (registration
    over the carrier, not at home) are shares; so are `hosted` (through a rented tunnel) and
    `by_other_means` (verified by voice, flash or mail instead of SMS). `syncs` upload
    the address book at all.
    """

    book: float = 110.0
    book_spread: float = 0.6
    found: float = 0.7
    tells: float = 5.0
    tells_spread: float = 0.7
    tells_most: int = 150
    within: float = 5 * HOUR
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


def register(scene: Scene, who: Ints, ts: Ints, arrival: Arrival) -> None:
    """Plan honest registrations: account, session, look-up of the address book."""
    rng, people, pool = scene.rng, scene.people, scene.pool
    count = len(who)
    out = rng.random(count) < arrival.mobile
    ip = np.where(out, people.carrier[who], people.home[who])
    if arrival.hosted:
        rented = pool.codes(addresses(rng, HOSTING, count))
        ip = np.where(rng.random(count) < arrival.hosted, rented, ip)
    verification: Ints | int = pool.code("sms")
    if arrival.by_other_means:
        other = pool.codes(("voice", "flash", "email"))[rng.integers(0, 3, count)]
        verification = np.where(rng.random(count) < arrival.by_other_means, other, verification)
    scene.log.add(
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
    scene.connect(ts + 2 * SECOND, who, ip, people.device[who], people.client[who])
    book = 1 + rng.lognormal(np.log(arrival.book), arrival.book_spread, count).astype(np.int64)
    found = np.clip(rng.normal(arrival.found, 0.08, count), 0.3, 0.95)
    synced, hits = ts + rng.integers(5 * SECOND, 3 * MINUTE, count), (book * found).astype(np.int64)
    some = np.flatnonzero(rng.random(count) < arrival.syncs) if arrival.syncs < 1 else slice(None)
    scene.log.add("contact.looked_up", synced[some], who[some], count=book[some], hits=hits[some])


def tell(scene: Scene, who: int, ts: int, style: Style, arrival: Arrival) -> None:
    """Plan how a newcomer tells acquaintances about the number, and who adds and answers."""
    rng = scene.rng
    wanted = rng.lognormal(np.log(arrival.tells), arrival.tells_spread)
    peer = scene.people.near(rng, who, int(min(wanted, arrival.tells_most)) + 1)
    wished = np.sort(rng.random(len(peer)) ** 2 * arrival.within)
    gaps = np.cumsum(rng.lognormal(np.log(HANDS_GAP), 0.6, len(peer)))
    held = gaps + np.maximum.accumulate(wished - gaps)  # one pair of hands: one chat after another
    start = ts + 4 * MINUTE + held.astype(np.int64)
    short = brief(style, length=2.5)
    talk(
        scene,
        chats(
            scene, short, start, np.array(who), peer, known=arrival.known,
            silent=1 - arrival.answer, typing=arrival.typing,
        ),
        short,
    )  # fmt: skip
    adds = peer[rng.random(len(peer)) < arrival.added_back]
    late = start[: len(adds)] + rng.integers(MINUTE, 8 * HOUR, len(adds))
    scene.log.add("contact.added", late, adds, peer=who)


def arrive(scene: Scene, who: Ints, style: Style, arrival: Arrival) -> None:
    """Plan the registration and the first hours of people born during the simulation."""
    born = scene.people.born[who]
    register(scene, who, born, arrival)
    for account, ts in zip(who.tolist(), born.tolist(), strict=True):
        tell(scene, account, ts, style, arrival)
