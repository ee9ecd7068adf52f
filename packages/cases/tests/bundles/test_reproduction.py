"""The log of a bundle: without columns that earlier versions do not know, unless it needs them."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from support.events import Item, edge, labelled, sent
from wavebreak.io import read
from wavebreak.schema.events import LATER_COLUMNS, LOG_SCHEMA, WIRE_SCHEMA
from wavebreak_cases.bundles.reproduction import write_log

CHOSEN = labelled("undetermined", outcome="limit", hold_s=60)


@pytest.mark.parametrize(
    ("batches", "later"),
    [
        ([[sent()], [sent(peer="eve")]], ()),
        ([[sent()], [CHOSEN], [sent(peer="eve")]], ("outcome", "hold_s")),
        ([[CHOSEN, sent()]], ("outcome", "hold_s")),
        ([[CHOSEN], [sent(attempted=True)], [sent()]], ("outcome", "hold_s", "attempted")),
        ([[sent(via="phone")], [sent(origin="far.example")]], ("origin", "via")),
        ([], ()),
    ],
)
def test_log_has_later_columns_only_where_given(
    tmp_path: Path, batches: list[list[Item]], later: tuple[str, ...]
) -> None:
    logs = [edge().apply(pa.RecordBatch.from_pylist(items, WIRE_SCHEMA)) for items in batches]
    path = tmp_path / "log.arrow"
    events, names = write_log(path, logs)
    assert (events, names - {None, "ann", "bob", "eve"}) == (sum(map(len, batches)), set())
    with pa.OSFile(str(path)) as source:
        schema = pa.ipc.open_file(source).schema
    lacking = set(LATER_COLUMNS) - set(later)
    assert schema.names == [name for name in LOG_SCHEMA.names if name not in lacking]
    assert [row for b in read(path, edge()) for row in b.log.to_pylist()] == [
        row for log in logs for row in log.to_pylist()
    ]
    assert list(tmp_path.iterdir()) == [path]
