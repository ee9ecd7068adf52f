"""Compile ahead of time: a handful of events through every path of the engine."""

from __future__ import annotations

import pyarrow as pa

from wavebreak.engine.engine import Engine
from wavebreak.io import jsonl
from wavebreak.model import smallest
from wavebreak.rules import load
from wavebreak.schema.events import LOG_SCHEMA, TYPES


def warm() -> None:
    """Run a few events through the engine and read one, so that machine code is made and kept."""
    tiny = smallest()
    engine = Engine(load(), enforce=True, accounts=1024, model=tiny)
    rows = [
        {"id": f"w{i}", "ts": i * 61_000, "type": TYPES.index("message.sent"), "account": "a",
         "peer": f"p{i}", "network": "10.0.0.0/24", "size": 40}
        for i in range(200)
    ]  # fmt: skip
    columns = {f.name: pa.array([r.get(f.name) for r in rows], f.type) for f in LOG_SCHEMA}
    log = pa.RecordBatch.from_pydict(columns, schema=LOG_SCHEMA)
    engine.take(log)
    engine.trial(log.slice(0, 1))
    engine.finish()
    tiny.reasons(engine.core.values_of(0))
    jsonl.warm()
