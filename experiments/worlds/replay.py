"""Replay a world by another hand through the engine, and count what it does to whom.

    python -m experiments.worlds.replay WORLD... [--policy DIR] [--model NAME] [--json FILE]

A world is a directory with events.jsonl, labels.csv, truth.csv and passes.csv (experiments/worlds/
README.md). The engine enforces. Three things that a static log cannot show are added: an event that
only exists because of a refused one is left out (its `because` in truth.csv); who is challenged, or
is refused under a limit, passes a challenge where passes.csv says so, after that delay; and nothing
else adapts.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from rich.table import Table

from wavebreak.engine import Engine
from wavebreak.engine.decision import Decision
from wavebreak.features.layout import BARRED
from wavebreak.io import read
from wavebreak.model.storage import load_selected
from wavebreak.outcomes import REFUSING, SILENCING
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.rules import load_policy
from wavebreak.schema import coverage
from wavebreak.schema.events import TYPES
from wavebreak_lab.causal_replay import Challenges

SLICE_MS = 600_000
"""The log is given to the engine in slices of ten minutes, so that a pass takes effect in time."""
SENT, ADDED = TYPES.index("message.sent"), TYPES.index("group.member_added")


@dataclass
class Group:
    """Counts of one persona or family; accounts unless said."""

    accounts: int = 0
    restricted: int = 0
    banned: int = 0
    challenged: int = 0
    limited: int = 0
    any: int = 0
    first_messages: int = 0
    refused_first: int = 0
    unwanted: int = 0
    delivered: int = 0


@dataclass
class Result:
    """What a replay did."""

    world: str
    policy: str
    model: str | None
    events: int
    benign: dict[str, Group] = field(default_factory=dict)
    abusive: dict[str, Group] = field(default_factory=dict)
    rules: dict[str, dict[str, int]] = field(default_factory=dict)
    linking: Linking | None = None


@dataclass
class Linking:
    """Accounts that were linked at the end, against the operators of the labels."""

    operators: int = 0
    benign: int = 0
    abusive: int = 0
    mixed: int = 0
    known_operators: int = 0
    found_operators: int = 0
    known_accounts: int = 0
    found_accounts: int = 0


@dataclass
class World:
    """The files of a world."""

    log: pa.Table
    label: dict[str, tuple[bool, str]]
    operator: dict[str, str]
    unwanted: set[str]
    because: dict[str, str]
    passes: dict[str, int]


def read_log(directory: Path) -> pa.Table:
    """Read a world's events; they cross the privacy edge with a fixed key."""
    edge = Pseudonymizer(b"a key of the experiment alone")
    return pa.Table.from_batches([b.log for b in read(directory, edge, batch=100_000)])


def read_labels(directory: Path) -> list[dict[str, str]]:
    """Read the rows of labels.csv: account, label, family, operator."""
    with (directory / "labels.csv").open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def load_world(directory: Path) -> World:
    """Read a world."""
    log, rows = read_log(directory), read_labels(directory)
    label = {r["account"]: (r["label"] == "abusive", r["family"]) for r in rows}
    operator = {r["account"]: r["operator"] for r in rows if r["operator"]}
    unwanted, because = set[str](), dict[str, str]()
    with (directory / "truth.csv").open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            if row["unwanted"] == "1":
                unwanted.add(row["id"])
            if row["because"]:
                because[row["id"]] = row["because"]
    with (directory / "passes.csv").open(encoding="utf-8", newline="") as lines:
        passes = {r["account"]: int(float(r["delay_s"])) for r in csv.DictReader(lines)
                  if r["passes"] == "1"}  # fmt: skip
    return World(log, label, operator, unwanted, because, passes)


