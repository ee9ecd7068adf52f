"""Operators: components of accounts with their pooled evidence, and their description."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from wavebreak.compiled.numba_runtime import compiled, int64
from wavebreak.features.sequential_tests import greatest_complaint_value, reply_value
from wavebreak.languages import ENGLISH, Language
from wavebreak.linking.edges import Kind

_SUMMED: Final = 65_535
MOST_EDGES_SHOWN: Final = 400
SENTENCES: Final = {
    Kind.DEVICE: "used one device",
    Kind.BLOCK: "registered within an hour on one number block and network",
    Kind.NETWORK: "registered within an hour on one network",
    Kind.CHAIN: "were hijacked one after the other",
    Kind.SENDERS: "were on one network that hardly anybody but such senders used",
    Kind.RING: "chat with each other, in a circle of such senders",
    Kind.ADDRESS: "used one internet address that hardly anybody but such senders used",
}
"""The evidence of each kind of tie, in words."""


class Edge(msgspec.Struct, frozen=True):
    """A tie between two `accounts`: what supports it, and when it first and last was (ms)."""

    accounts: tuple[str, ...]
    weight: int
    evidence: tuple[str, ...]
    first: int
    last: int


class Operator(msgspec.Struct, frozen=True):
    """Accounts that seem to be of one operator; `victims`: a chain of hijacked accounts.

    The e-values are those of the tests over all accounts together. `edges` are the heaviest
    `MOST_EDGES_SHOWN`, of `edges_total`.
    """

    id: str
    accounts: tuple[str, ...]
    abusive: tuple[str, ...]
    victims: bool
    strangers: int
    answers: int
    complaints: int
    unanswered_evidence: float
    complaint_evidence: float
    edges: tuple[Edge, ...]
    edges_total: int


@compiled(inline="always")
def _add_bits(total: Any, bits: Any) -> None:
    """Add what complaints of one stream gain, each bet at most its room: less is never too much."""
    for j in range(3):
        total[j] = min(int64(total[j]) + int64(bits[j]), int64(0xFFFFFFFF))


@compiled()
def _add_profile(row: Any, total: Any) -> None:
    """Add the counts of an account's tests.

    A stream whose trials have no more room is left out for this account: complaints without the
    trials that they are among would be evidence that nobody gave.
    """
    for h in range(2):
        if int64(total.matured[h]) + int64(row.matured[h]) <= _SUMMED:
            total.matured[h] += row.matured[h]
            total.answered[h] += row.answered[h]
    if int64(total.trials) + int64(row.trials) <= _SUMMED:
        total.trials += row.trials
        total.trials_answered += row.trials_answered
        total.complaints = min(int64(total.complaints) + int64(row.complaints), _SUMMED)
        _add_bits(total.complaint_bits, row.complaint_bits)
    if int64(total.reactions) + int64(row.reactions) <= _SUMMED:
        total.reactions += row.reactions
        _add_bits(total.reaction_bits, row.reaction_bits)
    if int64(total.talks) + int64(row.talks) <= _SUMMED:
        total.talks += row.talks
        _add_bits(total.later_bits, row.later_bits)
    total.contacted = min(int64(total.contacted) + int64(row.contacted), _SUMMED)


@compiled()
def pool(members: Any, begins: Any, terms: Any, totals: Any, values: Any) -> None:
    """Pool the evidence of components.

    Args:
        members: Profiles of all components' accounts, one after the other (dtype PROFILE).
        begins: Where each begins, and the end (int64).
        terms: Increments of the tests.
        totals: Filled in: the sums, one row for each component (dtype ROW, zeros).
        values: Filled in: e-values of the reply test and the complaint test (float64, two each).

    """
    for c in range(begins.size - 1):
        for i in range(begins[c], begins[c + 1]):
            _add_profile(members[i], totals[c])
        values[c, 0] = reply_value(terms, totals[c])
        values[c, 1] = greatest_complaint_value(terms, totals[c])


def operator_id(account: str) -> str:
    """Return the id of an operator by the account that was first seen of it.

    >>> operator_id("a1")
    'op-5af495dddb40'
    """
    return "op-" + hashlib.sha256(b"operator\0" + account.encode()).hexdigest()[:12]


def edge_evidence(counts: Sequence[int]) -> tuple[str, ...]:
    """Return the evidence of an edge in words, by its support of each kind.

    >>> edge_evidence([1, 0, 0, 0, 0, 2, 0])
    ('used one device', 'chat with each other, in a circle of such senders')
    """
    return tuple(SENTENCES[Kind(kind)] for kind, count in enumerate(counts) if count)


def evidence_words(evidence: Sequence[str], language: Language = ENGLISH) -> str:
    """Return the evidence of an edge in a language: an operator holds it in English.

    >>> evidence_words(("used one device", "registered within an hour on one network"))
    'used one device; registered within an hour on one network'
    """
    return "; ".join(language.gettext(sentence) for sentence in evidence)
