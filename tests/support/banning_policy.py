"""The shipped policy, and a rule that bans by itself: for tests of what follows a ban.

No policy that is loaded may hold such a rule (`rules/basis.py`); a person's label would do, and is
more than such a test is about.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from wavebreak import rules
from wavebreak.rules import Policy, Rule

INSTANT_BAN = Rule(
    id="instant_ban",
    abuse="bulk",
    about="A hundred messages within fifteen seconds by an account registered minutes ago.",
    source="White paper, messaging stage: what version 0.2 shipped.",
    stage="messaging",
    on=("sent",),
    when=("age_s <= 300", "sends_15s >= 100", "channel < 2"),
    basis="impossible",
    outcome="ban",
    mode="enforce",
    fires_on=({"age_s": 290.0, "sends_15s": 100.0, "channel": 0.0},),
    stays_quiet_on=({"age_s": 301.0, "sends_15s": 100.0, "channel": 0.0},),
)


@cache
def load_banning_policy() -> Policy:
    """Return the shipped policy with the rule `instant_ban` of version 0.2."""
    shipped = rules.load_policy()
    return replace(shipped, rules=(*shipped.rules, INSTANT_BAN))
