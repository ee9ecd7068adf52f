"""The sequential tests from the plain list of an account's events."""

from __future__ import annotations

import math
from collections import Counter
from decimal import Decimal
from functools import cache
from typing import Any

from oracle.account_history import (
    BUCKET_S,
    COMES_IN,
    OPEN,
    OPENS,
    SMALL,
    YOUNG_S,
    AccountHistory,
    Fact,
    is_answer,
    is_cold,
)
from wavebreak.features.layout import FORGET_BUCKETS
from wavebreak.features.sequential_tests import pack_terms
from wavebreak.features.shared_state import COURTED_AT_MOST
from wavebreak.schema.events import REASONS

RATES = {
    "early_reply": 0.09, "reply": 0.2, "complaint": 0.04, "complaint_of_reactions": 0.2,
    "complaint_after_answer": 0.03, "leave": 0.12, "undeliverable": 0.15,
}  # fmt: skip
TWO_WEEKS = 14 * 86_400
BLAME_FROM = 20


@cache
def _terms() -> list[int]:
    return [int(term) for term in pack_terms(**RATES)]


@cache
def _power(bits: int) -> float:
    """2 to bits / 65,536, cut to a 256th of a doubling and at 2^60."""
    bits = min(bits, 60 * 65_536)
    if bits < -60 * 65_536:
        return 0.0
    return float(Decimal(2) ** (Decimal((bits >> 8) & 255) / 256)) * 2.0 ** (bits >> 16)


def _mean(bits: list[int]) -> float:
    total = 0.0
    for b in bits:
        total += _power(b)
    return total / len(bits)


class _Trial:
    """A first contact: bucket, the clock's bucket then and when it was answered, if it was."""

    def __init__(self, bucket: int, begun: int) -> None:
        self.bucket, self.begun = bucket, begun
        self.answered: int | None = None
        self.reached = True

    def outcome(self, clock: int, buckets: int) -> tuple[int, int]:
        """Whether it is counted by the bucket of the clock, and as answered."""
        if not self.reached or not self.begun < self.bucket + buckets <= clock:
            return 0, 0
        in_time = self.answered is not None and self.answered < self.bucket + buckets
        return 1, int(in_time)


