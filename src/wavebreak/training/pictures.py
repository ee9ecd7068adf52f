"""Pictures of a model card: curves of recall and precision, reliability, what features gain."""

from __future__ import annotations

import math

from wavebreak.charts import Line, curves
from wavebreak.pages import html_figure
from wavebreak.training.learning import Learned
from wavebreak.training.testing import Tested


def pictures(learned: Learned, tested: Tested) -> dict[str, str]:
    """Draw what there is to draw; figures with their captions, as HTML, by name."""
    drawn: dict[str, str] = {}
    if tested.curves:
        drawn["pr"] = html_figure(
            curves(
                "pr", "Precision against recall, accounts held out",
                [Line(name, *lines["pr"]) for name, lines in tested.curves.items()],
                across="recall", up="precision",
            ),
            "Accounts of operators held out, at their highest score, at their own share of abusive "
            "accounts.",
        )  # fmt: skip
        drawn["roc"] = html_figure(
            curves(
                "roc", "Recall against the share of false alarms, accounts held out",
                [Line(name, *_logged(lines["roc"])) for name, lines in tested.curves.items()],
                across="share of benign accounts reached, log10", up="recall",
            ),
            "The same accounts; where nobody benign is reached yet stands at the left edge.",
        )  # fmt: skip
    if tested.reliability:
        said, was = zip(*((s, w) for s, w, _ in tested.reliability), strict=True)
        ends = [math.log10(max(min(said), 1e-7)), math.log10(max(*said, 1e-7))]
        drawn["reliability"] = html_figure(
            curves(
                "reliability", "What was said and what was, scoring points held out",
                [
                    Line("model", _log10(said), _log10(was)),
                    Line("as it should be", ends, ends, guide=True),
                ],
                across="probability said, log10", up="share observed, log10", marks=True,
            ),
            f"Both at {100 * learned.settings.calibration.prevalence:g} % abusive accounts; bins "
            "hold alike many abusive points.",
        )  # fmt: skip
    return drawn


_EDGE = 1e-4


def _logged(curve: tuple[list[float], list[float]]) -> tuple[list[float], list[float]]:
    false, recall = curve
    return [math.log10(max(f, _EDGE)) for f in false], recall


def _log10(values: tuple[float, ...]) -> list[float]:
    return [math.log10(max(v, 1e-7)) for v in values]
