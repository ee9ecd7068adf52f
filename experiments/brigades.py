"""How large a brigade has to be before honest people are convicted on its complaints.

    python -m experiments.brigades [--least N]

Brigades of several sizes accuse one honest account each, in a simulated week. Their accounts were
registered long before. Lured: the honest account was led to write to the accuser first, so that the
complaint counts as one by a stranger; blind: it never wrote. `--least`: the rules that restrict ask
for so many complaints instead of the shipped two or three.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from dataclasses import replace

import msgspec

from wavebreak.outcomes import SILENCING
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.rules import Policy, Rule, load_policy
from wavebreak_lab.red_team.config import load_config
from wavebreak_lab.red_team.counts import operator_cost, worst_outcomes
from wavebreak_lab.red_team.round import OperatorEntry, Round, new_engine, simulate_environment
from wavebreak_lab.simulation.attackers import REACTION_PRESETS

BRIGADES, PEOPLE, DAYS, SEED = 12, 400, 7.0, 11
SIZES = ((2, 1.0), (4, 1.0), (6, 1.0), (10, 1.0), (16, 1.0), (20, 0.0))
"""Accounts of a brigade, and the share of its complaints that are lured."""


def with_least(policy: Policy, least: int) -> Policy:
    """Return the policy with more complaints asked for by the rules that restrict."""

    def lifted(rule: Rule) -> Rule:
        if rule.outcome not in SILENCING:
            return rule
        when = tuple(
            f"stranger_complaints >= {least}"
            if str(each).startswith("stranger_complaints")
            else each
            for each in rule.when
        )
        return msgspec.structs.replace(rule, when=when)

    return replace(policy, rules=tuple(lifted(rule) for rule in policy.rules))


def main(arguments: list[str] | None = None) -> int:
    """Print the worst outcomes of accused accounts, a size a line."""
    parser = argparse.ArgumentParser("brigades", description=__doc__)
    parser.add_argument("--least", type=int, help="complaints that a restriction needs")
    least = parser.parse_args(arguments).least
    policy = load_policy() if least is None else with_least(load_policy(), least)
    edge, settings = Pseudonymizer(bytes(32)), load_config()
    environment = simulate_environment(edge, people=PEOPLE, days=DAYS, seed=SEED)
    sender = REACTION_PRESETS["brigade"].sender
    for size, lured in SIZES:
        brigade = replace(sender, rivals=1, accuses=1.0, lured=lured, register=(0.0, 0.3))
        entries = [OperatorEntry("brigade", f"b{k}", brigade, size) for k in range(BRIGADES)]
        engine = new_engine(policy, None)
        played = Round(environment, engine, edge, settings, "delayed", (3, size))
        span = environment.sim.start, environment.sim.end
        played.enter(entries, *span, (3, size))
        played.play(*span)
        results = played.results()
        worst = worst_outcomes(engine)
        met = Counter(worst.get(name, "none") for result in results for name in result.accused)
        cost = sum(operator_cost(result, settings.prices) for result in results) / BRIGADES
        print(
            f"{size} accounts, {lured:.0%} lured: {dict(met)}; {cost:.2f} dollars each", flush=True
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
