"""Wavebreak: detect, enforce against and escalate bulk, automated and non-personal messaging.

Metadata only, never content. On a command line start with `wavebreak --help`, in Python with

    import wavebreak as wb

    result = wb.decide(wb.example_events())
    print(result)

The names below are the public interface, under semantic versioning. Whatever else lies in this
package may change at any time. Nothing is imported before it is used.
"""

from typing import TYPE_CHECKING

from wavebreak.extras import lazily
from wavebreak.version import __version__

if TYPE_CHECKING:
    from wavebreak.library import (
        Answer,
        Assessment,
        Comparison,
        Decision,
        Engine,
        Error,
        Events,
        Mapping,
        Picture,
        Policy,
        Report,
        Result,
        assess,
        compare,
        decide,
        evaluate,
        events,
        example_events,
        example_labels,
        feature,
        load_policy,
        read_events,
    )

__all__ = [
    "Answer",
    "Assessment",
    "Comparison",
    "Decision",
    "Engine",
    "Error",
    "Events",
    "Mapping",
    "Picture",
    "Policy",
    "Report",
    "Result",
    "__version__",
    "assess",
    "compare",
    "decide",
    "evaluate",
    "events",
    "example_events",
    "example_labels",
    "feature",
    "load_policy",
    "read_events",
]

if not TYPE_CHECKING:
    __getattr__ = lazily(__name__, {"library": " ".join(__all__)})


def __dir__() -> list[str]:
    """Return the public names, for completion in a notebook."""
    return __all__
