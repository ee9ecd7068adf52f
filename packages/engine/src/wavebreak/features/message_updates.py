"""State updates for messages: volume, first contacts, replies, rhythm, typing, hours of the day."""

from __future__ import annotations

from typing import Any

import numpy as np

from wavebreak.compiled.numba_runtime import compiled, int64
from wavebreak.durations import HOUR_S, WEEK_S
from wavebreak.features import layout, shared_state
from wavebreak.features.memory import contribute, pairs_of, people_of, rares_of
from wavebreak.features.pair_table import (
    find,
    first_bucket,
    flags_of,
    insert,
    last_bucket,
    pack,
    salts_of,
    touch_bucket,
    with_flags,
)
from wavebreak.features.sequential_tests import (
    count_reaction,
    count_talk,
    mature,
    restart_tests,
    terms_of,
)
from wavebreak.features.window_counters import advance_row_counters, count_event
from wavebreak.features.windows import COUNT_LOG2, log2, push_bit, ring_total
from wavebreak.schema.event_kinds import ACCEPTED_BY, RECEIVED
from wavebreak.schema.events import CHANNELS

PLATFORM = CHANNELS.index("business_platform")

TYPING_MS = 600_000
ESTABLISHED_S = 21_600
ESTABLISHED_CONTACTS = 3

_count_send = count_event("send")
_count_first_contact = count_event("first_contact")
_count_distinct_peer = count_event("distinct_peer")
_count_reply = count_event("reply")
_count_stranger_contact = count_event("stranger_contact")
_count_known_stranger = count_event("known_stranger")
_count_trial = count_event("trial")
_count_trial_answer = count_event("trial_answer")
_count_stranger_answer = count_event("stranger_answer")


@compiled()
def advance_clock(row: Any, now: int) -> None:
    """Advance an account's clock to `now` (seconds)."""
    if row.first_seen == 0:
        row.first_seen = now + 1
        row.clock = now
        row.hopped = now
    elif now > row.clock:
        row.clock = now


@compiled()
def advance_windows(row: Any) -> None:
    """Advance the windows to the account's clock; needed before they are updated or read."""
    old, now = np.int64(row.hopped), np.int64(row.clock)
    if now == old:
        return
    row.hopped = now
    mature(row, old, now)
    advance_row_counters(row, old, now)


@compiled()
def touch_pair(sh: Any, owner: int, peer: int, now: int) -> int:
    """Return the index of a pair's entry: created if absent, cleared if expired, and touched."""
    pairs = pairs_of(sh)
    touched = now // 40320
    at = find(pairs, sh.pair_capacity, salts_of(sh), owner, peer)
    if at < 0:
        at = insert(pairs, -1 - at, owner, peer)
        sh.pair_n += 1
        pairs[at].value = pack(0, 0, 0, touched)
        return at
    value = pairs[at].value
    old = touch_bucket(value)
    if touched - old > layout.FORGET_BUCKETS:
        pairs[at].value = pack(0, 0, 0, touched)
    elif touched > old:
        pairs[at].value = pack(flags_of(value), first_bucket(value), last_bucket(value), touched)
    return at


