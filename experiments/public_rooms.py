"""What the shipped rules do in public rooms: to honest people there, and to mass mentions.

    python -m experiments.public_rooms [--people N] [--days N] [--seed N]

A simulated world with the personas and the campaigns of public rooms, given to an engine that
enforces, and to one that does not. A complaint about a message that was refused is left out.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wavebreak.engine import Engine
from wavebreak.features.layout import BARRED
from wavebreak.outcomes import REFUSING
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.rules import load_policy
from wavebreak.schema.events import MASS_MENTION, NEW_IN_GROUP_S
from wavebreak_lab.simulation import ROOM_CAMPAIGNS, ROOM_PERSONAS, World, simulate

SLICE_MS = 60_000
"""Complaints come minutes after a message, so that those about refused ones are seen in time."""
ACCOUNTS = 20
"""Accounts of each campaign."""


@dataclass
class Met:
    """What became of one persona or campaign.

    `limited`: accounts that any outcome refused something, by `rules`. Messages to groups: those
    that were `sent` and `refused`; `mass` mentions among them, and how many people these `reached`
    of those that they were `meant` for.
    """

    accounts: int = 0
    limited: set[str] = field(default_factory=set)
    rules: Counter[str] = field(default_factory=Counter)
    sent: int = 0
    refused: int = 0
    mass: int = 0
    mass_refused: int = 0
    meant: int = 0
    reached: int = 0


def slices(world: World) -> list[pa.RecordBatch]:
    """Return a world's events, some time in each."""
    events = pa.Table.from_batches(world.batches())
    ts = events.column("ts").to_numpy()
    cuts = np.flatnonzero(np.diff(ts // SLICE_MS)) + 1
    parts = zip([0, *cuts.tolist()], [*cuts.tolist(), len(ts)], strict=True)
    return [
        batch
        for low, high in parts
        for batch in events.slice(low, high - low).combine_chunks().to_batches()
    ]


def measure(world: World, *, enforce: bool = True) -> dict[str, Met]:
    """Count what an engine does to each persona and campaign of a world."""
    family = {account: name for account, _, name, _ in world.labels}
    met: dict[str, Met] = defaultdict(Met)
    for name in family.values():
        met[name].accounts += 1
    engine = Engine(load_policy(), accounts=4 * len(family), enforce=enforce)
    edge, refused = Pseudonymizer(bytes(32)), set[str]()
    for batch in slices(world):
        about_refused = pc.is_in(batch.column("message"), pa.array(sorted(refused), pa.string()))
        complaint = pc.equal(batch.column("type"), "user.reported")
        left = batch.filter(pc.invert(pc.and_(complaint, pc.fill_null(about_refused, False))))
        gone = set[str]()
        for segment in engine.fanout.segments(edge.apply(left)):
            for decision in engine.advance(segment):
                if decision.outcome in REFUSING:
                    who = met[family[decision.account]]
                    who.limited.add(decision.account)
                    who.rules.update(decision.rules)
            rows = np.flatnonzero(segment.results & BARRED).tolist()
            gone |= {str(segment.ids[at]) for at in rows}
        refused |= gone
        count_messages(left, gone, family, met)
    return met


def count_messages(
    batch: pa.RecordBatch, refused: set[str], family: dict[str, str], met: dict[str, Met]
) -> None:
    """Count the messages to groups of a batch."""
    sent = batch.filter(
        pc.and_(pc.equal(batch.column("type"), "message.sent"), batch.column("group").is_valid())
    )
    columns = ("id", "account", "recipients", "mentions")
    for event, account, recipients, mentions in zip(
        *(sent.column(name).to_pylist() for name in columns), strict=True
    ):
        who, barred = met[family[account]], event in refused
        who.sent += 1
        who.refused += barred
        if (mentions or 0) >= MASS_MENTION:
            who.mass += 1
            who.mass_refused += barred
            who.meant += recipients
            who.reached += 0 if barred else recipients


def world_of(people: int, days: float, seed: int) -> World:
    """Return a world with public rooms."""
    return simulate(
        people=people, days=days, seed=seed, personas=list(ROOM_PERSONAS),
        campaigns=[(name, ACCOUNTS) for name in ROOM_CAMPAIGNS],
    )  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Print a persona or campaign a line."""
    parser = argparse.ArgumentParser("public_rooms", description=__doc__)
    parser.add_argument("--people", type=int, default=1000)
    parser.add_argument("--days", type=float, default=4.0)
    parser.add_argument("--seed", type=int, default=7)
    chosen = parser.parse_args(arguments)
    met = measure(world_of(chosen.people, chosen.days, chosen.seed))
    print("| who | accounts | limited | messages to rooms | refused | mass mentions | refused |"
          " people reached of those meant | rules |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|")
    for name in ("person", *ROOM_PERSONAS, *ROOM_CAMPAIGNS):
        who = met[name]
        rules = ", ".join(f"{rule} {count}" for rule, count in who.rules.most_common(4)) or "–"
        share = f"{who.reached / who.meant:.1%}" if who.meant else "–"
        print(f"| {name} | {who.accounts} | {len(who.limited)} | {who.sent} | {who.refused} |"
              f" {who.mass} | {who.mass_refused} | {share} | {rules} |")  # fmt: skip
    print(f"load {os.getloadavg()[0]:.1f}; seed {chosen.seed}, {NEW_IN_GROUP_S} s new in a room")
    return 0


if __name__ == "__main__":
    sys.exit(main())
