"""Feature values: every feature of the catalog, computed from an account's records at its clock."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import numpy as np

from wavebreak.compiled.numba_runtime import address_as_void_pointer, carray, compiled, int64
from wavebreak.features import row_values
from wavebreak.features.account_updates import advance_rare_windows
from wavebreak.features.allowance import first_contact_allowance
from wavebreak.features.catalog import INDEX
from wavebreak.features.layout import BLAMED
from wavebreak.features.memory import covered_of, entities_of, rares_of, values_of
from wavebreak.features.message_updates import advance_windows
from wavebreak.features.row_values import NAN
from wavebreak.features.sequential_tests import (
    complaint_value,
    failure_value,
    later_value,
    leave_value,
    reaction_value,
    reply_value,
    terms_of,
)
from wavebreak.features.window_counters import read_rare_counters, read_row_counters
from wavebreak.features.windows import decay, log2, ring_total

# A type checker reads the members in an enumeration's source; these come from the catalog.
_enumeration: Any = IntEnum
At = _enumeration("At", INDEX)
"""Index of each feature in the array of values."""

REPUTATION_HALF_LIFE = 43_200
ARRIVALS_HALF_LIFE = 1_440
WEEK_HALF_LIFE = 10_080
"""In epochs of 60 s: 30 days, 1 day and 7 days."""
ONE = 65_536
PRIOR_BAD, PRIOR_ALL = 0.4, 20.0
PRIOR_ANSWERED, PRIOR_OPENED = 2.0, 4.0
SIZE = len(INDEX)

# A margin (log-odds) is a whole number of 1/65,536. In a row zero means "none yet", so the margin
# zero is stored as one; that at registration is stored in 1/1,024, from -32 to 32.
MARGIN_MAX = 2**31 - 1
COARSE_BITS, COARSE_MAX = 6, 2**15 - 1
ONE_MARGIN = 65_536.0


@compiled(inline="always")
def bounded_margin(margin: int, limit: int) -> int:
    """Return a margin as a row stores it: within the limit, and never zero.

    >>> bounded_margin(0, 99), bounded_margin(-1000, 99)
    (1, -99)
    """
    bounded = min(max(int64(margin), -limit), limit)
    return int64(1) if bounded == 0 else bounded


@compiled()
def probability(w: Any, margin: int) -> float:
    """Return the calibrated probability of a margin; NaN for "none yet".

    There is one level more than edges: the first applies below all edges.
    """
    if margin == 0 or w.score == 0:
        return NAN
    margins = carray(address_as_void_pointer(w.margins), (w.steps,), np.int64)
    chances = carray(address_as_void_pointer(w.chances), (w.steps + 1,), np.float64)
    low, high = int64(0), int64(w.steps)
    while low < high:
        middle = (low + high) // 2
        if margins[middle] <= margin:
            low = middle + 1
        else:
            high = middle
    return float(chances[low])


@compiled()
def _message_values(row: Any, out: Any) -> None:
    read_row_counters(row, out)
    out[At.first_contact_share_1d] = row_values.first_contact_share_1d(row)
    out[At.cold_share_32] = row_values.cold_share_32(row)
    out[At.started_chats] = row_values.started_chats(row)
    out[At.started_share] = row_values.started_share(row)
    out[At.reply_share_7d] = row_values.reply_share_7d(row)
    out[At.unanswered_7d] = row_values.unanswered_7d(row)
    out[At.one_way_run] = row_values.one_way_run(row)
    out[At.mutual_contacts] = row_values.mutual_contacts(row)
    out[At.inbound_chats] = row_values.inbound_chats(row)
    out[At.reciprocity] = row_values.reciprocity(row)
    out[At.abuse_target_share_32] = row_values.abuse_target_share_32(row)
    out[At.young_peer_share_32] = row_values.young_peer_share_32(row)
    out[At.colocated_young_peer_share_32] = row_values.colocated_young_peer_share_32(row)
    out[At.growth_7d] = row_values.growth_7d(row)


@compiled()
def _gap_values(row: Any, out: Any) -> None:
    now = int64(row.gap_n)
    n = now + 16 * int64(row.gap_full)
    out[At.gap_mean] = NAN
    out[At.gap_sd] = NAN
    if n >= 8:
        s, q = 0.0, 0.0
        for j in range(2):
            if (j == 0 and now > 0) or (j == 1 and row.gap_full > 0):
                s += row.gap_sum[j]
                q += row.gap_square[j]
        mean = s / n
        variance = max(q / n - mean * mean, 0.0)
        out[At.gap_mean] = mean / 256.0
        out[At.gap_sd] = np.sqrt(variance) / 256.0


@compiled()
def _typing_values(row: Any, out: Any) -> None:
    out[At.typed_share_32] = row_values.typed_share_32(row)
    out[At.size_repeat_share_32] = row_values.size_repeat_share_32(row)
    out[At.read_share] = row_values.read_share(row)
    out[At.delivered_share] = row_values.delivered_share(row)
    out[At.read_back_share] = row_values.read_back_share(row)


@compiled()
def _day_values(row: Any, out: Any) -> None:
    out[At.hour_entropy] = NAN
    if row.hour_n >= 32:
        out[At.hour_entropy] = (log2(np.int64(row.hour_n)) - row.hour_s / row.hour_n) / 256.0


@compiled()
def _reputation(entities: Any, entity: int, epoch: int, own: int) -> float:
    """Share of bad accounts on an entity, less `own` (1: the account itself is one of them)."""
    if entity == 0 or entity > entities.size:
        return NAN if entity == 0 else PRIOR_BAD / PRIOR_ALL
    e = entities[entity - 1]
    good = max(decay(e.good, e.epoch, epoch, REPUTATION_HALF_LIFE), 0) / ONE
    bad = max(decay(e.bad, e.epoch, epoch, REPUTATION_HALF_LIFE) - own * ONE, 0) / ONE
    return (bad + PRIOR_BAD) / (good + bad + PRIOR_ALL)


@compiled()
def _arrivals(entities: Any, entity: int, epoch: int) -> float:
    if entity == 0 or entity > entities.size:
        return NAN if entity == 0 else 0.0
    e = entities[entity - 1]
    return decay(e.arrivals, e.epoch, epoch, ARRIVALS_HALF_LIFE) / ONE


@compiled()
def _answered_share(entities: Any, entity: int, epoch: int) -> float:
    """Share of the first contacts made on an entity that were answered, drawn to a half."""
    if entity == 0:
        return NAN
    opened, answered = 0.0, 0.0
    if entity <= entities.size:
        e = entities[entity - 1]
        opened = decay(e.opened, e.stirred, epoch, WEEK_HALF_LIFE) / ONE
        answered = decay(e.answered, e.stirred, epoch, WEEK_HALF_LIFE) / ONE
    return min((answered + PRIOR_ANSWERED) / (opened + PRIOR_OPENED), 1.0)


@compiled()
def _cluster_values(entities: Any, entity: int, epoch: int, out: Any, at: int) -> None:
    """Activity of young accounts on an entity: registrations, cold contacts, share answered."""
    for j in range(2):
        out[at + j] = NAN if entity == 0 else 0.0
    if 0 < entity <= entities.size:
        e = entities[entity - 1]
        out[at] = decay(e.joined, e.stirred, epoch, WEEK_HALF_LIFE) / ONE
        out[at + 1] = decay(e.cold, e.stirred, epoch, ARRIVALS_HALF_LIFE) / ONE
    out[at + 2] = _answered_share(entities, entity, epoch)


@compiled()
def _all_cluster_values(entities: Any, row: Any, epoch: int, out: Any) -> None:
    _cluster_values(entities, row.network, epoch, out, At.network_young)
    _cluster_values(entities, row.block, epoch, out, At.block_young)
    _cluster_values(entities, row.device, epoch, out, At.device_young)


@compiled()
def _reputation_values(w: Any, sh: Any, row: Any, out: Any) -> None:
    """Reputation of the account's entities: what others did there, the account itself left out."""
    entities, epoch = entities_of(w), w.epoch
    own = (0, 0, 0, 0, 0)
    if row.flags & BLAMED and row.rare > 0:
        blamed = rares_of(sh)[np.int64(row.rare) - 1].blamed
        own = (
            int64(blamed[0] == row.network), int64(blamed[1] == row.block),
            int64(blamed[2] == row.device), int64(blamed[3] == row.client),
            int64(blamed[4] == row.origin),
        )  # fmt: skip
    out[At.network_bad] = _reputation(entities, row.network, epoch, own[0])
    out[At.block_bad] = _reputation(entities, row.block, epoch, own[1])
    out[At.device_bad] = _reputation(entities, row.device, epoch, own[2])
    out[At.client_bad] = _reputation(entities, row.client, epoch, own[3])
    out[At.origin_bad] = _reputation(entities, row.origin, epoch, own[4])


