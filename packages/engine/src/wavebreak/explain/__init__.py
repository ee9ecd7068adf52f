"""Explanation of the decisions on one account: text, tables and timeline."""

from typing import TYPE_CHECKING

from wavebreak.extras import lazily

if TYPE_CHECKING:
    from wavebreak.explain.collect import Explanation, Timeline, explain
    from wavebreak.explain.report import as_json, print_explanation, print_summary, write_html
else:
    __getattr__ = lazily(__name__, {
        "collect": "Explanation Timeline explain",
        "report": "as_json print_summary print_explanation write_html",
    })  # fmt: skip

__all__ = [
    "Explanation",
    "Timeline",
    "as_json",
    "explain",
    "print_explanation",
    "print_summary",
    "write_html",
]
