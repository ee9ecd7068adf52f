"""Precompilation: after it nothing is left to compile."""

from __future__ import annotations

from importlib.metadata import entry_points

import numba.core.event

from wavebreak.engine import compiling_kernel, precompile, warm


def test_precompile_reports_each_part() -> None:
    reported: list[tuple[str, float]] = []
    precompile(lambda part, seconds: reported.append((part, seconds)), processes=2)
    parts = [
        "all of it, once through",
        "epochs",
        "events",
        "reading JSON Lines",
        "the shipped rules",
        *(point.name for point in entry_points(group="wavebreak.precompile")),
    ]
    assert sorted(part for part, _ in reported) == sorted(parts)
    assert reported[-1][0] == parts[0]
    assert all(seconds > 0 for _, seconds in reported)
    with numba.core.event.install_recorder("numba:compile") as compiled:
        warm()
    assert compiled.buffer == []


def test_kernel_is_compiled_beside_something_else() -> None:
    with compiling_kernel() as wait:
        assert wait() > 0
    with numba.core.event.install_recorder("numba:compile") as compiled:
        warm()
    assert compiled.buffer == []
