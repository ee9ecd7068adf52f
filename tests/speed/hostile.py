"""A million hostile lines through the reader: `python tests/speed/hostile.py [LINES] [SEED]`.

Asserts that nothing crashes, that no planted content or raw identifier comes out in a refusal or
in the log, and that every line that was left valid is taken; prints the figures.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from hostile_lines import PLANTED, hostile
from wavebreak import formats
from wavebreak.edge import Edge


def _written(path: Path, count: int, seed: int) -> set[int]:
    valid = set()
    with path.open("wb") as file:
        for number, (line, good) in enumerate(hostile(count, seed), 1):
            file.write(line + b"\n")
            if good:
                valid.add(number)
    return valid


def main(count: int = 1_000_000, seed: int = 1) -> None:
    """Make the lines, read them, and assert."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "events.jsonl"
        valid = _written(path, count, seed)
        causes: Counter[str] = Counter()
        read = taken = 0
        started = time.perf_counter()
        seconds = 0.0
        for batch in formats.read(path, Edge(bytes(range(32)))):
            seconds += time.perf_counter() - started
            text = str(batch.log.to_pylist()) + str(batch.refused)
            leaked = [planted for planted in PLANTED if planted in text]
            assert not leaked, f"leaked: {leaked}"
            refused = {r.line for r in batch.refused}
            assert not refused & valid, f"refused, though valid: {sorted(refused & valid)[:5]}"
            causes.update(r.cause for r in batch.refused)
            read, taken = read + batch.read, taken + batch.log.num_rows
            started = time.perf_counter()
        size = path.stat().st_size
    assert read == count == taken + causes.total()
    print(f"{read:,} lines, {size / 1e6:,.0f} MB, {read / seconds:,.0f} lines a second")
    print(f"taken {taken:,} ({len(valid):,} of them left valid on purpose)")
    print(f"refused {causes.total():,}: {dict(causes.most_common())}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
