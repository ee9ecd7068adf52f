"""What each rule of a policy adds: every world is replayed once with it in shadow.

    python -m experiments.worlds.ablation WORLD... [--policy DIR] [--model NAME] [--json FILE]

The replay is the headline's. Of each enforced rule that decided about somebody: first contacts of
people that were refused and delayed, and of abusive accounts that were stopped, as differences in
points (with the rule minus without); abusive accounts restricted, and people met by any limit or
more, as counts (with; without). A rule that decided about nobody adds nothing in that world, and is
not replayed. Rules overlap: what two add together is more than the sum of what each adds.
"""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from experiments.worlds.headline import Headline, World, load_world, measure, replayed
from experiments.worlds.replay import options_of, write_results
from wavebreak.rules import Policy, load_policy


@dataclass
class Contribution:
    """A world's headline with all rules (`rule` is empty), or with one of them in shadow."""

    rule: str
    headline: Headline


def without(policy: Policy, rule: str) -> Policy:
    """Return a policy with one rule in shadow."""
    rules = tuple(
        msgspec.structs.replace(r, mode="shadow") if r.id == rule else r for r in policy.rules
    )
    return dataclasses.replace(policy, rules=rules)


def ablate(
    world: World, policy: Policy, model: str | None, progress: Progress
) -> list[Contribution]:
    """Replay a world with all rules, then without each that decided about somebody.

    Args:
        world: The world.
        policy: The policy.
        model: A directory, "none", or None for the shipped one.
        progress: Shows how far it is.

    """
    made = replayed(world, policy, model, enforce=True, progress=progress, title=world.name)
    deciding = {rule for decision in made.decisions for rule in decision.rules}
    results = [Contribution("", measure(made, world))]
    for rule in policy.rules:
        if rule.id in deciding and rule.mode == "enforce":
            less = without(policy, rule.id)
            title = f"{world.name} without {rule.id}"
            made = replayed(world, less, model, enforce=True, progress=progress, title=title)
            results.append(Contribution(rule.id, measure(made, world)))
    return results


def _percentages(headline: Headline) -> tuple[float, float, float, float]:
    return (
        headline.percent_honest(headline.refused),
        headline.percent_honest(headline.delayed),
        headline.percent_stopped,
        100 * headline.families_equal,
    )


def show(results: list[Contribution], console: Console) -> None:
    """Print a table: the world with all rules, then what each rule adds."""
    table = Table()
    table.add_column("world; rule", overflow="fold")
    for name in ("refused", "delayed", "stopped", "families", "abusers restr.", "people met"):
        table.add_column(name, justify="right")
    whole = results[0].headline
    all_rules = _percentages(whole)
    shown = (f"{value:.2f}" for value in all_rules)
    table.add_row(whole.world, *shown, str(whole.abusive_restricted), str(whole.met))
    for result in results[1:]:
        less = result.headline
        added = (f"{a - b:+.2f}" for a, b in zip(all_rules, _percentages(less), strict=True))
        restricted = f"{whole.abusive_restricted}; {less.abusive_restricted}"
        table.add_row(result.rule, *added, restricted, f"{whole.met}; {less.met}")
    console.print(table)


def main(arguments: list[str] | None = None) -> int:
    """Measure what each rule adds in the worlds that are named."""
    parser = options_of("ablation", __doc__)
    parser.add_argument("--policy", type=Path, help="a local policy beside the shipped one")
    chosen = parser.parse_args(arguments)
    console, results = Console(width=110), list[Contribution]()
    with Progress(console=Console(stderr=True), transient=True) as progress:
        for directory in chosen.world:
            made = ablate(load_world(directory), load_policy(chosen.policy), chosen.model, progress)
            show(made, console)
            results += made
    write_results(chosen.json, results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
