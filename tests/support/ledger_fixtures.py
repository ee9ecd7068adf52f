"""Decisions, entries and signers for tests of evidence."""

from __future__ import annotations

from wavebreak.engine.decision import Decision, Reason
from wavebreak.ledger import new_signer

SIGNER = new_signer("example.org/log", secret=bytes(range(32)))


def a_decision(account: str = "acct-1", score: float | None = 0.75) -> Decision:
    """A ban, for two reasons."""
    return Decision(
        id="d" * 32, ts=1_700_000_000_000, account=account, stage="messaging", outcome="ban",
        action="ban", until=None, score=score, rules=("instant_ban",),
        reasons=(Reason("sends_15s", 120.0, None), Reason("first_contacts_1h", 3.5e-7, 1.25)),
        trigger="event-9", policy="policy-abc", model=None, features="catalog-def",
    )  # fmt: skip


def some(first: int, count: int) -> list[bytes]:
    """Lines of small entries, numbered from `first` on."""
    told = (
        b'{"at":%d,"body":{"label":"benign","source":"appeal"},"commits":{},"kind":"label","v":1}'
    )
    return [told % k for k in range(first, first + count)]
