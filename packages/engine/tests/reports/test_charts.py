from __future__ import annotations

import re

from wavebreak.reports.charts import Line, curves


def test_curves_name_their_lines_and_are_deterministic() -> None:
    lines = [Line("model", [0, 1, 2], [0.1, 0.5, 0.9]), Line("chance", [0, 2], [0, 1], guide=True)]
    drawn = curves("roc", "How much is caught", lines, across="false", up="true", marks=True)
    assert drawn.startswith("<svg")
    assert "model" in drawn
    assert "chance" in drawn
    assert drawn == curves(
        "roc", "How much is caught", lines, across="false", up="true", marks=True
    )


def test_logarithmic_axis_starts_at_zero() -> None:
    drawn = curves("n", "Sent", [Line("a", [0, 10], [0, 1000])], across="day", up="sent", log=True)
    assert "sent" in drawn


def test_logarithmic_axis_has_ticks_for_close_values() -> None:
    lines = [Line("a", [0, 1], [80, 28]), *(Line("guide", [0, 1], [80, 30], True),) * 2]
    drawn = curves("n", "Sent", lines, across="round", up="sent", log=True, marks=True)
    said = set(re.findall(r"<!-- (.*?) -->", drawn)) | set(re.findall(r">([^<>]+)</text>", drawn))
    assert {"30", "40", "60", "80", "0", "1"} <= said
    assert "0.5" not in said
    assert len(re.findall(r"<!-- guide -->|>guide</text>", drawn)) == 1
