"""What learning at home adds to the tests on reactions, after a first week of them alone.

    python -m experiments.worlds.learning WORLD... [--policy DIR] [--fewest N] [--json FILE]

A world is as for `headline`, whose causal replay this is. The policy's tests act alone for the
first week. Then a model is learned from the log as it was (what had been refused never happened),
and the world goes on twice: under the tests alone, and under the tests joined with the learned
score by the rules of `joined.toml`. Shares are of first contacts after the first week. The shadow
of the following days is left out: the score acts at once.
"""

from __future__ import annotations

import copy
import sys
import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.table import Table

from experiments.worlds.headline import LEAST, SLICE_MS, CausalReplay, World, load_world
from experiments.worlds.replay import options_of, write_results
from wavebreak import config
from wavebreak.durations import DAY_MS
from wavebreak.engine import Engine, snapshot
from wavebreak.engine.policy_change import carried_state
from wavebreak.evaluation.home_learning import HomeDays, learn, load_terms, record_days
from wavebreak.model import Model
from wavebreak.outcomes import SILENCING
from wavebreak.rules import load_policy
from wavebreak.schema import coverage
from wavebreak_lab.training.home import fit_home

JOINED = Path(__file__).with_name("joined.toml")
"""How a policy joins a learned score with the tests."""


@dataclass
class Week:
    """What one way of going on did to the first contacts after the first week."""

    world: str
    policy: str
    refused: float = 0.0
    honest: int = 0
    worst: tuple[float, str] = (0.0, "")
    restricted: int = 0
    stopped: float = 0.0
    families_equal: float = 0.0
    unwanted: int = 0
    families: dict[str, tuple[int, int]] = field(default_factory=dict)
    personas: dict[str, tuple[int, int]] = field(default_factory=dict)
    line: str = ""
    labels: dict[str, int] = field(default_factory=dict)
    right: tuple[int, int] = (0, 0)
    seconds: float = 0.0


def _first_week(world: World) -> int:
    """Return when the first week ends: of messages, since a log may begin with registrations."""
    replay_ts = world.log.column("ts").to_numpy()
    return int(np.quantile(replay_ts, 0.001)) + 7 * DAY_MS


def _run(replay: CausalReplay, start: int, end: int) -> None:
    """Give the engine the slices of a world from one time to another."""
    edges = np.arange(replay.ts[0], replay.ts[-1] + 2 * SLICE_MS, SLICE_MS)
    cuts = np.searchsorted(replay.ts, edges)
    for number, (low, high) in enumerate(pairwise(cuts.tolist())):
        if start <= edges[number] < end:
            replay._slice(low, high, int(edges[number]), int(edges[number + 1]))


def _measure(replay: CausalReplay, world: World, policy: str, cut: int) -> Week:
    """Count first contacts after the first week, and whom something silenced in it."""
    week = Week(world.name, policy)
    first = dict[tuple[str, str], int]()
    for row, (account, peer) in enumerate(zip(replay.accounts, replay.peers, strict=True)):
        if peer is not None:
            first.setdefault((min(account, peer), max(account, peer)), row)
    personas, families = (defaultdict[str, Counter[bool]](Counter) for _ in range(2))
    unknown = ("benign", "unlabelled", "")
    for sender, peer, stopped in replay.first_contacts():
        if replay.ts[first[min(sender, peer), max(sender, peer)]] < cut:
            continue
        label, family, _ = world.labels.get(sender, unknown)
        if label == "benign":
            personas[family][stopped] += 1
        elif world.labels.get(peer, unknown)[0] == "benign":
            families[family][stopped] += 1
    counted = {f: (c[True], c.total()) for f, c in families.items()}
    week.families = {f: counts for f, counts in sorted(counted.items()) if counts[1] >= LEAST}
    week.honest = sum(c.total() for c in personas.values())
    week.refused = sum(c[True] for c in personas.values()) / max(week.honest, 1)
    shares = [(c[True] / c.total(), f) for f, c in personas.items() if c.total() >= LEAST]
    week.worst = max(shares, default=(0.0, ""))
    week.personas = {f: (c[True], c.total()) for f, c in sorted(personas.items())}
    week.unwanted = sum(total for _, total in counted.values())
    week.stopped = sum(stopped for stopped, _ in counted.values()) / max(week.unwanted, 1)
    equal = [stopped / total for stopped, total in week.families.values()]
    week.families_equal = sum(equal) / max(len(equal), 1)
    silenced = {d.account for d in replay.decisions if d.outcome in SILENCING}
    week.restricted = sum(world.labels.get(a, unknown)[0] == "benign" for a in silenced)
    return week


