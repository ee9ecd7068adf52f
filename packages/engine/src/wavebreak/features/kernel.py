"""The kernel: account events in, state updated, rules and model evaluated, decisions enforced.

One in-order pass per shard; everything is a function of the account events in log order. Policy
and model are C functions at addresses (prefilter, rules, decision, enforcement), so that the
kernel is compiled once for all policies.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from wavebreak.compiled.numba_runtime import call_int64, compiled, fetch_and_increment, int64
from wavebreak.features import layout, memory, message_updates, shared_state
from wavebreak.features.account_updates import (
    apply_label,
    count_failure,
    count_leaving,
    eased_outcome,
    note_eased_outcome,
    note_label_by_others,
    note_origin,
    rare_row,
    set_contact_tie,
    update_call_ended,
    update_complaint,
    update_declined,
    update_member_added,
    update_registration,
    update_report_made,
    update_session,
)
from wavebreak.features.pair_table import FULL, find, first_bucket, flags_of, salts_of, with_flags
from wavebreak.features.scoring_points import (
    is_scoring_point,
    last_margin,
    progress,
    record_point,
    score_account,
)
from wavebreak.features.shared_state import is_enforced, is_young
from wavebreak.features.values import SIZE, compute_features
from wavebreak.features.window_counters import count_event
from wavebreak.features.windows import ring_total
from wavebreak.outcomes import CHALLENGE, LIMIT, OUTCOMES, RESTRICT
from wavebreak.schema import event_kinds
from wavebreak.schema.events import UNDETERMINED

CHATS, ANSWERS, SHARED, RARE_KINDS, PLAIN = (
    event_kinds.kinds_that_update(update)
    for update in (
        event_kinds.Update.CHAT,
        event_kinds.Update.ANSWER,
        event_kinds.Update.SHARED,
        event_kinds.Update.RARE,
        event_kinds.Update.PLAIN,
    )
)
REACHING = tuple(
    event_kinds.KINDS.index(row.counterpart)
    for row in event_kinds.EVENT_KINDS
    if row.counterpart and event_kinds.FACTS[event_kinds.KINDS.index(row.counterpart)].bars
)
"""What enforcement on who acts keeps from the counterpart."""

_count_group_send = count_event("group_send")
_count_group_created = count_event("group_created")
_count_member_left = count_event("member_left")
_count_lookup = count_event("lookup")
_count_lookup_hit = count_event("lookup_hit")
_count_undeliverable = count_event("undeliverable")
_count_mass_mention = count_event("mass_mention")
_count_mentioned = count_event("mentioned")
_count_trap_contact = count_event("trap_contact")


NOTICE_S = 7_200
"""By then whoever is limited has been notified: the longest delay of a notice (actions.toml)."""


@compiled()
def is_refused(w: Any, sh: Any, row: Any, ev: Any, kind: int, local: int, now: int) -> bool:
    """Whether enforcement on the actor refuses this event; counted when it does."""
    opens, own, first = np.int64(0), np.int64(0), False
    # A stranger who was asked or attempted before keeps the place that it has.
    newest = np.int64(row.clock) // 5760
    held: Any = False
    if kind in (
        event_kinds.SENT,
        event_kinds.REQUESTED,
        event_kinds.CALLED,
        event_kinds.MEMBER_ADDED,
    ):
        value = message_updates.pair_value(sh, local, ev.peer, now)
        flags = flags_of(value)
        held = (flags & layout.STRANGER) != 0 and int64(first_bucket(value)) > newest - 16
    if kind in (event_kinds.SENT, event_kinds.REQUESTED, event_kinds.CALLED):
        friend = (flags & layout.CONTACT) != 0 or (ev.flags & layout.IN_CONTACTS) != 0
        opens = np.int64((flags & (layout.WROTE | layout.REPLIED)) == 0 and not friend)
        own = np.int64(opens == 1 and held)
        first = (flags & (layout.WROTE | layout.REPLIED | layout.STARTED)) == 0
    elif kind == event_kinds.MEMBER_ADDED:
        opens = np.int64(
            (flags & (layout.WROTE | layout.REPLIED | layout.CONTACT | layout.ADDED)) == 0
        )
        own = np.int64(held)
    elif kind == event_kinds.SENT_GROUP:
        opens = np.int64((ev.flags & layout.MENTIONS_MANY) != 0)
    message_updates.advance_windows(row)
    taken: Any = max(ring_total(row.unanswered_strangers_1d) - own, 0)
    # Who is asked for contact by the invitation takes no second place by being added.
    if kind == event_kinds.MEMBER_ADDED and not held and row.rare > 0:
        taken += ring_total(rare_row(sh, row).strangers_1d)
    if kind == event_kinds.SENT_GROUP and row.rare > 0:
        taken += ring_total(rare_row(sh, row).people_mentioned_1d)
    answer = call_int64(
        w.refuse, np.int64(row.enforcement), np.int64(kind), opens,
        np.int64((ev.flags & layout.LINKED) != 0), taken, np.int64(row.quota),
    )  # fmt: skip
    if answer == 0:
        return False
    if first:
        w.result |= layout.WITHHELD
    r = rare_row(sh, row)
    r.refused += 1
    r.answered = now + 1
    notified = r.limited > 0 and now - (np.int64(r.limited) - 1) >= NOTICE_S
    if first and notified and r.refused_peer != ev.peer + 1:
        r.refused_peer = ev.peer + 1
        r.attempts_after_notice = min(np.int64(r.attempts_after_notice) + 1, 65535)
    return True


@compiled()
def is_undelivered(w: Any, sh: Any, ev: Any, kind: int, local: int, now: int) -> bool:
    """Whether enforcement on the actor, as of the last epoch, keeps its event from this account."""
    person = memory.people_of(w)[ev.account]
    if not is_enforced(person, now):
        return False
    known = (
        message_updates.pair_flags(sh, local, ev.account, now) & (layout.WROTE | layout.REPLIED)
    ) != 0
    opens = np.int64(not known and (ev.flags & layout.IN_CONTACTS) == 0)
    zero, one = np.int64(0), np.int64(1)
    enforcement = np.int64(person.enforcement)
    return call_int64(w.refuse, enforcement, np.int64(kind), opens, zero, zero, one) > 0


@compiled()
def _apply_contact(
    w: Any, sh: Any, row: Any, ev: Any, kind: int, local: int, now: int, barred: bool
) -> None:  # fmt: skip
    """Apply a one-to-one send, a request for contact or a call."""
    if kind == event_kinds.SENT:
        opens, stranger = message_updates.update_sent(w, sh, row, ev, local, now)
    else:
        opens, stranger = message_updates.update_requested(w, sh, row, ev, local, now)
    if stranger and (ev.flags & layout.ATTEMPTED) == 0:
        if layout.RANK[row.worst] < layout.RANK[RESTRICT]:
            row.to_strangers = min(np.int64(row.to_strangers) + 1, 65535)
        if not barred:
            row.unwanted = min(np.int64(row.unwanted) + 1, 65535)
    if opens:
        w.result |= layout.OPENS
        if ev.flags & layout.TO_TRAP:
            _count_trap_contact(rare_row(sh, row), now, 1)


@compiled()
def _apply_group_send(row: Any, r: Any, ev: Any, now: int) -> None:
    row.flags = np.int64(row.flags) | layout.GROUPED
    if message_updates.update_send_statistics(row, ev, now):
        _count_group_send(r, now, 1)
        if ev.flags & layout.MENTIONS_MANY:
            _count_mass_mention(r, now, 1)
            _count_mentioned(r, now, np.int64(ev.count))


@compiled()
def _apply_rare(w: Any, sh: Any, row: Any, ev: Any, kind: int, local: int, now: int) -> None:
    """Apply account events that update the rare row."""
    r = rare_row(sh, row)
    if kind == event_kinds.SENT_GROUP:
        _apply_group_send(row, r, ev, now)
    elif kind == event_kinds.UNDELIVERABLE:
        _count_undeliverable(r, now, 1)
        message_updates.advance_windows(row)
        count_failure(sh, row, r, local, ev.peer, now)
    elif kind == event_kinds.LOOKED_UP:
        _count_lookup(r, now, np.int64(ev.count))
        _count_lookup_hit(r, now, np.int64(ev.hits))
    elif kind == event_kinds.GROUP_CREATED:
        row.flags = np.int64(row.flags) | layout.GROUPED
        r.created += 1
        _count_group_created(r, now, 1)
        shared_state.enter_group(w, ev, int64(ev.account), True)
    elif kind == event_kinds.GROUP_JOINED:
        row.flags = np.int64(row.flags) | layout.GROUPED
        shared_state.enter_group(w, ev, int64(ev.account), True)
    elif kind == event_kinds.MEMBER_LEFT:
        _count_member_left(r, now, 1)
        count_leaving(sh, r, local, ev.account, now)
    elif kind == event_kinds.DECLARED:
        r.lane = ev.lane
        if ev.group > 0 or ev.lane == 0:
            memory.contribute(w, layout.IN_ORGANISATION, int64(ev.account), int64(ev.group))


@compiled()
def _apply_unblock(sh: Any, local: int, peer: int) -> None:
    pairs = memory.pairs_of(sh)
    at = find(pairs, sh.pair_capacity, salts_of(sh), local, peer)
    if at >= 0:
        value = pairs[at].value
        flags = flags_of(value) & ~layout.BLOCKED
        pairs[at].value = with_flags(value, flags)


@compiled()
def _apply_plain(w: Any, sh: Any, row: Any, ev: Any, kind: int, local: int, now: int) -> None:
    """Apply account events that update only the row or the pair."""
    if kind == event_kinds.TYPING:
        row.typing_at = ev.ts + 1
        row.typing_peer = ev.peer
    elif kind == event_kinds.DELIVERED:
        row.delivered += 1
    elif kind == event_kinds.READ_BY:
        row.read_by += 1
    elif kind == event_kinds.READ:
        row.reads += 1
    elif kind in (event_kinds.ADDED_AS_CONTACT, event_kinds.REMOVED_AS_CONTACT):
        set_contact_tie(sh, local, ev.account, now, kind == event_kinds.ADDED_AS_CONTACT)
    elif kind == event_kinds.UNBLOCKED_BY:
        _apply_unblock(sh, local, ev.account)
    elif kind == event_kinds.ADDED_TO_GROUP:
        row.flags = np.int64(row.flags) | layout.GROUPED
        shared_state.enter_group(w, ev, int64(ev.peer), False)
    elif kind == event_kinds.DELETE:
        row.flags = np.int64(row.flags) | layout.DELETED


@compiled()
def apply_event(
    w: Any, sh: Any, row: Any, ev: Any, kind: int, local: int, now: int, barred: bool
) -> bool:
    """Update an account's state. True when the event ends or sets enforcement on the account."""
    if kind in CHATS:
        _apply_contact(w, sh, row, ev, kind, local, now, barred)
    elif kind in ANSWERS:
        if message_updates.update_received(w, sh, row, ev, kind, local, now):
            message_updates.credit_entities(w, row)
    elif kind == event_kinds.LABELLED:
        return _apply_label(w, row, rare_row(sh, row), ev)
    elif kind == event_kinds.CHALLENGE_PASSED:
        return _pass_challenge(sh, row)
    elif kind in SHARED:
        _apply_shared(w, sh, row, ev, kind, local, now)
    elif kind in RARE_KINDS:
        _apply_rare(w, sh, row, ev, kind, local, now)
    elif kind in PLAIN:
        _apply_plain(w, sh, row, ev, kind, local, now)
    return False


