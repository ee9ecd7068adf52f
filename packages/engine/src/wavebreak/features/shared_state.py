"""Shared state between accounts: contributions of an account, and what it reads of others.

Reads are as of the last closed epoch. Credibility of a reporter: its record counts in halves, two
for a report that was confirmed or refuted, one for a report of an account that never wrote to the
reporter. A report's weight is the logarithm of the odds of being right with a prior of 3 : 1.5, so
that trust grows slowly and a first error costs at once: an unknown reporter weighs 0.75, one with
three confirmed reports 1.5, with one refuted 0.2. On abuse reports of a social network with known
outcomes this orders accounts better than a ratio (AUROC 0.789 against 0.771; see
`wavebreak bench tagged`). Integers throughout.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from wavebreak.compiled.numba_runtime import compiled, int64
from wavebreak.durations import HOUR_S, WEEK_S
from wavebreak.features.layout import (
    ATTEMPTED,
    BORN,
    CAME_IN,
    COURTED,
    IN_GROUP,
    ON_BLOCK,
    ON_DEVICE,
    ON_NETWORK,
    RANK,
)
from wavebreak.features.memory import contribute, entities_of, people_of
from wavebreak.features.windows import log2, push_bit
from wavebreak.outcomes import CHALLENGE

YOUNG_S = WEEK_S
EPOCHS_A_DAY = 1_440


@compiled(inline="always")
def was_young(row: Any, now: int) -> bool:
    """Whether the account is known to have registered within a week before `now` (s)."""
    born = int64(row.registered)
    return bool(born > 0 and now - (born - 1) <= YOUNG_S)


@compiled(inline="always")
def is_young(row: Any) -> bool:
    """Whether the account is young at its own clock."""
    return was_young(row, int64(row.clock))


@compiled(inline="always")
def place_code(entity: int) -> int:
    """Code of an entity in PERSON.places: the entity modulo 65,535, plus one; 0 is none."""
    return (int64(entity) - 1) % 65535 + 1 if entity > 0 else int64(0)


@compiled(inline="always")
def _shares_place(row: Any, places: Any) -> bool:
    return bool(
        (places[0] > 0 and places[0] == place_code(row.network))
        or (places[1] > 0 and places[1] == place_code(row.block))
        or (places[2] > 0 and places[2] == place_code(row.device))
    )


@compiled(inline="always")
def is_newcomer(person: Any, now: int) -> bool:
    """Whether an account is known to have registered within a week, as of the last epoch."""
    born = int64(person.born)
    return bool(born > 0 and now - (born - 1) <= YOUNG_S)


@compiled()
def record_new_chat(w: Any, row: Any, peer: int, now: int) -> None:
    """Record a new chat, either way: whether the peer is young, and on a shared entity."""
    person = people_of(w)[peer]
    young = is_newcomer(person, now)
    row.young_bits = push_bit(row.young_bits, young)
    row.colocated_bits = push_bit(row.colocated_bits, young and _shares_place(row, person.places))


@compiled(inline="always")
def _count_two_days(w: Any, many: Any, before: Any, newest: Any) -> int:
    """Count, as of the last epoch, over the open epoch's day and the day before (at most 255)."""
    days = w.epoch // EPOCHS_A_DAY + 1 - int64(newest)
    found = int64(many) if days <= 1 else int64(0)
    found += int64(before) if days == 0 else int64(0)
    return min(found, 255)


COURTED_AT_MOST = 2
"""Young strangers who approach a newcomer in two days whose answers free places all the same."""


@compiled()
def frees_place(w: Any, peer: int, now: int) -> bool:
    """Whether a stranger's answer gives a place of the allowance back.

    A newcomer's does unless several young accounts approached it: a class that is invited frees
    its teacher's places, accounts that answer each other free none.
    """
    newcomer = is_newcomer(people_of(w)[peer], now)
    return not newcomer or recent_approaches(w, peer) <= COURTED_AT_MOST


