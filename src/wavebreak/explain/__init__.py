"""What happened to one account, and why: in words, numbers and a picture."""

from typing import TYPE_CHECKING

from wavebreak.lazily import lazily

if TYPE_CHECKING:
    from wavebreak.explain.collect import Explanation, Timeline, explain
    from wavebreak.explain.report import render, write_html
else:
    __getattr__ = lazily(__name__, {
        "collect": "Explanation Timeline explain",
        "report": "render write_html",
    })  # fmt: skip

__all__ = ["Explanation", "Timeline", "explain", "render", "write_html"]