@compiled()
def _account_values(w: Any, row: Any, out: Any) -> None:
    entities, epoch = entities_of(w), w.epoch
    out[At.age_s] = row_values.age_s(row)
    out[At.known_s] = row_values.known_s(row)
    out[At.attempts] = row_values.attempts(row)
    out[At.attested] = row_values.attested(row)
    out[At.country_mismatch] = row_values.country_mismatch(row)
    out[At.verification_weak] = row_values.verification_weak(row)
    out[At.channel] = row_values.channel(row)
    out[At.network_arrivals] = _arrivals(entities, row.network, epoch)
    out[At.block_arrivals] = _arrivals(entities, row.block, epoch)
    out[At.device_arrivals] = _arrivals(entities, row.device, epoch)
    _all_cluster_values(entities, row, epoch, out)
    out[At.device_age_s] = row_values.device_age_s(row)
    out[At.linked_age_s] = row_values.linked_age_s(row)
    out[At.first_contacts_on_device] = row_values.first_contacts_on_device(row)
    out[At.enforcement_level] = row_values.enforcement_level(row)
    out[At.strikes] = row_values.strikes(row)
    out[At.label_abusive] = row_values.label_abusive(row)
    out[At.label_benign] = row_values.label_benign(row)
    out[At.score] = probability(w, int64(row.score))
    out[At.registration_score] = probability(w, int64(row.registration_score) << COARSE_BITS)


