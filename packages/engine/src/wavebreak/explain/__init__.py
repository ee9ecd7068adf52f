"""Explanation of the decisions on one account: text, tables and timeline."""

from typing import TYPE_CHECKING

from wavebreak.extras import lazily

if TYPE_CHECKING:
    from wavebreak.explain.collect import Explanation, Timeline, explain
    from wavebreak.explain.report import explanation_report, explanation_summary
else:
    __getattr__ = lazily(__name__, {
        "collect": "Explanation Timeline explain",
        "report": "explanation_report explanation_summary",
    })  # fmt: skip

__all__ = ["Explanation", "Timeline", "explain", "explanation_report", "explanation_summary"]
