"""Watch and change safely: what a candidate would change, and what has drifted."""

from wavebreak.watching.differences import Change, Differences, Fate, compare
from wavebreak.watching.replaying import replay, source_of
from wavebreak.watching.showing import print_differences, write_html

__all__ = [
    "Change",
    "Differences",
    "Fate",
    "compare",
    "print_differences",
    "replay",
    "source_of",
    "write_html",
]
