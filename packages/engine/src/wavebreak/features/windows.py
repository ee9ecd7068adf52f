"""Hopping-window ring buffers, bit histories, fixed-point logarithms and decay in integers.

Everything on the way to a decision must give the same result on every processor. Logarithms and
powers of C libraries differ between processors, so they come from tables made by decimal
arithmetic, in 1/256.
"""

from __future__ import annotations

from decimal import Decimal, localcontext
from typing import Any, Final

import numpy as np

from wavebreak.compiled.numba_runtime import (
    compiled,
    int64,
    leading_zeros,
    sum_of_sixteen_u1,
    sum_of_sixteen_u2,
)


def _log2(x: Decimal) -> Decimal:
    return x.ln() / Decimal(2).ln()


def _tables() -> tuple[Any, Any, Any]:
    with localcontext() as context:
        context.prec = 40
        logs = [int((_log2(1 + Decimal(i) / 256) * 256).to_integral_value()) for i in range(256)]
        weighted = [0] + [int((_log2(Decimal(c)) * c * 256).to_integral_value())
                          for c in range(1, 257)]  # fmt: skip
        halves = [int((Decimal(2) ** (Decimal(-i) / 64) * 65536).to_integral_value())
                  for i in range(64)]  # fmt: skip
    return np.array(logs, "i8"), np.array(weighted, "i8"), np.array(halves, "i8")


LOG2, COUNT_LOG2, HALVES = _tables()
"""256 log2(1 + i/256); 256 c log2 c for c ≤ 256; 65,536 · 2^(-i/64)."""


@compiled(inline="always")
def advance_ring(ring: Any, old: int, new: int) -> None:
    """Advance a ring from bucket `old` to `new`; buckets entered are emptied."""
    if new - old >= 16:
        for j in range(16):
            ring[j] = 0
    else:
        for j in range(old + 1, new + 1):
            ring[j & 15] = 0


@compiled(inline="always")
def add_to_bucket(ring: Any, bucket: int, clock: int, amount: int, top: int) -> None:
    """Add to the bucket of an item, up to `top`; an item older than the ring changes nothing."""
    if bucket > clock - 16:
        value = np.int64(ring[bucket & 15]) + amount
        ring[bucket & 15] = min(value, top)


@compiled(inline="always")
def ring_total(ring: Any) -> int:
    """Sum of a ring's sixteen buckets."""
    if ring.itemsize == 1:
        return sum_of_sixteen_u1(ring.ctypes.data)
    return sum_of_sixteen_u2(ring.ctypes.data)


@compiled(inline="always")
def ring_part(ring: Any, newest: int, count: int) -> int:
    """Sum of the `count` buckets that end with bucket `newest`."""
    s = int64(0)
    for j in range(count):
        s += ring[(newest - j) & 15]
    return s


@compiled()
def log2(x: int) -> int:
    """256 · log2(x) for x ≥ 1, rounded down to the table's step.

    >>> [log2(x) for x in (1, 2, 3, 1024)]
    [0, 256, 406, 2560]
    """
    whole = int64(63) - leading_zeros(int64(x))
    at = ((x << 8) >> whole) & 255 if whole < 54 else (x >> (whole - 8)) & 255
    return whole * 256 + int64(LOG2[at])


@compiled(inline="always")
def push_bit(bits: int, bit: bool) -> int:
    """Shift a bit into the lowest of 32 bits."""
    return ((int64(bits) << 1) | int64(bit)) & 0xFFFFFFFF


STEPS: Final = 64
"""Steps of a half-life in which a sum fades (HALVES)."""


@compiled()
def decay(value: int, since: int, until: int, half_life: int) -> int:
    """`value`, held since an epoch, as of a later one; half-life in epochs, in integers.

    It fades at each 64th of the half-life, counted from epoch 0: counted from the last change, a
    sum that changes more often than that would never fade.

    >>> decay(65536, 7, 67, 60), decay(65536, 7, 7, 60), decay(-65536, 0, 6000, 60)
    (32768, 65536, 0)
    >>> value = 65536
    >>> for epoch in range(10_080):
    ...     value = decay(value, epoch, epoch + 1, 10_080)
    >>> value
    32743
    """
    steps = until * STEPS // half_life - since * STEPS // half_life
    if steps <= 0 or value == 0:
        return value
    sign = -1 if value < 0 else 1
    shift = steps // STEPS
    if shift >= 62:
        return 0
    return sign * ((((sign * value) * int64(HALVES[steps % STEPS])) >> 16) >> shift)
