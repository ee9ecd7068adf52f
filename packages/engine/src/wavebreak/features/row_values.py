# ruff: noqa: D103 - the catalog says what each feature is
"""Feature values that one record gives: one function per feature, for values and the prefilter.

A function has the name of its feature, takes a row (dtype ROW) whose windows are at its clock
(`message_updates.advance_windows`) and returns a number that a float64 holds exactly, or NaN where
the feature is missing. Those in `RARE_ROW_FEATURES` take a rare row (dtype RARE); until it is at
the account's clock (`account_updates.advance_rare_windows`) a window may hold more than it should,
never less. Features that read shared state or divide blocks are in `values`.
"""

from __future__ import annotations

from typing import Any, Final

from wavebreak.compiled.numba_runtime import compiled, count_ones, int64
from wavebreak.features import layout
from wavebreak.features.sequential_tests import quarter_power
from wavebreak.features.window_counters import RARE_FEATURES, READERS
from wavebreak.features.windows import ring_part, ring_total

NAN = float("nan")
KNOWN_FOR_GROWTH_S = 259_200


@compiled()
def share(some: int, of: int) -> float:
    """`some` over `of`; missing where there is nothing to have a share of."""
    return some / of if of > 0 else NAN


@compiled()
def share_of_bits(bits: int, n: int) -> float:
    """Share of set bits among the last `n`; missing where there are none."""
    return count_ones(int64(bits)) / n if n > 0 else NAN


@compiled()
def first_contact_share_1d(row: Any) -> float:
    return share(ring_total(row.first_1d), ring_total(row.sends_1d))


@compiled()
def reply_share_7d(row: Any) -> float:
    return share(ring_total(row.replied_7d), ring_total(row.first_7d))


@compiled()
def unanswered_7d(row: Any) -> int:
    return ring_total(row.first_7d) - ring_total(row.replied_7d)