@compiled()
def record_approach(w: Any, row: Any, peer: int, stranger: bool) -> None:
    """Record an approach (first contact, added stranger, report) of a peer."""
    if stranger and is_young(row):
        contribute(w, COURTED, int64(peer), 1)


MOST_MEMBERS = 100
"""A group into which more have come relates nobody."""


@compiled()
def note_group(w: Any, ev: Any, account: int, joined: bool) -> bool:
    """Note the group of an event, which an account is in; returns whether it is a new one."""
    if ev.flags & ATTEMPTED:
        return False
    group = int64(ev.group)
    for held in people_of(w)[account].groups:
        if int64(held) >> 1 == group:
            if joined and (int64(held) & 1) == 0:
                contribute(w, IN_GROUP, account, group * 2 + 1)
            return False
    contribute(w, IN_GROUP, account, group * 2 + int64(joined))
    return True


@compiled()
def enter_group(w: Any, ev: Any, account: int, joined: bool) -> None:
    """Record that an account came into a group: it created or joined it, or somebody added it."""
    if note_group(w, ev, account, joined):
        contribute(w, CAME_IN, int64(ev.group) - 1, 1)


@compiled()
def share_group(w: Any, account: int, peer: int) -> bool:
    """Whether an account is in a group of bounded size that another joined, by the last epoch."""
    people, entities = people_of(w), entities_of(w)
    for theirs in people[peer].groups:
        group = int64(theirs) >> 1
        if (int64(theirs) & 1) == 0 or entities[group - 1].joined > MOST_MEMBERS:
            continue
        for own in people[account].groups:
            if int64(own) >> 1 == group:
                return True
    return False


@compiled(inline="always")
def share_organisation(w: Any, account: int, peer: int) -> bool:
    """Whether two accounts are declared members of one organisation, by the last epoch."""
    people = people_of(w)
    own = int64(people[account].organisation)
    return bool(own > 0 and own == int64(people[peer].organisation))


@compiled(inline="always")
def is_enforced(person: Any, now: int) -> bool:
    """Whether an account is under a challenge or more, as of the last epoch."""
    lasts = person.until == 0 or now < person.until
    return bool(lasts and RANK[person.enforcement] >= RANK[CHALLENGE])


@compiled()
def recent_approaches(w: Any, peer: int) -> int:
    """Approaches of an account by young strangers, on the same days as `recent_blind_reports`."""
    person = people_of(w)[peer]
    return _count_two_days(w, person.approached, person.approached_before, person.approached_day)


@compiled()
def recent_blind_reports(w: Any, peer: int) -> int:
    """Blind reports of an account by the last epoch, on the open one's day and the day before."""
    person = people_of(w)[peer]
    return _count_two_days(w, person.accused, person.accused_before, person.accused_day)


@compiled()
def contribute_to_places(w: Any, row: Any, table: int, amount: int) -> None:
    """Contribute to the account's network, block and device."""
    for entity in (row.network, row.block, row.device):
        if entity > 0:
            contribute(w, table, np.int64(entity) - 1, amount)


@compiled()
def contribute_to_entities(w: Any, row: Any, table: int, amount: int) -> None:
    """Contribute to the account's network, block, device and client."""
    for entity in (row.network, row.block, row.device, row.client):
        if entity > 0:
            contribute(w, table, np.int64(entity) - 1, amount)


@compiled(inline="always")
def contribute_to_origin(w: Any, row: Any, table: int, amount: int) -> None:
    """Contribute to the remote server that the account is on, if it is on one."""
    if row.origin > 0:
        contribute(w, table, np.int64(row.origin) - 1, amount)


@compiled()
def publish_registration(w: Any, account: int, now: int) -> None:
    """Publish when the account registered."""
    contribute(w, BORN, account, now + 1)