def _joined_policy(directory: Path | None, out: Path) -> Path:
    """Write a policy with the two rules, in which a score learned at home may be read."""
    (out / "rules").mkdir(parents=True)
    for path in directory.rglob("*.toml") if directory else ():
        target = out / path.relative_to(directory or path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(path.read_text("utf-8"), "utf-8")
    (out / "rules" / "learned.toml").write_text(JOINED.read_text("utf-8"), "utf-8")
    text = config.resolve_path("actions.toml", directory).read_text("utf-8")
    for mode in ("shadow", "enforce"):
        text = text.replace(f'mode = "{mode}"', 'mode = "home"', 1)
    (out / "actions.toml").write_text(text, "utf-8")
    return out


def _days(replay: CausalReplay, cut: int, policy: Path | None, profile: Any) -> HomeDays:
    """Replay what happened in the first week, as `wavebreak learn` does with a log."""
    engine = Engine(load_policy(policy), profile, enforce=False, record=True)
    ended = set(replay.gone) | set(replay.refused)
    rows = [r for r in range(int(np.searchsorted(replay.ts, cut))) if r not in ended]
    return record_days(engine, replay.log.take(pa.array(rows)).combine_chunks().to_batches())


def measure(world: World, policy: Path | None, fewest: int | None, show: Console) -> list[Week]:
    """Return what the tests alone, and the tests and a learned score, do after the first week."""
    cut, profile = _first_week(world), coverage.measure(b for b in world.log.to_batches())
    terms = load_terms()
    if fewest is not None:
        terms = msgspec.structs.replace(
            terms, fewest_accounts=fewest, fewest_operators=min(fewest, terms.fewest_operators)
        )
    alone = Engine(load_policy(policy), profile, enforce=True)
    replay = CausalReplay(world, alone)
    _run(replay, 0, cut)
    began = time.monotonic()
    days = _days(replay, cut, policy, profile)
    lesson, model, _ = learn(days, terms, fit_home, name="week-1")
    seconds = time.monotonic() - began
    show.print(msgspec.json.format(msgspec.json.encode(lesson), indent=1).decode())
    with tempfile.TemporaryDirectory() as scratch:
        weeks = []
        for title, loaded in (("tests alone", None), ("with the learned score", model)):
            if title != "tests alone" and model is None:
                continue
            goes_on = _goes_on(replay, policy, loaded, profile, Path(scratch))
            _run(goes_on, cut, sys.maxsize)
            weeks.append(_measure(goes_on, world, title, cut))
    weeks[-1].line = lesson.no_line or f"{lesson.line}"
    weeks[-1].labels, weeks[-1].seconds = lesson.labels, round(seconds, 1)
    return weeks


def _goes_on(
    replay: CausalReplay, policy: Path | None, model: Model | None, profile: Any, scratch: Path
) -> CausalReplay:
    """Return a copy of a replay that goes on under the tests alone, or with a learned score."""
    directory = _joined_policy(policy, scratch / "joined") if model else policy
    engine = Engine(load_policy(directory), profile, enforce=True, model=model)
    path = scratch / f"state-{bool(model)}"
    snapshot.write(carried_state(replay.engine, engine), path)
    snapshot.restore(engine, path)
    other = copy.copy(replay)
    fixed = ("engine", "log", "ids", "accounts", "peers", "types", "ts")
    for name, value in vars(replay).items():
        if name not in fixed:
            setattr(other, name, copy.deepcopy(value))
    other.engine = engine
    return other


def main(arguments: list[str] | None = None) -> int:
    """Learn in the worlds that are named."""
    parser = options_of("learning", __doc__)
    parser.add_argument(
        "--policy", type=Path, help="a policy whose tests act alone (default: the shipped)"
    )
    parser.add_argument("--fewest", type=int, help="convicted accounts that a line needs")
    chosen = parser.parse_args(arguments)
    show, results = Console(width=120), list[Week]()
    for directory in chosen.world:
        weeks = measure(load_world(directory), chosen.policy, chosen.fewest, show)
        results += weeks
        table = Table(
            "after the first week", "refused", "worst persona", "restricted", "stopped",
            "families equal", "line", title=weeks[0].world,
        )  # fmt: skip
        for week in weeks:
            table.add_row(
                week.policy, f"{week.refused:.2%}", f"{week.worst[0]:.1%} {week.worst[1]}",
                str(week.restricted), f"{week.stopped:.1%}", f"{week.families_equal:.1%}",
                week.line,
            )  # fmt: skip
        show.print(table)
    write_results(chosen.json, results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
