"""Distinct values of text columns: as Arrow encodes them, also for many and for crafted ones."""

from __future__ import annotations

import random

import pyarrow as pa
import pytest

from support.crafted_names import one_arrow_hash
from wavebreak.schema.distinct_values import MAX_ARROW_ENCODED, encode_distinct


@pytest.mark.parametrize("rows", [0, 5, MAX_ARROW_ENCODED, MAX_ARROW_ENCODED + 1, 5_000])
@pytest.mark.parametrize("nulls", [0.0, 0.3])
def test_encoding_is_that_of_arrow(rows: int, nulls: float) -> None:
    rng = random.Random(rows)
    column = pa.array(
        [None if rng.random() < nulls else f"é{rng.randrange(700)}" for _ in range(rows)],
        pa.string(),
    )
    found, expected = encode_distinct(column), column.dictionary_encode()
    assert found.to_pylist() == column.to_pylist()
    assert found.dictionary.to_pylist() == expected.dictionary.to_pylist()
    assert found.type == expected.type


def test_crafted_values_are_encoded_by_a_hash_with_a_key() -> None:
    crafted = one_arrow_hash(2 * MAX_ARROW_ENCODED)
    found = encode_distinct(pa.array(crafted))
    assert found.dictionary.to_pylist() == crafted
    # Python's hash, unlike Arrow's, tells them apart.
    assert len({hash(text) for text in crafted}) > 2 * MAX_ARROW_ENCODED - 2
