"""Firms on the small-business app, and senders who pass for firms: what the policy does to whom.

    python -m experiments.worlds.business_app [--seeds 3001:3025] [--policy DIR] [--json FILE]

Each seed is a simulated platform of its own with the business app, every persona and some other
senders, evaluated once: at most `PEOPLE` people and two days and a half. The engine enforces; the
replay is causal, as in `headline`, and senders do not adapt. Shares come with Clopper and
Pearson's 95 % interval; those of first messages treat messages as independent, which those of one
account are not.

- firms: of each persona, accounts with a refused first message, with a delayed one, restricted,
  banned; and of their first messages to people, those refused and those delayed. What still waits
  when the log ends is delayed: the log is short, and a delay ends within the hour.
- senders: of each family, accounts limited for more than an hour or worse (actioned), restricted
  or worse; and of their first messages to honest people, those that never arrived.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from experiments.worlds.headline import World, load_world, replayed
from wavebreak.engine.decision import Decision
from wavebreak.evaluation.intervals import exact_interval
from wavebreak.outcomes import SILENCING
from wavebreak.rules import Policy, load_policy
from wavebreak_lab.causal_replay import DELAY_MS, CausalReplay
from wavebreak_lab.simulation import (
    APP_CAMPAIGNS,
    APP_FIRMS,
    EVERY_CAMPAIGN,
    PERSONAS,
    simulate,
    write,
)

PEOPLE, DAYS = 400, (1.5, 2.5)
"""Most people of a platform, and its length: so many platforms take minutes."""

OTHER_SENDERS, ACCOUNTS = (3, 9), (3, 12)
"""Bounds of the other campaigns of a platform, and of the accounts of a campaign."""


@dataclass
class Counts:
    """What was done to the accounts of one persona or family, and to their first messages."""

    accounts: int = 0
    refused_one: int = 0
    delayed_one: int = 0
    actioned: int = 0
    restricted: int = 0
    banned: int = 0
    first_messages: int = 0
    refused: int = 0
    delayed: int = 0


def draw_world(seed: int, directory: Path) -> World:
    """Draw a platform with the business app, and read it back as a log."""
    rng = np.random.default_rng(seed)
    others = rng.permutation(list(EVERY_CAMPAIGN))[: int(rng.integers(*OTHER_SENDERS))].tolist()
    world = simulate(
        people=int(rng.integers(PEOPLE // 2, PEOPLE, endpoint=True)),
        days=float(rng.uniform(*DAYS)),
        campaigns=[(name, int(rng.integers(*ACCOUNTS))) for name in [*others, *APP_CAMPAIGNS]],
        personas=[*PERSONAS, *APP_FIRMS],
        seed=seed,
    )
    write(world, directory, form="parquet")
    return load_world(directory)


def count(replay: CausalReplay, world: World, groups: dict[str, Counts]) -> None:
    """Add what a replay did, by persona and family."""
    outcomes, actioned = defaultdict[str, set[str]](set), set[str]()
    for decision in replay.decisions:
        outcomes[decision.account].add(decision.outcome)
        if is_action(decision):
            actioned.add(decision.account)
    unknown = ("benign", "unlabelled", "")
    refused, delayed = set[str](), set[str]()
    for sender, recipient, stopped in replay.first_contacts():
        label, family, _ = world.labels.get(sender, unknown)
        if label == "abusive" and world.labels.get(recipient, unknown)[0] != "benign":
            continue
        pair = (min(sender, recipient), max(sender, recipient))
        waits = replay.waits_still(pair)
        late, stopped = pair in replay.delayed and (waits or not stopped), stopped and not waits
        group = groups[_group(label, family)]
        group.first_messages += 1
        group.refused += stopped
        group.delayed += late
        if stopped:
            refused.add(sender)
        if late:
            delayed.add(sender)
    for account, (label, family, _) in world.labels.items():
        group, seen = groups[_group(label, family)], outcomes[account]
        group.accounts += 1
        group.refused_one += account in refused
        group.delayed_one += account in delayed
        group.actioned += account in actioned
        group.restricted += bool(seen & set(SILENCING))
        group.banned += "ban" in seen


def is_action(decision: Decision) -> bool:
    """Whether a decision does more than ask, or delay by the hour."""
    long = decision.until is None or decision.until - decision.ts > DELAY_MS
    return decision.outcome in SILENCING or (decision.outcome == "limit" and long)


def _group(label: str, family: str) -> str:
    if family in APP_FIRMS or family in APP_CAMPAIGNS:
        return family
    return "other people" if label == "benign" else "other senders"


def total(groups: dict[str, Counts], names: list[str]) -> Counts:
    """Return the sum of some groups."""
    fields = Counts.__dataclass_fields__
    return Counts(**{name: sum(getattr(groups[g], name) for g in names) for name in fields})


def show(groups: dict[str, Counts], console: Console) -> None:
    """Print firms and senders."""
    firms, senders = list(APP_FIRMS), list(APP_CAMPAIGNS)
    rows = [(name, groups[name]) for name in firms]
    rows += [("all firms", total(groups, firms)), ("other people", groups["other people"])]
    table = Table(title="honest")
    for name in ("persona", "accounts", "one refused", "one delayed", "restricted", "banned",
                 "first messages", "refused", "delayed"):  # fmt: skip
        table.add_column(name, justify="left" if name == "persona" else "right")
    for name, of in rows:
        table.add_row(
            name, str(of.accounts), share(of.refused_one, of.accounts),
            share(of.delayed_one, of.accounts), share(of.restricted, of.accounts),
            share(of.banned, of.accounts), str(of.first_messages),
            share(of.refused, of.first_messages), share(of.delayed, of.first_messages),
        )  # fmt: skip
    console.print(table)
    table = Table(title="senders")
    for name in ("family", "accounts", "actioned", "restricted", "first messages", "stopped",
                 "delayed"):  # fmt: skip
        table.add_column(name, justify="left" if name == "family" else "right")
    rows = [(name, groups[name]) for name in senders]
    for name, of in [*rows, ("all of the app", total(groups, senders)),
                     ("other senders", groups["other senders"])]:  # fmt: skip
        table.add_row(
            name, str(of.accounts), share(of.actioned, of.accounts),
            share(of.restricted, of.accounts), str(of.first_messages),
            share(of.refused, of.first_messages), share(of.delayed, of.first_messages),
        )  # fmt: skip
    console.print(table)


def share(part: int, whole: int) -> str:
    """Return a share in percent with its interval.

    >>> share(0, 1000), share(3, 10)
    ('0.00 (0.00-0.37)', '30.00 (6.67-65.25)')
    """
    low, high = exact_interval(part, whole)
    return f"{100 * part / max(whole, 1):.2f} ({100 * low:.2f}-{100 * high:.2f})"


def run(
    seeds: range, policy: Policy, progress: Progress
) -> tuple[dict[str, Counts], dict[str, dict[str, int]]]:
    """Evaluate a policy once on each platform; return counts by group and rules by group."""
    groups = defaultdict[str, Counts](Counts)
    rules = defaultdict[str, dict[str, int]](lambda: defaultdict(int))
    for seed in progress.track(seeds, description="platforms"):
        with tempfile.TemporaryDirectory() as directory:
            world = draw_world(seed, Path(directory))
        quiet = Progress(disable=True)
        replay = replayed(world, policy, "none", enforce=True, progress=quiet, title="")
        count(replay, world, groups)
        fired = {
            (decision.account, f"{decision.outcome} {decision.rules[0]}")
            for decision in replay.decisions
            if decision.rules
        }
        for account, rule in fired:
            label, family, _ = world.labels.get(account, ("benign", "unlabelled", ""))
            rules[rule][_group(label, family)] += 1
    return groups, rules


def main(arguments: list[str] | None = None) -> int:
    """Evaluate a policy on simulated platforms with the business app."""
    parser = argparse.ArgumentParser(
        "business_app", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--seeds", default="3001:3025", help="first and last and one, as 3001:3025")
    parser.add_argument("--policy", type=Path, help="a local policy beside the shipped one")
    parser.add_argument("--rules", action="store_true", help="accounts by rule and group")
    parser.add_argument("--json", type=Path, help="write the counts")
    chosen = parser.parse_args(arguments)
    low, high = map(int, chosen.seeds.split(":"))
    console = Console(width=150)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        groups, rules = run(range(low, high), load_policy(chosen.policy), progress)
    show(groups, console)
    for rule in sorted(rules) if chosen.rules else ():
        console.print(f"  {rule}: {dict(sorted(rules[rule].items()))}")
    if chosen.json is not None:
        lines = ({"group": name} | asdict(of) for name, of in sorted(groups.items()))
        chosen.json.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
