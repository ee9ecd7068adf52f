"""The hot path: facts in, rows updated, rules asked, decisions made, one in-order pass a shard.

Everything here is a function of the facts in log order. Callbacks (the rules, the decision, what
an outcome refuses) are C functions at addresses in `ctx`, so that this layer knows none of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from wavebreak.features.catalog import KINDS
from wavebreak.features.jit import address_as_void_pointer, call_int, carray, compiled, prefetch
from wavebreak.features.living import (
    answer_reporters,
    blame,
    complaint,
    labelled,
    lurked,
    member_added,
    rare_of,
    register,
    session,
    tie,
)
from wavebreak.features.pairs import FULL, find, first_of, flags_of, home, last_of, packed
from wavebreak.features.pairs import touched_of
from wavebreak.features.reading import read
from wavebreak.features.rings import bump, total
from wavebreak.features.state import (
    BLOCKED,
    DELETED,
    LINKED,
    MET_CHALLENGE,
    MET_LIMIT,
    NONE,
    PAIR,
    RARE,
    REPLIED,
    ROW,
    SHARD_BITS,
    STANDING,
    TO_GROUP,
    TRUSTED,
    UNTIL,
    WROTE,
)
from wavebreak.features.writing import emit, establish, known, received, sent, tick, volume

(
    REGISTERED, SESSION, TYPING, SENT, SENT_GROUP, RECEIVED, DELIVERED, READ_BY, UNDELIVERABLE,
    LOOKED_UP, CONTACT_ADDED, ADDED_AS_CONTACT, GROUP_CREATED, MEMBER_ADDED, ADDED_TO_GROUP,
    GROUP_JOINED, GROUP_LEFT, MEMBER_LEFT, REPORTED, REPORTED_BY, BLOCKED_OTHER, BLOCKED_BY,
    CHALLENGE_PASSED, CHALLENGE_FAILED, DELETE, LABELLED, READ, EPOCH, CONTACT_REMOVED,
    REMOVED_AS_CONTACT, UNBLOCKED_BY,
) = range(len(KINDS))  # fmt: skip

# ctx: addresses and numbers of the policy in force
(
    RULES_AT, DECIDE_AT, REFUSE_AT, POLICY_AT, WAKE, KEEP, REGISTRATION, MESSAGING, GRACE_S,
    BENIGN_GRACE_S, ENFORCE, ENABLED, ENFORCED_RULES, EPOCH_NOW,
) = range(14)  # fmt: skip
CTX_SIZE = 16
# counts: how far the output buffers are filled
HITS_N, DELTAS_N, TOUCHED_N = 0, 1, 2
# Most contributions that one fact can make: see `labelled` and `blame`.
DELTAS_A_FACT = 32
RESTRICT = 4
NO_CHANGE = 255
AHEAD = 6
ROW_BYTES, PAIR_BYTES = ROW.itemsize, PAIR.itemsize


@compiled()
def _expire(row: Any, ctx: Any) -> None:
    if row.until > 0 and row.clock >= row.until:
        row.until = 0
        row.standing = 0
        row.fired &= ctx[KEEP]


@compiled()
def _refused(
    sh: Any, row: Any, rares: Any, pairs: Any, ev: Any, kind: int, local: int, now: int, ctx: Any
) -> bool:
    """Whether the account's own standing refuses this act; counted when it does."""
    if row.standing < 2:
        return False
    opens = np.int64(0)
    if kind == SENT:
        opens = np.int64((known(sh, pairs, local, ev.peer, now) & (WROTE | REPLIED)) == 0)
    linked = np.int64((ev.flags & LINKED) != 0)
    answer = call_int(
        ctx[REFUSE_AT], ctx[POLICY_AT], np.int64(row.standing), np.int64(kind), opens, linked,
        total(row.first_1d),
    )  # fmt: skip
    if answer == 0:
        return False
    r = rare_of(sh, rares, row)
    r.refused += 1
    r.answered = now + 1
    return True