@compiled()
def growth_7d(row: Any) -> float:
    if known_s(row) < KNOWN_FOR_GROWTH_S:
        return NAN
    newer = ring_part(row.sends_7d, int64(row.clock) // 40320, 8)
    return (newer + 1) / (ring_total(row.sends_7d) - newer + 1)


@compiled()
def cold_share_32(row: Any) -> float:
    return share_of_bits(row.cold_bits, row.cold_n)


@compiled()
def abuse_target_share_32(row: Any) -> float:
    return share_of_bits(row.targeted_bits, min(int64(row.started), 32))


@compiled()
def young_peer_share_32(row: Any) -> float:
    return share_of_bits(row.young_bits, min(int64(row.started) + int64(row.inbound), 32))


@compiled()
def colocated_young_peer_share_32(row: Any) -> float:
    return share_of_bits(row.colocated_bits, min(int64(row.started) + int64(row.inbound), 32))


@compiled()
def typed_share_32(row: Any) -> float:
    return share_of_bits(row.typed_bits, row.typed_n)


@compiled()
def size_repeat_share_32(row: Any) -> float:
    return share_of_bits(row.repeat_bits, row.repeat_n)


@compiled()
def started_chats(row: Any) -> int:
    return int64(row.started)


@compiled()
def started_share(row: Any) -> float:
    return share(row.started, int64(row.started) + int64(row.inbound))


@compiled()
def one_way_run(row: Any) -> int:
    return int64(row.one_way_run)


@compiled()
def mutual_contacts(row: Any) -> int:
    return int64(row.mutual)


@compiled()
def inbound_chats(row: Any) -> int:
    return int64(row.inbound)


@compiled()
def reciprocity(row: Any) -> float:
    return share(row.received, row.direct)


@compiled()
def read_share(row: Any) -> float:
    return min(share(row.read_by, row.direct), 1.0)


@compiled()
def delivered_share(row: Any) -> float:
    return min(share(row.delivered, row.direct), 1.0)


@compiled()
def read_back_share(row: Any) -> float:
    return min(share(row.reads, row.received), 1.0)


@compiled()
def age_s(row: Any) -> float:
    return float(_since(row, int64(row.registered))) if row.registered > 0 else NAN


@compiled()
def known_s(row: Any) -> int:
    return _since(row, int64(row.first_seen))


@compiled()
def device_age_s(row: Any) -> float:
    moved = int64(row.device_changed)
    return float(_since(row, moved)) if moved > 0 else NAN


@compiled()
def linked_age_s(row: Any) -> float:
    linked = int64(row.linked)
    return float(_since(row, linked)) if linked > 0 else NAN


@compiled()
def _since(row: Any, then: int) -> int:
    """Seconds up to the account's clock from a time as rows keep it (plus one)."""
    return int64(row.clock) - (then - 1)


@compiled()
def first_contacts_on_device(row: Any) -> float:
    there = row.device_changed > 0 or row.linked > 0
    return float(row.firsts_on_device) if there else NAN


@compiled()
def attempts(row: Any) -> float:
    return float(row.attempts) if row.registered > 0 and row.attempts > 0 else NAN


@compiled()
def attested(row: Any) -> float:
    flags = int64(row.flags)
    return (1.0 if flags & layout.ATTESTED else 0.0) if flags & layout.ATTESTED_KNOWN else NAN


@compiled()
def country_mismatch(row: Any) -> float:
    flags = int64(row.flags)
    return (
        (1.0 if flags & layout.COUNTRY_MISMATCH else 0.0) if flags & layout.COUNTRY_KNOWN else NAN
    )


@compiled()
def verification_weak(row: Any) -> float:
    if row.registered == 0 or row.verification == layout.UNKNOWN:
        return NAN
    return 0.0 if row.verification == 0 else 1.0


@compiled()
def channel(row: Any) -> int:
    return int64(row.channel)


@compiled()
def enforcement_level(row: Any) -> float:
    return float(layout.SEVERITY[row.enforcement])


@compiled()
def strikes(row: Any) -> int:
    return int64(row.strikes)


@compiled()
def label_abusive(row: Any) -> float:
    return 1.0 if int64(row.flags) & layout.LABEL_ABUSIVE else 0.0


@compiled()
def label_benign(row: Any) -> float:
    return 1.0 if int64(row.flags) & layout.LABEL_BENIGN else 0.0


@compiled()
def stranger_contacts(row: Any) -> int:
    return int64(row.contacted)


@compiled()
def stranger_answers(row: Any) -> int:
    return int64(row.trials_answered)


@compiled()
def stranger_complaints(row: Any) -> int:
    return int64(row.complaints)


@compiled()
def recipients_on_device(row: Any) -> float:
    there = row.device_changed > 0 or row.linked > 0
    return float(row.recipients_on_device) if there else NAN


@compiled()
def operator_accounts(row: Any) -> int:
    return int64(row.tied)


@compiled()
def operator_abusive_accounts(row: Any) -> int:
    return int64(row.tied_found)


@compiled()
def operator_unanswered_evidence(row: Any) -> float:
    return quarter_power(int64(row.tied_unanswered))


@compiled()
def operator_complaint_evidence(row: Any) -> float:
    return quarter_power(int64(row.tied_complaints))


RARE_ROW_FEATURES: Final = (
    *RARE_FEATURES, "refused",
    "blind_reports", "accused_last", "label_unconfirmed",
    "attempts_after_notice", "lane",
)  # fmt: skip
"""Names of the features that a rare row gives: all are 0 for an account without one."""


@compiled()
def refused(r: Any) -> int:
    return int64(r.refused)


@compiled()
def attempts_after_notice(r: Any) -> int:
    return int64(r.attempts_after_notice)


@compiled()
def blind_reports(r: Any) -> int:
    return int64(r.blind)


@compiled()
def accused_last(r: Any) -> int:
    return int64(r.accused)


@compiled()
def label_unconfirmed(r: Any) -> float:
    return 1.0 if int64(r.spare) & layout.UNCONFIRMED else 0.0


@compiled()
def lane(r: Any) -> int:
    return int64(r.lane)


# A windowed feature is read by the function that its declaration makes, under its own name.
globals().update(READERS)
