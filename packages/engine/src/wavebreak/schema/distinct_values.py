"""Distinct values of a text column, where senders choose the values.

Arrow's own hash of texts has no key: twenty thousand texts of 16 characters with one hash, written
down in a second, take it four hundred times as long as others. Python's has a key of its own in
each process.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pyarrow as pa

MAX_ARROW_ENCODED: Final = 1_024
"""Up to so many values Arrow's encoding is taken: at worst they cost a few milliseconds."""


def encode_distinct(column: Any) -> pa.DictionaryArray:
    """Return a text column (an array of strings) as indices into the distinct values.

    >>> encoded = encode_distinct(pa.array(["b", None, "a", "b"]))
    >>> encoded.indices.to_pylist(), encoded.dictionary.to_pylist()
    ([0, None, 1, 0], ['b', 'a'])
    """
    if len(column) - column.null_count <= MAX_ARROW_ENCODED:
        return column.dictionary_encode()
    index: dict[str, int] = {}
    number = index.setdefault
    texts = column.to_pylist()
    codes = [0 if text is None else number(text, len(index)) for text in texts]
    nulls = None
    if column.null_count:
        nulls = np.array([text is None for text in texts])
    indices = pa.array(np.array(codes, np.int32), mask=nulls)
    return pa.DictionaryArray.from_arrays(indices, pa.array(list(index), column.type))
