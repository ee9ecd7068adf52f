"""One worker against two: the same account events, processed in turns by two engines."""

from __future__ import annotations

from benchmarks.engine_stages import Clockwork, advance, engine, segments_of, timed
from benchmarks.figures import Figure, figure
from benchmarks.load_streams import log_batch

NAME = "shards"


def bench(quick: bool) -> list[Figure]:
    """Events a second of the kernel with one and two workers, and their ratio run by run."""
    accounts, each, runs = (50_000, 200_000, 3) if quick else (1_000_000, 1_000_000, 7)
    one, two = engine(workers=1), engine(workers=2)
    clock = Clockwork(accounts)
    for traffic in (clock.everyone(), clock.next(each), clock.next(each)):
        for segment in segments_of(one, log_batch(traffic)):
            advance(one.core, segment)
            advance(two.core, segment)
    alone, shared = [], []
    for k in range(runs):
        segments = segments_of(one, log_batch(clock.next(each)))
        # In turns, so that neither always comes second to warm memory.
        if k % 2:
            shared.append(timed(two.core, segments))
        alone.append(timed(one.core, segments))
        if not k % 2:
            shared.append(timed(two.core, segments))
    ratios = [a / s for a, s in zip(alone, shared, strict=True)]
    return [
        figure(NAME, "kernel, 1 worker", "events/s", [each / s for s in alone]),
        figure(NAME, "kernel, 2 workers", "events/s", [each / s for s in shared]),
        figure(NAME, "2 workers ÷ 1", "times", ratios, target=1.6,
               note="two free cores are needed"),
    ]  # fmt: skip
