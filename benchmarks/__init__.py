"""Speed and memory benchmarks. Run with `python -m benchmarks`."""

import sys
from pathlib import Path

# The console's benchmark serves it by the tests' own harness.
sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
