"""Sequential tests: what recipients did, as evidence whose error rate holds at any stopping time.

Each test bets against a floor or a ceiling that honest accounts meet: at least `reply` of their
strangers answer, at most `complaint` of them block or report, and so on. Complaints are counted in
three streams: among first reactions (an answer or a complaint, whichever comes first; silence is no
reaction), after an answer, and among all strangers. The value is an e-value:
under any behaviour that meets the floor its expectation never exceeds 1, so that by Ville's
inequality of honest accounts at most one in x ever reaches x, whenever one looks and whatever the
mix of people (Ville 1939; Ramdas, Grünwald, Vovk and Shafer 2023, "Game-theoretic statistics and
safe anytime-valid inference").

A trial is a first contact with a stranger: no earlier chat, no address-book tie, and not known to
have registered within a week, since newcomers may answer each other to look liked. Everything is
counts and integers in 1/65,536 of log2, each increment rounded down, so that the bound survives the
rounding and every processor gives the same bits.

Three quarters of the bet are made at the start. The rest goes to restarts, one a fortnight at the
first trial in it: the k-th stakes 1/8k² (rounded down to a power of two), which sum to less than a
quarter, and replaces a test that has fallen below that. So an account that was honest for a year
and is then sold or taken over does not live on its credit.
"""

from __future__ import annotations

from decimal import ROUND_FLOOR, Decimal, localcontext
from functools import lru_cache
from typing import Any, Final

import numpy as np

from wavebreak.compiled.numba_runtime import (
    address_as_void_pointer,
    carray,
    compiled,
    int64,
)
from wavebreak.features.layout import BUCKETS

EARLY_REPLY, REPLY = 0.09, 0.2
COMPLAINT, COMPLAINT_OF_REACTIONS, COMPLAINT_AFTER_ANSWER = 0.04, 0.2, 0.03
LEAVE, UNDELIVERABLE = 0.12, 0.15
"""Floors and ceilings where a policy gives none: see `pack_terms`."""
ONE_BIT: Final = 65_536
BUCKET_S: Final = 5_760
"""Answers are counted by the bucket of the first contact."""
SHORT_BUCKETS: Final = 2
"""An early answer comes in the bucket of the first contact or the next: 1.6 to 3.2 hours."""
ALTERNATIVES: Final = (2, 4)
"""Reply rates bet on: the floor divided by these."""
STAKES: Final = (1, 3, 6)
"""Stakes of the bets on leaves and undeliverable messages."""
ODDS: Final = {
    "complaint": ("1.5", "3.3", "8"),
    "complaint_of_reactions": ("2.5", "6", "22"),
    "complaint_after_answer": ("3.5", "8", "22"),
}
"""Rates of complaints bet on, as multiples of the ceiling's odds: so none ever exceeds 1."""
WEIGHTS: Final = 16
"""A complaint weighs up to this: the reporter's credibility and independence."""
USUAL_WEIGHT: Final = 192
"""Weight in 1/256 of a reporter of whom nothing is known: the ceilings count such complaints, so
they weigh fully here, and nobody's weighs more."""
FORTNIGHT_S: Final = 1_209_600
MOST_RESTARTS: Final = 255
"""Fortnights in which a test may restart: ten years."""
START: Final = -27_202
"""log2(3/4) in 1/65,536, rounded down."""
MOST_LOG: Final = 60 * ONE_BIT

# Layout of the packed increments (int64): of the reply test by horizon and alternative, then by
# stake those of the others. A stream of complaints has what a trial costs (3), then what a
# complaint gains: a row of WEIGHTS + 1 for each alternative.
REPLY_ANSWER, REPLY_NONE = 0, 4
STREAM: Final = 3 + 3 * (WEIGHTS + 1)
ALL, FIRST, LATER = 8, 8 + STREAM, 8 + 2 * STREAM
"""Where a stream of complaints begins: of all strangers, first reactions, after an answer."""
LEAVE_TRIAL, LEAVE_AT = 8 + 3 * STREAM, 8 + 3 * STREAM + 3
FAILURE_TRIAL, FAILURE_AT = LEAVE_AT + 3, LEAVE_AT + 6
TERMS: Final = FAILURE_AT + 3


# Each engine that is made asks for the same hundred numbers, 0.2 ms each.
@lru_cache(1024)
def _log2_floor(x: Decimal) -> int:
    """log2(x) in 1/65,536, rounded down."""
    with localcontext() as context:
        context.prec = 40
        bits = x.ln() / Decimal(2).ln() * ONE_BIT
        return int(bits.to_integral_value(rounding=ROUND_FLOOR))


