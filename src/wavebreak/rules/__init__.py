"""Rules as text: read, checked, compiled together, and run over the features of an account.

`load` a policy, `compile_rules` it for a stream's coverage, and pass the program's address to the
engine; `hits` asks the same compiled function about one row of features.
"""

from wavebreak.rules.compiler import Program, compile_rules, features_read, matching_rules
from wavebreak.rules.conditions import AnyOf
from wavebreak.rules.describe import describe_rule, explain_rule, policy_summary
from wavebreak.rules.loader import load_policy
from wavebreak.rules.model import (
    OUTCOMES,
    STAGES,
    Action,
    EnforcementTerms,
    Feedback,
    Policy,
    Rule,
    Score,
    duration_seconds,
)
from wavebreak.rules.prefilter import compile_prefilter

__all__ = [
    "OUTCOMES",
    "STAGES",
    "Action",
    "AnyOf",
    "EnforcementTerms",
    "Feedback",
    "Policy",
    "Program",
    "Rule",
    "Score",
    "check",
    "compile_rules",
    "describe",
    "features_of",
    "guard_of",
    "hits",
    "load",
    "seconds",
    "why",
]
