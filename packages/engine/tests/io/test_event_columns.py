"""Decoded events as columns."""

from __future__ import annotations

import json

from hypothesis import given

from support.events import Item, valid
from wavebreak.io.arrow_columns import wire_batch, wire_batch_of_one
from wavebreak.io.jsonl import decode_event
from wavebreak.schema.events import Event


@given(valid())
def test_single_event_gives_the_same_columns(item: Item) -> None:
    event = decode_event(json.dumps(item).encode())
    assert isinstance(event, Event)
    alone, wide = wire_batch_of_one(event), wire_batch([event])
    given = {name for name in wide.schema.names if not wide.column(name).null_count}
    assert set(alone.schema.names) == given
    assert alone.schema.field("type") == wide.schema.field("type")
    for name in given:
        assert alone.column(name).equals(wide.column(name)), name