@compiled()
def _apply_label(w: Any, row: Any, r: Any, ev: Any) -> bool:
    """Apply a person's label, and note anybody else's. True where it ends or sets an outcome."""
    if ev.flags & layout.BY_OTHERS:
        note_label_by_others(r, ev)
        return False
    return apply_label(w, row, r, ev)


@compiled()
def _pass_challenge(sh: Any, row: Any) -> bool:
    """Apply a passed challenge: it ends a challenge, and raises what a limit on doubt leaves."""
    if row.enforcement != CHALLENGE and (
        row.enforcement != LIMIT or not row.flags & layout.ON_DOUBT
    ):
        return False
    r = rare_row(sh, row)
    r.challenges_passed = min(np.int64(r.challenges_passed) + 1, 255)
    return True


@compiled()
def _apply_shared(w: Any, sh: Any, row: Any, ev: Any, kind: int, local: int, now: int) -> None:
    """Apply account events other than messages that contribute to the shared state."""
    if kind == event_kinds.REGISTERED:
        update_registration(w, row, ev, now)
    elif kind == event_kinds.SESSION:
        update_session(w, row, ev, now)
    elif kind == event_kinds.MEMBER_ADDED:
        update_member_added(w, sh, row, ev, local, now)
    elif kind == event_kinds.GROUP_LEFT:
        memory.contribute(w, layout.LEFT_GROUP, int64(ev.account), int64(ev.group))
    elif kind == event_kinds.REPORTED:
        update_report_made(w, sh, row, ev, local, now)
    elif kind == event_kinds.DECLINED_BY:
        update_declined(w, sh, row, ev, local, now)
    elif kind == event_kinds.CALL_ENDED:
        update_call_ended(w, sh, row, ev, local, now)
    else:
        update_complaint(
            w, sh, row, rare_row(sh, row), ev, local, now, kind == event_kinds.BLOCKED_BY
        )


