"""Rules: loading, checking, compilation, and evaluation over the features of an account.

Example:
    >>> from wavebreak import rules
    >>> program = rules.compile_rules(rules.load_policy())
    >>> rules.matching_rules(program, "sent", {"strangers_written_15s": 40, "channel": 0})
    ('impossible_acts',)

"""

from wavebreak.rules.compiler import Program, compile_rules, features_read, matching_rules
from wavebreak.rules.conditions import AnyOf
from wavebreak.rules.describe import describe_rule, explain_rule, policy_summary
from wavebreak.rules.loader import load_policy
from wavebreak.rules.model import (
    STAGES,
    Action,
    Allowance,
    Allowances,
    EnforcementTerms,
    EvidenceTerms,
    Feedback,
    OwnFeature,
    Policy,
    Rule,
    Score,
)
from wavebreak.rules.own_features import feature
from wavebreak.rules.prefilter import compile_prefilter

__all__ = [
    "STAGES",
    "Action",
    "Allowance",
    "Allowances",
    "AnyOf",
    "EnforcementTerms",
    "EvidenceTerms",
    "Feedback",
    "OwnFeature",
    "Policy",
    "Program",
    "Rule",
    "Score",
    "compile_prefilter",
    "compile_rules",
    "describe_rule",
    "explain_rule",
    "feature",
    "features_read",
    "load_policy",
    "matching_rules",
    "policy_summary",
]
