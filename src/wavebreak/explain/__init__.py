"""What happened to one account, and why: in words, numbers and a picture."""

from typing import TYPE_CHECKING

from wavebreak.lazily import lazily

if TYPE_CHECKING:
    from wavebreak.explain.gathering import Explanation, explain
    from wavebreak.explain.showing import render, write_html
    from wavebreak.explain.timeline import Timeline
else:
    __getattr__ = lazily(__name__, {
        "gathering": "Explanation explain",
        "showing": "render write_html",
        "timeline": "Timeline",
    })  # fmt: skip

__all__ = ["Explanation", "Timeline", "explain", "render", "write_html"]
