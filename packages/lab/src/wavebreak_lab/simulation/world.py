"""A simulated world: labels, and events as a stream of batches.

Campaigns and personas are planned when a world is made; everyday activity follows window by window
while its batches are read. `write` stores a world as a directory.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wavebreak import io
from wavebreak.csv_files import CsvWriter
from wavebreak.durations import DAY_MS, MINUTE_MS
from wavebreak.errors import FileError, UsageError
from wavebreak.schema import coverage
from wavebreak.schema.events import TYPES, WIRE_SCHEMA
from wavebreak_lab.simulation import log
from wavebreak_lab.simulation.activities import Persona
from wavebreak_lab.simulation.attackers import (
    APP_CAMPAIGNS,
    CALL_CAMPAIGNS,
    EVERY_CAMPAIGN,
    Campaign,
)
from wavebreak_lab.simulation.background_trace import (
    FIRST_ID,
    NAME_SEED_OFFSET,
    Background,
    labels_with_events,
    load_trace,
    merge_campaigns,
    to_record_batches,
)
from wavebreak_lab.simulation.behaviour import STYLE
from wavebreak_lab.simulation.calls import CallHabits, Calls
from wavebreak_lab.simulation.contact_requests import ContactRequests, RequestHabits
from wavebreak_lab.simulation.context import AccountRegistry, Label, SimulationContext
from wavebreak_lab.simulation.daily_life import EVERYDAY, DailyLife, Everyday, Groups
from wavebreak_lab.simulation.newcomers import NewcomerBehaviour, add_newcomers
from wavebreak_lab.simulation.personas import APP_FIRMS, EVERY_PERSONA, PERSONAS
from wavebreak_lab.simulation.population import (
    BEFORE_START,
    draw_population,
    placeholder_people,
)
from wavebreak_lab.simulation.public_rooms import ROOM_CAMPAIGNS, ROOM_PERSONAS, RoomCampaign

BATCH = 65_536
"""Events a batch unless another size is asked for."""

LEAD = 5 * MINUTE_MS
"""Nothing that starts in a window has an event further ahead of it than this."""

MIN_PERSONA_ACCOUNTS = 10
"""Fewest accounts of a persona, however few people there are."""

START_MS = 1_767_225_600_000
"""Default start of a simulation: 2026-01-01T00:00Z."""

_CAMPAIGNS: dict[str, Campaign | RoomCampaign] = {
    **EVERY_CAMPAIGN, **CALL_CAMPAIGNS, **APP_CAMPAIGNS, **ROOM_CAMPAIGNS
}  # fmt: skip
_PERSONAS: dict[str, Persona] = {**EVERY_PERSONA, **APP_FIRMS, **ROOM_PERSONAS}
_EVENTS_A_PERSON_AND_DAY = 62  # measured with the shipped parameters; only sizes the windows
_EVENTS_A_WINDOW = 600_000  # so that memory stays flat: about 100 bytes an event
_WINDOWS = tuple(m * MINUTE_MS for m in (10, 15, 30, 60, 120, 240, 480))


@dataclass(frozen=True, slots=True)
class World:
    """A simulated log.

    `labels`: (account, label, family, operator) of every account that acts; `about`: parameters
    and counts, ready for JSON; `events`: makes the events, a number of them at a time; `timeline`:
    the simulation behind them (None on a background trace); `compromised_at`: when
    accounts of honest people were hijacked (milliseconds).
    """

    labels: list[Label]
    about: dict[str, Any]
    events: Callable[[int], Iterator[pa.RecordBatch]]
    timeline: Timeline | None = None
    compromised_at: dict[str, int] = field(default_factory=dict)

    def batches(self, size: int = BATCH) -> Iterator[pa.RecordBatch]:
        """Yield the events as batches of WIRE_SCHEMA, sorted by (ts, id), at most `size` each.

        Every call yields the same events.
        """
        return self.events(size)


@dataclass(frozen=True, slots=True)
class Timeline:
    """Everyday activity and planned events, generated window by window: memory stays flat.

    `groups`: the number of planned groups, after which new names are counted; `requests`: how
    chats open, where that takes a request; `calls`: how people call, where they can.
    """

    sim: SimulationContext
    life: DailyLife
    planned: list[log.EventBlock]
    seed: int
    groups: int
    progress: Callable[[float], None] | None = None
    requests: RequestHabits | None = None
    calls: CallHabits | None = None

    def events(self, size: int) -> Iterator[pa.RecordBatch]:
        """Yield all events in order."""
        names, sim, blocks = self.sim.registry.names(), self.sim, self.blocks
        if self.requests is not None:
            blocks = partial(ContactRequests(sim, self.requests, self.seed).apply, blocks)
        if self.calls is not None:
            blocks = partial(Calls(sim, self.calls, self.seed).apply, blocks)
        for block in blocks():
            yield from log.to_batches(block, names, sim.pool.arrow(), size)

    def blocks(self) -> Iterator[log.EventBlock]:
        """Yield the events in order, as columns of numbers: a block a window of time.

        Requests for contact and calls of people are not among them yet.
        """
        sim = self.sim
        first_id = max((int(b.columns["id"].max()) + 1 for b in self.planned), default=0)
        sim.log, sim.groups = log.EventLog(first_id), self.groups
        pile = log.EventBuffer(self.planned)
        # About the same number of events falls into each window.
        target_ms = _EVENTS_A_WINDOW / len(sim.people) / _EVENTS_A_PERSON_AND_DAY * DAY_MS
        step = max((length for length in _WINDOWS if length <= target_ms), default=_WINDOWS[0])
        for number, low in enumerate(range(sim.start, sim.end, step)):
            high = min(low + step, sim.end)
            sim.rng = np.random.default_rng([self.seed, number])
            self.life.add_window(sim, low, high)
            certain = high if high == sim.end else high - LEAD
            yield pile.until(certain, sim.log.flush()).split(sim.start)[1]
            if self.progress:
                self.progress((high - sim.start) / sim.span)


def write_labels(world: World, path: Path) -> None:
    """Write the labels of a world as CSV."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = CsvWriter(file, exact=True, line_end="\n")
        writer.write(("account", "label", "family", "operator"))
        writer.write_all(world.labels)


