"""State updates for registrations, sessions, groups, lookups and feedback."""

from __future__ import annotations

from typing import Any

import numpy as np

from wavebreak.compiled.numba_runtime import compiled, int64
from wavebreak.features import layout, message_updates, shared_state
from wavebreak.features.memory import contribute, pairs_of, people_of, rares_of
from wavebreak.features.pair_table import find, first_bucket, flags_of, salts_of, with_flags
from wavebreak.features.sequential_tests import (
    clear_tests,
    count_complaint,
    count_first_complaint,
    greatest_complaint_value,
    terms_of,
)
from wavebreak.features.window_counters import advance_rare_counters, count_event
from wavebreak.features.windows import ring_total
from wavebreak.schema.events import LABELS, SHORT_CALL_S, UNDETERMINED

ABUSIVE, BENIGN = LABELS.index("abusive"), LABELS.index("benign")
ACCUSES_AT_MOST = 3

_count_member_added = count_event("member_added")
_count_stranger_added = count_event("stranger_added")
_count_report = count_event("report")
_count_report_weight = count_event("report_weight")
_count_unproven_report = count_event("unproven_report")
_count_block = count_event("block")
_count_block_weight = count_event("block_weight")
_count_group_report = count_event("group_report")


@compiled()
def eased_outcome(r: Any) -> int:
    """Return the code of the outcome that a person has eased (0: none)."""
    marks = int64(r.spare)
    return int64((marks >> 1 & 7) | (marks >> 3 & 8))


@compiled()
def note_eased_outcome(r: Any, outcome: int) -> None:
    """Note the outcome that a person has eased (0: none any more)."""
    r.spare = (int64(r.spare) & ~layout.EASED_BITS) | (outcome & 7) << 1 | (outcome & 8) << 3


@compiled()
def advance_rare_windows(r: Any, now: int) -> None:
    """Advance a rare row's clock and windows to `now` (seconds)."""
    old = np.int64(r.clock)
    if now <= old:
        return
    r.clock = now
    advance_rare_counters(r, old, now)


@compiled()
def rare_row(sh: Any, row: Any) -> Any:
    """Return the account's rare row, created if absent, with its windows at the account's clock."""
    now = np.int64(row.clock)
    rares = rares_of(sh)
    if row.rare == 0:
        sh.rare_n += 1
        row.rare = sh.rare_n
        rares[sh.rare_n - 1].clock = now
    r = rares[np.int64(row.rare) - 1]
    advance_rare_windows(r, now)
    return r


@compiled()
def _update_channel(row: Any, ev: Any) -> None:
    """Update the row with the channel of a registration.

    The platform, whom rules spare, only by the first one of an account that has not written yet: a
    sender who is known must not become immune by one more event.
    """
    known = row.registered > 0 or row.sends > 0 or row.started > 0
    known = (
        known or (np.int64(row.flags) & layout.GROUPED) != 0 or (ev.flags & layout.ATTEMPTED) != 0
    )
    if ev.channel != layout.UNKNOWN and not (known and ev.channel == message_updates.PLATFORM):
        row.channel = ev.channel


@compiled()
def _record_places(w: Any, ev: Any) -> None:
    """Record the account's network and exact address for linking."""
    if ev.network > 0:
        contribute(w, layout.VISITED, int64(ev.account), int64(ev.network) - 1)
    if ev.address > 0:
        contribute(w, layout.ADDRESSED, int64(ev.account), int64(ev.address))


@compiled()
def _update_registration(w: Any, row: Any, ev: Any, now: int) -> None:
    """Update the row with a registration: number block, network, device, client, attestation."""
    _update_channel(row, ev)
    row.registered = now + 1
    row.attempts = min(np.int64(ev.attempts), 255)
    row.verification = ev.verification
    flags = np.int64(row.flags) | layout.REGISTERED_HERE | layout.PLACED
    if ev.flags & layout.ATTEST_KNOWN:
        flags |= layout.ATTESTED_KNOWN | (layout.ATTESTED if ev.flags & layout.ATTEST_TRUE else 0)
    if ev.flags & layout.MISMATCH_KNOWN:
        flags |= layout.COUNTRY_KNOWN | (
            layout.COUNTRY_MISMATCH if ev.flags & layout.MISMATCH else 0
        )
    row.flags = flags
    row.block = ev.block
    row.network = ev.network if ev.network > 0 else row.network
    row.device = ev.device if ev.device > 0 else row.device
    row.client = ev.client if ev.client > 0 else row.client
    shared_state.contribute_to_entities(w, row, layout.ARRIVALS, 1)
    shared_state.contribute_to_places(w, row, layout.JOINED, np.int64(ev.account) + 1)
    _record_places(w, ev)