@compiled()
def publish_places(w: Any, row: Any, account: int) -> None:
    """Publish the account's network, block and device."""
    contribute(w, ON_NETWORK, account, place_code(row.network))
    contribute(w, ON_BLOCK, account, place_code(row.block))
    contribute(w, ON_DEVICE, account, place_code(row.device))


WEIGHT_ONE = 256
"""The weight of one report in full."""
WEIGHT_MAX = 512
UNPROVEN_COUNTED = 16
"""Reports without proof that count in a week: an organized crowd adds nothing more."""
KIN_S = HOUR_S
"""Reporters that registered within an hour of each other are not independent."""


@compiled()
def credibility_log_odds(confirmed: int, refuted: int) -> int:
    """Log-odds of a reporter being right, in 1/256 (8 % above natural), by its record in halves.

    >>> [credibility_log_odds(t, d) for t, d in ((0, 0), (6, 0), (0, 3), (0, 6))]
    [192, 384, 0, -113]
    """
    return 3 * (log2(int64(confirmed) + 6) - log2(int64(refuted) + 3)) // 4


@compiled()
def credibility(confirmed: int, refuted: int) -> int:
    """Weight of a reporter in 1/256 by its record, in halves of reports; 0 to 512.

    >>> [credibility(t, d) for t, d in ((0, 0), (2, 0), (6, 0), (200, 0), (0, 1), (0, 2), (0, 3))]
    [192, 271, 384, 512, 112, 51, 0]
    """
    return min(max(credibility_log_odds(confirmed, refuted), 0), WEIGHT_MAX)


@compiled()
def report_weight(
    confirmed: int, refuted: int, proven: bool, answered: bool, kin: bool, crowd: int
) -> int:  # fmt: skip
    """Weight of one report in 1/256.

    `proven`: the reported account wrote to the reporter or added it to a group; `answered`: the
    reporter had written to it; `kin`: one of the last reporters registered with this one;
    `crowd`: reports without proof in the week before, of which the first CROWD count at all.

    >>> report_weight(0, 0, True, False, False, 0), report_weight(0, 0, True, True, False, 0)
    (192, 48)
    >>> report_weight(0, 0, True, False, True, 0), report_weight(0, 0, False, False, False, 0)
    (48, 3)
    """
    full = credibility(confirmed, refuted)
    if not proven:
        return full // 64 if crowd < UNPROVEN_COUNTED else 0
    if answered:
        full //= 4
    return full // 4 if kin else full


@compiled(inline="always")
def has_friend(person: Any, account: int) -> bool:
    """Whether an account is among the newest friends of another (PERSON)."""
    for friend in person.friends:
        if int64(friend) == account + 1:
            return True
    return False


@compiled()
def note_complainer(r: Any, complainer: int, people: Any) -> bool:
    """Note an account that complains; returns whether its complaint is a voice of its own.

    Complaints of people who know each other are one voice: messages went both ways between them and
    one of the last eight complainers (`PERSON.friends`, as of the last epoch), or both used one
    device. Opponents who agree to complain convict nobody.
    """
    person, size = people[complainer], int64(r.complainers.size)
    is_new = True
    for j in range(size):
        earlier = int64(r.complainers[j]) - 1
        if earlier < 0:
            continue
        if earlier == complainer:
            return True
        other = people[earlier]
        shares_device = person.places[2] > 0 and person.places[2] == other.places[2]
        if shares_device or has_friend(person, earlier) or has_friend(other, complainer):
            is_new = False
    r.complainers[int64(r.complainer_n) % size] = complainer + 1
    r.complainer_n += 1
    return is_new


@compiled()
def registered_near(born: int, others: Any, people: Any) -> bool:
    """Whether one of `others` (slots plus one; 0 is none) registered within an hour of `born`.

    `born` is in seconds plus one, 0 where the stream has no registration.
    """
    if born == 0:
        return False
    for j in range(4):
        if others[j] > 0:
            then = int64(people[int64(others[j]) - 1].born)
            if then > 0 and abs(then - born) <= KIN_S:
                return True
    return False
