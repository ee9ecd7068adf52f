"""The demo's day: every campaign and persona, and nothing that follows from what was refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from statistics import median

import pyarrow as pa

from wavebreak.engine import Engine
from wavebreak.model import Model
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.reports.tables import count_of, span
from wavebreak.rules import Policy
from wavebreak.schema import coverage
from wavebreak_lab import simulation
from wavebreak_lab.causal_replay import CausalReplay

DEMO_KEY = b"wavebreak demo, no secret"


def simulate_day(
    people: int, seed: int, progress: Callable[[float], None] | None = None
) -> simulation.World:
    """Simulate a day with every campaign and every persona; nobody refuses anything yet.

    Args:
        people: Number of ordinary people.
        seed: Of the simulation.
        progress: Called with the share that is done.

    """
    return simulation.simulate(
        people=people,
        days=1,
        campaigns=[(name, None) for name in simulation.CAMPAIGNS],
        personas=["all"],
        seed=seed,
        progress=progress,
    )


def causal_day(
    world: simulation.World,
    policy: Policy,
    model: Model | None,
    progress: Callable[[float], None] = lambda _: None,
) -> tuple[simulation.World, CausalReplay]:
    """Return a day without what follows from messages that an engine refuses, and its replay.

    Honest people send again what was held; campaigns go on to their next address.

    Args:
        world: A simulated day.
        policy: Decides, and is enforced.
        model: Scores accounts (None: rules only).
        progress: Called with the share that is done.

    """
    batches = list(world.batches())
    edge = Pseudonymizer(DEMO_KEY)
    log = pa.Table.from_batches([edge.apply(batch) for batch in batches])
    profile = coverage.measure(iter(log.to_batches()))
    labels = {account: label for account, label, *_ in world.labels}
    engine = Engine(policy, profile, enforce=True, model=model)
    played = CausalReplay(log, labels, engine, persistent=("benign",))
    played.run(progress)
    happened = played.events(pa.Table.from_batches(batches)).combine_chunks()
    return replace(world, events=lambda size: iter(happened.to_batches(size))), played


def slowed(played: CausalReplay) -> Iterator[str]:
    """Say how long honest people waited whom something was refused.

    Args:
        played: The day's replay.

    """
    honest = [
        (tuple(sorted((sender, recipient))), stopped)
        for sender, recipient, stopped in played.first_contacts()
        if played.labels.get(sender, "benign") == "benign"
    ]
    waited = [played.wait_ms[pair] for pair, _ in honest if pair in played.wait_ms]
    missing = sum(stopped for _, stopped in honest)
    if not waited and not missing:
        return
    came = ""
    if waited:
        half, last = span(median(waited)), span(max(waited))
        came = f"{len(waited):,} came later, half of them within {half}, the last after {last}; "
    yield (
        f"Of {count_of(len(honest), 'first message')} of honest people, {came}{missing:,} did not "
        "arrive that day."
    )