def write(world: World, out: Path, *, form: str = "parquet") -> int:
    """Write a world into a directory; return the number of its events.

    Files: `events.FORM` (parquet, jsonl, or another format by its suffix, as jsonl.zst),
    `events.profile.json`, `labels.csv` and `world.json`. Raises FileError if a file cannot be
    written.
    """
    events = out / f"events.{form}"
    profiles: list[coverage.Profile] = []

    def measured() -> Iterator[pa.RecordBatch]:
        for batch in world.batches():
            profiles.append(coverage.measure([_profile_columns(batch)]))
            yield batch

    try:
        out.mkdir(parents=True, exist_ok=True)
        event_count = io.write(events, measured())
        coverage.save(_sum_profiles(profiles), coverage.sidecar_path(events))
        write_labels(world, out / "labels.csv")
        description = world.about | {"events": event_count}
        (out / "world.json").write_text(json.dumps(description, indent=1) + "\n", "utf-8")
    except OSError as error:
        raise FileError(
            f"{out} cannot be written: {error.strerror}", fix="check the directory and its space"
        ) from None
    return event_count


def _profile_columns(wire: pa.RecordBatch) -> pa.RecordBatch:
    """Return the columns that a profile counts: types as codes, personal fields by log names.

    A profile counts presence only, so nothing needs to cross the privacy edge for it.
    """
    codes = pc.index_in(wire.column("type"), pa.array(TYPES)).cast(pa.uint8())
    columns = {name: wire.column(name) for name in wire.schema.names}
    columns |= {"type": codes, "number": columns["phone"], "address": columns["ip"]}
    return pa.RecordBatch.from_pydict(columns)


