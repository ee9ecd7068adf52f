"""Arrow C data interface: a batch's memory as compiled code reads it, one call for a whole batch.

Asking each column for its buffers in Python costs a small batch more than its rows do. Layout:
https://arrow.apache.org/docs/format/CDataInterface.html
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from wavebreak.compiled.numba_runtime import address_as_void_pointer, carray, compiled

LENGTH, NULLS, OFFSET, N_BUFFERS, N_CHILDREN, BUFFERS, CHILDREN, DICTIONARY = range(8)
"""Members of a batch or column (`struct_members`), each of eight bytes."""
_MEMBERS = 8

_address = ctypes.pythonapi.PyCapsule_GetPointer
_address.restype, _address.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]


def export_addresses(batches: Sequence[pa.RecordBatch]) -> tuple[Any, Any]:
    """Return the address of each batch (int64), and the capsules to keep alive while they are read.

    >>> at, kept = export_addresses([pa.RecordBatch.from_pydict({"a": [1, 2]})])
    >>> at.shape
    (1,)
    """
    held = [batch.__arrow_c_array__()[1] for batch in batches]
    return np.array([_address(capsule, b"arrow_array") for capsule in held], np.int64), held


@compiled(inline="always")
def array_at(address: Any, count: Any, kind: Any) -> Any:
    """In compiled code: `count` numbers of a NumPy dtype at an address."""
    return carray(address_as_void_pointer(address), (count,), kind)


@compiled(inline="always")
def struct_members(address: Any) -> Any:
    """In compiled code: the members of a batch or column at an address (int64)."""
    return array_at(address, _MEMBERS, np.int64)


@compiled(inline="always")
def children(batch: Any) -> Any:
    """In compiled code: the addresses of a batch's columns."""
    return array_at(batch[CHILDREN], batch[N_CHILDREN], np.int64)


@compiled(inline="always")
def is_given(valid: Any, at: Any) -> Any:
    """In compiled code: whether the bit of a row is set, or there are no bits (address 0)."""
    if valid == 0:
        return True
    return array_at(valid + (at >> 3), 1, np.uint8)[0] >> (at & 7) & 1 == 1