@compiled()
def note_origin(w: Any, row: Any, ev: Any) -> None:
    """Note the remote server that the account acts from."""
    row.origin = ev.origin
    row.flags = np.int64(row.flags) | layout.PLACED


@compiled()
def _link_companion(row: Any, ev: Any, now: int) -> None:
    """Update the row with a companion's session: new where its device is, for it connects often."""
    if row.linked == 0 or (ev.device > 0 and ev.device != row.companion):
        row.linked = now + 1
        row.firsts_on_device = 0
        row.recipients_on_device = 0
    if ev.device > 0:
        row.companion = ev.device


@compiled()
def _move_network(w: Any, row: Any, ev: Any) -> None:
    """Update the row with the network of a session."""
    if row.network > 0:
        contribute(w, layout.ARRIVALS, ev.network - 1, 1)
    row.network = ev.network


@compiled()
def _move_device(w: Any, row: Any, ev: Any, now: int) -> None:
    """Update the row with the device of a session."""
    if row.device > 0:
        row.device_changed = now + 1
        row.firsts_on_device = 0
        row.recipients_on_device = 0
        contribute(w, layout.ARRIVALS, ev.device - 1, 1)
    row.device = ev.device


@compiled()
def update_session(w: Any, row: Any, ev: Any, now: int) -> None:
    """Update the row with a connection: a new network, device or linked companion."""
    before = (np.int64(row.network) << 32) | np.int64(row.device)
    _record_places(w, ev)
    if ev.network > 0 and ev.network != row.network:
        _move_network(w, row, ev)
    if ev.flags & layout.LINKED:
        _link_companion(row, ev, now)
    elif ev.device > 0 and ev.device != row.device:
        _move_device(w, row, ev, now)
    if ev.client > 0:
        row.client = ev.client
    row.flags = np.int64(row.flags) | layout.PLACED
    if before != (np.int64(row.network) << 32) | np.int64(row.device):
        shared_state.publish_places(w, row, ev.account)


@compiled()
def set_contact_tie(sh: Any, local: int, peer: int, now: int, there: bool) -> None:
    """Set or clear the flag of an address-book tie between two accounts."""
    pairs = pairs_of(sh)
    at = message_updates.touch_pair(sh, local, peer, now)
    value = pairs[at].value
    flags = flags_of(value) | layout.CONTACT if there else flags_of(value) & ~layout.CONTACT
    pairs[at].value = with_flags(value, flags)


@compiled()
def update_member_added(w: Any, sh: Any, row: Any, ev: Any, local: int, now: int) -> None:
    """Update the row with a member that the account added to a group."""
    row.flags = np.int64(row.flags) | layout.GROUPED
    r = rare_row(sh, row)
    r.added += 1
    _count_member_added(r, now, 1)
    shared_state.note_group(w, ev, int64(ev.account), False)
    pairs = pairs_of(sh)
    at = message_updates.touch_pair(sh, local, ev.peer, now)
    value = pairs[at].value
    flags = flags_of(value)
    if (flags & (layout.WROTE | layout.REPLIED | layout.CONTACT | layout.ADDED)) == 0:
        _count_stranger_added(r, now, 1)
        shared_state.record_approach(w, row, ev.peer, True)
        # One that was asked for contact is a trial already, or was none.
        none = row.trials == 65535 or r.add_trials == 65535 or (flags & layout.STARTED) != 0
        if not none and not shared_state.is_newcomer(people_of(w)[ev.peer], now):
            message_updates.advance_windows(row)
            message_updates.restart_due(w, sh, row)
            r.add_trials += 1
            message_updates.add_trial(w, row, int64(ev.account))
            flags |= layout.TRIAL
    pairs[at].value = with_flags(value, flags | layout.ADDED)


@compiled()
def count_leaving(sh: Any, r: Any, local: int, member: int, now: int) -> None:
    """Count a stranger who left the group to which the account had added it, once."""
    pairs = pairs_of(sh)
    at = find(pairs, sh.pair_capacity, salts_of(sh), local, member)
    if at < 0 or message_updates.is_expired(pairs[at].value, now):
        return
    flags = flags_of(pairs[at].value)
    if (flags & (layout.ADDED | layout.TRIAL)) == (layout.ADDED | layout.TRIAL) and (
        flags & layout.STARTED
    ) == 0:
        r.add_leaves = min(int64(r.add_leaves) + 1, int64(r.add_trials))
        pairs[at].value = with_flags(pairs[at].value, flags & ~layout.TRIAL)


