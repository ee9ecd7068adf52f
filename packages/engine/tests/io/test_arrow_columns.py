"""Columns that are read together are taken and refused as each batch alone, and row by row."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.events import Item, edge, sent, spoilt, streams, table, valid
from wavebreak.errors import EventError
from wavebreak.io.arrow_columns import gather_batches
from wavebreak.io.field_limits import validate_event
from wavebreak.io.validation import batch_of_events, validate_columns, validate_plain_batches
from wavebreak.schema.events import Refusal
from wavebreak_server.pipeline.request_decoder import Body, DecodeResult, RequestDecoder
from wavebreak_server.settings import Limits

Result = tuple[list[Item], list[int], list[Refusal]]


def result(wire: pa.RecordBatch, lines: Any, refused: list[Refusal]) -> Result:
    rows = [{n: v for n, v in row.items() if v is not None} for row in wire.to_pylist()]
    return rows, lines.tolist(), refused


def one_by_one(items: list[Item]) -> Result:
    verdicts = [validate_event(line, item) for line, item in enumerate(items, 1)]
    good = [(v, n) for n, v in enumerate(verdicts, 1) if not isinstance(v, Refusal)]
    taken = batch_of_events([event for event, _ in good], [line for _, line in good])
    return result(taken.wire, taken.lines, [v for v in verdicts if isinstance(v, Refusal)])


def plain(items: list[Item]) -> pa.RecordBatch:
    (batch,) = table(items).combine_chunks().to_batches()
    return batch


def cut_out(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The same rows as a slice of more, so that no column begins where its memory does."""
    more = pa.concat_batches([batch[:1], batch, batch, batch[:1]])
    return more[1 : 1 + batch.num_rows]


