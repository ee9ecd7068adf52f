"""The real traces of `../shared/data`, each with the mapping by which it is read."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from wavebreak.io import Mapping, Table, write

TRACES = Path(__file__).resolve().parents[3] / "shared" / "data" / "traces"
FIELDS = ("ts", "type", "account", "peer", "group", "size")
SENT = "message.sent"
TYPES: dict[str, dict[str, str]] = {
    "collegemsg": {"message": SENT},
    "copenhagen": {"message": SENT},
    "email_eu": {"message": SENT},
    "fb_forum": {"group_message": SENT},
    "irc_ubuntu": {
        "group_message": SENT,
        "group_join": "group.joined",
        "group_leave": "group.left",
    },
    "botornot": {"post": SENT},
}  # fmt: skip


def trace_path(file: str) -> Path:
    """Return a trace's file; skips the test where there is none."""
    path = TRACES / f"{file}.csv.gz"
    if not path.exists():
        pytest.skip(f"../shared/data/traces/{path.name} is absent")
    return path


def trace(file: str) -> Table:
    """Return a trace as a table."""
    name = next(name for name in TYPES if file.startswith(name))
    path = trace_path(file)
    given = [heading for heading in Table(path).names if heading in FIELDS]
    mapping = Mapping(
        columns={heading: heading for heading in given},
        types=TYPES[name],
        time="s",
        default_group="public" if name == "botornot" else "",
        merge_recipients=name == "email_eu",
    )
    return Table(path, mapping)


def first_events(file: str, rows: int) -> pa.RecordBatch:
    """Return the first events of a trace, as a batch of the wire's columns."""
    wire = pa.Table.from_batches([batch for batch, _ in trace(file).wire_batches()])
    return wire.slice(0, rows).combine_chunks().to_batches()[0]


def write_trace(file: str, rows: int, out: Path) -> Path:
    """Write the first events of a trace."""
    write(out, [first_events(file, rows)])
    return out
