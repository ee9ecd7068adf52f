"""Interner: lookups in one thread while another assigns slots."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa

from wavebreak.features.interner import Interner


def test_interner_lookup_during_assignment_in_another_thread() -> None:
    names, before = Interner(), sys.getswitchinterval()
    names.slots(pa.array(["n0"]))
    done: list[bool] = []

    def give() -> None:
        for k in range(300):
            names.slots(pa.array([f"n{i}" for i in range(400 * k, 400 * k + 400)]))
        done.append(True)

    def ask() -> int:
        asked = 0
        while not done:
            assert names.texts([0, len(names) - 1])[0].as_py() == "n0"
            asked += 1
        return asked

    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(2) as pool:
            giving, asking = pool.submit(give), pool.submit(ask)
            giving.result()
            assert asking.result() > 100
    finally:
        sys.setswitchinterval(before)
    assert len(names) == 120_000
    assert names.texts([119_999]).to_pylist() == ["n119999"]


def test_interner_keeps_names_of_255_bytes() -> None:
    names = Interner()
    texts = [f"{k:0255d}" for k in range(2_000)] + ["é" * 127]
    assert names.slots(pa.array(texts)).tolist() == list(range(2_001))
    again = Interner()
    again.load(names.dump())
    assert again.texts(range(2_001)).to_pylist() == texts