class Replay:
    """One replay: state of what was refused, who passes when, and what was decided."""

    def __init__(self, world: World, engine: Engine) -> None:
        self.world, self.engine = world, engine
        self.gone: set[str] = set()
        self.refused: set[str] = set()
        delays_ms = {account: 1000 * delay_s for account, delay_s in world.passes.items()}
        self.challenges = Challenges(delays_ms)
        self.outcomes: dict[str, set[str]] = defaultdict(set)
        self.rules: dict[str, Counter[str]] = defaultdict(Counter)
        self.state: dict[str, str] = {}
        self.delivered_in: dict[str, Counter[str]] = defaultdict(Counter)

    def run(self) -> None:
        """Give the whole log to the engine."""
        log = self.world.log
        ts = log.column("ts").to_numpy()
        edges = [*range(int(ts[0]), int(ts[-1]) + SLICE_MS, SLICE_MS), int(ts[-1]) + SLICE_MS]
        cuts = np.searchsorted(ts, edges)
        for number, (low, high) in enumerate(pairwise(cuts)):
            if high > low or self.challenges:
                self._slice(log.slice(low, high - low), edges[number + 1])
        for decision in self.engine.finish():
            self._decided(decision)

    def _slice(self, part: pa.Table, end: int) -> None:
        ids = part.column("id").to_pylist()
        keep = [self._happens(i) for i in ids]
        rows = part.filter(pa.array(keep)) if not all(keep) else part
        passed = self.challenges.pass_until(end)
        if passed:
            more = pa.Table.from_pylist(passed, schema=rows.schema)
            rows = pa.concat_tables([rows, more]).sort_by("ts")
        if not rows.num_rows:
            return
        for batch in rows.combine_chunks().to_batches():
            for segment in self.engine.fanout.segments(batch):
                for decision in self.engine.advance(segment):
                    self._decided(decision)
                for at in np.flatnonzero(segment.results & BARRED).tolist():
                    self._refused(str(segment.ids[at]), int(segment.events["ts"][at]))
        for event in rows.column("id").to_pylist():
            if event in self.world.unwanted and event not in self.refused:
                account = self.account_of[event]
                kind = "later" if event in self.world.because else "first"
                self.delivered_in[self.world.label[account][1]][
                    f"{kind} {self.state.get(account, 'never met')}"
                ] += 1

    def _happens(self, event: str) -> bool:
        because = self.world.because.get(event)
        if because is not None and (because in self.refused or because in self.gone):
            self.gone.add(event)
            return False
        return True

    def _refused(self, event: str, ts: int) -> None:
        self.refused.add(event)
        self.challenges.note_refusal(self.account_of[event], ts)

    def _decided(self, decision: Decision) -> None:
        account, outcome = decision.account, decision.outcome
        self.outcomes[account].add(outcome)
        abusive, family = self.world.label.get(account, (False, "unlabelled"))
        cause = decision.rules[0] if decision.rules else ("score" if outcome != "allow" else "end")
        self.rules[f"{outcome} {cause}"][f"abusive {family}" if abusive else family] += 1
        self.state[account] = (
            f"{outcome} {cause}"
            if decision.rules or outcome != "limit"
            else ("limit score" if decision.score is not None else "limit, passed")
        )
        self.challenges.note_decision(decision)

    @cached_property
    def account_of(self) -> dict[str, str]:
        """Account of each event."""
        log = self.world.log
        return dict(
            zip(log.column("id").to_pylist(), log.column("account").to_pylist(), strict=True)
        )


def measure(replay: Replay, name: str) -> Result:
    """Count by persona and family."""
    world, engine = replay.world, replay.engine
    model = engine.model.version if engine.model else None
    result = Result(name, engine.policy.version, model, world.log.num_rows)
    groups: dict[str, Group] = {}
    for account, (abusive, family) in world.label.items():
        into = result.abusive if abusive else result.benign
        group = groups[account] = into.setdefault(family, Group())
        outcomes = replay.outcomes.get(account, set())
        group.accounts += 1
        group.restricted += bool(outcomes & set(SILENCING))
        group.banned += "ban" in outcomes
        group.challenged += "challenge" in outcomes
        group.limited += "limit" in outcomes
        group.any += bool(outcomes & set(REFUSING))
    _count_first_messages(replay, groups)
    for event in world.unwanted:
        sender = groups.get(replay.account_of.get(event, ""))
        if sender is not None:
            sender.unwanted += 1
            sender.delivered += event not in replay.refused and event not in replay.gone
    result.linking = measure_linking(replay)
    result.rules = {
        rule: dict(counts.most_common(6)) for rule, counts in sorted(replay.rules.items())
    }
    return result


def measure_linking(replay: Replay) -> Linking:
    """Compare the linked accounts with the operators that the labels name.

    An operator of the labels with at least two accounts is found if two of them are linked.
    """
    world, found = replay.world, Linking()
    members: dict[str, set[str]] = defaultdict(set)
    for account, name in world.operator.items():
        members[name].add(account)
    linked: dict[str, set[str]] = defaultdict(set)
    for operator in replay.engine.operators():
        if operator.victims:
            continue
        found.operators += 1
        bad = [a for a in operator.accounts if world.label.get(a, (False, ""))[0]]
        found.abusive += len(bad)
        found.benign += len(operator.accounts) - len(bad)
        found.mixed += 0 < len(bad) < len(operator.accounts)
        for known, count in Counter(world.operator.get(a, "") for a in bad).items():
            if count > 1:
                linked[known] |= {a for a in bad if world.operator.get(a) == known}
    several = {name: accounts for name, accounts in members.items() if len(accounts) > 1}
    found.known_operators, found.found_operators = len(several), len(linked.keys() & several)
    found.known_accounts = sum(map(len, several.values()))
    found.found_accounts = sum(len(linked[name]) for name in several)
    return found


def _count_first_messages(replay: Replay, groups: dict[str, Group]) -> None:
    """Count pairs whose first message an account sends, and those refused at least once."""
    log = replay.world.log
    sent = log.filter(pc.and_(pc.equal(log.column("type"), SENT), log.column("peer").is_valid()))
    known: set[tuple[str, str]] = set()
    refused: set[tuple[str, str]] = set()
    columns = (sent.column(c).to_pylist() for c in ("id", "account", "peer"))
    for event, account, peer in zip(*columns, strict=True):
        if event in replay.gone:
            continue
        pair = (account, peer)
        if event in replay.refused:
            if pair not in refused and pair not in known:
                refused.add(pair)
                if account in groups:
                    groups[account].refused_first += 1
                    groups[account].first_messages += 1
        elif pair not in known:
            if pair not in refused and account in groups and (peer, account) not in known:
                groups[account].first_messages += 1
            known.add(pair)


def total(groups: dict[str, Group]) -> Group:
    """Sum groups."""
    sums = Group()
    for group in groups.values():
        for name, value in asdict(group).items():
            setattr(sums, name, getattr(sums, name) + value)
    return sums


def show(result: Result, console: Console) -> None:
    """Print a result as two tables and one line."""
    for title, groups, abusive in (
        ("Benign", result.benign, False), ("Abusive", result.abusive, True),
    ):  # fmt: skip
        table = Table("persona" if not abusive else "family", title=f"{title}: {result.world}")
        names = ["accounts", "restr.", "ban", "chall.", "limit", "any %"]
        names += ["stopped %", "delivered"] if abusive else ["refused first %", "refused"]
        for name in names:
            table.add_column(name, justify="right")
        for family, g in [*sorted(groups.items()), ("all", total(groups))]:
            share = (1 - g.delivered / max(g.unwanted, 1)) if abusive else (
                g.refused_first / max(g.first_messages, 1)
            )  # fmt: skip
            table.add_row(family, str(g.accounts), str(g.restricted), str(g.banned),
                          str(g.challenged), str(g.limited), f"{100 * g.any / g.accounts:.1f}",
                          f"{100 * share:.1f}",
                          str(g.delivered if abusive else g.refused_first))  # fmt: skip
        console.print(table)
    if result.linking is not None:
        at = result.linking
        console.print(
            f"linking: {at.operators} operators of {at.abusive} abusive and {at.benign} benign "
            f"accounts ({at.mixed} mixed); of {at.known_operators} operators with several accounts "
            f"{at.found_operators} found, of their {at.known_accounts} accounts {at.found_accounts}"
        )
    shares = [1 - g.delivered / g.unwanted for g in result.abusive.values() if g.unwanted]
    slowed = [g.any / g.accounts for g in result.abusive.values()]
    console.print(
        f"families equal: unwanted stopped {100 * sum(shares) / max(len(shares), 1):.1f} %, "
        f"accounts met {100 * sum(slowed) / max(len(slowed), 1):.1f} %"
    )


def options_of(
    command: str, about: str | None, *, model: bool = True
) -> argparse.ArgumentParser:  # fmt: skip
    """Return a parser of what every command on worlds takes.

    Args:
        command: Name of the module.
        about: What it does.
        model: Whether it takes a model.

    """
    parser = argparse.ArgumentParser(
        prog=f"python -m experiments.worlds.{command}", description=about,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("world", nargs="+", type=Path)
    if model:
        parser.add_argument("--model", default=None, help="a directory, or none (default: none)")
    parser.add_argument("--json", type=Path, help="write the results as JSON Lines")
    return parser


def write_results(file: Path | None, results: Sequence[Any]) -> None:
    """Write dataclasses as JSON Lines, where a file is asked for."""
    if file:
        lines = (json.dumps(asdict(result), sort_keys=True) for result in results)
        file.write_text("\n".join(lines) + "\n", "utf-8")


def main(arguments: list[str] | None = None) -> int:
    """Replay the worlds that are named."""
    parser = options_of("replay", __doc__)
    parser.add_argument("--policy", type=Path, help="a local policy beside the shipped one")
    parser.add_argument("--rules", action="store_true", help="print which rule met whom")
    chosen = parser.parse_args(arguments)
    console = Console(width=100)
    results = []
    for directory in chosen.world:
        world = load_world(directory)
        profile = coverage.measure(b for b in world.log.to_batches())
        engine = Engine(load_policy(chosen.policy), profile, enforce=True,
                        model=load_selected(chosen.model))  # fmt: skip
        replay = Replay(world, engine)
        replay.run()
        results.append(measure(replay, directory.name))
        show(results[-1], console)
        if chosen.rules:
            for rule, met in results[-1].rules.items():
                console.print(f"{rule}: {met}")
            for family, states in sorted(replay.delivered_in.items()):
                console.print(f"delivered by {family}: {dict(states.most_common(7))}")
    write_results(chosen.json, results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
