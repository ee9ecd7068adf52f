"""Erasure from a long log: one pass for many accounts, with rows of several sizes, and in a topic.

Each event has an address; accounts are drawn evenly, so that most rows have some of those who
leave. What 10⁸ events would take is extrapolated: the time a row, times the rows.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from django.db import connection, transaction

from benchmarks.figures import Figure, figure
from support import service_harness
from support.memory_topic import MemoryTopic
from wavebreak.io import log_rows
from wavebreak.privacy.pseudonymizer import with_all_columns
from wavebreak.schema.events import LOG_SCHEMA, TYPES
from wavebreak_server.storage import database, event_log
from wavebreak_server.storage.log_bodies import TopicBodies

NAME = "erasure"
ACCOUNTS, ERASED, EVENTS = 1_000_000, 1_000, 10**8
GOAL_S = 600.0
_START = 1_772_366_400_000


def bench(quick: bool) -> list[Figure]:
    """Erase a thousand accounts in one pass over logs whose rows have 1,000, 100 and 20 events."""
    rows, runs = (200, 1) if quick else (2_000, 3)
    figures = []
    for size in (1_000, 100, 20):
        passes = [_pass(size, rows, topic=False) for _ in range(runs)]
        what = f"1,000 erasures over 10⁸ events, extrapolated: rows of {size:,}"
        goal = {"target": GOAL_S, "better": "less", "note": f"from {rows:,} rows"}
        figures.append(figure(NAME, what, "s", [s * EVENTS / size for s in passes], **goal))
    passes = [_pass(100, rows, topic=True) for _ in range(runs)]
    note = "a topic in memory: what Python does, without a broker"
    what = "the same, bodies in a topic: rows of 100"
    return [*figures, figure(NAME, what, "s", [s * EVENTS / 100 for s in passes], note=note)]


def _pass(size: int, rows: int, *, topic: bool) -> float:
    """Return the seconds a row of one pass, over a log that is made for it."""
    generator = np.random.default_rng(size)
    with (
        tempfile.TemporaryDirectory(prefix="wavebreak-speed-") as scratch,
        service_harness.migrated("sqlite", Path(scratch)),
    ):
        if topic:
            database.connect("", Path(scratch), bodies=TopicBodies(MemoryTopic()))
        with transaction.atomic(), connection.cursor() as cursor:
            made = [
                event_log.NewRow(
                    at * size, size, _START, log_rows.encode_row(_events(generator, size))
                )
                for at in range(rows)
            ]
            event_log.append_rows(cursor, made, event_log.log_chain())
        ends = {_account(number): rows * size for number in range(ERASED)}
        began = time.monotonic()
        event_log.erase_pseudonyms(ends)
        return (time.monotonic() - began) / rows


def _account(number: int) -> str:
    return f"account-{number:08d}"


def _events(generator: np.random.Generator, size: int) -> pa.RecordBatch:
    def names() -> pa.Array:
        return pa.array([_account(n) for n in generator.integers(0, ACCOUNTS, size)])

    def keyed() -> pa.Array:
        return pa.array([generator.bytes(16).hex() for _ in range(size)])

    columns = {
        "id": keyed(),
        "ts": pa.array(_START + np.arange(size)),
        "type": pa.array([TYPES.index("message.sent")] * size, LOG_SCHEMA.field("type").type),
        "account": names(),
        "peer": names(),
        "address": keyed(),
        "network": keyed(),
    }
    fields = [LOG_SCHEMA.field(name) for name in columns]
    return with_all_columns(
        pa.RecordBatch.from_arrays([*columns.values()], schema=pa.schema(fields))
    )