RAISE = 8
"""New chats a day that the first challenge passed under a limit on doubt adds to its allowance;
each further one adds half of that, at least two."""
DELTAS_A_FACT = 40
"""Most contributions of one account event (label 4 + 4 + 5, decision three more, registration 13,
first contact 11)."""
NO_CHANGE = 255
N_OUTCOMES, REVIEW = len(OUTCOMES), layout.STAGES.index("review")
LAST_SECOND = 0xFFFFFFFF
"""The latest end of an outcome (s)."""


@compiled()
def _begin_grace(w: Any, sh: Any, row: Any) -> bool:
    """Note what expired; whether a grace period begins, where a person had eased an outcome.

    It is counted from the end of what was in force last. Rules on the impossible may fire.
    """
    if row.rare == 0:
        return False
    r = memory.rares_of(sh)[np.int64(row.rare) - 1]
    if eased_outcome(r) == 0:
        return False
    ends = min(np.int64(row.until) + w.benign_grace_s, LAST_SECOND)
    if row.enforcement == 0 or row.clock >= ends:
        note_eased_outcome(r, int64(0))
        return False
    row.until = ends
    row.enforcement = 0
    row.quota = 0
    row.fired &= ~w.impossible
    return True


@compiled()
def expire_enforcement(w: Any, sh: Any, row: Any) -> None:
    """End enforcement that has expired at the account's clock."""
    if row.until > 0 and row.clock >= row.until and not _begin_grace(w, sh, row):
        row.until = 0
        row.enforcement = 0
        row.quota = 0
        row.fired &= w.keep
        row.flags = np.int64(row.flags) & ~(layout.SCORED << layout.SCORED_AT)