def _sum_profiles(parts: list[coverage.Profile]) -> coverage.Profile:
    types, fields = Counter[str](), Counter[str]()
    for part in parts:
        counts = {kind: round(share * part.events) for kind, share in part.types.items()}
        types.update(counts)
        for name, share in part.fields.items():
            fields[name] += round(share * counts[name.rpartition(".")[0]])
    events = sum(part.events for part in parts)
    return coverage.Profile(
        {kind: count / events for kind, count in types.items()},
        {name: count / types[name.rpartition(".")[0]] for name, count in fields.items()},
        int(np.gcd.reduce([part.resolution_ms for part in parts] or [1])),
        events,
    )


def simulate(
    *,
    people: int,
    days: float,
    campaigns: Sequence[tuple[str, int | None] | Campaign] = (),
    personas: Sequence[str | tuple[Persona, int]] = (),
    everyday: Everyday = EVERYDAY,
    background: Path | None = None,
    seed: int = 0,
    start_ms: int = START_MS,
    requests: bool | RequestHabits = False,
    calls: bool = False,
    progress: Callable[[float], None] | None = None,
) -> World:
    """Simulate a platform; its events are generated while its batches are read.

    The same arguments give the same bytes.

    Args:
        people: Number of ordinary people.
        days: Length of the simulation in days.
        campaigns: Campaigns, or (name, accounts); None for the campaign's default size.
        personas: Benign personas by name, or (persona, accounts); "all" for every one but the
            cohorts, the firms on the business app and the people of public rooms.
        everyday: What people and their groups are like.
        background: A file of events. The campaigns then run among its accounts, from a tenth of
            its time span on, and no people are simulated.
        seed: Seed of every random draw.
        start_ms: Start of the simulation, milliseconds since 1970.
        requests: Chats open by a request for contact, as on platforms without phone numbers.
        calls: People call those they talk with; a log without it has calls of campaigns alone.
        progress: Called with the share of the events that is done.

    Returns:
        The world: labels, parameters, and batches of events.

    Raises:
        UsageError: An unknown name, or arguments that contradict each other.

    >>> world = simulate(people=50, days=0.1, campaigns=[("blast", 1)], seed=7)
    >>> sorted({label for _, label, _, _ in world.labels})
    ['abusive', 'benign']
    """
    if people < 1 or not days > 0:
        raise UsageError(
            "people and days must be above zero", fix="give for example --people 1000 --days 1"
        )
    campaign_list = [
        entry if isinstance(entry, Campaign) else _resolve_campaign(*entry) for entry in campaigns
    ]
    description: dict[str, Any] = {
        "people": people,
        "days": days,
        "start_ms": start_ms,
        "seed": seed,
        "background": background and str(background),
        "campaigns": [asdict(campaign) for campaign in campaign_list],
    }
    if background is not None:
        for name, option in (("requests", requests), ("calls", calls), ("personas", personas)):
            if option:
                raise UsageError(
                    f"{name} need simulated people, not a background", fix=f"omit --{name}"
                )
        return _simulate_on_trace(load_trace(background), campaign_list, days, seed, description)
    personas_with_counts = [
        (persona, max(MIN_PERSONA_ACCOUNTS, int(people * persona.per_person)))
        for persona in _resolve_personas([entry for entry in personas if isinstance(entry, str)])
    ] + [entry for entry in personas if not isinstance(entry, str)]
    description["personas"] = [
        {"name": persona.name, "accounts": count} for persona, count in personas_with_counts
    ]
    living = sum(count for persona, count in personas_with_counts if persona.source.in_population)
    span = start_ms, start_ms + int(days * DAY_MS)
    sim = _new_context(people + living, everyday, span, seed)
    groups = Groups(sim, everyday.groups)
    newcomers = np.flatnonzero(sim.people.registered_at != BEFORE_START)
    accounts = [persona.prepare(sim, count) for persona, count in personas_with_counts]
    for (persona, _), theirs in zip(personas_with_counts, accounts, strict=True):
        persona.play(sim, theirs)
    add_newcomers(sim, newcomers, NewcomerBehaviour())
    _play_campaigns(sim, campaign_list)
    life = DailyLife(sim, groups, everyday.habits)
    labels = sim.registry.labels()
    description["accounts"] = dict(Counter(family for _, _, family, _ in labels))
    request_habits = RequestHabits() if requests is True else requests or None
    call_habits = CallHabits() if calls else None
    for name, habits in (("requests", request_habits), ("calls", call_habits)):
        if habits is not None:
            description[name] = asdict(habits)
    timeline = Timeline(
        sim, life, sim.log.flush(), seed, sim.groups, progress, request_habits, call_habits
    )
    return World(labels, description, timeline.events, timeline, sim.registry.compromised_at())


