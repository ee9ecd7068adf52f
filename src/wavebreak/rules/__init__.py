"""Rules as text: read, checked, compiled together, and run over the features of an account.

`load` a policy, `compile_rules` it for a stream's coverage, and pass the program's address to the
engine; `hits` asks the same compiled function about one row of features.
"""

from wavebreak.rules.declared import (
    OUTCOMES,
    STAGES,
    Action,
    Feedback,
    Policy,
    Rule,
    Score,
    Standing,
    seconds,
)
from wavebreak.rules.guarding import guard_of
from wavebreak.rules.loading import load
from wavebreak.rules.program import Program, compile_rules, features_of, hits
from wavebreak.rules.words import check, describe, why

__all__ = [
    "OUTCOMES",
    "STAGES",
    "Action",
    "Feedback",
    "Policy",
    "Program",
    "Rule",
    "Score",
    "Standing",
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
