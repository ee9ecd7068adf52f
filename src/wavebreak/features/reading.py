"""The fast formulas: every feature of the catalog, read from an account's rows at its clock."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import numpy as np

from wavebreak.features.catalog import INDEX
from wavebreak.features.jit import compiled, int64, ones
from wavebreak.features.living import rare_tick
from wavebreak.features.memory import covered_of, entities_of, rares_of, values_of
from wavebreak.features.rings import decayed, log2, part, small_total, total
from wavebreak.features.scored import COARSE_BITS, chance
from wavebreak.features.state import (
    ATTESTED,
    ATTESTED_KNOWN,
    COUNTRY_KNOWN,
    COUNTRY_MISMATCH,
    LABEL_ABUSIVE,
    LABEL_BENIGN,
    UNKNOWN,
)
from wavebreak.features.writing import hopped

# A checker looks for names in an enumeration's text; these come from the catalog.
_enumeration: Any = IntEnum
At = _enumeration("At", INDEX)
"""Where a feature stands in the array."""

REPUTATION_HALF_LIFE = 43_200
ARRIVALS_HALF_LIFE = 1_440
"""In epochs of 60 s: 30 days and 1 day."""
ONE = 65_536
PRIOR_BAD, PRIOR_ALL = 0.4, 20.0
NAN = float("nan")
SIZE = len(INDEX)


@compiled(inline="always")
def _share(some: int, of: int) -> float:
    return some / of if of > 0 else NAN


@compiled(inline="always")
def _bits(bits: int, n: int) -> float:
    return ones(int64(bits)) / n if n > 0 else NAN


@compiled()
def _volume(row: Any, out: Any) -> None:
    sends_1d, first_1d = total(row.sends_1d), total(row.first_1d)
    first_7d, replied = total(row.first_7d), total(row.replied_7d)
    out[At.sends_15s] = total(row.sends_15s)
    out[At.sends_5m] = total(row.sends_5m)
    out[At.sends_1h] = total(row.sends_1h)
    out[At.sends_1d] = sends_1d
    out[At.peers_1d] = total(row.peers_1d)
    out[At.first_contacts_1h] = total(row.first_1h)
    out[At.first_contacts_1d] = first_1d
    out[At.first_contacts_7d] = first_7d
    out[At.first_contact_share_1d] = _share(first_1d, sends_1d)
    out[At.cold_share_32] = _bits(row.cold_bits, row.cold_n)
    out[At.started_chats] = row.started
    out[At.started_share] = _share(row.started, np.int64(row.started) + np.int64(row.inbound))
    out[At.replied_7d] = replied
    out[At.reply_share_7d] = _share(replied, first_7d)
    out[At.unanswered_7d] = first_7d - replied
    out[At.one_way_run] = row.one_way_run
    out[At.mutual_contacts] = row.mutual
    out[At.inbound_chats] = row.inbound
    out[At.reciprocity] = _share(row.received, row.direct)
    out[At.hunted_share_32] = _bits(row.hunted_bits, min(np.int64(row.started), 32))
    out[At.young_peer_share_32] = _bits(row.young_bits, row.young_n)
    sends_7d = total(row.sends_7d)
    out[At.sends_7d] = sends_7d
    out[At.growth_7d] = NAN
    if np.int64(row.clock) - (np.int64(row.first_seen) - 1) >= 259_200:
        newer = part(row.sends_7d, np.int64(row.clock) // 40320, 8)
        out[At.growth_7d] = (newer + 1) / (sends_7d - newer + 1)


@compiled()
def _rhythm(row: Any, out: Any) -> None:
    now = int64(row.gap_n)
    n = now + 16 * int64(row.gap_full)
    for at in (At.gap_mean, At.gap_sd, At.gap_autocorr, At.gap_range):
        out[at] = NAN
    if n >= 8:
        s, q, lag, pairs = 0.0, 0.0, 0.0, 0
        low, high = np.int64(65535), np.int64(0)
        for j in range(2):
            if (j == 0 and now > 0) or (j == 1 and row.gap_full > 0):
                s += row.gap_sum[j]
                q += row.gap_square[j]
                lag += row.gap_lag[j]
                pairs += now - 1 if j == 0 else 15
                low = min(low, np.int64(row.gap_low[j]))
                high = max(high, np.int64(row.gap_high[j]))
        mean = s / n
        variance = max(q / n - mean * mean, 0.0)
        out[At.gap_mean] = mean / 256.0
        out[At.gap_sd] = np.sqrt(variance) / 256.0
        out[At.gap_range] = (high - low) / 256.0
        if variance >= 1.0 and pairs > 0:
            out[At.gap_autocorr] = (lag / pairs - mean * mean) / variance
    out[At.gap_equal_share] = _bits(row.equal_bits, row.equal_n) if row.equal_n >= 8 else NAN


@compiled()
def _habits(row: Any, out: Any) -> None:
    out[At.typed_share_32] = _bits(row.typed_bits, row.typed_n)
    out[At.untyped_run] = row.untyped_run
    now = np.int64(row.rate_n)
    n = now + 16 * np.int64(row.rate_full)
    out[At.typing_rate_mean] = NAN
    out[At.typing_rate_sd] = NAN
    if n >= 8:
        s, q = 0.0, 0.0
        if now > 0:
            s += row.rate_sum[0]
            q += row.rate_square[0]
        if row.rate_full > 0:
            s += row.rate_sum[1]
            q += row.rate_square[1]
        mean = s / n
        out[At.typing_rate_mean] = mean / 256.0
        out[At.typing_rate_sd] = np.sqrt(max(q / n - mean * mean, 0.0)) / 256.0
    out[At.size_repeat_share_32] = _bits(row.repeat_bits, row.repeat_n)
    out[At.media_share_32] = _bits(row.media_bits, row.media_n)
    out[At.read_share] = min(_share(row.read_by, row.direct), 1.0)
    out[At.delivered_share] = min(_share(row.delivered, row.direct), 1.0)
    out[At.read_back_share] = min(_share(row.reads, row.received), 1.0)


@compiled()
def _day(row: Any, out: Any) -> None:
    if row.hour_n < 32:
        out[At.hour_entropy] = NAN
        out[At.quiet_hours] = NAN
        return
    n = np.int64(row.hour_n)
    out[At.hour_entropy] = (log2(n) - row.hour_s / n) / 256.0
    out[At.quiet_hours] = row.quiet


@compiled()
def _bad(entities: Any, entity: int, epoch: int) -> float:
    if entity == 0 or entity > entities.size:
        return NAN if entity == 0 else PRIOR_BAD / PRIOR_ALL
    e = entities[entity - 1]
    age = epoch - e.epoch
    good = max(decayed(e.good, age, REPUTATION_HALF_LIFE), 0) / ONE
    bad = max(decayed(e.bad, age, REPUTATION_HALF_LIFE), 0) / ONE
    return (bad + PRIOR_BAD) / (good + bad + PRIOR_ALL)


@compiled()
def _arrivals(entities: Any, entity: int, epoch: int) -> float:
    if entity == 0 or entity > entities.size:
        return NAN if entity == 0 else 0.0
    e = entities[entity - 1]
    return decayed(e.arrivals, epoch - e.epoch, ARRIVALS_HALF_LIFE) / ONE


@compiled()
def _identity(w: Any, row: Any, out: Any) -> None:
    clock = np.int64(row.clock)
    entities, epoch = entities_of(w), w.epoch
    there = row.registered > 0
    out[At.age_s] = clock - (np.int64(row.registered) - 1) if there else NAN
    out[At.known_s] = clock - (np.int64(row.first_seen) - 1)
    out[At.attempts] = row.attempts if there and row.attempts > 0 else NAN
    flags = np.int64(row.flags)
    out[At.attested] = (1.0 if flags & ATTESTED else 0.0) if flags & ATTESTED_KNOWN else NAN
    out[At.country_mismatch] = (
        (1.0 if flags & COUNTRY_MISMATCH else 0.0) if flags & COUNTRY_KNOWN else NAN
    )
    out[At.verification_weak] = (
        (0.0 if row.verification == 0 else 1.0) if there and row.verification != UNKNOWN else NAN
    )
    out[At.channel] = row.channel
    out[At.registration_suspicions] = ones(row.fired & w.registration)
    out[At.network_bad] = _bad(entities, row.network, epoch)
    out[At.block_bad] = _bad(entities, row.block, epoch)
    out[At.device_bad] = _bad(entities, row.device, epoch)
    out[At.client_bad] = _bad(entities, row.client, epoch)
    out[At.network_arrivals] = _arrivals(entities, row.network, epoch)
    out[At.block_arrivals] = _arrivals(entities, row.block, epoch)
    out[At.device_arrivals] = _arrivals(entities, row.device, epoch)
    moved, linked = np.int64(row.device_changed), np.int64(row.linked)
    out[At.device_age_s] = clock - (moved - 1) if moved > 0 else NAN
    out[At.linked_age_s] = clock - (linked - 1) if linked > 0 else NAN
    out[At.first_contacts_on_device] = row.firsts_on_device if moved > 0 or linked > 0 else NAN
    out[At.device_changes] = row.device_changes
    out[At.network_changes_7d] = small_total(row.network_changes)
    out[At.standing] = row.standing
    out[At.strikes] = row.strikes
    out[At.label_abusive] = 1.0 if flags & LABEL_ABUSIVE else 0.0
    out[At.label_benign] = 1.0 if flags & LABEL_BENIGN else 0.0
    out[At.score] = chance(w, int64(row.score))
    out[At.registration_score] = chance(w, int64(row.registration_score) << COARSE_BITS)


_COUNTED_RARELY = np.array(
    [INDEX[name] for name in (
        "group_sends_1d", "changes_after_answer", "groups_created_1h",
        "groups_created_1d", "members_added_1h", "members_added_1d",
        "strangers_added_1d", "left_after_add_7d", "group_joins_1d",
        "lurked_7d", "lookups_1d", "undeliverable_7d",
        "reports_7d", "report_weight_7d", "unproven_reports_7d",
        "blocks_7d", "block_weight_7d", "refused",
        "challenges_failed",
    )]
)  # fmt: skip


@compiled()
def _no_rare(out: Any) -> None:
    for j in range(_COUNTED_RARELY.size):
        out[_COUNTED_RARELY[j]] = 0.0


@compiled()
def _rare(r: Any, out: Any) -> None:
    out[At.group_sends_1d] = total(r.group_sends_1d)
    out[At.changes_after_answer] = r.changes_after_answer
    out[At.groups_created_1h] = total(r.created_1h)
    out[At.groups_created_1d] = total(r.created_1d)
    out[At.members_added_1h] = total(r.added_1h)
    out[At.members_added_1d] = total(r.added_1d)
    out[At.strangers_added_1d] = total(r.strangers_1d)
    out[At.left_after_add_7d] = total(r.left_7d)
    out[At.left_share_7d] = min(_share(total(r.left_7d), total(r.added_7d)), 1.0)
    out[At.group_joins_1d] = total(r.joins_1d)
    out[At.lurked_7d] = total(r.lurked_7d)
    lookups = total(r.lookups_1d)
    out[At.lookups_1d] = lookups
    out[At.lookup_hit_share_1d] = _share(total(r.hits_1d), lookups)
    failed = total(r.undeliverable_7d)
    out[At.undeliverable_7d] = failed
    out[At.undeliverable_share_7d] = _share(failed, failed + np.int64(out[At.first_contacts_7d]))
    out[At.lookups_per_first_contact_1d] = _share(lookups, np.int64(out[At.first_contacts_1d]))
    out[At.reports_7d] = total(r.reports_7d)
    out[At.report_weight_7d] = total(r.report_weight_7d) / 256.0
    out[At.unproven_reports_7d] = total(r.unproven_7d)
    out[At.blocks_7d] = total(r.blocks_7d)
    out[At.block_weight_7d] = total(r.block_weight_7d) / 256.0
    out[At.refused] = r.refused
    out[At.challenges_failed] = r.challenges_failed


@compiled()
def read(w: Any, sh: Any, row: Any) -> None:
    """Fill the worker's values (float64, one a feature) for an account, at its clock.

    Shared state is read as of the last closed epoch; what the stream does not cover is NaN.
    """
    out = values_of(w, SIZE)
    hopped(row)
    _volume(row, out)
    _rhythm(row, out)
    _habits(row, out)
    _day(row, out)
    _identity(w, row, out)
    if row.rare > 0:
        r = rares_of(sh)[np.int64(row.rare) - 1]
        rare_tick(r, np.int64(row.clock))
        _rare(r, out)
    else:
        _no_rare(out)
        out[At.left_share_7d] = NAN
        out[At.lookup_hit_share_1d] = NAN
        out[At.lookups_per_first_contact_1d] = _share(0, np.int64(out[At.first_contacts_1d]))
        out[At.undeliverable_share_7d] = _share(0, np.int64(out[At.first_contacts_7d]))
    covered = covered_of(w, SIZE)
    for j in range(SIZE):
        out[j] += covered[j]
