"""Outcomes that people set, from the plain list of an account's events. No rule sets any here."""

from __future__ import annotations

from collections.abc import Iterator

from oracle.account_history import AccountHistory, Fact
from wavebreak.outcomes import CHALLENGE
from wavebreak.schema.events import UNDETERMINED


class Enforcement:
    """The outcome in force after all events, and what the account did under those before."""

    def __init__(self, s: AccountHistory) -> None:
        self.outcome = self.clock = 0
        self.until: int | None = None
        self.published: list[tuple[int, int, int | None]] = []
        for now, fact in _turns(s):
            self.clock = max(self.clock, now)
            self._expire()
            if fact is None:
                continue
            if fact.kind == "labelled":
                self._label(fact)
                self._publish(fact)
            elif fact.kind == "challenge_passed" and self.outcome == CHALLENGE:
                self.outcome, self.until = 0, None
                self._publish(fact)

    def _publish(self, fact: Fact) -> None:
        """Note the epoch, the outcome and its end (s), as other accounts read them."""
        self.published.append((fact.epoch, self.outcome, self.until))

    def _expire(self) -> None:
        if self.until is not None and self.clock >= self.until:
            self.outcome, self.until = 0, None

    def _label(self, fact: Fact) -> None:
        label, outcome = fact.fields["label"], fact.fields.get("outcome")
        if label == UNDETERMINED and outcome is not None:
            hold_s = fact.fields.get("hold_s")
            said = fact.fields["said"]
            self.outcome, self.until = outcome, None if hold_s is None else said + hold_s
        elif label == 1:
            self.outcome, self.until = 0, None


def _turns(s: AccountHistory) -> Iterator[tuple[int, Fact | None]]:
    """Times at which the account's clock moved, with the event, or at an epoch's end without."""
    looks = [look for look in s.looks if look < s.epoch]
    for fact in s.facts:
        while looks and looks[0] < fact.epoch:
            yield looks.pop(0) * 60 + 59, None
        yield fact.now, fact
    for look in looks:
        yield look * 60 + 59, None