@compiled()
def _undelivered(
    sh: Any, pairs: Any, people: Any, ev: Any, kind: int, local: int, now: int, ctx: Any
) -> bool:
    """Whether an act of another reaches this account, by the other's standing at the last epoch."""
    standing = np.int64(people[ev.account].standing)
    if standing < 2 or (people[ev.account].until > 0 and now >= people[ev.account].until):
        return False
    opens = np.int64((known(sh, pairs, local, ev.account, now) & (WROTE | REPLIED)) == 0)
    zero = np.int64(0)
    return call_int(ctx[REFUSE_AT], ctx[POLICY_AT], standing, np.int64(kind), opens, zero, zero) > 0


@compiled()
def _send(
    sh: Any, row: Any, rares: Any, pairs: Any, people: Any, ev: Any, local: int, now: int,
    refused: bool,
) -> None:  # fmt: skip
    opens, stranger = sent(sh, row, pairs, people, ev, local, now)
    if stranger:
        if row.worst < RESTRICT:
            row.to_strangers += 1
        if not refused:
            row.unwanted += 1
    if opens and row.rare > 0:
        lurked(rare_of(sh, rares, row), now)


@compiled()
def _counted(sh: Any, row: Any, rares: Any, ev: Any, kind: int, now: int) -> None:
    """Facts that count in a rare row."""
    r = rare_of(sh, rares, row)
    clock = np.int64(r.clock)
    if kind == SENT_GROUP:
        if volume(row, ev, now):
            bump(r.group_sends_1d, now // 5760, clock // 5760, 1, 65535)
        r.wrote_group = max(np.int64(r.wrote_group), now + 1)
    elif kind == UNDELIVERABLE:
        bump(r.undeliverable_7d, now // 40320, clock // 40320, 1, 65535)
    elif kind == LOOKED_UP:
        bump(r.lookups_1d, now // 5760, clock // 5760, np.int64(ev.count), 65535)
        bump(r.hits_1d, now // 5760, clock // 5760, np.int64(ev.hits), 65535)
    elif kind == GROUP_CREATED:
        r.created += 1
        bump(r.created_1h, now // 240, clock // 240, 1, 255)
        bump(r.created_1d, now // 5760, clock // 5760, 1, 255)
    elif kind == GROUP_JOINED:
        r.joined = max(np.int64(r.joined), now + 1)
        bump(r.joins_1d, now // 5760, clock // 5760, 1, 255)
    elif kind == MEMBER_LEFT:
        bump(r.left_7d, now // 40320, clock // 40320, 1, 65535)
    elif kind == CHALLENGE_FAILED:
        r.challenges_failed = min(np.int64(r.challenges_failed) + 1, 255)


@compiled()
def _plain(sh: Any, row: Any, pairs: Any, ev: Any, kind: int, local: int, now: int) -> None:
    """Facts that count in the row or the pair alone."""
    if kind == TYPING:
        row.typing_at = ev.ts + 1
        row.typing_peer = ev.peer
    elif kind == DELIVERED:
        row.delivered += 1
    elif kind == READ_BY:
        row.read_by += 1
    elif kind == READ:
        row.reads += 1
    elif kind == CONTACT_ADDED or kind == CONTACT_REMOVED:
        tie(sh, pairs, local, ev.peer, now, kind == CONTACT_ADDED)
    elif kind == ADDED_AS_CONTACT or kind == REMOVED_AS_CONTACT:
        tie(sh, pairs, local, ev.account, now, kind == ADDED_AS_CONTACT)
    elif kind == UNBLOCKED_BY:
        at = find(pairs, sh.pair_capacity, local, ev.account)
        if at >= 0:
            value = pairs[at].value
            flags = flags_of(value) & ~BLOCKED
            pairs[at].value = packed(flags, first_of(value), last_of(value), touched_of(value))
    elif kind == DELETE:
        row.flags = np.int64(row.flags) | DELETED


@compiled()
def _apply(
    sh: Any, row: Any, rares: Any, pairs: Any, people: Any, ev: Any, kind: int, local: int,
    now: int, refused: bool, deltas: Any, counts: Any,
) -> bool:  # fmt: skip
    """Update an account's state by one fact. True when the fact clears the account's standing."""
    if kind == SENT:
        _send(sh, row, rares, pairs, people, ev, local, now, refused)
    elif kind == RECEIVED:
        if received(sh, row, pairs, people, ev, local, now):
            establish(row, deltas, counts)
    elif kind == REGISTERED:
        register(row, ev, deltas, counts, now)
    elif kind == SESSION:
        session(sh, rares, row, ev, deltas, counts, now)
    elif kind == MEMBER_ADDED:
        member_added(sh, rare_of(sh, rares, row), pairs, ev, local, now)
    elif kind == REPORTED_BY or kind == BLOCKED_BY:
        r = rare_of(sh, rares, row)
        complaint(
            sh, row, r, pairs, people, ev, local, now, deltas, counts, kind == BLOCKED_BY
        )
    elif kind == LABELLED:
        return labelled(row, rare_of(sh, rares, row), ev, deltas, counts)
    elif kind == CHALLENGE_PASSED:
        return row.standing == 2
    elif (
        kind == SENT_GROUP or kind == UNDELIVERABLE or kind == LOOKED_UP or kind == GROUP_CREATED
        or kind == GROUP_JOINED or kind == MEMBER_LEFT or kind == CHALLENGE_FAILED
    ):  # fmt: skip
        _counted(sh, row, rares, ev, kind, now)
    else:
        _plain(sh, row, pairs, ev, kind, local, now)
    return False


@compiled()
def _note(
    hits: Any, counts: Any, position: int, at: int, row: Any, account: int, role: int, kind: int,
    mask: int, outcome: int, rule: int, values: Any,
) -> None:  # fmt: skip
    h = hits[counts[HITS_N]]
    h.position = position
    h.ts = at
    h.hits = mask
    h.until = row.until
    h.account = account
    h.role = role
    h.kind = kind
    h.outcome = outcome
    h.rule = rule
    for j in range(values.size):
        h.values[j] = values[j]
    counts[HITS_N] += 1


@compiled()
def _publish(row: Any, account: int, deltas: Any, counts: Any) -> None:
    emit(deltas, counts, STANDING, account, np.int64(row.standing))
    emit(deltas, counts, UNTIL, account, np.int64(row.until))


@compiled()
def _clear(
    row: Any, account: int, kind: int, ctx: Any, deltas: Any, counts: Any
) -> None:
    """A passed challenge or a label `benign` ends the standing, with a time of grace."""
    now = np.int64(row.clock)
    row.standing = 0
    if kind == LABELLED:
        # Everything but the suspicions of the registration, which are a count of their own.
        row.fired = ~ctx[REGISTRATION]
        row.until = now + ctx[BENIGN_GRACE_S]
    else:
        row.until = now + ctx[GRACE_S]
    _publish(row, account, deltas, counts)


@compiled()
def _act(
    sh: Any, row: Any, rares: Any, packed_answer: int, position: int, at: int, account: int,
    ctx: Any, deltas: Any, counts: Any,
) -> None:  # fmt: skip
    """Put a decision into force: standing, end, what it says of others."""
    outcome = packed_answer & 255
    rule = (packed_answer >> 8) & 255
    row.standing = outcome
    row.until = packed_answer >> 16
    row.worst = max(np.int64(row.worst), outcome)
    if outcome >= 2:
        r = rare_of(sh, rares, row)
        r.answered = np.int64(row.clock) + 1
        r.met |= MET_CHALLENGE if outcome == 2 else (MET_LIMIT if outcome == 3 else 0)
        if outcome >= RESTRICT:
            row.strikes = min(np.int64(row.strikes) + 1, 255)
            if r.action_at == 0:
                r.action_at = at + 1
                r.action_position = position
                registration = (ctx[REGISTRATION] >> rule) & 1
                messaging = (ctx[MESSAGING] >> rule) & 1
                r.action_stage = 0 if registration else (1 if messaging else 2)
                r.reports_before = r.reports
                r.reported_before = r.reported
            if (ctx[REGISTRATION] >> rule) & 1 == 0:
                blame(row, deltas, counts)
                answer_reporters(r, deltas, counts, TRUSTED)
    _publish(row, account, deltas, counts)


@compiled()
def judge(
    sh: Any, row: Any, rares: Any, entities: Any, position: int, at: int, account: int, role: int,
    kind: int, covered: Any, ctx: Any, values: Any, hits: Any, deltas: Any, counts: Any,
) -> None:  # fmt: skip
    """Ask the rules about an account; decide, and put the decision into force, where they hit."""
    read(row, rares, entities, ctx[EPOCH_NOW], ctx[REGISTRATION], covered, values)
    mask = call_int(ctx[RULES_AT], values.ctypes.data, np.int64(1) << kind)
    new = mask & ctx[ENABLED] & ~row.fired
    if new == 0:
        return
    row.fired |= new
    answer = np.int64(-1)
    if new & ctx[ENFORCED_RULES]:
        answer = call_int(
            ctx[DECIDE_AT], ctx[POLICY_AT], new & ctx[ENFORCED_RULES], np.int64(row.standing),
            np.int64(row.until), np.int64(row.strikes), np.int64(row.clock),
        )  # fmt: skip
    outcome, rule = NO_CHANGE, NO_CHANGE
    if answer >= 0:
        outcome, rule = answer & 255, (answer >> 8) & 255
        _act(sh, row, rares, answer, position, at, account, ctx, deltas, counts)
    _note(
        hits, counts, position, at, row, account, role, kind, new, outcome, rule, values
    )


@compiled()
def _touch(row: Any, account: int, position: int, role: int, touched: Any, counts: Any) -> None:
    at = np.int64(row.touched)
    if at >= counts[TOUCHED_N] or touched[at].account != account:
        at = counts[TOUCHED_N]
        row.touched = at
        counts[TOUCHED_N] = at + 1
        touched[at].account = account
    touched[at].position = position
    touched[at].role = role


@compiled()
def _fact(
    sh: Any, rows: Any, rares: Any, pairs: Any, people: Any, entities: Any, ev: Any, role: int,
    kind: int, position: int, covered: Any, ctx: Any, values: Any, hits: Any, deltas: Any,
    touched: Any, counts: Any,
) -> None:  # fmt: skip
    account = np.int64(ev.account) if role == 0 else np.int64(ev.peer)
    local = account >> SHARD_BITS
    row = rows[local]
    now = ev.ts // 1000
    reaching = kind == RECEIVED or kind == ADDED_TO_GROUP
    if reaching and ctx[ENFORCE] and _undelivered(sh, pairs, people, ev, kind, local, now, ctx):
        return
    tick(row, now)
    _expire(row, ctx)
    _touch(row, account, position, role, touched, counts)
    refused = role == 0 and _refused(sh, row, rares, pairs, ev, kind, local, now, ctx)
    if refused and ctx[ENFORCE]:
        return
    if _apply(sh, row, rares, pairs, people, ev, kind, local, now, refused, deltas, counts):
        _clear(row, account, kind, ctx, deltas, counts)
        _note(
            hits, counts, position, ev.ts, row, account, role, kind, 0, 0, NO_CHANGE, values
        )
    elif (ctx[WAKE] >> kind) & 1:
        judge(
            sh, row, rares, entities, position, ev.ts, account, role, kind, covered, ctx, values,
            hits, deltas, counts,
        )  # fmt: skip


@compiled(inline="always")
def _rows(sh: Any) -> Any:
    return carray(address_as_void_pointer(sh.rows), (sh.row_capacity,), ROW)


@compiled(inline="always")
def _rares(sh: Any) -> Any:
    return carray(address_as_void_pointer(sh.rares), (sh.rare_capacity,), RARE)


@compiled(inline="always")
def _pairs(sh: Any) -> Any:
    return carray(address_as_void_pointer(sh.pairs), (sh.pair_capacity,), PAIR)


@compiled(inline="always")
def _room(sh: Any, hits: Any, deltas: Any, counts: Any) -> bool:
    """Whether every buffer and table has room for one more fact."""
    return (
        sh.pair_n + 1 < sh.pair_capacity * FULL
        and sh.rare_n + 1 < sh.rare_capacity
        and counts[HITS_N] + 1 < hits.size
        and counts[DELTAS_N] + DELTAS_A_FACT < deltas.size
    )


@compiled()
def advance(
    shards: Any, worker: int, workers: int, events: Any, base: int, kinds: Any, codes: Any,
    offsets: Any, people: Any, entities: Any, covered: Any, ctx: Any, values: Any, hits: Any,
    deltas: Any, touched: Any, counts: Any, resume: Any,
) -> bool:  # fmt: skip
    """Take the facts of one segment, for the shards of one worker, in order.

    `codes` are event index · 2 + role, grouped by shard at `offsets`; `kinds` (256, 2) gives a
    fact's kind by event type and role. Returns True when all are taken; False when a buffer or a
    table must be made larger first: call again, `resume` (shard, code index) says where it stands.
    """
    s = resume[0]
    while s < shards.size:
        if s % workers == worker:
            sh = shards[s]
            rows, rares, pairs = _rows(sh), _rares(sh), _pairs(sh)
            i = max(resume[1], offsets[s])
            while i < offsets[s + 1]:
                if not _room(sh, hits, deltas, counts):
                    resume[0], resume[1] = s, i
                    return False
                if i + AHEAD < offsets[s + 1]:
                    _fetch(sh, rows, events, codes[i + AHEAD])
                code = np.int64(codes[i])
                ev = events[code >> 1]
                role = code & 1
                to_group = np.int64(ev.flags & TO_GROUP) != 0
                kind = np.int64(kinds[ev.type, role])
                if kind == SENT and to_group:
                    kind = SENT_GROUP
                _fact(
                    sh, rows, rares, pairs, people, entities, ev, role, kind, base + (code >> 1),
                    covered, ctx, values, hits, deltas, touched, counts,
                )  # fmt: skip
                i += 1
        s += 1
        resume[1] = 0
    resume[0] = s
    return True


@compiled()
def _fetch(sh: Any, rows: Any, events: Any, code: int) -> None:
    """Ask for the memory of a fact that comes soon: it is what the kernel waits for most."""
    ev = events[np.int64(code) >> 1]
    account, other = np.int64(ev.account), np.int64(ev.peer)
    if np.int64(code) & 1:
        account, other = other, account
    local = account >> SHARD_BITS
    address = sh.rows + local * ROW_BYTES
    for line in range(0, ROW_BYTES, 64):
        prefetch(address + line)
    if other != NONE:
        at = home(_pairs(sh), sh.pair_capacity, local, other)
        prefetch(sh.pairs + at * PAIR_BYTES)


@compiled()
def close(
    shards: Any, entities: Any, covered: Any, ctx: Any, values: Any, hits: Any, deltas: Any,
    touched: Any, counts: Any, resume: Any,
) -> bool:  # fmt: skip
    """Look again at the accounts that a worker touched in the epoch, over the merged sums.

    Returns False when a buffer must be made larger first, like `advance`.
    """
    while resume[0] < counts[TOUCHED_N]:
        t = touched[resume[0]]
        account = np.int64(t.account)
        sh = shards[account & (shards.size - 1)]
        if not _room(sh, hits, deltas, counts):
            return False
        row = _rows(sh)[account >> SHARD_BITS]
        at = np.int64(row.clock) * 1000
        judge(
            sh, row, _rares(sh), entities, t.position, at, account, np.int64(t.role), EPOCH,
            covered, ctx, values, hits, deltas, counts,
        )  # fmt: skip
        resume[0] += 1
    return True
