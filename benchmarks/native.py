"""The lower bound in C (floor.c), compiled at run time where there is a compiler."""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import compiler
from wavebreak.features.layout import PAIR, ROW

SOURCE = Path(__file__).with_name("floor.c")
QUOTED = "15–21 M"
"""The floor in ../shared/design/architecture.md, where none is measured."""


def _pointer(array: Any) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


class Floor:
    """Rows and pairs in C. Raises FileNotFoundError where there is no compiler."""

    def __init__(self, accounts: int, pairs: int) -> None:
        path = compiler()
        if path is None:
            raise FileNotFoundError("no C compiler")
        with tempfile.TemporaryDirectory() as directory:
            made = Path(directory) / "floor.so"
            command = [path, "-O3", "-march=native", "-shared", "-fPIC", "-o", str(made)]
            subprocess.run([*command, str(SOURCE)], check=True)
            self._run = ctypes.CDLL(str(made)).floor_run
        self._run.restype = ctypes.c_int64
        size = 1 << (2 * pairs - 1).bit_length()
        self._rows = np.zeros(accounts, ROW)
        self._pairs = np.zeros(size, PAIR)
        # Every page is touched now, not in a timed run.
        self._rows.view(np.uint8)[::4096] = 0
        self._pairs.view(np.uint8)[::4096] = 0
        self._mask = size - 1

    def seconds(self, account: Any, peer: Any) -> float:
        """Time for messages between accounts given by number."""
        a, b = account.astype(np.uint32), peer.astype(np.uint32)
        began = time.perf_counter()
        self._run(
            _pointer(self._rows), ctypes.c_int64(ROW.itemsize), _pointer(self._pairs),
            ctypes.c_uint64(self._mask), _pointer(a), _pointer(b), ctypes.c_int64(a.size),
        )  # fmt: skip
        return time.perf_counter() - began
