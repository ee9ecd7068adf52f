"""Growable arrays: growth keeps contents, also while another thread reads them."""

from __future__ import annotations

import mmap
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wavebreak.features.catalog import NAMES
from wavebreak.features.layout import ROW, SHARDS
from wavebreak.features.memory import GrowableArray
from wavebreak.features.shards import ShardedKernel, policy_without_rules

PLAIN = np.dtype([("key", "u8"), ("value", "u4")])


def test_growable_array_growth_keeps_records_and_adds_zeros() -> None:
    extent = GrowableArray(PLAIN, 3)
    for n in (3, 4, 5_000, 300_000):
        extent.fit(n)
        extent.records["key"][n - 1] = n
    assert len(extent) >= 300_000
    assert np.flatnonzero(extent.records["key"]).tolist() == [2, 3, 4_999, 299_999]
    assert extent.records["value"].sum() == 0
    assert extent.fit(10) is False


def test_growable_array_with_view_is_copied_on_growth() -> None:
    extent = GrowableArray(PLAIN, 8)
    extent.records["key"] = 7
    old = extent.records
    assert extent.fit(9)
    extent.records["key"] = 8
    assert old["key"].tolist() == [7] * 8


def test_growable_array_growth_time_does_not_depend_on_size() -> None:
    extent = GrowableArray(PLAIN, 8_000_000)
    extent.records["key"] = 7
    began = time.process_time()
    extent.fit(8_000_001)
    # Copying these 96 MB into fresh memory takes ten times as long on any machine.
    assert time.process_time() - began < 0.05
    assert int(extent.records["key"].sum()) == 7 * 8_000_000


def test_growable_array_with_little_address_space_reserves_less(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = mmap.mmap

    def scarce(fd: int, length: int, **more: Any) -> mmap.mmap:
        if length > 1 << 20:
            raise OSError("no room")
        return real(fd, length, **more)

    monkeypatch.setattr(mmap, "mmap", scarce)
    assert 40_000 < len(GrowableArray(PLAIN, 1 << 24)) < 90_000
    with pytest.raises(OSError, match="no room"):
        GrowableArray(np.dtype([("big", "u1", (1 << 21,))]), 1)


def test_shards_grow_at_different_times() -> None:
    core = ShardedKernel(
        policy_without_rules(), np.zeros(len(NAMES)), enforce=False, accounts=64_000
    )
    grew = []
    for accounts in range(64_000, 96_000, 500):
        before = [len(rows) for rows in core.rows]
        core.fit(accounts, 10)
        grew.append(sum(a != len(rows) for a, rows in zip(before, core.rows, strict=True)))
        assert min(map(len, core.rows)) >= accounts // 64 + 1
    assert sum(grew) >= 60
    assert max(grew) <= 3


def test_first_memory_of_shards_preallocated_keeps_contents() -> None:
    core = ShardedKernel(
        policy_without_rules(), np.zeros(len(NAMES)), enforce=False, accounts=1 << 20
    )
    some = np.arange(ROW.itemsize, dtype=np.uint8) % 64
    core.rows[3].records[0] = some.view(ROW)[0]
    held = core.rows[3].records[0].tobytes()
    before = resident()
    core.touch()
    assert core.rows[3].records[0].tobytes() == held
    assert resident() - before >= (SHARDS - 1) * mmap.PAGESIZE


def resident() -> int:
    """Bytes of memory that this process has in place."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE
