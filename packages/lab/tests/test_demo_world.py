"""The demo's day is causal: nobody reacts to what never arrived, and honest people try again."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest

from wavebreak.engine import Engine
from wavebreak.features.layout import BARRED
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.rules import load_policy
from wavebreak.schema import coverage
from wavebreak_lab import simulation
from wavebreak_lab.causal_replay import CausalReplay
from wavebreak_lab.cli.demo_world import DEMO_KEY, causal_day, slowed

REACTIONS = {"message.delivered", "message.read", "user.blocked", "user.reported"}
CONTACTS = {"message.sent", "contact.requested", "group.member_added", "call.started"}


@pytest.fixture(scope="module")
def day() -> tuple[simulation.World, simulation.World, CausalReplay]:
    """Return a small day as it was simulated, as it happened, and its replay."""
    simulated = simulation.simulate(
        people=60, days=0.5, campaigns=[("blast", 4), ("high-volume", 1)],
        personas=["new-number", "courier"], seed=4,
    )  # fmt: skip
    return simulated, *causal_day(simulated, load_policy())


def refused(world: simulation.World, profile: coverage.Profile) -> Iterator[tuple[dict, bool]]:  # type: ignore[type-arg]
    """Yield each event of a day with whether another engine refuses it."""
    engine = Engine(load_policy(), profile, enforce=True)
    for batch in world.batches():
        barred = list[bool]()
        for segment in engine.fanout.segments(Pseudonymizer(DEMO_KEY).apply(batch)):
            list(engine.advance(segment))
            barred += (segment.results & BARRED != 0).tolist()
        yield from zip(batch.to_pylist(), barred, strict=True)


def profile_of(world: simulation.World) -> coverage.Profile:
    edge = Pseudonymizer(DEMO_KEY)
    return coverage.measure(edge.apply(batch) for batch in world.batches())


def early_reactions(world: simulation.World, profile: coverage.Profile) -> tuple[list[dict], int]:  # type: ignore[type-arg]
    """Return the reactions to people of whom nothing had arrived, and how much was refused."""
    met, early, barred = set[tuple[str, str]](), [], 0
    for event, stopped in refused(world, profile):
        sender, peer = event["account"], event["peer"]
        barred += stopped
        if event["type"] in REACTIONS and (peer, sender) not in met and (sender, peer) not in met:
            early.append(event)
        if event["type"] in CONTACTS and peer and not stopped:
            met.add((sender, peer))
    return early, barred


def test_nobody_reacts_to_what_never_arrived(
    day: tuple[simulation.World, simulation.World, CausalReplay],
) -> None:
    simulated, happened, _ = day
    early, barred = early_reactions(happened, profile_of(simulated))
    assert barred > 500
    assert early == []
    assert len(early_reactions(simulated, profile_of(simulated))[0]) > 500


def test_day_is_in_order_and_its_events_have_ids_of_their_own(
    day: tuple[simulation.World, simulation.World, CausalReplay],
) -> None:
    _, happened, _ = day
    table = pa.Table.from_batches(happened.batches())
    assert np.all(np.diff(table.column("ts").to_numpy()) >= 0)
    assert len(table.column("id").unique()) == len(table)


def test_run_over_the_day_decides_as_its_replay(
    day: tuple[simulation.World, simulation.World, CausalReplay],
) -> None:
    simulated, happened, played = day
    engine = Engine(load_policy(), profile_of(simulated), enforce=True)
    edge = Pseudonymizer(DEMO_KEY)
    decisions = [d for batch in happened.batches() for d in engine.take(edge.apply(batch))]
    assert decisions + engine.finish() == played.decisions


def test_slowed_people_are_told_with_how_long_they_waited(
    day: tuple[simulation.World, simulation.World, CausalReplay],
) -> None:
    *_, played = day
    assert played.wait_ms
    assert "came later" in "".join(slowed(played))