@compiled()
def _record_hit(
    w: Any, row: Any, position: int, at: int, account: int, role: int, kind: int, mask: int,
    outcome: int, rule: int, level: int,
) -> None:  # fmt: skip
    h = memory.hits_of(w)[w.hits_n]
    w.hits_n += 1
    h.position = position
    h.ts = at
    h.hits = mask
    h.until = row.until
    h.account = account
    h.role = role
    h.kind = kind
    h.outcome = outcome
    h.rule = rule
    h.stage = _decision_stage(w, row, rule, kind)
    h.level = level
    h.step = w.step
    h.quota = row.quota
    h.score = last_margin(row)
    values = memory.values_of(w, SIZE)
    for j in range(SIZE):
        h.values[j] = values[j]


@compiled()
def _publish_enforcement(w: Any, row: Any, account: int) -> None:
    memory.contribute(w, layout.ENFORCEMENT, account, np.int64(row.enforcement))
    memory.contribute(w, layout.UNTIL, account, np.int64(row.until))


@compiled()
def _ease_enforcement(w: Any, sh: Any, row: Any, account: int, kind: int, at: int) -> int:
    """Ease enforcement after a passed challenge or a label `benign`; return the outcome in force.

    A label and a passed challenge end it, with a grace period; a challenge that is passed under a
    limit raises the allowance until the limit ends. Where a person had eased what was in force,
    the grace period after a passed challenge is that of a label. That of a label begins at its own
    date `at` (s), where that is ahead of the log's time.
    """
    now = np.int64(row.clock)
    r = rare_row(sh, row)
    passes = int64(r.challenges_passed) - 1
    if kind != event_kinds.LABELLED and row.enforcement == LIMIT:
        raised = max(int64(RAISE) >> min(passes, int64(3)), 2)
        row.quota = min(np.int64(row.quota) + raised, layout.HELD - 1)
        row.flags = np.int64(row.flags) & ~layout.ON_DOUBT
        return LIMIT
    row.enforcement = 0
    row.quota = 0
    if kind == event_kinds.LABELLED:
        # All but the registration rules, which `registration_suspicions` counts.
        row.fired = ~w.registration
        row.flags = np.int64(row.flags) | layout.SCORED << layout.SCORED_AT
        row.until = min(max(now, at) + w.benign_grace_s, LAST_SECOND)
    elif eased_outcome(r) > 0:
        row.until = now + max(w.grace_s, w.benign_grace_s)
    else:
        row.until = now + w.grace_s
    if kind != event_kinds.LABELLED:
        # Rules on the impossible judge new acts.
        row.fired &= ~w.impossible
    _publish_enforcement(w, row, account)
    return int64(0)


