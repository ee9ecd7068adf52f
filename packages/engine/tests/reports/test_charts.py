from __future__ import annotations

import re

import numpy as np

from wavebreak.reports.charts import Curves, Line, Timeline


def test_curves_name_their_lines_and_are_deterministic() -> None:
    lines = [Line("model", [0, 1, 2], [0.1, 0.5, 0.9]), Line("chance", [0, 2], [0, 1], guide=True)]
    chart = Curves("roc", "Recall", "", lines, across="false", up="true", marks=True)
    drawing = chart.svg()
    assert drawing.startswith("<svg")
    assert "model" in drawing
    assert "chance" in drawing
    assert drawing == chart.svg()


def test_logarithmic_axis_starts_at_zero() -> None:
    chart = Curves("n", "Sent", "", [Line("a", [0, 10], [0, 1000])], "day", "sent", log=True)
    assert "sent" in chart.svg()


def test_logarithmic_axis_has_ticks_for_close_values() -> None:
    lines = [Line("a", [0, 1], [80, 28]), *(Line("guide", [0, 1], [80, 30], True),) * 2]
    drawing = Curves("n", "Sent", "", lines, "round", "sent", log=True, marks=True).svg()
    texts = re.findall(r"<!-- (.*?) -->", drawing) + re.findall(r">([^<>]+)</text>", drawing)
    assert {"30", "40", "60", "80", "0", "1"} <= set(texts)
    assert "0.5" not in texts
    assert len(re.findall(r"<!-- guide -->|>guide</text>", drawing)) == 1


def test_only_a_timeline_is_drawn_on_a_terminal() -> None:
    curves = Curves("n", "Sent", "", [Line("a", [0, 10], [0, 1000])], "day", "sent")
    assert curves.terminal_lines() == []
    times = np.array([0, 10, 999], dtype=np.int64)
    lines = Timeline("t", "T", "", {}, {"sends": times}, [(500, "ban")], (0, 1000)).terminal_lines()
    assert lines[1].startswith("           sends │█")
    assert lines[1].endswith("│ 3")
    assert lines[2].strip("decions │") == "B"
