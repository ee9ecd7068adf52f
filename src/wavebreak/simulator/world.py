"""A simulated world: its labels, what it was made of, and its events as a stream."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from wavebreak.simulator.life import Life
from wavebreak.simulator.log import Block, Log, Pile, to_batches
from wavebreak.simulator.places import DAY, MINUTE
from wavebreak.simulator.scene import Label, Scene

BATCH = 65_536
"""Events a batch unless another size is asked for."""

LEAD = 5 * MINUTE
"""Nothing that starts in a window has an event further ahead of it than this."""

_EVENTS_A_PERSON_AND_DAY = 62  # measured with the shipped parameters; only sizes the windows
_EVENTS_A_WINDOW = 600_000  # so that memory stays flat: about 100 bytes an event
_WINDOWS = tuple(m * MINUTE for m in (10, 15, 30, 60, 120, 240, 480))


@dataclass(frozen=True, slots=True)
class World:
    """A simulated log.

    `labels`: (account, label, family, operator) of every account that acts; `about`: parameters
    and counts, ready for JSON; `events`: makes the events, a number of them at a time; `days`: the
    life behind them, where it was simulated and not planted; `turned`: when accounts that were
    honest people's became what their label says (milliseconds).
    """

    labels: list[Label]
    about: dict[str, Any]
    events: Callable[[int], Iterator[pa.RecordBatch]]
    days: Days | None = None
    turned: dict[str, int] = field(default_factory=dict)

    def batches(self, size: int = BATCH) -> Iterator[pa.RecordBatch]:
        """Yield the events as batches of WIRE_SCHEMA, sorted by (ts, id), at most `size` each.

        Every call yields the same events.
        """
        return self.events(size)


@dataclass(frozen=True, slots=True)
class Days:
    """Everyday life round what was planned ahead, made window by window: memory stays flat.

    `groups`: how many groups were planned, so that names go on from there each time.
    """

    scene: Scene
    life: Life
    planned: list[Block]
    seed: int
    groups: int
    progress: Callable[[float], None] | None = None

    def events(self, size: int) -> Iterator[pa.RecordBatch]:
        """Yield all events in order."""
        names = self.scene.roll.names()
        for block in self.blocks():
            yield from to_batches(block, names, self.scene.pool.arrow(), size)

    def blocks(self) -> Iterator[Block]:
        """Yield all events in order, as columns of numbers: a block a window of time."""
        scene = self.scene
        scene.log = Log(max((int(b.columns["id"].max()) + 1 for b in self.planned), default=0))
        scene.groups = self.groups
        pile = Pile(self.planned)
        step = _window(len(scene.people))
        for number, low in enumerate(range(scene.start, scene.end, step)):
            high = min(low + step, scene.end)
            scene.rng = np.random.default_rng([self.seed, number])
            self.life.window(scene, low, high)
            certain = high if high == scene.end else high - LEAD
            yield pile.until(certain, scene.log.flush()).split(scene.start)[1]
            if self.progress:
                self.progress((high - scene.start) / scene.span)


def _window(people: int) -> int:
    """Return the length of a window, so that about the same number of events falls into each."""
    wanted = _EVENTS_A_WINDOW / people / _EVENTS_A_PERSON_AND_DAY * DAY
    return max((w for w in _WINDOWS if w <= wanted), default=_WINDOWS[0])
