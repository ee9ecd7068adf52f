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
    replay = CausalReplay(log, labels, engine, persistent=("benign",))
    first_decision = list[Decision]()

    def report(share: float) -> None:
        if replay.decisions and not first_decision:
            first_decision.append(replay.decisions[0])
            first(first_decision[0])
        progress(share)

    replay.run(report)
    happened = replay.events(pa.Table.from_batches(batches)).combine_chunks()
    return _holding(world, happened), replay


def slowed(replay: CausalReplay) -> Iterator[str]:
    """Say how long honest people waited whom something was refused.

    Args:
        replay: The day's replay.
    """
    waits_ms, missing = replay.held_back("benign", ("message.sent", "contact.requested"))
    if not waits_ms and not missing:
        return
    came = "none came later"
    if waits_ms:
        half, last = span(median(waits_ms)), span(max(waits_ms))
        came = f"{len(waits_ms):,} came later, half of them within {half}, the last after {last}"
    yield f"Of the refused ones, {came}; {missing:,} did not arrive that day."
