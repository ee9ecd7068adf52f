"""What an Arrow stream unpacks to, by its metadata alone."""

from __future__ import annotations

import random
from contextlib import suppress

import pyarrow as pa
import pytest

from wavebreak.io.arrow_bounds import stream_size


def stream(batch: pa.RecordBatch, codec: str | None = None, times: int = 1) -> bytes:
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=codec)
    with pa.ipc.new_stream(sink, batch.schema, options=options) as writer:
        for _ in range(times):
            writer.write_batch(batch)
    return bytes(sink.getvalue())


MIXED = pa.record_batch(
    {
        "ts": pa.array([0] * 1000),
        "type": pa.array(["a", "b"] * 500).dictionary_encode(),
        "list": pa.array([[1, 2]] * 1000),
    }
)


@pytest.mark.parametrize("codec", [None, "zstd", "lz4"])
def test_size_is_that_of_the_unpacked_columns(codec: str | None) -> None:
    size = stream_size(stream(MIXED, codec, times=3))
    assert size.rows == 3000
    assert size.values == 3 * 5000 + 2
    assert abs(size.unpacked - 3 * MIXED.nbytes) < 3 * 64


def test_null_column_counts_its_rows() -> None:
    many = 1 << 30
    assert stream_size(stream(pa.record_batch({"n": pa.nulls(many)}))).rows == many


def test_damaged_stream_is_an_error_or_has_a_size() -> None:
    whole, pick = stream(MIXED.slice(0, 50), "zstd"), random.Random(1)
    sized = 0
    for _ in range(400):
        damaged = bytearray(whole)
        for _ in range(pick.randint(1, 4)):
            damaged[pick.randrange(len(damaged))] = pick.randrange(256)
        with suppress(ValueError, OSError, pa.ArrowException):
            sized += stream_size(bytes(damaged)).rows >= 0
    assert 0 < sized < 400