@compiled()
def _evidence_values(w: Any, row: Any, out: Any) -> None:
    terms = terms_of(w)
    out[At.unanswered_evidence] = reply_value(terms, row)
    out[At.complaint_evidence] = complaint_value(terms, row)
    out[At.reaction_evidence] = reaction_value(terms, row)
    out[At.later_complaint_evidence] = later_value(terms, row)
    later = max(out[At.later_complaint_evidence], out[At.complaint_evidence])
    out[At.unwanted_evidence] = max(out[At.reaction_evidence], later)
    out[At.stranger_contacts] = row_values.stranger_contacts(row)
    out[At.stranger_answers] = row_values.stranger_answers(row)
    out[At.stranger_complaints] = row_values.stranger_complaints(row)
    out[At.recipients_on_device] = row_values.recipients_on_device(row)
    out[At.operator_accounts] = row_values.operator_accounts(row)
    out[At.operator_abusive_accounts] = row_values.operator_abusive_accounts(row)
    out[At.operator_unanswered_evidence] = row_values.operator_unanswered_evidence(row)
    out[At.operator_complaint_evidence] = row_values.operator_complaint_evidence(row)


_RARELY = np.array([INDEX[name] for name in row_values.RARE_ROW_FEATURES])


@compiled()
def _clear_rare_values(out: Any) -> None:
    for j in range(_RARELY.size):
        out[_RARELY[j]] = 0.0


@compiled()
def _rare_values(r: Any, out: Any) -> None:
    read_rare_counters(r, out)
    lookups = ring_total(r.lookups_1d)
    out[At.lookup_hit_share_1d] = row_values.share(ring_total(r.hits_1d), lookups)
    failed = ring_total(r.undeliverable_7d)
    first_7d = np.int64(out[At.first_contacts_7d])
    out[At.undeliverable_share_7d] = row_values.share(failed, failed + first_7d)
    out[At.blind_reports] = row_values.blind_reports(r)
    out[At.accused_last] = row_values.accused_last(r)
    out[At.refused] = row_values.refused(r)
    out[At.label_unconfirmed] = row_values.label_unconfirmed(r)
    out[At.attempts_after_notice] = row_values.attempts_after_notice(r)
    out[At.lane] = row_values.lane(r)


@compiled()
def compute_features(w: Any, sh: Any, row: Any) -> None:
    """Fill the worker's values (float64, one a feature) for an account, at its clock.

    Shared state is read as of the last closed epoch; what the stream does not cover is NaN.
    """
    out = values_of(w, SIZE)
    advance_windows(row)
    _message_values(row, out)
    _gap_values(row, out)
    _typing_values(row, out)
    _day_values(row, out)
    _account_values(w, row, out)
    _reputation_values(w, sh, row, out)
    _evidence_values(w, row, out)
    if row.rare > 0:
        r = rares_of(sh)[np.int64(row.rare) - 1]
        advance_rare_windows(r, np.int64(row.clock))
        _rare_values(r, out)
        adds, leaves = int64(r.add_trials), int64(r.add_leaves)
        out[At.leave_evidence] = leave_value(terms_of(w), row, adds, leaves)
        out[At.undeliverable_evidence] = failure_value(terms_of(w), row, int64(r.failures))
    else:
        _clear_rare_values(out)
        out[At.leave_evidence] = leave_value(terms_of(w), row, 0, 0)
        out[At.undeliverable_evidence] = failure_value(terms_of(w), row, 0)
        out[At.lookup_hit_share_1d] = NAN
        out[At.undeliverable_share_7d] = row_values.share(0, np.int64(out[At.first_contacts_7d]))
    covered = covered_of(w, SIZE)
    out[At.first_contact_allowance_1h] = first_contact_allowance(
        w, row, int64(out[At.lane]), out[At.age_s], out[At.origin_bad],
        out[At.strangers_contacted_1h], covered[At.stranger_complaints] == 0.0,
    )  # fmt: skip
    for j in range(SIZE):
        out[j] += covered[j]
