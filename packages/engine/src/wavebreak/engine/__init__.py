"""Engine: events in, decisions out. `Engine` decides on a stream, `run` on a file.

The kernel's libraries take most of a second to import: each name is imported on first use.
"""

from typing import TYPE_CHECKING

from wavebreak.extras import lazily

if TYPE_CHECKING:
    from wavebreak.engine.batch_run import Progress, run
    from wavebreak.engine.engine import Engine
    from wavebreak.engine.warmup import compiling_kernel, precompile, warm
else:
    __getattr__ = lazily(
        __name__,
        {
            "batch_run": "Progress run",
            "engine": "Engine",
            "warmup": "compiling_kernel precompile warm",
        },
    )

__all__ = ["Engine", "Progress", "compiling_kernel", "precompile", "run", "warm"]
