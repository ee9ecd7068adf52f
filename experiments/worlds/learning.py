"""What learning at home adds to the tests on reactions, after a first week of them alone.

    python -m experiments.worlds.learning WORLD... [--policy DIR] [--fewest N] [--json FILE]

A world is as for `headline`, whose causal replay and counts these are. The policy's tests act alone
for the first week. Then a model is learned from the log as it was (what had been refused never
happened), and the world goes on twice: under the tests alone, and with the learned score, which the
policy joins with them. Shares are of first contacts after the first week. The shadow of the
following days is left out: the score acts at once.
"""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from rich.console import Console

from experiments.worlds.headline import (
    Headline,
    World,
    causal_replay_of,
    load_world,
    measure,
    show,
)
from experiments.worlds.replay import options_of, write_results
from wavebreak.durations import DAY_MS
from wavebreak.engine import Engine, snapshot
from wavebreak.engine.policy_change import carried_state
from wavebreak.evaluation.home_learning import HomeDays, learn, load_terms, record_days
from wavebreak.model import Model
from wavebreak.rules import load_policy
from wavebreak.schema import coverage
from wavebreak_lab.causal_replay import CausalReplay
from wavebreak_lab.training.home import fit_home

SHARED = frozenset(
    {"engine", "log", "labels", "ts", "types", "names", "numbers", "account", "peer",
     "pair", "opener", "opened", "of", "persists", "written", "opening", "opens"}
)  # fmt: skip
"""What a replay that goes on does not copy: its log and what follows from it; its engine is new."""


def first_week_ends(world: World) -> int:
    """Return when the first week ends: of messages, since a log may begin with registrations."""
    return int(np.quantile(world.log.column("ts").to_numpy(), 0.001)) + 7 * DAY_MS


def days_before(replay: CausalReplay, end_ms: int, policy: Path | None, profile: Any) -> HomeDays:
    """Replay what happened until a time, as `wavebreak learn` does with a log."""
    engine = Engine(load_policy(policy), profile, enforce=False, record=True)
    happened = ~(replay.gone | replay.refused) & (replay.ts < end_ms)
    return record_days(engine, replay.log.filter(pa.array(happened)).combine_chunks().to_batches())


def continued(
    replay: CausalReplay, policy: Path | None, model: Model | None, profile: Any
) -> CausalReplay:
    """Return a copy of a replay that goes on from its state under a model (None: none)."""
    engine = Engine(load_policy(policy), profile, enforce=True, model=model)
    snapshot.load(engine, carried_state(replay.engine, engine))
    other = copy.copy(replay)
    for name, value in vars(replay).items():
        if name not in SHARED:
            setattr(other, name, copy.deepcopy(value))
    other.engine = engine
    return other


def compare(
    world: World, policy: Path | None, fewest: int | None, console: Console
) -> list[Headline]:
    """Return what the tests alone, and the tests and a learned score, do after the first week."""
    cut, profile = first_week_ends(world), coverage.measure(b for b in world.log.to_batches())
    terms = load_terms()
    if fewest is not None:
        terms = msgspec.structs.replace(
            terms, fewest_accounts=fewest, fewest_operators=min(fewest, terms.fewest_operators)
        )
    replay = causal_replay_of(world, Engine(load_policy(policy), profile, enforce=True))
    replay.run(end_ms=cut)
    lesson, model, _ = learn(
        days_before(replay, cut, policy, profile), terms, fit_home, name="week-1"
    )
    console.print(msgspec.json.format(msgspec.json.encode(lesson), indent=1).decode())
    results: list[Headline] = []
    for title, loaded in (("tests alone", None), ("learned score", model)):
        if loaded is None and results:
            continue
        other = continued(replay, policy, loaded, profile)
        other.run(begin_ms=cut)
        result = measure(other, world, cut)
        result.policy = title
        results.append(result)
    return results


def main(arguments: list[str] | None = None) -> int:
    """Learn in the worlds that are named."""
    parser = options_of("learning", __doc__, model=False)
    parser.add_argument("--policy", type=Path, help="a local policy beside the shipped one")
    parser.add_argument("--fewest", type=int, help="convicted accounts that a line needs")
    chosen = parser.parse_args(arguments)
    console, results = Console(width=150), list[Headline]()
    for directory in chosen.world:
        results += compare(load_world(directory), chosen.policy, chosen.fewest, console)
    show(results, console, detail=False)
    write_results(chosen.json, results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