def filled_under_nulls(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The same rows, with letters (not all of them UTF-8) in the memory of what is null."""
    columns = []
    for column in batch.columns:
        if pa.types.is_string(column.type):
            whole = column.cast(pa.binary()).fill_null(b"\xff\0a")
            bits = pa.array(column.is_valid().to_pylist()).buffers()[1]
            parts = [bits, *whole.buffers()[1:]]
            column = pa.Array.from_buffers(pa.string(), len(column), parts)
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, batch.schema.names)


def kindred(batch: pa.RecordBatch, kind: str) -> pa.RecordBatch:
    """The same rows, their texts of a type that holds the same."""
    columns = []
    for column in batch.columns:
        if pa.types.is_string(column.type):
            column = column.dictionary_encode() if kind == "words" else column.cast(kind)
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, batch.schema.names)


SHAPES: dict[str, Any] = {
    "as it is": lambda batch: batch,
    "cut out": cut_out,
    "letters under nulls": filled_under_nulls,
    "words": lambda batch: kindred(batch, "words"),
    "large": lambda batch: kindred(batch, "large_string"),
    "views": lambda batch: kindred(batch, "string_view"),
}


@given(st.lists(st.tuples(streams(), st.sampled_from(sorted(SHAPES))), min_size=1, max_size=4))
def test_batches_decode_alike_together_and_alone(
    parts: list[tuple[list[Item], str]],
) -> None:
    batches = [SHAPES[shape](plain(items)) for items, shape in parts]
    for batch, (items, _) in zip(batches, parts, strict=True):
        assert result(*validate_columns(batch, 1)) == one_by_one(items)
    together = validate_plain_batches(batches, 1)
    if together is not None:
        assert result(*together) == one_by_one([item for items, _ in parts for item in items])


@given(st.lists(st.one_of(valid(), spoilt()), min_size=1, max_size=9))
def test_columns_of_the_wires_types_are_read_by_machine_code(items: list[Item]) -> None:
    known = [
        {n: v for n, v in item.items() if n not in ("body", "url", "colour")} for item in items
    ]
    filled = [item for item in known if item] or [sent()]
    assert gather_batches([plain(filled), cut_out(plain(filled))]) is not None


def streamed(batch: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())


def spoil_letters(body: bytes, draw: random.Random) -> bytes:
    """A letter of a text that is no letter; the same text stands in no name of a field."""
    at = body.rfind(b"ann")
    return body[:at] + draw.choice([b"\xff", b"\xc3", b"\xed\xa0\x80"])[:1] + body[at + 1 :]


def spoil_offsets(body: bytes, draw: random.Random) -> bytes:
    """An offset of the accounts that goes back, beyond the end or below zero."""
    (batch,) = list(pa.ipc.open_stream(body))
    rows = batch.num_rows
    offsets = np.frombuffer(batch.column("account").buffers()[1], np.int32, rows + 1)
    at, changed = body.rfind(offsets.tobytes()), offsets.copy()
    row = draw.randrange(rows + 1)
    choices = [-1, -(2**31), 2**31 - 1, int(offsets[-1]) + 64, int(offsets[row]) - 64]
    changed[row] = draw.choice(choices)
    return body[:at] + changed.tobytes() + body[at + offsets.nbytes :]


def cut_off(body: bytes, draw: random.Random) -> bytes:
    return body[: draw.randrange(len(body) - 9)]


@given(st.lists(streams(), min_size=1, max_size=4), st.integers(0, 2**32), st.data())
def test_bodies_decode_alike_together_and_alone(
    parts: list[list[Item]], seed: int, data: st.DataObject
) -> None:
    draw, contents = random.Random(seed), list[bytes]()
    for items in parts:
        damage = data.draw(st.sampled_from([None, None, spoil_letters, spoil_offsets, cut_off]))
        shape = data.draw(st.sampled_from(sorted(SHAPES.keys() - {"letters under nulls"})))
        batch = plain([*(sent(account=f"ann{n}") for n in range(3)), *items])
        if damage is not spoil_offsets:
            batch = SHAPES[shape](batch)
        contents.append(damage(streamed(batch), draw) if damage else streamed(batch))
    decoder = RequestDecoder(edge(), Limits())
    together = decoder.decode([Body(content, "arrow") for content in contents])
    alone = [decoder.decode([Body(content, "arrow")]) for content in contents]
    assert list(map(str, together.reads)) == [str(one.reads[0]) for one in alone]
    assert together.log.to_pylist() == [row for one in alone for row in one.log.to_pylist()]
    narrow = decoder.decode([Body(content, "arrow") for content in contents], narrow=True)
    assert [{n: v for n, v in row.items() if v is not None} for row in narrow.log.to_pylist()] == [
        {n: v for n, v in row.items() if v is not None} for row in together.log.to_pylist()
    ]


@pytest.mark.parametrize("damage", [spoil_letters, spoil_offsets])
def test_no_damage_to_texts_is_overlooked(damage: Any) -> None:
    draw, decoder = random.Random(5), RequestDecoder(edge(), Limits())
    items = [sent(account=f"ann{n}", peer="b" * n) for n in range(1, 40)]
    good = streamed(plain(items))
    for _ in range(60):
        bad = damage(good, draw)
        made = decoder.decode([Body(body, "arrow") for body in (good, bad, good)])
        if bad == good:
            continue
        assert made.reads[0] == made.reads[2] == DecodeResult(39)
        assert isinstance(made.reads[1], EventError)
        assert made.log.num_rows == 78


def test_a_count_of_nulls_that_is_not_so_is_damage() -> None:
    items = [sent(size=None if n % 2 else n) for n in range(8)]
    (batch,) = list(pa.ipc.open_stream(streamed(plain(items))))
    column = batch.column("size")
    lied = pa.Array.from_buffers(pa.int64(), 8, column.buffers(), 3)
    at = batch.schema.get_field_index("size")
    body = streamed(batch.set_column(at, "size", lied))
    (read,) = RequestDecoder(edge(), Limits()).decode([Body(body, "arrow")]).reads
    assert isinstance(read, EventError)


def test_numbers_of_32_and_64_bits_are_accepted() -> None:
    kinds = {"size": pa.int32(), "recipients": pa.int64()}
    items = [sent(size=7, recipients=2), sent(size=7, recipients=2**31), sent(size=-1)]
    (batch,) = table(items, **kinds).combine_chunks().to_batches()
    assert gather_batches([batch]) is not None
    assert result(*validate_columns(batch, 1)) == one_by_one(items)


def test_numbers_that_lie_askew_are_taken() -> None:
    batch = plain([sent(ts=n, size=n) for n in range(5)])
    askew = []
    for column in batch.columns:
        parts = [
            part and pa.py_buffer(b"\0" + part.to_pybytes()).slice(1) for part in column.buffers()
        ]
        askew.append(pa.Array.from_buffers(column.type, 5, parts))
    moved = pa.RecordBatch.from_arrays(askew, batch.schema.names)
    assert gather_batches([moved]) is None
    assert result(*validate_columns(moved, 1)) == result(*validate_columns(batch, 1))
