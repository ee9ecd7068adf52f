"""The decisions of Wavebreak on Apache Flink: the same shards, rules and model, divided.

One ordered fan-out reads the log and sends each group of shards its account events; groups close
epochs together by an exchange of rows. Only `operators` and `job` import Flink, in the environment
that `make scale` sets up; the rest runs, and is tested, without.
"""

from __future__ import annotations

import builtins


def _restore_print() -> None:
    """Undo what Beam's worker does to `print`, before a module imports Numba.

    On a cluster the worker replaces it by a method of a logger in its module, where Numba looks for
    it by its name and fails. Flink imports this package when it unpickles an operator.
    """
    original = getattr(getattr(builtins.print, "__self__", None), "_print", None)
    if original is not None:
        builtins.print = original


_restore_print()
