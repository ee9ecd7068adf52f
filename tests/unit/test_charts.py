from __future__ import annotations

from wavebreak.charts import Line, curves


def test_lines_are_drawn_with_their_names_and_the_same_bytes_each_time() -> None:
    lines = [Line("model", [0, 1, 2], [0.1, 0.5, 0.9]), Line("chance", [0, 2], [0, 1], guide=True)]
    drawn = curves("roc", "How much is caught", lines, across="false", up="true", marks=True)
    assert drawn.startswith("<svg")
    assert "model" in drawn
    assert "chance" in drawn
    assert drawn == curves(
        "roc", "How much is caught", lines, across="false", up="true", marks=True
    )


def test_an_axis_may_be_logarithmic_and_still_begin_at_nought() -> None:
    drawn = curves("n", "Sent", [Line("a", [0, 10], [0, 1000])], across="day", up="sent", log="y")
    assert "sent" in drawn