@compiled()
def count_failure(sh: Any, row: Any, r: Any, local: int, peer: int, now: int) -> None:
    """Count a first contact that reached nobody, and take it out of the reply test."""
    pairs = pairs_of(sh)
    at = find(pairs, sh.pair_capacity, salts_of(sh), local, peer)
    if at < 0 or message_updates.is_expired(pairs[at].value, now):
        return
    value = pairs[at].value
    flags = flags_of(value)
    if (flags & (layout.STARTED | layout.TRIAL | layout.REPLIED)) != (
        layout.STARTED | layout.TRIAL
    ):
        return
    r.failures = min(int64(r.failures) + 1, int64(row.contacted))
    bucket = int64(first_bucket(value))
    # One whose time was up as early is counted as unanswered there.
    if bucket > int64(row.clock) // 5760 - 2 and row.tried_1d[bucket & 15] > 0:
        row.tried_1d[bucket & 15] -= 1
    pairs[at].value = with_flags(value, flags & ~layout.TRIAL)


@compiled()
def update_call_ended(w: Any, sh: Any, row: Any, ev: Any, local: int, now: int) -> None:
    """Count the end of a call that the account made: an answer, if it was longer than short."""
    pairs = pairs_of(sh)
    at = find(pairs, sh.pair_capacity, salts_of(sh), local, ev.peer)
    if at < 0 or message_updates.is_expired(pairs[at].value, now):
        return
    value, short = pairs[at].value, ev.count <= SHORT_CALL_S
    flags = flags_of(value)
    if not short and (flags & (layout.STARTED | layout.REPLIED)) == layout.STARTED:
        message_updates.count_first_answer(
            w, sh, row, int64(ev.account), int64(ev.peer), value, now
        )
        pairs[at].value = with_flags(value, flags | layout.REPLIED)
        if message_updates.becomes_established(row):
            message_updates.credit_entities(w, row)


@compiled()
def update_complaint(
    w: Any, sh: Any, row: Any, r: Any, ev: Any, local: int, now: int, block: bool
) -> None:  # fmt: skip
    """Count a report or block of the account, weighted by proof, credibility and independence.

    Of complainers who know each other, the tests count one (`note_complainer`).
    """
    mark = layout.BLOCKED if block else layout.REPORTED
    reporter = np.int64(ev.account)
    pairs = pairs_of(sh)
    at = message_updates.touch_pair(sh, local, reporter, now)
    value = pairs[at].value
    flags = flags_of(value)
    pairs[at].value = with_flags(value, flags | mark)
    counted = (flags & layout.TRIAL) != 0 and (flags & (layout.REPORTED | layout.BLOCKED)) == 0
    if not block:
        r.reports += 1
        r.reported = now + 1
    if flags & mark:
        return
    people = people_of(w)
    by = people[reporter]
    proven = (flags & (layout.WROTE | layout.STARTED | layout.ADDED)) != 0
    crowd = int64(shared_state.UNPROVEN_COUNTED) if block else ring_total(r.unproven_7d)
    kin = shared_state.registered_near(by.born, r.reporters, people)
    amount = shared_state.report_weight(
        by.confirmed, by.refuted, proven, (flags & layout.REPLIED) != 0, kin, crowd
    )
    if counted and shared_state.note_complainer(r, reporter, people):
        # What an answer says of a complaint, the streams know: it weighs nothing less here.
        full = shared_state.report_weight(by.confirmed, by.refuted, proven, False, kin, crowd)
        _count_trial_complaint(w, row, r, int64(ev.peer), full, (flags & layout.REPLIED) != 0)
    if block:
        _count_block(r, now, 1)
        _count_block_weight(r, now, amount)
        return
    _count_report(r, now, 1)
    _count_report_weight(r, now, amount)
    if not proven:
        _count_unproven_report(r, now, 1)
        if ring_total(r.group_sends_1d) == 0:
            contribute(w, layout.REFUTED, reporter, 1)
        else:
            _count_group_report(r, now, 1)
    elif row.flags & layout.LABEL_ABUSIVE:
        contribute(w, layout.CONFIRMED, reporter, 2)
    else:
        r.reporters[np.int64(r.reporter_n) & 3] = reporter + 1
        r.reporter_n += 1


