"""The only wiring: events in, decisions out. `Engine` for a stream, `run` for files."""

from wavebreak.compiled.warmup import warm
from wavebreak.pipeline.engine import Engine
from wavebreak.pipeline.running import Progress, run, seal_versions

__all__ = ["Engine", "Progress", "run", "seal_versions", "warm"]