@compiled()
def _rest_rules(w: Any, sh: Any, row: Any) -> None:
    """Let the rules rest whose evidence a person has seen, who chose an outcome.

    Those that had fired, and those whose conditions hold now on any kind of account event, though
    none has come yet. Rules on the impossible may fire again: they judge new acts.
    """
    message_updates.advance_windows(row)
    compute_features(w, sh, row)
    holding = call_int64(w.rules, w.values, int64(-1)) & w.enabled & w.enforced & ~w.registration
    row.fired = (np.int64(row.fired) | holding) & ~w.impossible


@compiled()
def _note_outcome(row: Any, r: Any, outcome: int, position: int, at: int) -> None:
    """Note an outcome that a person set: no strike, and no answer to acts unless it is severer."""
    if (
        layout.RANK[outcome] > layout.RANK[row.enforcement]
        and layout.RANK[outcome] >= layout.RANK[CHALLENGE]
    ):
        r.answered = np.int64(row.clock) + 1
    r.met |= (
        layout.MET_CHALLENGE
        if outcome == CHALLENGE
        else (layout.MET_LIMIT if outcome == LIMIT else 0)
    )
    if layout.RANK[outcome] > layout.RANK[row.worst]:
        row.worst = outcome
    if layout.RANK[outcome] >= layout.RANK[RESTRICT]:
        _note_action(r, np.int64(REVIEW), position, at)


