"""Rules as text: read, checked, compiled together, and run over the features of an account.

`load` a policy, `compile_rules` it for a stream's coverage, and pass the program's address to the
engine; `hits` asks the same compiled function about one row of features.
"""

from wavebreak.rules.compiler import Program, compile_rules, features_of, hits
from wavebreak.rules.conditions import AnyOf
from wavebreak.rules.describe import check, describe, why
from wavebreak.rules.loader import load
from wavebreak.rules.model import (
    OUTCOMES,
    STAGES,
    Action,
    EnforcementTerms,
    Feedback,
    Policy,
    Rule,
    Score,
    seconds,
)
from wavebreak.rules.prefilter import guard_of

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