def pack_terms(
    *, early_reply: float = EARLY_REPLY, reply: float = REPLY, complaint: float = COMPLAINT,
    complaint_of_reactions: float = COMPLAINT_OF_REACTIONS,
    complaint_after_answer: float = COMPLAINT_AFTER_ANSWER, leave: float = LEAVE,
    undeliverable: float = UNDELIVERABLE,
) -> Any:  # fmt: skip
    """Return the increments of the tests (int64, shape `(TERMS,)`).

    Args:
        early_reply: Floor of the share of honest accounts' strangers who answer within 1.6 hours.
        reply: The same within 24 hours.
        complaint: Ceiling of the share of honest accounts' strangers who block or report.
        complaint_of_reactions: Ceiling of the share of complaints among first reactions.
        complaint_after_answer: Ceiling of the share of strangers who answered and complain later.
        leave: Ceiling of the share of strangers added to a group who leave it.
        undeliverable: Ceiling of the share of strangers whom the first message does not reach.

    Raises:
        ValueError: A rate is not in (0, 1), or a ceiling of leaves or failures not below 1/6.

    >>> terms = pack_terms(reply=0.3)
    >>> terms.size == TERMS, bool(terms[REPLY_ANSWER] < 0 < terms[REPLY_NONE])
    (True, True)
    """
    terms = np.zeros(TERMS, np.int64)
    for h, floor in enumerate((early_reply, reply)):
        if not 0 < floor < 1:
            raise ValueError(f"a floor of replies is {floor}: give a share between 0 and 1")
        p = Decimal(str(floor))
        for j, part in enumerate(ALTERNATIVES):
            q = p / part
            terms[REPLY_ANSWER + 2 * h + j] = _log2_floor(q / p)
            terms[REPLY_NONE + 2 * h + j] = _log2_floor((1 - q) / (1 - p))
    for at, name, rate in (
        (ALL, "complaint", complaint),
        (FIRST, "complaint_of_reactions", complaint_of_reactions),
        (LATER, "complaint_after_answer", complaint_after_answer),
    ):
        terms[at : at + STREAM] = _stream_terms(name, rate)
    for at, once, name, rate in (
        (LEAVE_TRIAL, LEAVE_AT, "leave", leave),
        (FAILURE_TRIAL, FAILURE_AT, "undeliverable", undeliverable),
    ):
        if not 0 < rate < Decimal(1) / max(STAKES):
            raise ValueError(f"{name} is {rate}: give a share above 0 and below 1/6")
        for j, stake in enumerate(STAKES):
            terms[at + j] = _log2_floor(1 - stake * Decimal(str(rate)))
            terms[once + j] = _log2_floor(Decimal(1 + stake))
    return terms


def _stream_terms(name: str, rate: float) -> list[int]:
    """Terms of one stream of complaints: `STREAM` increments.

    A bet of s on complaints multiplies by 1 + s (w - c) where c is the ceiling and w the weight of
    the complaint, 0 without one. That is 1 - s c for every trial, and (1 - s c + s w) / (1 - s c)
    more for a complaint. s is such that a complaint of weight 1 is the ratio of likelihoods.
    """
    if not 0 < rate < 1:
        raise ValueError(f"{name} is {rate}: give a share between 0 and 1")
    c, costs, gains = Decimal(str(rate)), list[int](), list[int]()
    for times in ODDS[name]:
        odds = c / (1 - c) * Decimal(times)
        bet = (odds / (1 + odds) - c) / (c * (1 - c))
        costs.append(_log2_floor(1 - bet * c))
        gains += [
            _log2_floor(1 + bet * Decimal(weight) / WEIGHTS / (1 - bet * c))
            for weight in range(WEIGHTS + 1)
        ]
    return costs + gains


def _powers() -> Any:
    with localcontext() as context:
        context.prec = 40
        return np.array([float(Decimal(2) ** (Decimal(i) / 256)) for i in range(256)])