class Evidence:
    """The tests of one account after all its events; `blames` are events that blamed its places."""

    def __init__(self, s: AccountHistory) -> None:
        self.s = s
        self.trials: list[_Trial] = []
        self.places: Counter[int] = Counter()
        self.firsts: list[Fact] = []
        self.contacts: list[Fact] = []
        self.answer_times: list[Fact] = []
        self.debts = [0, 0, 0, 0, 0, 0]
        self.restarts = 0
        self.blames: list[int] = []
        self._open: dict[str, _Trial] = {}
        self._marks: dict[str, set[str]] = {}
        self._touched: dict[str, int] = {}
        self._first: dict[str, int] = {}
        self.clock = self.born = s.facts[0].now
        self.complainers: list[str] = []
        self._forget()
        self._walk()
        self.clock = s.clock

    def _forget(self, tests: str = "rclfso") -> None:
        """Set the counts of some tests to none.

        Of replies, complaints, leaves, failures, first reactions (s) and later complaints (o).
        """
        if "r" in tests:
            self.settled = self._matured()
        if "c" in tests:
            self.tried = self.answers = self.complaints = 0
            self.bits = [0, 0, 0]
        if "s" in tests:
            self.reactions = 0
            self.first_bits = [0, 0, 0]
        if "o" in tests:
            self.talks = 0
            self.later_bits = [0, 0, 0]
        if "l" in tests:
            self.adds = self.leaves = 0
        if "f" in tests:
            self.contacted = self.failures = 0

    def _matured(self) -> tuple[int, ...]:
        clock = self.clock // BUCKET_S["1d"]
        sums = [0, 0, 0, 0]
        for trial in self.trials:
            for h, buckets in enumerate((2, 16)):
                n, k = trial.outcome(clock, buckets)
                sums[2 * h] += n
                sums[2 * h + 1] += k
        return tuple(sums)

    def _walk(self) -> None:
        weights = self._weights()
        for i, (fact, known) in enumerate(self.s.met):
            self.clock = max(self.clock, fact.now)
            peer = fact.peer or ""
            marks = self._fresh_marks(fact, peer)
            if fact.kind in ("reported_by", "blocked_by"):
                counts = "trial" in marks and not known & {"reported", "blocked"}
                if counts and self._is_new_voice(fact):
                    self._complaint(i, weights[i], "replied" in known)
            elif fact.kind == "declined_by":
                if "started" in known and "replied" not in known and "trial" in marks:
                    marks.discard("trial")
                    if not known & {"reported", "blocked"} and self._is_new_voice(fact):
                        self._declined(i, fact, weights[i])
            else:
                self._step(i, fact, known, peer, marks)

    def _step(self, i: int, fact: Fact, known: Any, peer: str, marks: set[str]) -> None:
        if fact.kind in OPENS:
            self._sent(i, fact, known, peer, marks)
        elif is_answer(fact, known):
            courted = self.s.shared.courted(peer, fact.epoch)
            credited = not self.is_newcomer(peer, fact) or courted <= COURTED_AT_MOST
            if "stranger" in marks and credited:
                self.answer_times.append(fact)
            self._answer(peer, marks, credited=credited, first=not known & {"reported", "blocked"})
        elif fact.kind == "member_added":
            self._added(fact, known, peer, marks)
        elif fact.kind == "member_left" and self._live(peer, fact):
            if {"added", "trial"} <= marks | known and "started" not in marks:
                self.leaves = min(self.leaves + 1, self.adds)
                marks.discard("trial")
        elif fact.kind == "undeliverable" and self._live(peer, fact):
            self._failure(known, peer, marks)
        elif fact.kind == "labelled" and fact.fields["label"] == 1:
            self._forget()
            self.complainers = []

    def _fresh_marks(self, fact: Fact, peer: str) -> set[str]:
        """Marks of a peer, forgotten like those of `AccountHistory.met`."""
        touches = fact.kind in (
            *OPENS, *COMES_IN, "added_as_contact", "removed_as_contact", "member_added",
            "reported_by", "reported", "blocked_by",
        )  # fmt: skip
        bucket = fact.now // BUCKET_S["7d"]
        if touches:
            if bucket - self._touched.get(peer, bucket) > FORGET_BUCKETS:
                self._marks[peer] = set()
            self._touched[peer] = max(bucket, self._touched.get(peer, bucket))
        return self._marks.setdefault(peer, set())

    def _live(self, peer: str, fact: Fact) -> bool:
        bucket = fact.now // BUCKET_S["7d"]
        return peer in self._touched and bucket - self._touched[peer] <= FORGET_BUCKETS

    def is_newcomer(self, peer: str, fact: Fact) -> bool:
        """Whether the peer of a fact registered within a week before it, as others read it."""
        born = self.s.shared.born(peer, fact.epoch)
        return born is not None and fact.now - born <= YOUNG_S

    def _are_related(self, i: int, fact: Fact, known: Any, peer: str) -> bool:
        """Whether a relation was there before a first contact, and an hour's bound is not met."""
        who, shared, epoch = fact.fields["account"], self.s.shared, fact.epoch
        hour = (self._in_an_hour(self.firsts), self._in_an_hour(self.contacts))
        if hour[0] - hour[1] > 100:
            return False
        if shared.share_organisation(who, peer, epoch):
            return True
        if "added" not in known and shared.share_group(who, peer, epoch):
            return True
        for third in shared.friends(peer, epoch):
            born = shared.born(third, epoch)
            settled = born is not None and fact.now - born > YOUNG_S
            close = third != who and settled and peer in shared.friends(third, epoch)
            if close and self.s.is_mutual(i, third):
                return True
        return False

    def _in_an_hour(self, facts: list[Fact]) -> int:
        newest = self.clock // BUCKET_S["1h"]
        counts = Counter(fact.now // BUCKET_S["1h"] for fact in facts)
        return sum(min(counts[b], SMALL) for b in range(newest - 15, newest + 1))

    def _sent(self, i: int, fact: Fact, known: Any, peer: str, marks: set[str]) -> None:
        if known & OPEN:
            return
        bucket, clock = fact.now // BUCKET_S["1d"], self.clock // BUCKET_S["1d"]
        marks.add("started")
        self._first[peer] = bucket
        self.firsts.append(fact)
        if not is_cold(fact, known):
            marks.discard("trial")
            return
        if not self._are_related(i, fact, known, peer):
            if bucket > clock - 16:
                self.places[bucket] = min(self.places[bucket] + 1, SMALL)
            self.contacts.append(fact)
            marks.add("stranger")
        waiting = sum(t.bucket == bucket and t.reached for t in self.trials)
        if waiting >= SMALL or self.is_newcomer(peer, fact):
            marks.discard("trial")
            return
        self._restart()
        self.trials.append(_Trial(bucket, clock))
        self._open[peer] = self.trials[-1]
        self.contacted += 1
        self.tried += "trial" not in marks
        marks.add("trial")

    def _answer(self, peer: str, marks: set[str], *, first: bool, credited: bool) -> None:
        bucket, clock = self._first[peer], self.clock // BUCKET_S["1d"]
        recent = bucket > clock - 16 and self.places[bucket] > 0
        if credited and "stranger" in marks and recent:
            self.places[bucket] -= 1
        if "trial" in marks:
            self.answers = min(self.answers + 1, self.tried)
            self.reactions += first
            self.talks += first
            self._open[peer].answered = clock

    def _added(self, fact: Fact, known: Any, peer: str, marks: set[str]) -> None:
        strange = not known & {"wrote", "replied", "contact", "added"}
        if not strange or "started" in known or self.is_newcomer(peer, fact):
            return
        self._restart()
        self.adds += 1
        self.tried += 1
        marks.add("trial")

    def _failure(self, known: Any, peer: str, marks: set[str]) -> None:
        if not {"started", "trial"} <= marks or "replied" in known:
            return
        self.failures = min(self.failures + 1, self.contacted)
        marks.discard("trial")
        trial = self._open[peer]
        if trial.bucket > self.clock // BUCKET_S["1d"] - 2:
            trial.reached = False

    def _weights(self) -> dict[int, int]:
        """Weight of each report or block, in whole 1/256."""
        before = self.s.reporters_before()
        weights = {}
        for kind in ("reported_by", "blocked_by"):
            for i, fact, _ in self.s.complaints(kind):
                weight = self.s.shared.credibility(fact.peer or "", fact.epoch)
                weight //= 4 if self.s.shared.kin(fact.peer or "", before[i], fact.epoch) else 1
                weights[i] = weight
        for i, fact in enumerate(self.s.facts):
            if fact.kind == "declined_by":
                weight = self.s.shared.credibility(fact.peer or "", fact.epoch)
                kin = self.s.shared.kin(fact.peer or "", before[i], fact.epoch)
                weights[i] = weight // 4 if kin else weight
        return weights

    def _is_new_voice(self, fact: Fact) -> bool:
        """Note a complainer; whether it knows none of the last eight."""
        who, shared = fact.peer or "", self.s.shared
        if who in self.complainers[-8:]:
            return True
        known = any(shared.acquainted(who, other, fact.epoch) for other in self.complainers[-8:])
        self.complainers.append(who)
        return not known

    def _complaint(self, number: int, weight: int, answered: bool) -> None:
        self.complaints += 1
        self.reactions += not answered
        for j in range(3):
            at = 3 + 17 * j + min(weight, 192) * 16 // 192
            self.bits[j] += _terms()[8 + at]
            if answered:
                self.later_bits[j] += _terms()[116 + at]
            else:
                self.first_bits[j] += _terms()[62 + at]
        if max(self.complaint, self.first_reactions, self.later_complaints) >= BLAME_FROM:
            self.blames.append(number)

    def _declined(self, number: int, fact: Fact, weight: int) -> None:
        """A whole complaint of who does not know the account, else a half first reaction."""
        if fact.fields.get("reason") == REASONS["contact.refused"].index("stranger"):
            self._complaint(number, weight, False)
            return
        self.reactions += 1
        for j in range(3):
            at = 3 + 17 * j + min(weight // 2, 192) * 16 // 192
            self.first_bits[j] += _terms()[62 + at]
        if max(self.complaint, self.first_reactions, self.later_complaints) >= BLAME_FROM:
            self.blames.append(number)

    def _base(self, test: int) -> int:
        return -self.debts[test] * 65_536 if self.debts[test] else -27_202

    @property
    def reply(self) -> float:
        """E-value of the reply test."""
        counts = [now - then for now, then in zip(self._matured(), self.settled, strict=True)]
        values = []
        for h in range(2):
            n, k = counts[2 * h], counts[2 * h + 1]
            values.append(
                _mean(
                    [
                        self._base(0) + k * _terms()[2 * h + j] + (n - k) * _terms()[4 + 2 * h + j]
                        for j in range(2)
                    ]
                )
            )
        return max(values) / 2

    def _stream(self, test: int, at: int, n: int, bits: list[int]) -> float:
        return _mean([self._base(test) + n * _terms()[at + j] + b for j, b in enumerate(bits)])

    @property
    def complaint(self) -> float:
        """E-value of the test of complaints among all strangers."""
        return self._stream(1, 8, self.tried, self.bits)

    @property
    def first_reactions(self) -> float:
        """E-value of the test of complaints among first reactions."""
        return self._stream(4, 62, self.reactions, self.first_bits)

    @property
    def later_complaints(self) -> float:
        """E-value of the test of complaints after an answer."""
        return self._stream(5, 116, self.talks, self.later_bits)

    @property
    def leave(self) -> float:
        """E-value of the leave test."""
        terms = _terms()
        return _mean(
            [self._base(2) + self.adds * terms[170 + j] + self.leaves * terms[173 + j]
             for j in range(3)]
        )  # fmt: skip

    @property
    def failure(self) -> float:
        """E-value of the undeliverable test."""
        terms = _terms()
        return _mean(
            [self._base(3) + self.contacted * terms[176 + j] + self.failures * terms[179 + j]
             for j in range(3)]
        )  # fmt: skip

    def _restart(self) -> None:
        fortnight = min((self.clock - self.born) // TWO_WEEKS, 255)
        if fortnight <= self.restarts:
            return
        self.restarts = fortnight
        debt = 3 + math.ceil(math.log2(fortnight**2))
        least = _power(-debt * 65_536)
        values = (self.reply, self.complaint, self.leave, self.failure, self.first_reactions,
                  self.later_complaints)  # fmt: skip
        fallen = [value < least for value in values]
        for test, name in enumerate("rclfso"):
            if fallen[test]:
                self._forget(name)
                self.debts[test] = debt

    def taken(self) -> int:
        """Places of the allowance taken in the last day."""
        newest = self.clock // BUCKET_S["1d"]
        return sum(self.places[b] for b in range(newest - 15, newest + 1))
