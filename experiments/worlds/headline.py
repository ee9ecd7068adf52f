"""What people feel of a policy, and what it stops: one line for each world and policy.

    python -m experiments.worlds.headline WORLD... [--policy DIR ...] [--model NAME] [--json FILE]

A world is a directory with events.jsonl and labels.csv (account, label, family, operator). The
engine enforces, and the replay is causal: `wavebreak_lab.causal_replay` says what then happens. All
senders persist.

A first contact is the first message to somebody, request for contact or addition to a group of a
pair that has not met; what abusive accounts send to each other counts nowhere.

- refused: of honest first contacts, those that never arrived, with a 95 % interval (independent
  contacts: too narrow, since those of one person are not), and of the worst persona with at
  least 30.
- delayed: of honest first contacts, those that arrived later.
- quiet: of honest first contacts, those that arrived as requests; unseen, those not looked at.
- stopped: of abusive first contacts, refused, never sent, or requests that nobody looked at;
  families equal, those with 30 or more.
- shadow: abusive accounts whom the same policy restricts when nothing is refused.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from experiments.worlds.replay import (
    options_of,
    read_labels,
    read_log,
    write_results,
)
from wavebreak.engine import Engine
from wavebreak.evaluation.intervals import exact_interval
from wavebreak.model.storage import load_selected
from wavebreak.outcomes import REFUSING, SILENCING
from wavebreak.rules import Policy, load_policy
from wavebreak.schema import coverage
from wavebreak.schema.events import TYPES
from wavebreak_lab.causal_replay import CausalReplay

LEAST = 30
"""First contacts of a persona or family whose share is stated alone."""
COMPLAINING = {TYPES.index(t) for t in ("user.blocked", "user.reported")}


@dataclass
class World:
    """A world's log, and for each account its label, family and operator."""

    name: str
    log: pa.Table
    labels: dict[str, tuple[str, str, str]]


@dataclass
class Headline:
    """What one replay did; shares of first contacts."""

    world: str
    policy: str
    model: str | None
    events: int
    benign: int = 0
    abusive: int = 0
    met: int = 0
    restricted: int = 0
    banned: int = 0
    abusive_restricted: int = 0
    abusive_banned: int = 0
    shadow_restricted: int | None = None
    honest: int = 0
    refused: int = 0
    delayed: int = 0
    quiet: int = 0
    unseen: int = 0
    conviction_hours: float | None = None
    unwanted: int = 0
    stopped: int = 0
    families_equal: float = 0.0
    personas: dict[str, tuple[int, int]] = field(default_factory=dict)
    families: dict[str, tuple[int, int]] = field(default_factory=dict)
    operator_accounts: int = 0
    operator_accounts_found: int = 0
    components: int = 0
    components_mixed: int = 0
    rules: dict[str, tuple[int, int]] = field(default_factory=dict)
    decisions: dict[str, int] = field(default_factory=dict)

    def percent_honest(self, count: int) -> float:
        """Return a number of first contacts of honest people as a percentage of theirs."""
        return 100 * count / max(self.honest, 1)

    @property
    def percent_stopped(self) -> float:
        """Abusive first contacts that were stopped, as a percentage."""
        return 100 * self.stopped / max(self.unwanted, 1)


def load_world(directory: Path) -> World:
    """Read a world.

    Args:
        directory: Holds events.jsonl and labels.csv.

    """
    labels = {
        r["account"]: (r["label"], r["family"], r["operator"]) for r in read_labels(directory)
    }
    return World(f"{directory.parent.name}/{directory.name}", read_log(directory), labels)


def causal_replay_of(world: World, engine: Engine) -> CausalReplay:
    """Return a causal replay of a world through an engine, not yet run."""
    labels = {account: label for account, (label, *_) in world.labels.items()}
    return CausalReplay(world.log, labels, engine)


