"""What happened to one account, and why: in words, numbers and a picture."""

from typing import TYPE_CHECKING

from wavebreak.lazily import lazily

if TYPE_CHECKING:
    from wavebreak.explain.collect import Explanation, Timeline, explain
    from wavebreak.explain.report import as_json, print_explanation, print_summary, write_html
else:
    __getattr__ = lazily(__name__, {
        "collect": "Explanation Timeline explain",
        "report": "as_json print_story render write_html",
    })  # fmt: skip

__all__ = [
    "Explanation",
    "Timeline",
    "as_json",
    "explain",
    "print_story",
    "render",
    "write_html",
]
