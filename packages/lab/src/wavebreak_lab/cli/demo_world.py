"""The demo's day: every campaign and persona, and nothing that follows from what was refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from statistics import median

import pyarrow as pa

from wavebreak.engine import Engine
from wavebreak.engine.decision import Decision
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.reports.tables import span
from wavebreak.rules import Policy
from wavebreak.schema import coverage
from wavebreak_lab import simulation
from wavebreak_lab.causal_replay import CausalReplay

DEMO_KEY = b"wavebreak demo, no secret"


def simulate_day(
    people: int, seed: int, progress: Callable[[float], None] | None = None
) -> simulation.World:
    """Simulate a day with every campaign and every persona; nobody refuses anything yet.

    Its events are made at once and held.

    Args:
        people: Number of ordinary people.
        seed: Of the simulation.
        progress: Called with the share that is done.
    """
    world = simulation.simulate(
        people=people,
        days=1,
        campaigns=[(name, None) for name in simulation.CAMPAIGNS],
        personas=["all"],
        seed=seed,
        progress=progress,
    )
    return _holding(world, pa.Table.from_batches(world.batches()))


def _holding(world: simulation.World, events: pa.Table) -> simulation.World:
    return replace(world, events=lambda size: iter(events.to_batches(size)))


def causal_day(
    world: simulation.World,
    policy: Policy,
    progress: Callable[[float], None] = lambda _: None,
    first: Callable[[Decision], None] = lambda _: None,
) -> tuple[simulation.World, CausalReplay]:
    """Return a day without what follows from messages that an engine refuses, and its replay.

    Honest people send again what was held; campaigns go on to their next address.

    Args:
        world: A simulated day.
        policy: Decides, and is enforced.
        progress: Called with the share that is done.
        first: Called with the first decision, once it is made.
    """
    batches = list(world.batches())
    edge = Pseudonymizer(DEMO_KEY)
    log = pa.Table.from_batches([edge.apply(batch) for batch in batches])
    profile = coverage.measure(iter(log.to_batches()))
    labels = {account: label for account, label, *_ in world.labels}
    engine = Engine(policy, profile, enforce=True)
    played = CausalReplay(log, labels, engine, persistent=("benign",))
    told = list[Decision]()

    def report(share: float) -> None:
        if played.decisions and not told:
            told.append(played.decisions[0])
            first(told[0])
        progress(share)

    played.run(report)
    happened = played.events(pa.Table.from_batches(batches)).combine_chunks()
    return _holding(world, happened), played


def slowed(played: CausalReplay) -> Iterator[str]:
    """Say how long honest people waited whom something was refused.

    Args:
        played: The day's replay.
    """
    waited, missing = played.held_back("benign", ("message.sent", "contact.requested"))
    if not waited and not missing:
        return
    came = "none came later"
    if waited:
        half, last = span(median(waited)), span(max(waited))
        came = f"{len(waited):,} came later, half of them within {half}, the last after {last}"
    yield f"Of the refused ones, {came}; {missing:,} did not arrive that day."