def measure(replay: CausalReplay, world: World, since_ms: int = 0) -> Headline:
    """Count what a replay did; of first contacts, to those since a time."""
    engine = replay.engine
    model = engine.model.version if engine.model else None
    result = Headline(world.name, engine.policy.version, model, world.log.num_rows)
    outcomes = defaultdict[str, set[str]](set)
    by_rule = defaultdict[str, dict[str, set[str]]](lambda: {"benign": set(), "abusive": set()})
    unknown = ("benign", "unlabelled", "")
    for decision in replay.decisions:
        outcomes[decision.account].add(decision.outcome)
        if decision.outcome in REFUSING:
            label = world.labels.get(decision.account, unknown)[0]
            cause = decision.rules[0] if decision.rules else decision.basis or "score"
            by_rule[f"{decision.outcome} {cause}"][label].add(decision.account)
    for account, (label, _, _) in world.labels.items():
        seen = outcomes[account]
        silenced, banned = bool(seen & set(SILENCING)), "ban" in seen
        if label == "benign":
            result.benign += 1
            result.met += bool(seen & set(REFUSING))
            result.restricted += silenced
            result.banned += banned
        else:
            result.abusive += 1
            result.abusive_restricted += silenced
            result.abusive_banned += banned
    result.rules = {
        rule: (len(met["benign"]), len(met["abusive"])) for rule, met in sorted(by_rule.items())
    }
    result.decisions = dict(Counter(decision.outcome for decision in replay.decisions))
    _count_contacts(replay, world, result, since_ms)
    _count_operators(replay, world, result)
    result.conviction_hours = hours_to_conviction(replay, world)
    return result


def hours_to_conviction(replay: CausalReplay, world: World) -> float | None:
    """Median hours from the first complaint of an abusive account to its restriction."""
    complained = dict[str, int]()
    of = np.isin(replay.types, [*COMPLAINING]) & ~replay.gone & (replay.peer >= 0)
    for row in np.flatnonzero(of).tolist():
        complained.setdefault(replay.names[replay.peer[row]], int(replay.ts[row]))
    restricted = dict[str, int]()
    for decision in replay.decisions:
        if (
            decision.outcome in SILENCING
            and world.labels.get(decision.account, ("",))[0] != "benign"
        ):
            restricted.setdefault(decision.account, decision.ts)
    hours = [
        max(at - complained[account], 0) / 3_600_000
        for account, at in restricted.items()
        if account in complained
    ]
    return float(np.median(hours)) if hours else None


def _count_contacts(
    replay: CausalReplay, world: World, result: Headline, since_ms: int
) -> None:  # fmt: skip
    personas, families = (
        defaultdict[str, Counter[bool]](Counter),
        defaultdict[str, Counter[bool]](Counter),
    )
    unknown = ("benign", "unlabelled", "")
    for sender, recipient, stopped in replay.first_contacts(since_ms):
        label, family, _ = world.labels.get(sender, unknown)
        pair = (min(sender, recipient), max(sender, recipient))
        if label == "benign":
            personas[family][stopped] += 1
            result.delayed += pair in replay.delayed and not stopped
            result.quiet += pair in replay.quiet
            result.unseen += pair in replay.unseen
        elif world.labels.get(recipient, unknown)[0] == "benign":
            families[family][stopped or pair in replay.unseen] += 1
    result.personas = {f: (c[True], c.total()) for f, c in sorted(personas.items())}
    result.families = {f: (c[True], c.total()) for f, c in sorted(families.items())}
    result.refused, result.honest = map(sum, zip(*result.personas.values(), strict=True))
    if result.families:
        result.stopped, result.unwanted = map(sum, zip(*result.families.values(), strict=True))
    shares = [k / n for k, n in result.families.values() if n >= LEAST]
    result.families_equal = sum(shares) / max(len(shares), 1)


def _count_operators(replay: CausalReplay, world: World, result: Headline) -> None:
    of = {a: operator for a, (_, _, operator) in world.labels.items() if operator}
    sizes = Counter(of.values())
    several = {a for a, operator in of.items() if sizes[operator] > 1}
    found = set[str]()
    for operator in replay.engine.operators():
        names = Counter(of.get(a, "") for a in operator.accounts)
        result.components += 1
        result.components_mixed += len(names) > 1
        found |= {a for a in operator.accounts if a in several and names[of[a]] > 1}
    result.operator_accounts, result.operator_accounts_found = len(several), len(found)


def replayed(
    world: World, policy: Policy, model: str | None, *, enforce: bool, progress: Progress,
    title: str,
) -> CausalReplay:  # fmt: skip
    """Replay a world through a policy.

    Args:
        world: The world.
        policy: The policy.
        model: A directory, "none", or None for the shipped one.
        enforce: Whether the engine refuses anything.
        progress: Shows how far it is.
        title: What is shown beside.

    """
    profile = coverage.measure(b for b in world.log.to_batches())
    engine = Engine(policy, profile, enforce=enforce, model=load_selected(model))
    causal = causal_replay_of(world, engine)
    task = progress.add_task(title, total=1.0)
    causal.run(lambda share: progress.update(task, completed=share))
    return causal


