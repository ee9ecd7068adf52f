"""Arrays that grow where they stand: address space is taken ahead, memory as it is first used.

The system moves a mapping's page tables, not what is in the pages, so that growing costs
microseconds to a few milliseconds whatever the size. Where it cannot (another system than Linux,
or somebody still looks at the old array), the records are copied.
"""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np

GROWTH = 1.5
_LEAST = 4096
_PRIVATE = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0x4000)
_HUGE = getattr(mmap, "MADV_HUGEPAGE", None)


class Extent:
    """Records of one dtype, zero until written. `records` is the array as it stands now.

    Raises OSError where there is no address space for `size` records, nor for a 4,096th of it.

    >>> extent = Extent(np.dtype("u4"), 10)
    >>> extent.records[9] = 7
    >>> extent.fit(5_000)
    True
    >>> len(extent) >= 5_000, int(extent.records[9]), int(extent.records[4_999])
    (True, 7, 0)
    """

    def __init__(self, dtype: np.dtype[Any], size: int) -> None:
        self.dtype = dtype
        least = max(size // _LEAST, 1)
        while True:
            try:
                self._map = self._mapped(max(size, 1))
                break
            except OSError:
                if size <= least:
                    raise
                size //= 2
        self.records = self._seen()

    def __len__(self) -> int:
        return int(self.records.size)

    def _mapped(self, size: int) -> mmap.mmap:
        made = mmap.mmap(-1, size * self.dtype.itemsize, flags=_PRIVATE)
        if _HUGE is not None:
            made.madvise(_HUGE)
        return made

    def _seen(self) -> Any:
        return np.frombuffer(self._map, self.dtype, len(self._map) // self.dtype.itemsize)

    def fit(self, size: int) -> bool:
        """Make room for `size` records; True where the array is another one now."""
        held = self.records
        if size <= held.size:
            return False
        wanted = max(size, int(held.size * GROWTH))
        del held, self.records
        try:
            self._map.resize(wanted * self.dtype.itemsize)
        except (BufferError, OSError, SystemError, ValueError):
            old = self._seen()
            self._map = self._mapped(wanted)
            self._seen()[: old.size] = old
        else:
            if _HUGE is not None:
                self._map.madvise(_HUGE)
        self.records = self._seen()
        return True

    def hold(self, records: Any) -> None:
        """Take records in the place of those at the beginning."""
        self.fit(records.size)
        self.records[: records.size] = records

    def touch(self, records: int) -> None:
        """Have the memory of the first `records` in place, which hold what they held."""
        self.records[:records].view(np.uint8)[:: mmap.PAGESIZE] |= 0
