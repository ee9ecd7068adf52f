# ruff: noqa: D103 - the catalog says what each feature is
"""Features that an account's rare row gives, one function each, for the reading and the guard.

Like `at_hand`, of a record of dtype RARE. Until the rare row is brought to the account's clock
(`living.rare_tick`) a window may hold more than it should, never less.
"""

from __future__ import annotations

from typing import Any, Final

from wavebreak.features.credibility import WEIGHT_ONE
from wavebreak.features.rings import total
from wavebreak.jit import compiled, int64

RARELY: Final = (
    "group_sends_1d", "groups_created_1h", "groups_created_1d", "members_added_1h",
    "members_added_1d", "strangers_added_1d", "left_after_add_7d", "group_joins_1d", "lurked_7d",
    "lookups_1d", "undeliverable_7d", "reports_7d", "unproven_reports_7d", "blocks_7d",
    "changes_after_answer", "refused", "challenges_failed", "challenges_lapsed", "report_weight_7d",
    "block_weight_7d", "blind_reports", "accused_last",
)  # fmt: skip
"""Names of the features here: all are 0 for an account without a rare row."""


@compiled()
def group_sends_1d(r: Any) -> int:
    return total(r.group_sends_1d)


@compiled()
def groups_created_1h(r: Any) -> int:
    return total(r.created_1h)


@compiled()
def groups_created_1d(r: Any) -> int:
    return total(r.created_1d)


@compiled()
def members_added_1h(r: Any) -> int:
    return total(r.added_1h)


@compiled()
def members_added_1d(r: Any) -> int:
    return total(r.added_1d)


@compiled()
def strangers_added_1d(r: Any) -> int:
    return total(r.strangers_1d)


@compiled()
def left_after_add_7d(r: Any) -> int:
    return total(r.left_7d)


@compiled()
def group_joins_1d(r: Any) -> int:
    return total(r.joins_1d)


@compiled()
def lurked_7d(r: Any) -> int:
    return total(r.lurked_7d)


@compiled()
def lookups_1d(r: Any) -> int:
    return total(r.lookups_1d)


@compiled()
def undeliverable_7d(r: Any) -> int:
    return total(r.undeliverable_7d)


@compiled()
def reports_7d(r: Any) -> int:
    return total(r.reports_7d)


@compiled()
def unproven_reports_7d(r: Any) -> int:
    return total(r.unproven_7d)


@compiled()
def blocks_7d(r: Any) -> int:
    return total(r.blocks_7d)


@compiled()
def changes_after_answer(r: Any) -> int:
    return int64(r.changes_after_answer)


@compiled()
def refused(r: Any) -> int:
    return int64(r.refused)


@compiled()
def challenges_failed(r: Any) -> int:
    return int64(r.challenges_failed)


@compiled(inline="always")
def challenges_lapsed(r: Any) -> int:
    return int64(r.challenges_lapsed)


@compiled()
def blind_reports(r: Any) -> int:
    return int64(r.blind)


@compiled()
def accused_last(r: Any) -> int:
    return int64(r.accused)


@compiled()
def report_weight_7d(r: Any) -> float:
    return total(r.report_weight_7d) / WEIGHT_ONE


@compiled()
def block_weight_7d(r: Any) -> float:
    return total(r.block_weight_7d) / WEIGHT_ONE