@compiled()
def _set_outcome(w: Any, sh: Any, row: Any, ev: Any, position: int, account: int) -> int:
    """Put the outcome that a person chose in place of the one in force; return it.

    It lasts for the hold given, counted from the event's time, or until somebody ends it, and the
    rules whose evidence is there rest as long. Where it is milder than what was in force, they rest
    until the grace period of a label `benign` has passed after its end (`allow`: from now); on
    after a severer one too, unless it is as severe as what a person had eased: then that is
    restored, with what may follow. `allow` where nothing is in force leaves all as it is. Later
    decisions replace an outcome only by what is severer, with an end of its own.
    """
    r = rare_row(sh, row)
    outcome, before = int64(ev.outcome), int64(row.enforcement)
    eased = int64(eased_outcome(r))
    if layout.RANK[before] > layout.RANK[eased]:
        eased = before
    if outcome > 0 or before > 0:
        _rest_rules(w, sh, row)
    if layout.RANK[outcome] >= layout.RANK[eased]:
        eased = int64(0)
    note_eased_outcome(r, eased)
    r.spare |= layout.BY_PERSON
    if outcome == 0 and before == 0:
        return outcome
    _note_outcome(row, r, outcome, position, ev.ts)
    row.enforcement = outcome
    row.quota = w.new_chats_1d if outcome == LIMIT else 0
    row.flags = np.int64(row.flags) & ~layout.ON_DOUBT
    if outcome == 0:
        said = max(np.int64(row.clock), ev.ts // 1000)
        row.until = min(said + w.benign_grace_s, LAST_SECOND)
    else:
        row.until = min(ev.ts // 1000 + np.int64(ev.size), LAST_SECOND) if ev.size > 0 else 0
    _publish_enforcement(w, row, account)
    return outcome


@compiled()
def _decision_stage(w: Any, row: Any, rule: int, kind: int) -> int:
    """Stage of a decision (code in STAGES): its rule's, or for a score by the account's history."""
    if rule == layout.BY_SCORE:
        if kind in (event_kinds.REPORTED_BY, event_kinds.BLOCKED_BY):
            return 2
        return (
            0
            if row.sends == 0
            and kind in (event_kinds.REGISTERED, event_kinds.SESSION, event_kinds.EPOCH)
            else 1
        )
    if rule == layout.NO_RULE:
        return 3
    return 0 if (w.registration >> rule) & 1 else (1 if (w.messaging >> rule) & 1 else 2)


@compiled()
def _count_strike(row: Any, r: Any, stage: int, position: int, at: int) -> None:
    """Count a restriction or worse as a strike.

    It says nothing of the account's network, block or device, nor of those who reported it: what we
    did is no evidence, or one false restriction would lead to the next.
    """
    row.strikes = min(np.int64(row.strikes) + 1, 255)
    _note_action(r, stage, position, at)


@compiled()
def _note_action(r: Any, stage: int, position: int, at: int) -> None:
    """Note the first restriction or worse, and what was reported before it."""
    if r.action_at == 0:
        r.action_at = at + 1
        r.action_position = position
        r.action_stage = stage
        r.reports_before = r.reports
        r.reported_before = r.reported


@compiled()
def _end_beside_person(row: Any, r: Any, outcome: int, until: int) -> int:
    """End of a decision: a narrower limit does not end before the limit that a person set."""
    if outcome != LIMIT or row.enforcement != LIMIT or not r.spare & layout.BY_PERSON:
        r.spare = np.int64(r.spare) & ~layout.BY_PERSON
        return until
    return int64(0) if row.until == 0 else max(until, int64(row.until))


@compiled()
def _enforce(
    w: Any, sh: Any, row: Any, answer: int, kind: int, position: int, at: int, account: int
) -> None:
    """Put a decision into force: outcome, end, effect on shared state."""
    outcome = answer & 255
    until = (answer >> 16) & 0xFFFFFFFF
    if layout.RANK[outcome] >= layout.RANK[CHALLENGE]:
        until = _end_beside_person(row, rare_row(sh, row), outcome, until)
    row.enforcement = outcome
    row.quota = (answer >> 48) & 255
    on_doubt = layout.ON_DOUBT if (answer >> 56) & 1 else np.int64(0)
    row.flags = (np.int64(row.flags) & ~layout.ON_DOUBT) | on_doubt
    row.until = until
    if layout.RANK[outcome] > layout.RANK[row.worst]:
        row.worst = outcome
    if layout.RANK[outcome] >= layout.RANK[CHALLENGE]:
        r = rare_row(sh, row)
        r.answered = np.int64(row.clock) + 1
        if r.limited == 0 and layout.RANK[outcome] >= layout.RANK[LIMIT]:
            r.limited = np.int64(row.clock) + 1
        r.met |= (
            layout.MET_CHALLENGE
            if outcome == CHALLENGE
            else (layout.MET_LIMIT if outcome == LIMIT else 0)
        )
        if outcome == CHALLENGE and row.quota == layout.HELD:
            memory.contribute(w, layout.TAKEN, account, 1)
        if layout.RANK[outcome] >= layout.RANK[RESTRICT]:
            _count_strike(row, r, _decision_stage(w, row, (answer >> 8) & 255, kind), position, at)
    _publish_enforcement(w, row, account)


@compiled(inline="always")
def _may_fire(w: Any, sh: Any, row: Any, account: int, kind: int) -> bool:
    """Whether a rule may newly fire, by the prefilter; if not, no feature is computed."""
    message_updates.advance_windows(row)
    at = sh.rows + (account >> layout.SHARD_BITS) * memory.ROW_BYTES
    rare_at = sh.rares + (np.int64(row.rare) - 1) * memory.RARE_BYTES
    may = call_int64(w.guard, at, rare_at, np.int64(1) << kind)
    return bool((may & w.enabled & ~row.fired) != 0)


@compiled()
def _score_outcome(w: Any, row: Any, fired: int) -> int:
    """Outcome that the account's score newly asks for; 0 where it asks for nothing new."""
    if (w.spared >> np.int64(row.channel)) & 1:
        return int64(0)
    silent = int64(row.started == 0)
    level = call_int64(w.weigh, w.policy, np.int64(row.score), fired, silent)
    flags = np.int64(row.flags)
    asked = (flags >> layout.SCORED_AT) & layout.SCORED
    if asked == layout.SCORED or layout.RANK[level] <= layout.RANK[layout.LEVEL_CODE[asked]]:
        return int64(0)
    row.flags = (flags & ~(layout.SCORED << layout.SCORED_AT)) | layout.LEVEL_PLACE[
        level
    ] << layout.SCORED_AT
    return level


@compiled()
def evaluate_account(
    w: Any, sh: Any, row: Any, position: int, at: int, account: int, role: int, kind: int,
    point: bool,
) -> None:  # fmt: skip
    """Evaluate the rules, and the model at a scoring point; decide and enforce if either asks."""
    if not point and not _may_fire(w, sh, row, account, kind):
        return
    compute_features(w, sh, row)
    if point:
        if w.score > 0:
            score_account(w, row, kind)
        if w.record:
            record_point(w, row, position, at, account, role, kind)
    mask = call_int64(w.rules, w.values, np.int64(1) << kind)
    new = mask & w.enabled & ~row.fired
    level = _score_outcome(w, row, row.fired | new) if point and w.weigh > 0 else np.int64(0)
    if new == 0 and level == 0:
        return
    row.fired |= new
    outcome, rule = NO_CHANGE, layout.NO_RULE
    if new & w.enforced or level > 0:
        # An account that has just registered has no history that a takeover could abuse.
        past = np.int64(0) if is_young(row) else row.fired & w.enforced
        answer = call_int64(
            w.decide, w.policy, new & w.enforced, level, past, np.int64(row.enforcement),
            np.int64(row.until), np.int64(row.strikes), max(np.int64(row.clock), at // 1000),
            np.int64(row.quota),
        )  # fmt: skip
        if answer >= 0:
            outcome, rule = answer & 255, (answer >> 8) & 255
            _enforce(w, sh, row, answer, kind, position, at, account)
    _record_hit(w, row, position, at, account, role, kind, new, outcome, rule, level)


@compiled()
def _mark_touched(w: Any, row: Any, account: int, position: int, role: int, kind: int) -> None:
    """Mark an account for the epoch's close, if it may have a network, block or device.

    In a census, whoever acts is marked too.
    """
    row.newest = (position - w.first) * 2 + role
    marked = (row.flags & layout.PLACED) != 0 or kind in (
        event_kinds.REGISTERED,
        event_kinds.SESSION,
    )
    marked |= w.census > 0 and role == 0
    if marked and row.touched != w.epoch + 1:
        row.touched = w.epoch + 1
        memory.touched_accounts_of(w)[w.touched_n] = account
        w.touched_n += 1


@compiled(inline="always")
def _has_not_happened(w: Any, sh: Any, ev: Any, kind: int, local: int, now: int) -> bool:
    """Whether nothing happened to the account: who acts was kept from it, or from the attempt.

    An attempt is an act of the account's own, but for what speaks for it: a challenge passed, a
    call that was taken, a declaration.
    """
    if kind in (
        event_kinds.CHALLENGE_PASSED,
        event_kinds.LABELLED,
        event_kinds.CALL_ENDED,
        event_kinds.DECLARED,
    ):
        return bool((ev.flags & layout.ATTEMPTED) != 0)
    return bool(w.enforce and kind in REACHING and is_undelivered(w, sh, ev, kind, local, now))


@compiled(inline="always")
def _log_time(w: Any, kind: int, now: int) -> int:
    """Return an event's time (s): a label may be dated ahead of the log, and is kept with it."""
    return (
        int64(min(now, np.int64(w.epoch) * 60 + 59)) if kind == event_kinds.LABELLED else int64(now)
    )


@compiled()
def _note_source(w: Any, account: int, source: int) -> None:
    """Note which source reports the account's acts; one without a source counts as several."""
    sources = memory.sources_of(w)
    before = np.int64(sources[account])
    if before not in (source, layout.SEVERAL):
        sources[account] = source if before == 0 else layout.SEVERAL
    elif source == 0:
        sources[account] = layout.SEVERAL


@compiled()
def select_terms(w: Any, account: int) -> None:
    """Judge by what the source carries that reports the account's acts, from now on."""
    if w.terms_n == 0:
        return
    source = np.int64(memory.sources_of(w)[account])
    if source >= w.terms_n:
        source = np.int64(0)
    if source == w.judged_by:
        return
    terms = memory.terms_of_sources(w)[source]
    w.judged_by = source
    w.policy = terms.policy
    w.wake = terms.wake
    w.enabled = terms.enabled
    w.enforced = terms.enforced
    w.covered = terms.covered


@compiled(inline="always")
def _judge_by_source(w: Any, ev: Any, role: int, kind: int, account: int) -> None:
    """Note the source of an act, and judge the account by what its sources carry.

    A label or a declaration is the word of somebody else, whoever sends it.
    """
    if w.terms_n > 0:
        if role == 0 and kind not in (event_kinds.LABELLED, event_kinds.DECLARED):
            _note_source(w, account, np.int64(ev.source))
        select_terms(w, account)


@compiled()
def _process_event(w: Any, sh: Any, ev: Any, role: int, kind: int, position: int) -> None:
    account = np.int64(ev.account) if role == 0 else np.int64(ev.peer)
    local = account >> layout.SHARD_BITS
    now = ev.ts // 1000
    if _has_not_happened(w, sh, ev, kind, local, now):
        return
    row = memory.rows_of(sh)[local]
    _judge_by_source(w, ev, role, kind, account)
    now = _log_time(w, kind, now)
    message_updates.advance_clock(row, now)
    expire_enforcement(w, sh, row)
    if role == 0 and ev.origin > 0 and ev.origin != row.origin:
        note_origin(w, row, ev)
    _mark_touched(w, row, account, position, role, kind)
    barred = False
    if role == 0 and layout.RANK[row.enforcement] >= layout.RANK[CHALLENGE]:
        barred = is_refused(w, sh, row, ev, kind, local, now)
        if barred and (w.enforce or (ev.flags & layout.ATTEMPTED) != 0):
            w.result |= layout.BARRED
            if (w.wake >> event_kinds.REFUSED) & 1:
                evaluate_account(
                    w, sh, row, position, ev.ts, account, role, event_kinds.REFUSED, False
                )
            return
    was = progress(row, role, kind)
    if apply_event(w, sh, row, ev, kind, local, now, barred):
        if kind == event_kinds.LABELLED and ev.label == UNDETERMINED:
            if ev.outcome >= N_OUTCOMES:
                # Labels alone are withdrawn: what is in force stays.
                return
            outcome = _set_outcome(w, sh, row, ev, position, account)
        else:
            outcome = _ease_enforcement(w, sh, row, account, kind, ev.ts // 1000)
        _record_hit(w, row, position, ev.ts, account, role, kind, 0, outcome, layout.NO_RULE, 0)
        return
    point = w.scoring > 0 and is_scoring_point(sh, row, ev, role, kind, was)
    if point or (w.wake >> kind) & 1:
        evaluate_account(w, sh, row, position, ev.ts, account, role, kind, point)


@compiled(inline="always")
def has_room(w: Any, sh: Any) -> bool:
    """Whether every buffer and table has room for one more account event."""
    return bool(
        sh.pair_n + 1 < sh.pair_capacity * FULL
        and sh.rare_n + 1 < sh.rare_capacity
        and w.hits_n + 1 < w.hits_size
        and w.points_n + 1 < w.points_size
        and w.deltas_n + DELTAS_A_FACT < w.deltas_size
    )


@compiled()
def _next_shard(w: Any, turns: Any, taken: Any, offsets: Any) -> bool:
    """Whether the worker has a shard to process: the one it stopped in, or the next free one."""
    if w.at_shard < 0:
        turn = fetch_and_increment(taken.ctypes.data)
        if turn >= turns.size:
            return False
        w.at_shard = turns[turn]
        w.at_fact = offsets[w.at_shard]
    return True


@compiled()
def process_segment(
    shards: Any, w: Any, turns: Any, taken: Any, events: Any, base: int, kinds: Any, facts: Any,
    offsets: Any, results: Any,
) -> bool:  # fmt: skip
    """Process a segment's account events shard by shard; workers take shards in order of `turns`.

    `taken` (int64, one) counts the turns taken by all workers. `facts` (dtype FACT) are grouped by
    shard at `offsets`; `kinds` (256, 2) gives the kind by event type and role. What became of the
    events is written to `results` (uint8).
    Returns True when no turn is left; False when a buffer or a table must be made larger first:
    call again, it goes on at `w.at_shard` and `w.at_fact`.
    """
    w.step = 0
    while _next_shard(w, turns, taken, offsets):
        sh = shards[w.at_shard]
        end = np.int64(offsets[w.at_shard + 1])
        i = np.int64(w.at_fact)
        while i < end:
            if not has_room(w, sh):
                w.at_fact = i
                return False
            if i + 2 * memory.PREFETCH_DISTANCE < facts.size:
                memory.prefetch_facts(shards, w, events, facts, i)
            code = np.int64(facts[i].code)
            ev = events[code >> 1]
            kind = np.int64(kinds[ev.type, code & 1])
            if kind == event_kinds.SENT and (ev.flags & layout.TO_GROUP) != 0:
                kind = np.int64(event_kinds.SENT_GROUP)
            w.result = 0
            _process_event(w, sh, ev, code & 1, kind, base + np.int64(facts[i].place))
            if w.result > 0:
                results[code >> 1] = w.result
            i += 1
        w.at_shard = -1
    return True


@compiled()
def compute_values(w: Any, sh: Any, account: int) -> None:
    """Compute the features of one account into the worker's values."""
    select_terms(w, account)
    compute_features(w, sh, memory.rows_of(sh)[account >> layout.SHARD_BITS])
