"""The only wiring: events in, decisions out. `Engine` for a stream, `run` for files."""

from wavebreak.pipeline.engine import Engine
from wavebreak.pipeline.running import Progress, run, seal_versions
from wavebreak.pipeline.warming import precompile, warm

__all__ = ["Engine", "Progress", "precompile", "run", "seal_versions", "warm"]