@compiled(inline="always")
def is_expired(value: Any, now: int) -> bool:
    """Whether a pair's entry is so old that it counts no more."""
    return bool(now // 40320 - touch_bucket(value) > layout.FORGET_BUCKETS)


@compiled()
def pair_value(sh: Any, owner: int, peer: int, now: int) -> Any:
    """Return a pair's entry without touching it; 0 when unknown or expired."""
    pairs = pairs_of(sh)
    at = find(pairs, sh.pair_capacity, salts_of(sh), owner, peer)
    if at < 0 or is_expired(pairs[at].value, now):
        return np.uint64(0)
    return pairs[at].value


@compiled()
def pair_flags(sh: Any, owner: int, peer: int, now: int) -> int:
    """Return the flags of a pair without touching it; 0 when unknown or expired."""
    return flags_of(pair_value(sh, owner, peer, now))


@compiled()
def _update_gaps(row: Any, gap: int) -> None:
    if row.gap_n == 0:
        row.gap_sum[0] = 0
        row.gap_square[0] = 0
    row.gap_sum[0] += gap
    row.gap_square[0] += gap * gap
    row.gap_n += 1
    if row.gap_n == 16:
        row.gap_n = 0
        row.gap_full = 1
        row.gap_sum[1] = row.gap_sum[0]
        row.gap_square[1] = row.gap_square[0]


@compiled()
def _update_hours(row: Any, now: int) -> None:
    # Plus one, so that zero still means "none yet".
    week = now // WEEK_S + 1
    old = int64(row.week)
    hour = (now // HOUR_S) % 24
    halved = (week > old and old > 0) or row.hours[hour] == 255
    if halved:
        shift = min(max(week - old, 1), 8)
        row.hour_n = 0
        row.hour_s = 0
        for j in range(24):
            left = np.int64(row.hours[j]) >> shift
            row.hours[j] = left
            row.hour_n += left
            row.hour_s += COUNT_LOG2[left]
    if week > old:
        row.week = week
    held = np.int64(row.hours[hour])
    row.hours[hour] = held + 1
    row.hour_n += 1
    row.hour_s += COUNT_LOG2[held + 1] - COUNT_LOG2[held]


@compiled()
def update_send_statistics(row: Any, ev: Any, now: int) -> bool:
    """Update windows, gaps, sizes and hours with a send.

    Returns False for one more recipient of the same broadcast.
    """
    if (ev.flags & layout.BROADCAST) != 0 and row.last_sent == ev.ts + 1:
        return False
    advance_windows(row)
    row.sends += 1
    _count_send(row, now, 1)
    if row.last_sent > 0 and ev.ts + 1 > row.last_sent:
        _update_gaps(row, log2(ev.ts + 1 - row.last_sent))
    row.last_sent = max(row.last_sent, ev.ts + 1)
    if ev.size > 0:
        size = min(int64(ev.size), 65535)
        seen = False
        for j in range(4):
            seen |= np.int64(row.sizes[j]) == size
        row.repeat_bits = push_bit(row.repeat_bits, seen)
        row.repeat_n = min(np.int64(row.repeat_n) + 1, 32)
        for j in range(3, 0, -1):
            row.sizes[j] = row.sizes[j - 1]
        row.sizes[0] = size
    _update_hours(row, now)
    return True


@compiled()
def _update_typing(row: Any, ev: Any) -> None:
    lead = ev.ts - (row.typing_at - 1)
    typed = row.typing_at > 0 and row.typing_peer == ev.peer and 0 <= lead <= TYPING_MS
    row.typed_bits = push_bit(row.typed_bits, typed)
    row.typed_n = min(np.int64(row.typed_n) + 1, 32)
    if typed:
        row.typing_at = 0


@compiled()
def _update_peers_1d(row: Any, value: Any, flags: int, now: int) -> int:
    bucket = now // 5760
    clock = np.int64(row.clock) // 5760
    last = last_bucket(value)
    if flags & layout.WROTE or last > 0:
        if bucket <= last:
            return last
        if last > clock - 16 and row.peers_1d[last & 15] > 0:
            row.peers_1d[last & 15] -= 1
    _count_distinct_peer(row, now, 1)
    return bucket


@compiled()
def _update_first_contact(w: Any, sh: Any, row: Any, ev: Any, flags: int, now: int) -> int:
    """Update the sender with a first contact; return the marks that it leaves on the pair."""
    row.started += 1
    _count_first_contact(row, now, 1)
    stranger = (flags & layout.CONTACT) == 0 and (ev.flags & layout.IN_CONTACTS) == 0
    if ev.flags & layout.CONTACT_KNOWN:
        row.cold_bits = push_bit(row.cold_bits, stranger)
        row.cold_n = min(np.int64(row.cold_n) + 1, 32)
        if stranger:
            _count_known_stranger(row, now, 1)
    row.targeted_bits = push_bit(row.targeted_bits, people_of(w)[ev.peer].targeted > 0)
    shared_state.record_approach(w, row, ev.peer, stranger)
    if row.device_changed > 0 or row.linked > 0:
        row.firsts_on_device = min(np.int64(row.firsts_on_device) + 1, 255)
    if stranger:
        for j in range(3, 0, -1):
            row.targets[j] = row.targets[j - 1]
        row.targets[0] = ev.peer + 1
    if shared_state.is_young(row):
        shared_state.contribute_to_places(w, row, layout.OPENED, 1)
        if stranger:
            shared_state.contribute_to_places(w, row, layout.COLD, 1)
    shared_state.record_new_chat(w, row, ev.peer, now)
    # What it was as an added stranger ends: a chat begins, whose answer is no trial's.
    return _begin_trial(w, sh, row, ev, flags, now) if stranger else flags & ~layout.TRIAL


MOST_RELATED_1H = 100
"""First contacts within an hour from which on a relation spares no place of the allowance, not
counting those that took one."""
SETTLED_S = WEEK_S
"""Only who registered so long ago makes others known to each other."""


@compiled()
def _know_one(w: Any, sh: Any, ev: Any, local: int, now: int) -> bool:
    """Whether both know a third account, which is no newcomer.

    The third and the recipient are each among the other's last friends, so that a hub which answers
    everybody introduces at most four; with the sender messages went both ways.
    """
    people, both = people_of(w), layout.WROTE | layout.REPLIED
    for friend in people[ev.peer].friends:
        third = int64(friend) - 1
        if third < 0 or third == ev.account:
            continue
        born = int64(people[third].born)
        if (
            born > 0
            and now - (born - 1) > SETTLED_S
            and shared_state.has_friend(people[third], int64(ev.peer))
            and (pair_flags(sh, local, third, now) & both) == both
        ):
            return True
    return False


@compiled()
def _are_related(w: Any, sh: Any, row: Any, ev: Any, flags: int, now: int) -> bool:
    """Whether a relation existed before a first contact with a stranger, so that it takes no place.

    A common group of bounded size that the recipient joined, and was not added to by the sender; a
    common acquaintance; one organisation. What an hour's relations spare is bounded.
    """
    if ring_total(row.first_1h) - ring_total(row.strangers_contacted_1h) > MOST_RELATED_1H:
        return False
    added = (flags & layout.ADDED) != 0
    account, peer = int64(ev.account), int64(ev.peer)
    return (
        shared_state.share_organisation(w, account, peer)
        or (not added and shared_state.share_group(w, account, peer))
        or _know_one(w, sh, ev, account >> layout.SHARD_BITS, now)
    )


@compiled()
def _begin_trial(w: Any, sh: Any, row: Any, ev: Any, flags: int, now: int) -> int:
    """Count a stranger written to first: a place of the allowance, and a trial of the tests."""
    if not _are_related(w, sh, row, ev, flags, now):
        _count_stranger_contact(row, now, 1)
        flags |= layout.STRANGER
    newcomer = shared_state.is_newcomer(people_of(w)[ev.peer], now)
    full = row.tried_1d[(now // 5760) & 15] == 255 or row.contacted == 65535
    if full or row.trials == 65535 or newcomer:
        return flags & ~layout.TRIAL
    restart_due(w, sh, row)
    _count_trial(row, now, 1)
    row.contacted += 1
    if (flags & layout.TRIAL) == 0:
        add_trial(w, row, int64(ev.account))
    return flags | layout.TRIAL


@compiled()
def add_trial(w: Any, row: Any, account: int) -> None:
    """Count a trial of the tests on complaints; linking looks at accounts that have some."""
    row.trials += 1
    if row.trials == layout.REACHED_TRIALS:
        contribute(w, layout.REACHED, account, 1)


@compiled()
def restart_due(w: Any, sh: Any, row: Any) -> None:
    """Restart the sequential tests of an account, where that is due."""
    adds, leaves, failures = int64(0), int64(0), int64(0)
    if row.rare > 0:
        r = rares_of(sh)[int64(row.rare) - 1]
        adds, leaves, failures = int64(r.add_trials), int64(r.add_leaves), int64(r.failures)
    fallen = restart_tests(terms_of(w), row, adds, leaves, failures)
    if row.rare > 0 and fallen > 0:
        r = rares_of(sh)[int64(row.rare) - 1]
        if fallen & 1:
            r.add_trials = 0
            r.add_leaves = 0
        if fallen & 2:
            r.failures = 0


@compiled()
def _answer_trial(
    w: Any, sh: Any, row: Any, account: int, peer: int, flags: int, first: int, now: int
) -> None:  # fmt: skip
    """Count the first answer of a stranger written to, by the bucket of the first contact."""
    at = first * 5760
    if flags & layout.STRANGER and shared_state.frees_place(w, peer, now):
        _count_stranger_answer(row, now, 1)
        bucket = first & 15
        if first > int64(row.clock) // 5760 - 16 and row.unanswered_strangers_1d[bucket] > 0:
            row.unanswered_strangers_1d[bucket] -= 1
    if flags & layout.TRIAL:
        if row.trials_answered < row.trials:
            row.trials_answered += 1
        if (flags & (layout.REPORTED | layout.BLOCKED)) == 0:
            count_reaction(row)
            count_talk(row)
        _count_trial_answer(row, at, 1)


@compiled()
def update_sent(w: Any, sh: Any, row: Any, ev: Any, local: int, now: int) -> tuple[bool, bool]:
    """Update the sender with a one-to-one send; return (opens a chat, recipient is a stranger).

    A stranger never wrote to the account, has no address-book tie and does not have it in contacts.
    A send that was refused before it happened leaves no chat: the next one opens it, to the same
    stranger.
    """
    reached = (ev.flags & layout.ATTEMPTED) == 0
    pairs = pairs_of(sh)
    at = touch_pair(sh, local, ev.peer, now)
    value = pairs[at].value
    flags = flags_of(value)
    opens = (flags & (layout.WROTE | layout.REPLIED | layout.STARTED)) == 0
    first = first_bucket(value)
    if update_send_statistics(row, ev, now):
        row.one_way_run = min(np.int64(row.one_way_run) + 1, 65535)
        row.direct += 1
        if ev.media == 0 or ev.media == layout.UNKNOWN:
            _update_typing(row, ev)
    advance_windows(row)
    last = _update_peers_1d(row, value, flags, now)
    moved = max(int64(row.device_changed), int64(row.linked))
    if moved > 0 and last_bucket(value) < (moved - 1) // 5760:
        row.recipients_on_device = min(np.int64(row.recipients_on_device) + 1, 255)
    if opens:
        flags = _update_first_contact(w, sh, row, ev, flags, now) | layout.STARTED
        first = now // 5760
    elif (flags & (layout.WROTE | layout.REPLIED | layout.STARTED)) == layout.REPLIED and reached:
        row.mutual += 1
        contribute(w, layout.FRIEND, int64(ev.account), int64(ev.peer))
    if reached:
        flags |= layout.WROTE
    pairs[at].value = pack(flags, first, last, touch_bucket(value))
    return opens, (flags & (layout.REPLIED | layout.CONTACT)) == 0 and (
        ev.flags & layout.IN_CONTACTS
    ) == 0


@compiled()
def update_requested(
    w: Any, sh: Any, row: Any, ev: Any, local: int, now: int
) -> tuple[bool, bool]:  # fmt: skip
    """Update an account that asks another for contact, or calls; returns what `update_sent` does.

    It opens a chat as a first message does, and is no send.
    """
    pairs = pairs_of(sh)
    at = touch_pair(sh, local, ev.peer, now)
    value = pairs[at].value
    flags = flags_of(value)
    opens = (flags & (layout.WROTE | layout.REPLIED | layout.STARTED)) == 0
    stranger = (flags & (layout.REPLIED | layout.CONTACT)) == 0 and (
        ev.flags & layout.IN_CONTACTS
    ) == 0
    if opens:
        advance_windows(row)
        flags = _update_first_contact(w, sh, row, ev, flags, now) | layout.STARTED
        pairs[at].value = pack(flags, now // 5760, last_bucket(value), touch_bucket(value))
    return opens, stranger


@compiled()
def update_received(
    w: Any, sh: Any, row: Any, ev: Any, kind: int, local: int, now: int
) -> bool:  # fmt: skip
    """Update an account with a message, a call, a request for contact or the acceptance of its own.

    Nothing here counts against who receives. A request or a call opens a chat, or answers one, as a
    message does; an acceptance answers one. Returns True when the account becomes established by
    it, and its entities are to be credited.
    """
    pairs = pairs_of(sh)
    at = touch_pair(sh, local, ev.account, now)
    value = pairs[at].value
    flags = flags_of(value)
    if kind == RECEIVED:
        row.received += 1
        row.one_way_run = 0
    if (flags & (layout.WROTE | layout.REPLIED | layout.STARTED)) == 0:
        if kind != ACCEPTED_BY:
            row.inbound += 1
            shared_state.record_new_chat(w, row, ev.account, now)
    elif (flags & layout.REPLIED) == 0:
        if flags & layout.STARTED:
            met = layout.MET if flags & layout.STRANGER else layout.MET_CONTACT
            contribute(w, met, int64(ev.peer), int64(ev.account))
        count_first_answer(w, sh, row, int64(ev.peer), int64(ev.account), value, now)
    pairs[at].value = with_flags(value, flags | layout.REPLIED)
    return becomes_established(row)


@compiled()
def count_first_answer(
    w: Any, sh: Any, row: Any, account: int, peer: int, value: Any, now: int
) -> None:  # fmt: skip
    """Count what comes in first from a peer whom the account wrote to, asked or called."""
    row.mutual += 1
    contribute(w, layout.FRIEND, account, peer)
    flags, first = flags_of(value), int64(first_bucket(value))
    if flags & layout.STARTED:
        advance_windows(row)
        if shared_state.is_young(row):
            shared_state.contribute_to_places(w, row, layout.ANSWERED, 1)
        # An answer counts in the bucket of the first contact, which the pair keeps by 5,760 s.
        _count_reply(row, first * 5760, 1)
        _answer_trial(w, sh, row, account, peer, flags, first, now)


@compiled()
def becomes_established(row: Any) -> bool:
    """Whether the account has now enough contacts for long enough, and was not credited yet."""
    return bool(
        row.mutual >= ESTABLISHED_CONTACTS
        and (row.flags & layout.CREDITED) == 0
        and np.int64(row.clock) - (np.int64(row.first_seen) - 1) >= ESTABLISHED_S
    )


@compiled()
def credit_entities(w: Any, row: Any) -> None:
    """Raise the reputation of the entities of an account that became established."""
    row.flags = np.int64(row.flags) | layout.CREDITED
    shared_state.contribute_to_entities(w, row, layout.GOOD, 1)
    shared_state.contribute_to_origin(w, row, layout.GOOD, 1)
