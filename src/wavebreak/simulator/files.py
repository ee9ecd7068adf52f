"""A world on disk: events, their profile, labels, and what the world was made of."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wavebreak import formats, profile
from wavebreak.errors import FileError
from wavebreak.events import TYPES
from wavebreak.simulator.world import World


def write(world: World, out: Path, *, form: str = "parquet") -> int:
    """Write a world into a directory; return how many events it has.

    Files: `events.FORM` (parquet, jsonl, or another format by its suffix, as jsonl.zst),
    `events.profile.json`, `labels.csv` and `world.json`. Raises FileError where it cannot.
    """
    events = out / f"events.{form}"
    try:
        out.mkdir(parents=True, exist_ok=True)
        seen: list[profile.Profile] = []
        written = formats.write(events, _learning(world.batches(), seen))
        profile.save(seen[0], profile.beside(events))
        with (out / "labels.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("account", "label", "family", "operator"))
            writer.writerows(world.labels)
        about = world.about | {"events": written}
        (out / "world.json").write_text(json.dumps(about, indent=1) + "\n", "utf-8")
    except OSError as error:
        raise FileError(
            f"{out} cannot be written: {error.strerror}", fix="check the directory and its space"
        ) from None
    return written


def _learning(
    batches: Iterator[pa.RecordBatch], seen: list[profile.Profile]
) -> Iterator[pa.RecordBatch]:
    """Pass batches on; at their end, put the profile of all of them into `seen`."""
    parts = []
    for batch in batches:
        parts.append(profile.learn([_presence(batch)]))
        yield batch
    seen.append(_total(parts))


def _presence(wire: pa.RecordBatch) -> pa.RecordBatch:
    """Return a batch as a profile looks at it: types as codes, personal fields by their log names.

    A profile counts presence only, so nothing needs to cross the privacy edge for it.
    """
    codes = pc.index_in(wire.column("type"), pa.array(TYPES)).cast(pa.uint8())
    columns = {name: wire.column(name) for name in wire.schema.names}
    columns |= {"type": codes, "number": columns["phone"], "address": columns["ip"]}
    return pa.RecordBatch.from_pydict(columns)


def _total(parts: list[profile.Profile]) -> profile.Profile:
    """Add profiles up, each counting as many events as it was learned from."""
    types: dict[str, int] = {}
    fields: dict[str, int] = {}
    for part in parts:
        here = {kind: round(share * part.events) for kind, share in part.types.items()}
        for kind, count in here.items():
            types[kind] = types.get(kind, 0) + count
        for name, share in part.fields.items():
            count = round(share * here[name.rpartition(".")[0]])
            fields[name] = fields.get(name, 0) + count
    events = sum(part.events for part in parts)
    step = int(np.gcd.reduce([part.resolution_ms for part in parts] or [1]))
    return profile.Profile(
        {kind: count / events for kind, count in types.items()},
        {name: count / types[name.rpartition(".")[0]] for name, count in fields.items()},
        step,
        events,
    )
