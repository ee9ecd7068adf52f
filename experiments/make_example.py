"""Make the example data that the engine ships: a week of a small, quiet messenger.

    python -m experiments.make_example packages/engine/src/wavebreak/data

Ordinary people, honest people who resemble bulk senders, and three campaigns, all simulated. The
stream has messages, read receipts, sessions, groups, contacts, blocks and reports, but neither
phone numbers nor addresses. Nothing was refused: reactions to what the rules would refuse stay in
it. Detection on it is a demonstration, not a measurement: the project made both.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from wavebreak.csv_files import CsvWriter
from wavebreak.durations import HOUR_MS, MINUTE_MS, SECOND_MS
from wavebreak.schema.events import WIRE_SCHEMA
from wavebreak_lab.simulation import simulate
from wavebreak_lab.simulation.activities import (
    SHORT,
    Arrival,
    Chats,
    Daily,
    People,
    Persona,
    all_day,
    in_a_row,
    organise_events,
    share_phone,
)
from wavebreak_lab.simulation.attackers import Campaign, Sender
from wavebreak_lab.simulation.attackers.infrastructure import Enrolment
from wavebreak_lab.simulation.behaviour import MessageContent
from wavebreak_lab.simulation.context import Label
from wavebreak_lab.simulation.daily_life import Everyday, GroupHabits, Habits
from wavebreak_lab.simulation.firms import AppFirm, Firms
from wavebreak_lab.simulation.newcomers import NewcomerBehaviour
from wavebreak_lab.simulation.population import Society

SEED, PEOPLE, DAYS = 7, 2000, 7.0
START_MS = 1_772_409_600_000
"""Monday, 2 March 2026, 00:00 UTC."""

QUIET = Everyday(
    Society(messages=1.9),
    Habits(connects=0.45, meets=0.03, quarrels=0.0015, false_reports=0.0006),
    GroupHabits(each=0.25, bursts=0.3),
)
"""A messenger beside the one that people use most."""

# fmt: off
PERSONAS: tuple[tuple[Persona, int], ...] = (
    (Persona("researcher", "asks strangers for an interview; half of them answer", (
        Daily((10, 18), (
            Chats((8, 18), pace=in_a_row(4 * MINUTE_MS), known=0.05, back=0.3, silent=0.5,
                  blocks=0.004, style=SHORT),
            )),
        )), 4),
    (Persona("organiser", "organises events: groups, posts, and people asked one by one", (
        Daily((10, 21), (
            Chats((4, 12), 150.0, in_a_row(45 * SECOND_MS, 1.2), known=0.6, silent=0.35,
                  style=SHORT),
            ), organise_events),
        )), 4),
    (Persona("volunteer-coordinator", "asks volunteers, of whom most know the number", (
        Daily((8, 20), (
            Chats((6, 16), 400.0, written=0.3, known=0.7, back=0.9, silent=0.3, style=SHORT),
            )),
        )), 4),
    (Persona("shop", "answers customers, and writes to few of them first", (
        AppFirm((9, 20), asked=(6, 16), writes=(1, 5)),
        ), Firms()), 4),
    (Persona("courier", "announces each stop in a short message that is seldom answered", (
        Daily((9, 18), (
            Chats((10, 25), 1500.0, all_day, known=0.5, back=0.4, silent=0.8, style=SHORT),
            )),
        )), 4),
    (Persona("new-number", "tells friends of a new number within two hours", (
        Arrival(NewcomerBehaviour(
            book=90.0, first_chats=30.0, first_chats_spread=0.35, within=2.0 * HOUR_MS, known=0.12,
            added_back=0.7, answer=0.75)),
        ), People((0.05, 0.7))), 6),
    (Persona("shared-phone", "families of three with one phone, half of them new",
             (Arrival(NewcomerBehaviour(book=40.0, first_chats=6.0, attested=0.8)),),
             People((0.02, 0.6), new=0.5, party=3, share=share_phone)), 9),
)

CAMPAIGNS: tuple[Campaign, ...] = (
    Campaign("bulk-advertiser", 18, Sender(
        gap=(2.0, 13.0), total=(60, 140), register=(0.1, 0.8), quiet=(1.0, 40.0), per_hour=400.0,
        content=MessageContent(dead=0.08), reads=0.0,
        enrolment=Enrolment(attested=0.1, retries=2.5, devices=5, verification=("voice", "flash")),
        ), accounts=12),
    Campaign("slow-drip", 12, Sender(
        law="spread", per_day=14.0, register=(0.0, 0.25), quiet=(20.0, 400.0), reads=0.5,
        enrolment=Enrolment(attested=0.8, residential=True, devices=4),
        ), accounts=14),
    Campaign("takeover", 20, Sender(
        hijack=True, register=(0.4, 0.85), quiet=(2.0, 2.0), gap=(8.0, 70.0), total=(40, 120),
        per_hour=400.0,
        ), accounts=10),
)
# fmt: on
DROPPED_TYPES = ("typing.started", "message.delivered")
"""Types that no rule reads, left out to keep the file small."""
DROPPED_FIELDS = ("phone", "ip")


def make_events() -> tuple[pa.Table, list[Label]]:
    """Return the events and the labels."""
    world = simulate(
        people=PEOPLE, days=DAYS, campaigns=CAMPAIGNS, personas=PERSONAS, everyday=QUIET,
        seed=SEED, start_ms=START_MS,
    )  # fmt: skip
    events = pa.Table.from_batches(world.batches(), schema=WIRE_SCHEMA)
    events = events.filter(pc.invert(pc.is_in(events["type"], pa.array(DROPPED_TYPES))))
    for name in DROPPED_FIELDS:
        events = _with(events, name, pa.nulls(len(events), pa.string()))
    # The simulator's names are hashes: their order says nothing, and numbers are shorter.
    accounts = _numbered("a", [events["account"], events["peer"]])
    for name in ("account", "peer"):
        events = _with(events, name, _renamed(events[name], accounts))
    for name, prefix in (("group", "g"), ("device", "d"), ("business", "b")):
        events = _with(events, name, _renamed(events[name], _numbered(prefix, [events[name]])))
    ids = pa.array([f"e{number:06d}" for number in range(len(events))])
    messages = _renamed(events["message"], dict(zip(events["id"].to_pylist(), ids, strict=True)))
    events = _with(_with(events, "message", messages), "id", ids)
    events = events.select([n for n in events.column_names if events[n].null_count < len(events)])
    labels = [
        (accounts[account], label, family, operator)
        for account, label, family, operator in world.labels
        if account in accounts
    ]
    return events, sorted(labels, key=lambda label: int(label[0].partition("-")[2]))


def _with(events: pa.Table, name: str, values: pa.Array | pa.ChunkedArray) -> pa.Table:
    index = events.schema.get_field_index(name)
    return events.set_column(index, events.schema.field(index), values)


def _numbered(prefix: str, columns: Sequence[pa.ChunkedArray]) -> dict[str, str]:
    names = sorted({name for column in columns for name in column.unique().to_pylist() if name})
    return {name: f"{prefix}-{number}" for number, name in enumerate(names, 1)}


def _renamed(column: pa.ChunkedArray, names: dict[str, str]) -> pa.Array:
    return pa.array([name and names[name] for name in column.to_pylist()], pa.string())


def write_example(directory: Path) -> None:
    """Write the example's events, labels and world.json, which says that they are simulated."""
    events, labels = make_events()
    world = {"people": PEOPLE, "days": DAYS, "start_ms": START_MS, "seed": SEED}
    (directory / "world.json").write_text(json.dumps(world, indent=1) + "\n", "utf-8")
    pq.write_table(
        events, directory / "example_events.parquet", compression="zstd", compression_level=22,
        use_dictionary=[name for name in events.column_names if name not in ("id", "ts")],
        column_encoding={"ts": "DELTA_BINARY_PACKED"},
        write_statistics=False, row_group_size=len(events),
    )  # fmt: skip
    with (directory / "example_labels.csv").open("w", encoding="utf-8", newline="") as file:
        writer = CsvWriter(file, exact=True, line_end="\n")
        writer.write(("account", "label", "family", "operator"))
        writer.write_all(labels)


if __name__ == "__main__":
    write_example(Path(sys.argv[1]))
