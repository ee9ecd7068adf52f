"""Seal, then act: decisions before they are enforced, receipts of what became of them after."""

from __future__ import annotations

from collections.abc import Sequence

from wavebreak.decision import Decision
from wavebreak.evidence.entries import DecisionEntry, Entry, Openings, ReceiptEntry, Salts, entry
from wavebreak.evidence.ledger import Ledger
from wavebreak.evidence.openings import OpeningStore


def decision_entry(made: Decision, *, at: int, salts: Salts) -> tuple[Entry, Openings]:
    """Make a decision's entry: account, id and trigger are hidden, all else is told."""
    body = DecisionEntry(
        ts=made.ts, stage=made.stage, outcome=made.outcome, action=made.action, until=made.until,
        score=made.score, rules=made.rules, reasons=made.reasons, policy=made.policy,
        model=made.model, features=made.features,
    )  # fmt: skip
    hidden = {"account": made.account, "id": made.id, "trigger": made.trigger}
    return entry("decision", body, hidden, at=at, salts=salts)


def seal_decisions(
    ledger: Ledger, decisions: Sequence[Decision], openings: OpeningStore, *, at: int, salts: Salts
) -> range:
    """Seal decisions that are about to be enforced; their positions, in order.

    The openings are kept first: whatever fails, no entry is sealed that cannot be opened.
    """
    made = [decision_entry(each, at=at, salts=salts) for each in decisions]
    openings.keep(ledger.size, [told for _, told in made])
    return ledger.seal([each for each, _ in made])


def seal_receipts(
    ledger: Ledger, positions: Sequence[int], decisions: Sequence[Decision], *, at: int,
    effect: str = "applied",
) -> range:  # fmt: skip
    """Seal what became of sealed decisions, one receipt each."""
    told = zip(positions, decisions, strict=True)
    receipts = [ReceiptEntry(position, made.outcome, effect) for position, made in told]
    return ledger.seal([Entry("receipt", at, receipt, {}) for receipt in receipts])