@compiled()
def blame_entities(w: Any, row: Any, r: Any, account: int) -> None:
    """Lower the reputation of the account's entities and mark its last cold targets, once."""
    if row.flags & layout.BLAMED:
        return
    contribute(w, layout.FOUND, account, 1)
    row.flags = np.int64(row.flags) | layout.BLAMED
    r.blamed[0], r.blamed[1], r.blamed[2], r.blamed[3], r.blamed[4] = (
        row.network, row.block, row.device, row.client, row.origin,
    )  # fmt: skip
    shared_state.contribute_to_entities(w, row, layout.BAD, 1)
    shared_state.contribute_to_origin(w, row, layout.BAD, 1)
    for j in range(4):
        if row.targets[j] > 0:
            contribute(w, layout.HUNTED, np.int64(row.targets[j]) - 1, 1)


BLAME_FROM = 20.0
"""From this complaint evidence on an account counts against its network, block, device and client:
outside evidence alone, never an action of ours."""


@compiled()
def _count_trial_complaint(
    w: Any, row: Any, r: Any, account: int, weight: int, answered: bool
) -> None:  # fmt: skip
    """Count a complaint of a stranger written to or added, by its weight in 1/256 (1 at most)."""
    count_complaint(terms_of(w), row, weight, answered)
    _blame_on_evidence(w, row, r, account)


@compiled()
def _blame_on_evidence(w: Any, row: Any, r: Any, account: int) -> None:
    """Count an account against where it is, once complaints have become evidence."""
    if greatest_complaint_value(terms_of(w), row) >= BLAME_FROM:
        r.spare |= layout.BLAMED_BY_EVIDENCE
        blame_entities(w, row, r, account)