def _new_context(
    people: int, everyday: Everyday, span: tuple[int, int], seed: int
) -> SimulationContext:
    rng, pool, registry = np.random.default_rng(seed), log.StringPool(), AccountRegistry(seed)
    registry.add(people, "benign", "person")
    population = draw_population(rng, pool, people, everyday.society, span, STYLE.mean_length())
    return SimulationContext(rng, log.EventLog(), pool, registry, population, *span)


def _play_campaigns(sim: SimulationContext, campaigns: list[Campaign | RoomCampaign]) -> None:
    for number, campaign in enumerate(campaigns, 1):
        campaign.play(sim, f"{campaign.name}-{number}")


Recipe = TypeVar("Recipe")


def _find(names: Sequence[str], recipes: dict[str, Recipe], kind: str, also: str) -> list[Recipe]:
    if unknown := [name for name in names if name not in recipes]:
        raise UsageError(
            f"{len(unknown)} unknown {kind}s", fix=f"{also}choose from {', '.join(recipes)}"
        )
    return [recipes[name] for name in dict.fromkeys(names)]


def _resolve_campaign(name: str, accounts: int | None) -> Campaign | RoomCampaign:
    (campaign,) = _find([name], _CAMPAIGNS, "campaign", "")
    if accounts is None:
        return campaign
    if accounts < 1:
        raise UsageError("a campaign needs at least one account", fix=f"give {name}:20")
    return replace(campaign, accounts=accounts)


def _resolve_personas(names: Sequence[str]) -> list[Persona]:
    if "all" in names:
        return list(PERSONAS.values())
    return _find(names, _PERSONAS, "persona", "give all, or ")


def _simulate_on_trace(
    trace: Background,
    campaigns: list[Campaign | RoomCampaign],
    days: float,
    seed: int,
    description: dict[str, Any],
) -> World:
    rng, pool = np.random.default_rng(seed), log.StringPool()
    registry, count = AccountRegistry(seed + NAME_SEED_OFFSET), len(trace.accounts)
    registry.name(registry.add(count, "benign", "background"), trace.accounts)
    end = max(trace.start + 1, min(trace.start + int(days * DAY_MS), trace.last))
    sim = SimulationContext(
        rng, log.EventLog(FIRST_ID), pool, registry, placeholder_people(count), trace.start, end
    )
    _play_campaigns(sim, campaigns)
    block = log.merge_blocks(sim.log.flush()).split(trace.start)[1].split(end)[0]
    planted = log.to_batches(block, registry.names(), pool.arrow(), BATCH)
    combined = merge_campaigns(trace, pa.Table.from_batches(planted, schema=WIRE_SCHEMA))
    labels = labels_with_events(registry.labels(), combined, trace)
    description |= {
        "start_ms": trace.start,
        "people": count,
        "accounts": dict(Counter(family for _, _, family, _ in labels)),
    }
    return World(
        labels,
        description,
        lambda size: to_record_batches(combined, size),
        None,
        registry.compromised_at(),
    )