def run(
    world: World, policy: Path | None, model: str | None, *, shadow: bool, progress: Progress
) -> Headline:
    """Replay a world through a policy, enforcing, and if asked also in shadow.

    Args:
        world: The world.
        policy: A local policy beside the shipped one, or None.
        model: A directory, "none", or None for the shipped one.
        shadow: Whether to count whom the policy restricts where nothing is refused.
        progress: Shows how far it is.

    """
    title = f"{world.name} {policy.name if policy else 'shipped'}"
    loaded = load_policy(policy)
    made = replayed(world, loaded, model, enforce=True, progress=progress, title=title)
    result = measure(made, world)
    if shadow:
        quiet = replayed(world, loaded, model, enforce=False, progress=progress, title=title)
        result.shadow_restricted = len({
            d.account for d in quiet.decisions
            if d.outcome in SILENCING and world.labels.get(d.account, ("benign",))[0] == "abusive"
        })  # fmt: skip
    return result


def show(results: list[Headline], console: Console, *, detail: bool) -> None:
    """Print the results as a table, and if asked each persona, family and rule."""
    table = Table()
    for name in ("world", "policy"):
        table.add_column(name, overflow="fold")
    for name in ("refused %", "delayed %", "quiet; unseen %", "worst persona", "met", "restr.",
                 "stopped %", "equal %", "abusers restr.", "shadow", "operators",
                 "mixed"):  # fmt: skip
        table.add_column(name, justify="right", overflow="fold")
    for r in results:
        low, high = exact_interval(r.refused, r.honest)
        worst = max(((k / n, f) for f, (k, n) in r.personas.items() if n >= LEAST), default=(0, ""))
        table.add_row(
            r.world, r.policy.removeprefix("shipped-"),
            f"{r.percent_honest(r.refused):.2f} ({100 * low:.2f}-{100 * high:.2f})",
            f"{r.percent_honest(r.delayed):.2f}",
            f"{r.percent_honest(r.quiet):.2f}; {r.percent_honest(r.unseen):.2f}",
            f"{worst[1]} {100 * worst[0]:.0f}",
            str(r.met), f"{r.restricted}/{r.benign}",
            f"{r.percent_stopped:.1f}", f"{100 * r.families_equal:.1f}",
            f"{r.abusive_restricted}/{r.abusive}",
            "" if r.shadow_restricted is None else str(r.shadow_restricted),
            f"{r.operator_accounts_found}/{r.operator_accounts}",
            f"{r.components_mixed}/{r.components}",
        )  # fmt: skip
    console.print(table)
    for r in results if detail else ():
        console.print(f"{r.world} {r.policy}")
        for title, groups in (("personas", r.personas), ("families", r.families)):
            shares = sorted(((k / n, f, n) for f, (k, n) in groups.items() if n), reverse=True)
            text = ", ".join(f"{f} {100 * share:.0f} % of {n}" for share, f, n in shares)
            console.print(f"  {title}: {text}")
        console.print(f"  rules (benign, abusive): {r.rules}")
        if r.conviction_hours is not None:
            hours = f"{r.conviction_hours:.1f}"
            console.print(f"  median hours from first complaint to restriction: {hours}")


def main(arguments: list[str] | None = None) -> int:
    """Replay the worlds that are named through the policies that are named."""
    parser = options_of("headline", __doc__)
    parser.add_argument(
        "--policy", type=Path, action="append", help="a local policy beside the shipped one"
    )
    parser.add_argument("--shadow", action="store_true", help="also whom it restricts in shadow")
    parser.add_argument("--detail", action="store_true", help="each persona, family and rule")
    chosen = parser.parse_args(arguments)
    console, results = Console(width=150), []
    with Progress(console=Console(stderr=True), transient=True) as progress:
        for directory in chosen.world:
            world = load_world(directory)
            for policy in chosen.policy or [None]:
                results.append(
                    run(world, policy, chosen.model, shadow=chosen.shadow, progress=progress)
                )
    show(results, console, detail=chosen.detail)
    write_results(chosen.json, results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
