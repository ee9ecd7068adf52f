"""Rules and policies over three features, for tests of the rule compiler."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from wavebreak.rules import EnforcementTerms, Policy, Rule, compile_rules, matching_rules
from wavebreak.rules.conditions import When

FEATURES = ("a", "b", "c")
KINDS = ("sent", "received", "epoch")
ENFORCEMENT = EnforcementTerms(
    new_chats_1d=5, suspend_after=3, double_at_most=2, observe="24h", grace="1h", benign_grace="7d"
)


def rule(when: When = "a > 1", **fields: Any) -> Rule:
    """A rule that is whole but for what a test is about."""
    given: dict[str, Any] = {
        "id": "a_rule",
        "abuse": "bulk",
        "about": "What it is about.",
        "source": "Where it is from.",
        "stage": "messaging",
        "on": ("sent",),
        "when": when,
        "outcome": "observe",
        "fires_on": ({"a": 2.0},),
        "stays_quiet_on": ({"a": 1.0},),
    }
    return Rule(**(given | fields))


def policy(rules: Iterable[Rule]) -> Policy:
    return Policy("tested", tuple(rules), {}, ENFORCEMENT, FEATURES, KINDS)


def fires(when: str, values: Mapping[str, float]) -> bool:
    """Whether a rule of that expression hits, through the compiled function."""
    return matching_rules(compile_rules(policy([rule(when)])), "sent", values) == ("a_rule",)