_POWERS = _powers()
_TWOS = np.array([2.0**i for i in range(-60, 62)])
_STEPS = np.arange(4 * MOST_LOG // ONE_BIT + 1)
_QUARTERS = _POWERS[64 * (_STEPS & 3)] * _TWOS[60 + (_STEPS >> 2)]


@compiled()
def quarter_power(quarters: int) -> float:
    """2 to `quarters` / 4, at most 2^60: an e-value as a row stores it.

    >>> [quarter_power(q) for q in (0, 4, 40)]
    [1.0, 2.0, 1024.0]
    """
    value: float = _QUARTERS[min(int64(quarters), 240)]
    return value


def quarters_of(values: Any) -> Any:
    """For e-values the greatest numbers whose `quarter_power` is at most those; from 0 to 240.

    >>> quarters_of(np.array([0.3, 1.0, 1.9, 1024.0, 1e30])).tolist()
    [0, 0, 3, 40, 240]
    """
    return np.maximum(np.searchsorted(_QUARTERS, values, side="right") - 1, 0)


@compiled(inline="always")
def terms_of(w: Any) -> Any:
    """The increments of the policy in force (int64)."""
    return carray(address_as_void_pointer(w.tests), (TERMS,), np.int64)


@compiled()
def _power(bits: int) -> float:
    """2 to `bits` / 65,536, rounded down to a step of 1/256 and at most 2^60."""
    bits = min(bits, int64(MOST_LOG))
    if bits < -MOST_LOG:
        return 0.0
    power: float = _POWERS[(bits >> 8) & 255] * _TWOS[(bits >> 16) + 60]
    return power


@compiled(inline="always")
def _base(debt: int) -> int:
    """Where a test begins: at three quarters, or after a restart at 2^-debt."""
    return int64(START) if debt == 0 else -int64(debt) * ONE_BIT


@compiled()
def reply_value(terms: Any, row: Any) -> float:
    """E-value of the reply test: too few of the strangers written to have answered in time.

    Half the greater of the two horizons' values: early outcomes are known while a day's are open,
    so that the mean of both would not be bounded.
    """
    greatest = 0.0
    for h in range(2):
        n, k = int64(row.matured[h]), int64(row.answered[h])
        total = 0.0
        for j in range(2):
            at = 2 * h + j
            bits = k * terms[REPLY_ANSWER + at] + (n - k) * terms[REPLY_NONE + at]
            total += _power(_base(row.debts[0]) + bits)
        greatest = max(greatest, total / 2.0)
    return greatest / 2.0


@compiled(inline="always")
def _stream_value(terms: Any, n: int, bits: Any, debt: int, at: int) -> float:
    total = 0.0
    for j in range(3):
        total += _power(_base(debt) + n * terms[at + j] + int64(bits[j]))
    return total / 3.0


@compiled()
def complaint_value(terms: Any, row: Any) -> float:
    """E-value of the complaint test: too many of all strangers blocked or reported the account."""
    return _stream_value(terms, int64(row.trials), row.complaint_bits, row.debts[1], ALL)


@compiled()
def reaction_value(terms: Any, row: Any) -> float:
    """E-value of the test of first reactions: too many of them were complaints, no answers."""
    return _stream_value(terms, int64(row.reactions), row.reaction_bits, row.debts[4], FIRST)


@compiled()
def later_value(terms: Any, row: Any) -> float:
    """E-value of the test of later complaints: too many of those who answered complain after it."""
    return _stream_value(terms, int64(row.talks), row.later_bits, row.debts[5], LATER)


@compiled()
def greatest_complaint_value(terms: Any, row: Any) -> float:
    """The greatest of the three tests on complaints: of honest accounts at most 3/x reach x."""
    later = max(later_value(terms, row), complaint_value(terms, row))
    return max(reaction_value(terms, row), later)


@compiled()
def count_reaction(row: Any) -> None:
    """Count a stranger's first reaction to the account."""
    row.reactions = min(int64(row.reactions) + 1, 65535)


@compiled()
def count_talk(row: Any) -> None:
    """Count a stranger who answered before any complaint: a trial of later complaints."""
    row.talks = min(int64(row.talks) + 1, 65535)


@compiled(inline="always")
def _add_gain(terms: Any, bits: Any, weight: int, stream: int) -> None:
    at = stream + 3 + min(weight, int64(USUAL_WEIGHT)) * WEIGHTS // USUAL_WEIGHT
    for j in range(3):
        bits[j] += terms[at + (WEIGHTS + 1) * j]


@compiled()
def count_first_complaint(terms: Any, row: Any, weight: int) -> None:
    """Count a complaint that is a stranger's first reaction, in that stream; `weight`: in 1/256."""
    count_reaction(row)
    _add_gain(terms, row.reaction_bits, weight, FIRST)


@compiled()
def count_complaint(terms: Any, row: Any, weight: int, answered: bool) -> None:
    """Count a stranger's complaint in its streams.

    Args:
        terms: The increments.
        row: The account's record.
        weight: Of the complaint, in 1/256; USUAL_WEIGHT counts fully, and so does more.
        answered: Whether the stranger had answered before.

    """
    row.complaints = min(int64(row.complaints) + 1, 65535)
    _add_gain(terms, row.complaint_bits, weight, ALL)
    if answered:
        _add_gain(terms, row.later_bits, weight, LATER)
    else:
        count_first_complaint(terms, row, weight)


@compiled(inline="always")
def _counted_value(terms: Any, n: int, k: int, debt: int, trial: int, at: int) -> float:
    total = 0.0
    for j in range(3):
        total += _power(_base(debt) + n * terms[trial + j] + k * terms[at + j])
    return total / 3.0


@compiled()
def leave_value(terms: Any, row: Any, adds: int, leaves: int) -> float:
    """E-value of the leave test: too many strangers left the groups they were added to."""
    return _counted_value(terms, adds, leaves, int64(row.debts[2]), LEAVE_TRIAL, LEAVE_AT)


@compiled()
def failure_value(terms: Any, row: Any, failures: int) -> float:
    """E-value of the undeliverable test: too many first messages reach nobody."""
    n, debt = int64(row.contacted), int64(row.debts[3])
    return _counted_value(terms, n, failures, debt, FAILURE_TRIAL, FAILURE_AT)


@compiled()
def mature(row: Any, old: int, now: int) -> None:
    """Count the trials whose time to be answered ends between two times, before windows advance."""
    was, newest = old // BUCKET_S, now // BUCKET_S
    if was == newest:
        return
    for bucket in range(was - BUCKETS + 1, was + 1):
        n = int64(row.tried_1d[bucket & 15])
        if n == 0:
            continue
        k = int64(row.tried_answered_1d[bucket & 15])
        if was < bucket + SHORT_BUCKETS <= newest:
            _add_matured(row, 0, n, k)
        if newest - bucket >= BUCKETS:
            _add_matured(row, 1, n, k)


@compiled(inline="always")
def _add_matured(row: Any, horizon: int, n: int, k: int) -> None:
    if row.matured[horizon] + n <= 65535:
        row.matured[horizon] += n
        row.answered[horizon] += k


@compiled()
def _forget_replies(row: Any) -> None:
    for h in range(2):
        row.matured[h] = 0
        row.answered[h] = 0


@compiled()
def _forget_complaints(row: Any) -> None:
    row.trials = 0
    row.trials_answered = 0
    row.complaints = 0
    for j in range(3):
        row.complaint_bits[j] = 0


@compiled()
def _forget_reactions(row: Any) -> None:
    row.reactions = 0
    for j in range(3):
        row.reaction_bits[j] = 0


@compiled()
def _forget_talks(row: Any) -> None:
    row.talks = 0
    for j in range(3):
        row.later_bits[j] = 0


@compiled()
def clear_tests(row: Any, r: Any) -> None:
    """Forget all evidence: a person has found the account benign."""
    _forget_replies(row)
    _forget_complaints(row)
    _forget_reactions(row)
    _forget_talks(row)
    row.contacted = 0
    r.add_trials = 0
    r.add_leaves = 0
    r.failures = 0
    r.limited = 0
    r.attempts_after_notice = 0
    for j in range(r.complainers.size):
        r.complainers[j] = 0


@compiled()
def restart_bits(fortnight: int) -> int:
    """What a restart in the k-th fortnight stakes, as a power of a half: at most 1/8k².

    >>> [restart_bits(k) for k in (1, 2, 3, 26)]
    [3, 5, 7, 13]
    """
    bits = int64(3)
    while int64(1) << (bits - 3) < fortnight * fortnight:
        bits += 1
    return bits


@compiled()
def restart_tests(terms: Any, row: Any, adds: int, leaves: int, failures: int) -> int:
    """At a trial, restart the tests that have fallen below what a restart is worth, if it is due.

    Returns which counts of the rare row to forget: 1 for those of the leave test, 2 for failures.
    """
    known = int64(row.clock) - (int64(row.first_seen) - 1)
    fortnight = min(known // int64(FORTNIGHT_S), int64(MOST_RESTARTS))
    if fortnight <= row.restarts:
        return int64(0)
    row.restarts = fortnight
    debt = restart_bits(fortnight)
    least = _power(_base(debt))
    forget = int64(0)
    if reply_value(terms, row) < least:
        _forget_replies(row)
        row.debts[0] = debt
    if complaint_value(terms, row) < least:
        _forget_complaints(row)
        row.debts[1] = debt
    if reaction_value(terms, row) < least:
        _forget_reactions(row)
        row.debts[4] = debt
    if later_value(terms, row) < least:
        _forget_talks(row)
        row.debts[5] = debt
    if leave_value(terms, row, adds, leaves) < least:
        forget |= 1
        row.debts[2] = debt
    if failure_value(terms, row, failures) < least:
        forget |= 2
        row.contacted = 0
        row.debts[3] = debt
    return forget
