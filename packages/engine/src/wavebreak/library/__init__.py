"""Library: the names of `import wavebreak`, which the commands call.

Each function is a thin layer over `engine`, `io`, `evaluation`, `explain` and `run_diff`.
"""

from typing import TYPE_CHECKING

from wavebreak.extras import lazily

if TYPE_CHECKING:
    from wavebreak.library.inputs import (
        Decision,
        Error,
        Events,
        Mapping,
        Policy,
        events,
        example_events,
        example_labels,
        feature,
        load_policy,
        read_events,
    )
    from wavebreak.library.results import (
        Assessment,
        Comparison,
        Result,
        assess,
        compare,
        decide,
        evaluate,
    )
    from wavebreak.library.stream import Answer, Engine
    from wavebreak.library.views import Picture, Report
else:
    __getattr__ = lazily(
        __name__,
        {
            "inputs": "Decision Error Events Mapping Policy events example_events example_labels "
            "feature load_policy read_events",
            "results": "Assessment Comparison Result assess compare decide evaluate",
            "stream": "Answer Engine",
            "views": "Picture Report",
        },
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
