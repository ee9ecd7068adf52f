"""What learning at home adds to the tests on reactions, after a first week of them alone.

    python -m experiments.worlds.learning WORLD... [--policy DIR] [--fewest N] [--json FILE]
        [--ask N [--seeds N] [--wrong SHARE] [--again] [--puppets]]

A world is as for `headline`, whose causal replay and counts these are. The policy's tests act alone
for the first week. Then a model is learned from the log as it was (what had been refused never
happened), and the world goes on twice: under the tests alone, and with the learned score, which the
policy joins with them. Shares are of first contacts after the first week. The shadow of the
following days is left out: the score acts at once.

With `--ask` reviewers, who know the truth, answer for N accounts at the end of the week; of their
answers a share is wrong, and a second reviewer, who is never wrong, looks at those that the scores
contradict most (`--again`). The answers are labels in the log: whom a person calls abusive is
banned, so that is also measured without a score. With `--puppets` an account of its own writes to
every second abusive account each day, and is answered.
"""

from __future__ import annotations

import copy
import random
import sys
from collections.abc import Iterable
from dataclasses import replace
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
from wavebreak.evaluation.asked_labels import choose_questions, most_contradicted
from wavebreak.evaluation.home_learning import (
    HomeDays,
    Terms,
    label_days,
    learn,
    load_terms,
    record_days,
)
from wavebreak.evaluation.labels import LabelVote
from wavebreak.model import Model
from wavebreak.privacy.pseudonymizer import Pseudonymizer, with_all_columns
from wavebreak.rules import load_policy
from wavebreak.schema import coverage
from wavebreak.schema.events import LOG_SCHEMA, WIRE_SCHEMA
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


def log_of(rows: Iterable[dict[str, Any]]) -> pa.RecordBatch:
    """Return events as they are in a world's log."""
    edge = Pseudonymizer(b"a key of the experiment alone")
    return with_all_columns(edge.apply(pa.RecordBatch.from_pylist(list(rows), WIRE_SCHEMA)))


def with_puppets(world: World) -> World:
    """Return a world in which a puppet writes to every second abusive account each day."""
    first, last = (int(world.log.column("ts").to_numpy()[n]) for n in (0, -1))
    abusive = sorted(a for a, (label, *_) in world.labels.items() if label == "abusive")
    rows = list[dict[str, Any]]()
    for account in abusive[::2]:
        for ts in range(first + 3_600_000, last - 3_600_000, DAY_MS):
            puppet = f"puppet-{len(rows)}"
            for k, (one, other) in enumerate([(puppet, account), (account, puppet)] * 2):
                rows.append(
                    {"id": f"{puppet}-{k}", "ts": ts + 600_000 * k, "type": "message.sent",
                     "account": one, "peer": other, "size": 40 + k, "in_contacts": False}
                )  # fmt: skip
    names = world.log.column_names
    tables = [world.log, pa.Table.from_batches([log_of(rows)]).select(names)]
    log = (
        pa.concat_tables(tables, promote_options="permissive")
        .sort_by("ts")
        .cast(pa.schema([LOG_SCHEMA.field(name) for name in names]))
    )
    puppets = {row["account"]: ("benign", "puppet", "") for row in rows[::4]}
    return World(f"{world.name}, puppets", log, world.labels | puppets)


def asked(
    days: HomeDays, world: World, number: int, seed: int, wrong: float, again: bool, terms: Terms
) -> HomeDays:
    """Return days with the answers of reviewers to so many questions."""
    rng = random.Random(seed)
    questions = choose_questions(days, number, seed)
    chances = {q.account: q.chance for q in questions}
    truth = {a: world.labels.get(a, ("benign",))[0] for a in chances}
    other = {"benign": "abusive", "abusive": "benign"}
    said = {a: other[label] if rng.random() < wrong else label for a, label in truth.items()}

    def answered() -> HomeDays:
        votes = [LabelVote("", a, v, "", "", "sample", days.end_ms) for a, v in said.items()]
        chance = np.array([chances.get(name, 0.0) for _, name in days.points.accounts])
        return replace(days, votes=(*days.votes, *votes), chance=chance)

    if again and not label_days(answered(), terms).answers.too_few:
        _, margins = fit_home(answered(), labels := label_days(answered(), terms), "first", seed)
        for account in most_contradicted(margins, days, labels.positive, labels.reviewed):
            said[account] = truth[account]
    return answered()


def compare(
    world: World, policy: Path | None, fewest: int | None, console: Console, chosen: Any
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
    days = days_before(replay, cut, policy, profile)
    results: list[Headline] = []

    def go_on(title: str, model: Model | None, votes: Iterable[LabelVote] = ()) -> None:
        other = continued(replay, policy, model, profile)
        rows = [
            {"id": f"answer-{k}", "ts": cut, "type": "label.assigned", "account": vote.account,
             "label": vote.label, "source": vote.source}
            for k, vote in enumerate(votes)
        ]  # fmt: skip
        for decision in other.engine.take(log_of(rows)) if rows else ():
            other.note_decision(decision)
        other.run(begin_ms=cut)
        result = measure(other, world, cut)
        result.policy = title
        results.append(result)
        show([result], console, detail=False)

    go_on("tests alone", None)
    for seed in range(chosen.seeds if chosen.ask else 1):
        taught = days
        if chosen.ask:
            taught = asked(days, world, chosen.ask, seed, chosen.wrong, chosen.again, terms)
        lesson, model, _ = learn(taught, terms, fit_home, name="week-1", seed=seed)
        console.print(msgspec.json.format(msgspec.json.encode(lesson), indent=1).decode())
        votes = taught.votes[len(days.votes) :]
        if votes and not seed:
            go_on("answers, no score", None, votes)
        if model is not None:
            go_on(f"learned score, seed {seed}", model, votes)
    return results


def main(arguments: list[str] | None = None) -> int:
    """Learn in the worlds that are named."""
    parser = options_of("learning", __doc__, model=False)
    parser.add_argument("--policy", type=Path, help="a local policy beside the shipped one")
    parser.add_argument("--fewest", type=int, help="convicted accounts that a line needs")
    parser.add_argument("--ask", type=int, default=0, help="accounts that reviewers answer for")
    parser.add_argument("--seeds", type=int, default=3, help="draws of these accounts")
    parser.add_argument("--wrong", type=float, default=0.0, help="share of wrong answers")
    parser.add_argument("--again", action="store_true", help="a second look at contradicted ones")
    parser.add_argument("--puppets", action="store_true", help="abusers' own accounts talk to them")
    chosen = parser.parse_args(arguments)
    console, results = Console(width=150), list[Headline]()
    for directory in chosen.world:
        world = load_world(directory)
        world = with_puppets(world) if chosen.puppets else world
        results += compare(world, chosen.policy, chosen.fewest, console, chosen)
    show(results, console, detail=False)
    write_results(chosen.json, results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
