"""A rule that tests of switches add to the policy."""

from __future__ import annotations

RULE = """
[[rule]]
id = "two_strangers"
abuse = "norms"
about = "An account has written to two strangers: a rule of a test."
source = "A test of the switch of policies."
stage = "messaging"
on = ["sent"]
when = ["unanswered_strangers_1d >= 2"]
outcome = "limit"
new_chats_1d = 2
for = "24h"
mode = "enforce"
fires_on = [{ unanswered_strangers_1d = 2 }]
stays_quiet_on = [{ unanswered_strangers_1d = 1 }]
"""
