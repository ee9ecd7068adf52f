"""Allowance of first contacts: unanswered strangers that an account may contact within an hour.

A policy gives a row for each channel, for each declared lane, and for accounts of servers with
many abusive accounts (`[allowances]` of actions.toml). A complaint comes within the hour after a
first message, so an allowance bounds what an account does before reactions can judge it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from wavebreak.compiled.numba_runtime import (
    address_as_void_pointer,
    carray,
    compiled,
    int64,
)

DEFAULTS: Final = {
    "personal": (25, 60, 0), "business_app": (15, 60, 60), "courier": (60, 60, 0),
    "clinic": (120, 120, 0), "code_sender": (300, 300, 0), "school": (200, 200, 0),
    "reported_server": (15, 15, 0),
}  # fmt: skip
"""Rows where a policy gives none: newcomers, others, and at most so many more that are earned."""
ROWS: Final = tuple(DEFAULTS)
"""Rows of the table: channels 0 and 1, the lanes from 1 on, and reported servers."""
LANE, REPORTED_SERVER = 1, 6
"""Row before the first lane, and the last row."""
NEWCOMERS, OTHERS, EARNED = range(3)
MIN_ALLOWANCE: Final = 15
"""The rule's first condition, which is cheap: below it no allowance is computed, and none acts."""
NEWCOMER_S: Final = 7 * 86_400
REPORTED_SHARE: Final = 0.1
"""From this share of abusive accounts on, a server's accounts have the last row."""
EARNED_A_CONTACT, COST_OF_A_COMPLAINT = 0.25, 12
"""A complaint outweighs 48 strangers, twice the ceiling of evidence.toml."""


def pack_allowances(rows: Sequence[Sequence[int]]) -> Any:
    """Return the table as the kernel reads it (int64, shape `(len(ROWS), 3)`)."""
    return np.array(rows, np.int64)


@compiled()
def first_contact_allowance(
    w: Any, row: Any, lane: int, age_s: float, origin_bad: float, contacted_1h: float,
    complaints_carried: bool,
) -> float:  # fmt: skip
    """Return the allowance of an account.

    Args:
        w: The worker, which has the table's address (0: without a policy).
        row: The account's row (dtype ROW).
        lane: Its declared lane (0: none).
        age_s: Seconds since its registration, or NaN.
        origin_bad: Share of abusive accounts on its server, or NaN.
        contacted_1h: Strangers contacted within the hour.
        complaints_carried: Whether the stream carries complaints.
    """
    if w.allowances == 0 or row.channel > 1:
        return np.nan
    table = carray(address_as_void_pointer(w.allowances), (len(ROWS), 3), np.int64)
    contacts, complaints = int64(row.contacted), int64(row.complaints)
    number = int64(row.channel)
    if lane > 0 and complaints < 2 + 0.01 * contacts:
        number = LANE + lane
    elif origin_bad >= REPORTED_SHARE:
        number = int64(REPORTED_SERVER)
    allowance = float(table[number, NEWCOMERS if age_s < NEWCOMER_S else OTHERS])
    if table[number, EARNED] > 0 and complaints_carried:
        earned = EARNED_A_CONTACT * (contacts - contacted_1h) - COST_OF_A_COMPLAINT * complaints
        allowance += max(min(earned, float(table[number, EARNED])), 0.0)
    return allowance
