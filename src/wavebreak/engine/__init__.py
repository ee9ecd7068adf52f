"""The only wiring: events in, decisions out. `Engine` for a stream, `run` for files."""

from wavebreak.engine.batch_run import Progress, run
from wavebreak.engine.engine import Engine
from wavebreak.engine.warmup import precompile, warm

__all__ = ["Engine", "Progress", "precompile", "run", "warm"]