@compiled()
def update_declined(w: Any, sh: Any, row: Any, ev: Any, local: int, now: int) -> None:
    """Count a first contact that the other declined, once; who was not asked declines nothing.

    Who says that it does not know the account complains, as by a block. Without a reason it is half
    a complaint, among first reactions alone: of all strangers, one in ten declines an honest
    account, and their share of complaints has a ceiling far below that.
    """
    peer = int64(ev.account)
    flags = message_updates.pair_flags(sh, local, peer, now)
    if (flags & (layout.STARTED | layout.REPLIED)) != layout.STARTED:
        return
    r = rare_row(sh, row)
    if (flags & layout.TRIAL) == 0:
        return
    pairs = pairs_of(sh)
    at = find(pairs, sh.pair_capacity, salts_of(sh), local, peer)
    pairs[at].value = with_flags(pairs[at].value, flags & ~layout.TRIAL)
    if flags & (layout.REPORTED | layout.BLOCKED):
        return
    people = people_of(w)
    if not shared_state.note_complainer(r, peer, people):
        return
    by = people[peer]
    kin = shared_state.registered_near(by.born, r.reporters, people)
    weight = shared_state.report_weight(
        by.confirmed, by.refuted, True, False, kin, int64(shared_state.UNPROVEN_COUNTED)
    )
    if ev.flags & layout.OF_STRANGER:
        _count_trial_complaint(w, row, r, int64(ev.peer), weight, False)
    else:
        count_first_complaint(terms_of(w), row, weight // 2)
        _blame_on_evidence(w, row, r, int64(ev.peer))


@compiled()
def _count_blind_report(w: Any, r: Any, peer: int) -> None:
    """Count a report by an account without contacts; repeated reports of one account count once."""
    if r.blind_peer == peer + 1:
        return
    r.blind_peer = peer + 1
    r.blind = min(np.int64(r.blind) + 1, 255)
    r.accused = shared_state.recent_blind_reports(w, peer)
    if r.blind <= ACCUSES_AT_MOST:
        contribute(w, layout.ACCUSED, int64(peer), 1)


@compiled()
def update_report_made(w: Any, sh: Any, row: Any, ev: Any, local: int, now: int) -> None:
    """Count a report that the account made: unfounded unless the other opened the chat."""
    flags = flags_of(pairs_of(sh)[message_updates.touch_pair(sh, local, ev.peer, now)].value)
    if (flags & layout.REPLIED) == 0 or (flags & layout.STARTED) != 0:
        row.unfounded = min(np.int64(row.unfounded) + 1, 255)
        # One account can report without limit: only its first few reports count as approaches.
        shared_state.record_approach(w, row, ev.peer, row.unfounded <= ACCUSES_AT_MOST)
        # Refused messages are not delivered, but a log may still hold reports of their sender.
        met = row.mutual > 0 or row.inbound > 0 or (row.flags & layout.GROUPED) != 0
        if not met and not shared_state.is_enforced(people_of(w)[ev.peer], now):
            _count_blind_report(w, rare_row(sh, row), ev.peer)


@compiled()
def settle_reporters(w: Any, r: Any, table: int) -> None:
    """Credit (CONFIRMED) or debit (REFUTED) the last four reporters with proof, once each."""
    for j in range(4):
        if r.reporters[j] > 0:
            contribute(w, table, np.int64(r.reporters[j]) - 1, 2)
            r.reporters[j] = 0
    r.reporter_n = 0


@compiled()
def withdraw_blame(w: Any, row: Any, r: Any) -> None:
    """Restore the reputation of the entities that `blame_entities` lowered."""
    if row.flags & layout.BLAMED:
        for j in range(5):
            if r.blamed[j] > 0:
                contribute(w, layout.BAD, np.int64(r.blamed[j]) - 1, -1)
        row.flags = np.int64(row.flags) & ~layout.BLAMED


@compiled()
def _end_benign_grace(w: Any, row: Any) -> None:
    """End the grace period of a label `benign`, in which every rule counts as fired."""
    if row.fired | w.registration != -1:
        return
    row.fired &= w.keep
    row.flags = np.int64(row.flags) & ~(layout.SCORED << layout.SCORED_AT)
    if row.enforcement == 0:
        row.until = 0


@compiled()
def _withdraw_label(w: Any, row: Any, r: Any, account: int) -> None:
    """Withdraw earlier labels: blame that no complaint evidence shares, and what linking knows.

    What a label `benign` made the account forget stays forgotten, and reporters whom a label
    confirmed or refuted keep their record.
    """
    flags = np.int64(row.flags)
    if flags & layout.LABEL_ABUSIVE and not r.spare & layout.BLAMED_BY_EVIDENCE:
        withdraw_blame(w, row, r)
        contribute(w, layout.FOUND, account, layout.WITHDRAWN_FINDING)
    if flags & layout.LABEL_BENIGN:
        contribute(w, layout.FOUND, account, layout.WITHDRAWN_REVERSAL)
        _end_benign_grace(w, row)
    row.flags = np.int64(row.flags) & ~(layout.LABEL_ABUSIVE | layout.LABEL_BENIGN)


@compiled()
def note_label_by_others(r: Any, ev: Any) -> None:
    """Note what a source that is no person says; it ends, sets and withdraws nothing."""
    r.spare = np.int64(r.spare) & ~layout.UNCONFIRMED
    if ev.label == ABUSIVE:
        r.spare |= layout.UNCONFIRMED


@compiled()
def apply_label(w: Any, row: Any, r: Any, ev: Any) -> bool:
    """Apply a label. True for `benign` and `undetermined`, after which no rule is evaluated."""
    if ev.label == ABUSIVE:
        if not row.flags & layout.LABEL_ABUSIVE:
            # A person's word is new evidence, also in a grace period.
            row.fired &= ~w.person
        row.flags = (np.int64(row.flags) | layout.LABEL_ABUSIVE) & ~layout.LABEL_BENIGN
        blame_entities(w, row, r, int64(ev.account))
        settle_reporters(w, r, layout.CONFIRMED)
        return False
    if ev.label == UNDETERMINED:
        _withdraw_label(w, row, r, int64(ev.account))
        return True
    if ev.label != BENIGN:
        return False
    r.spare = np.int64(r.spare) & ~(
        layout.BLAMED_BY_EVIDENCE | layout.UNCONFIRMED | layout.EASED_BITS
    )
    withdraw_blame(w, row, r)
    contribute(w, layout.FOUND, int64(ev.account), -1)
    message_updates.advance_windows(row)
    clear_tests(row, r)
    row.flags = (np.int64(row.flags) | layout.LABEL_BENIGN) & ~layout.LABEL_ABUSIVE
    settle_reporters(w, r, layout.REFUTED)
    return True


@compiled()
def update_registration(w: Any, row: Any, ev: Any, now: int) -> None:
    """Update the row with a registration and publish it to the shared state."""
    _update_registration(w, row, ev, now)
    shared_state.publish_registration(w, ev.account, now)
    shared_state.publish_places(w, row, ev.account)
