"""The only wiring: events in, decisions out. `Engine` for a stream, `run` for files."""

from wavebreak.compiled.warmup import warm
from wavebreak.engine.batch_run import Progress, run, seal_versions
from wavebreak.engine.engine import Engine

__all__ = ["Engine", "Progress", "run", "seal_versions", "warm"]
