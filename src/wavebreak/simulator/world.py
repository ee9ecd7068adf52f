"""A simulated world: what was planned ahead, and everyday life, as a stream of batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from wavebreak.simulator.life import Life
from wavebreak.simulator.log import Block, Log, Pile, to_batches
from wavebreak.simulator.places import DAY, HOUR, MINUTE
from wavebreak.simulator.scene import Scene

BATCH = 65_536
"""Events a batch unless another size is asked for."""

LEAD = 5 * MINUTE
"""Nothing that starts in a window has an event further ahead of it than this."""

_EVENTS_A_PERSON_AND_DAY = 62  # measured with the shipped parameters; only sizes the windows
_EVENTS_A_WINDOW = 600_000  # so that memory stays flat: about 100 bytes an event
_WINDOWS = tuple(m * MINUTE for m in (10, 15, 30, 60, 120, 240, 480))

Label = tuple[str, str, str, str]
"""account, label, family, operator"""


@dataclass(slots=True)
class World:
    """A simulated log. Reading it twice gives the same events.

    `labels`: (account, label, family, operator) of every account that acts; `about`: parameters
    and counts, ready for JSON.
    """

    labels: list[Label]
    about: dict[str, Any]
    _scene: Scene
    _life: Life
    _planned: list[Block]
    _seed: int
    _progress: Callable[[float], None] | None = field(default=None)

    def batches(self, size: int = BATCH) -> Iterator[pa.RecordBatch]:
        """Yield the events as batches of WIRE_SCHEMA, sorted by (ts, id), at most `size` each."""
        scene, names = self._scene, self._scene.roll.names()
        scene.log = Log(self._planned_ids())
        pile = Pile(self._planned)
        step = _window(len(scene.people))
        for number, low in enumerate(range(scene.start, scene.end, step)):
            high = min(low + step, scene.end)
            scene.rng = np.random.default_rng([self._seed, number])
            self._life.window(scene, low, high)
            certain = high if high == scene.end else high - LEAD
            block = pile.until(certain, scene.log.flush()).split(scene.start)[1]
            yield from to_batches(block, names, scene.pool.arrow(), size)
            if self._progress:
                self._progress((high - scene.start) / scene.span)

    def _planned_ids(self) -> int:
        return max((int(b.columns["id"].max()) + 1 for b in self._planned), default=0)


def _window(people: int) -> int:
    """Return the length of a window, so that about the same number of events falls into each."""
    wanted = _EVENTS_A_WINDOW / max(people, 1) / _EVENTS_A_PERSON_AND_DAY * DAY
    return max((w for w in _WINDOWS if w <= max(wanted, _WINDOWS[0])), default=HOUR)
