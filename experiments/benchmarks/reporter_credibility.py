"""Who reports decides: records of reporters that settle together with what they reported.

The weight of a report is the log-odds of its reporter being right, by the live kernel's own formula
(`features/credibility.py`, with its prior and its halves). Four things differ from what the kernel
does with them, since a batch has the time, and all outcomes but those held out:

- a record counts what is not settled yet by how likely it is to be abuse, and both are found in
  turns (an iterated track record);
- a reporter who was wrong more often than right speaks for the account: the kernel's weight ends
  at zero, and at twice a stranger's and more;
- a report never vouches for itself: it is taken out of the record by which it is weighed;
- reporters who share another target are one witness: each weighs its part of one. The kernel holds
  those for one who registered within an hour of each other, which these data do not say.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from experiments.benchmarks.metrics import Floats
from wavebreak.features.shared_state import WEIGHT_ONE, credibility_log_odds, report_weight

ROUNDS = 6
RIGHT, WRONG = 3.0, 1.5
"""Reports held right and wrong before any is known, as in the live formula."""
UNKNOWN = -1


class Reports(NamedTuple):
    """One entry a report: `by` and `of` (int64, n) number accounts below `accounts`."""

    by: NDArray[np.int64]
    of: NDArray[np.int64]
    accounts: int

    def per(self, key: NDArray[np.int64], values: Any = None) -> Floats:
        """Sum (or count) what reports hold by account."""
        return np.bincount(key, values, self.accounts).astype(np.float64)


def dependent(reports: Reports) -> Floats:
    """For each report: itself and those of the same account whose reporter shares another target.

    >>> twice = Reports(np.array([0, 1, 0, 1, 2]), np.array([3, 3, 4, 4, 4]), 5)
    >>> dependent(twice).tolist()
    [2.0, 2.0, 2.0, 2.0, 1.0]
    """
    order = np.lexsort((reports.by, reports.of))
    at = np.flatnonzero(np.r_[True, np.diff(reports.of[order]) != 0])
    sizes = np.diff(np.r_[at, order.size])
    pairs = [
        np.column_stack((order[b + low], order[b + high]))
        for b, size in zip(at[sizes > 1].tolist(), sizes[sizes > 1].tolist(), strict=True)
        for low, high in (np.triu_indices(size, 1),)
    ]
    found = np.ones(order.size)
    if pairs:
        both = np.concatenate(pairs)
        keys = reports.by[both[:, 0]] * reports.accounts + reports.by[both[:, 1]]
        _, place, counts = np.unique(keys, return_inverse=True, return_counts=True)
        shared = both[(counts > 1)[place]]
        found += np.bincount(shared.ravel(), minlength=order.size)
    return found


def _odds(right: Floats, wrong: Floats) -> Floats:
    """Weigh each report (n,) by the live formula: records in whole halves."""
    trusted, incorrect = (np.rint(2 * reports).astype(np.int64) for reports in (right, wrong))
    width = int(incorrect.max(initial=0)) + 1
    records, place = np.unique(trusted * width + incorrect, return_inverse=True)
    found: Floats = np.array(
        [credibility_log_odds(*divmod(record, width)) for record in records.tolist()]
    )
    return found[place] / WEIGHT_ONE


def settled(
    reports: Reports, known: NDArray[np.int64], apart: Floats, rounds: int = ROUNDS
) -> Floats:  # fmt: skip
    """Log-odds (accounts,) that an account is abusive, by the iterated records of its reporters.

    `known` (accounts,) is 1, 0 or UNKNOWN; `apart` is `dependent(reports)`. A known account's own
    label does not enter its log-odds in the first round; later it does through its reporters'
    other targets, so fold it out to train on the result.
    """
    labelled = known != UNKNOWN
    truth = np.where(labelled, known, 0.5).astype(np.float64)
    counts = labelled.astype(np.float64)
    log_odds = np.zeros(reports.accounts)
    for _ in range(rounds + 1):
        right, wrong = truth * counts, (1 - truth) * counts
        others_right = reports.per(reports.by, right[reports.of])[reports.by] - right[reports.of]
        others_wrong = reports.per(reports.by, wrong[reports.of])[reports.by] - wrong[reports.of]
        log_odds = reports.per(reports.of, _odds(others_right, others_wrong) / apart)
        truth = np.where(labelled, known, 1 / (1 + np.exp(-np.clip(log_odds, -50, 50))))
        counts = np.ones(reports.accounts)
    return log_odds


def live(reports: Reports, known: NDArray[np.int64]) -> Floats:
    """Sum of the weights (accounts,) that the live kernel gives, were every report proven.

    Its records hold what was known beforehand: two halves for each report of a known account.
    """
    right = reports.per(reports.by, known[reports.of] == 1)
    wrong = reports.per(reports.by, known[reports.of] == 0)
    each = np.zeros(reports.accounts)
    for who in np.unique(reports.by).tolist():
        record = int(2 * right[who]), int(2 * wrong[who])
        each[who] = report_weight(*record, True, False, False, 0)
    return reports.per(reports.of, each[reports.by]) / WEIGHT_ONE


def structure(reports: Reports, known: NDArray[np.int64], apart: Floats) -> Floats:
    """Features (accounts, 12) of the reports of each account, for the trainer.

    Reports and independent ones; settled log-odds after one round and after all; mean, best and
    worst share of right reports among the reporters, and how many have a record; how busy
    reporters are (mean, most); how often their other targets are reported; own reports.
    """
    by, of, per = reports.by, reports.of, reports.per
    count = np.maximum(per(of), 1.0)
    right, wrong = per(by, known[of] == 1), per(by, known[of] == 0)
    share = ((right + RIGHT) / (right + wrong + RIGHT + WRONG))[by]
    made = per(by)
    most, least = np.zeros(reports.accounts), np.full(reports.accounts, 2.0)
    busiest = np.zeros(reports.accounts)
    np.maximum.at(most, of, share)
    np.minimum.at(least, of, share)
    np.maximum.at(busiest, of, made[by])
    elsewhere = (per(by, count[of])[by] - count[of]) / np.maximum(made[by] - 1, 1)
    return np.column_stack([
        per(of), per(of, 1 / apart), settled(reports, known, apart, 1),
        settled(reports, known, apart), per(of, share) / count, most, least,
        per(of, (right + wrong)[by] > 0), per(of, np.log1p(made[by])) / count, busiest,
        per(of, elsewhere) / count, made,
    ])  # fmt: skip
