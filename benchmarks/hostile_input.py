"""A million hostile lines through the reader: `python -m benchmarks.hostile_input [LINES] [SEED]`.

Asserts that nothing crashes; that no planted content or raw identifier appears in a refusal, in the
log or in a file of a run; and that every valid line is accepted, becomes account events and is
decided on, except those dated in the past. Prints the figures. Most dates are consecutive; one in
fifty is drawn over 130 years.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import pyarrow as pa

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from support.hostile_lines import BEGIN, JITTER_MS, PLANTED, STEP_MS, hostile
from wavebreak import engine, io, rules
from wavebreak.features.facts import Fanout
from wavebreak.privacy.pseudonymizer import Pseudonymizer


def _written(path: Path, count: int, seed: int) -> set[int]:
    valid = set()
    with path.open("wb") as file:
        for number, (line, good) in enumerate(hostile(count, seed), 1):
            file.write(line + b"\n")
            if good:
                valid.add(number)
    return valid


class _Facts:
    """Which of the valid lines make facts, by their ids."""

    def __init__(self, valid: set[int]) -> None:
        self.left = {f"event-{line - 1}" for line in valid}
        self.past = 0
        self._fanout = Fanout()

    def take(self, log: pa.RecordBatch) -> None:
        """Cross off the lines of a batch that make facts, and those that are dated in the past."""
        for segment in self._fanout.segments(log):
            ids = segment.ids.filter(pa.array(segment.events["drop"] == 0)).to_pylist()
            self.left.difference_update(ids)
        for name, ts in zip(
            log.column("id").to_pylist(), log.column("ts").to_pylist(), strict=True
        ):
            if name in self.left and ts < BEGIN + int(name[6:]) * STEP_MS - JITTER_MS:
                self.left.discard(name)
                self.past += 1


def _decided(path: Path, taken: int) -> str:
    """Run the whole engine over the same lines; every line that was taken is accounted for."""
    out = path.parent / "out"
    summary = engine.run(path, out, rules.load_policy(), Pseudonymizer(bytes(range(32))))
    assert summary["accepted"] + summary["late"] + summary["duplicates"] == taken
    assert summary["accounts"] > 0
    for file in out.iterdir():
        content = file.read_bytes()
        assert not [planted for planted in PLANTED if planted.encode() in content], file.name
    assert summary["late"] < 0.05 * taken
    names = ("accepted", "late", "ahead", "duplicates", "accounts")
    counts = {name: summary[name] for name in names}
    return f"through the engine: {counts}, decisions {summary['decisions']['outcome']}"


def main(count: int = 1_000_000, seed: int = 1) -> None:
    """Make the lines, read them, and assert."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "events.jsonl"
        valid = _written(path, count, seed)
        causes, facts = Counter[str](), _Facts(valid)
        read = taken = 0
        started = time.perf_counter()
        seconds = 0.0
        for batch in io.read(path, Pseudonymizer(bytes(range(32)))):
            seconds += time.perf_counter() - started
            text = str(batch.log.to_pylist()) + str(batch.refused)
            leaked = [planted for planted in PLANTED if planted in text]
            assert not leaked, f"leaked: {leaked}"
            refused = {r.line for r in batch.refused}
            assert not refused & valid, f"refused, though valid: {sorted(refused & valid)[:5]}"
            causes.update(r.cause for r in batch.refused)
            facts.take(batch.log)
            read, taken = read + batch.read, taken + batch.log.num_rows
            started = time.perf_counter()
        size = path.stat().st_size
        decided = _decided(path, taken)
    assert read == count == taken + causes.total()
    assert not facts.left, f"valid, yet no facts: {sorted(facts.left)[:5]}"
    print(f"{read:,} lines, {size / 1e6:,.0f} MB, {read / seconds:,.0f} lines a second")
    print(f"taken {taken:,} ({len(valid):,} of them left valid on purpose)")
    print(f"of the valid, {len(valid) - facts.past:,} decided on, {facts.past:,} dated in the past")
    print(decided)
    print(f"refused {causes.total():,}: {dict(causes.most_common())}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
