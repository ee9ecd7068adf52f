"""Decisions as `decisions.jsonl` holds them, for tests of notices."""

from __future__ import annotations

from typing import Any

from wavebreak.outcomes import OUTCOMES
from wavebreak.rules import Policy, Rule, features_read, load_policy

NOW = 1_795_701_720_000
DAY = 86_400_000
PEOPLE = {"stranger_contacts": 21.0, "stranger_answers": 2.0, "stranger_complaints": 3.0}


def policy() -> Policy:
    return load_policy()


def decision(outcome: str = "restrict", **fields: Any) -> dict[str, Any]:
    """A decision of one outcome, with any field replaced."""
    ends = outcome not in ("allow", "ban")
    made: dict[str, Any] = {
        "id": "9f" * 16,
        "ts": NOW,
        "account": "account-of-the-holder",
        "stage": "messaging",
        "outcome": outcome,
        "action": outcome,
        "until": NOW + 2 * DAY if ends else None,
        "score": None,
        "rules": ["evidence_of_unwanted_messages"],
        "reasons": [],
        "trigger": "event-of-somebody",
        "policy": "reference",
        "model": None,
        "features": "catalog",
        "basis": "evidence",
        "new_chats_1d": 2 if outcome == "limit" else None,
    }
    return made | fields


def decision_of(rule: Rule, outcome: str | None = None, **fields: Any) -> dict[str, Any]:
    """A decision of one rule; its features have the values of the rule's example."""
    chosen = outcome or rule.outcome or "observe"
    assert chosen in OUTCOMES
    values: dict[str, float] = dict.fromkeys(features_read(rule), 0.0) | rule.fires_on[0]
    reasons = [{"feature": name, "value": value} for name, value in values.items()]
    made = decision(chosen, rules=[rule.id], reasons=reasons, basis=rule.basis, stage=rule.stage)
    return made | {"action": rule.action or chosen} | fields
