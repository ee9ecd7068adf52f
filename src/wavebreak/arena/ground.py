"""The ground of an arena: people and innocents, planned once, and played again every round."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from wavebreak import simulator
from wavebreak.simulator.background import FIRST_ID
from wavebreak.simulator.log import Block, Log, merge, to_batches
from wavebreak.simulator.scene import Label, Roll, Scene
from wavebreak.simulator.world import BATCH

GROUPS_EACH = 1 << 20
"""Names of groups kept for each operator, so that no two share one."""


@dataclass(frozen=True)
class Ground:
    """People's lives between `scene.start` and `scene.end`: blocks of events in order of time."""

    scene: Scene
    blocks: list[Block]
    starts: list[int]
    labels: list[Label]
    about: dict[str, Any]

    def events(self) -> int:
        """Return how many events it has."""
        return sum(len(block) for block in self.blocks)


def lay(
    *, people: int, days: float, seed: int, progress: Callable[[float], None] = lambda _: None
) -> Ground:
    """Plan a world of people and of every innocent."""
    world = simulator.simulate(
        people=people, days=days, innocents=["all"], seed=seed, progress=progress
    )
    if world.days is None:
        raise AssertionError("a world without a background lives")
    blocks = [block for block in world.days.blocks() if len(block)]
    scene = world.days.scene
    return Ground(scene, blocks, [int(b.ts[0]) for b in blocks], world.labels, world.about)


class Stage:
    """One round's own copies of what operators change, and a scene for each of them."""

    def __init__(self, ground: Ground) -> None:
        scene = ground.scene
        self.log, self.pool = Log(FIRST_ID), copy.deepcopy(scene.pool)
        self.roll: Roll = copy.deepcopy(scene.roll)
        self._scene, self._taken, self._scenes = scene, set(scene.taken), 0
        self._names = self.roll.names()

    def scene(self, seed: tuple[int, ...]) -> Scene:
        """Return a scene with random numbers of its own."""
        self._scenes += 1
        return replace(
            self._scene, rng=np.random.default_rng(seed), log=self.log, pool=self.pool,
            roll=self.roll, taken=self._taken, groups=GROUPS_EACH * self._scenes,
        )  # fmt: skip

    def names(self) -> pa.StringArray:
        """Return every account's name, by number."""
        if len(self._names) != len(self.roll):
            self._names = self.roll.names()
        return self._names

    def batches(self, block: Block) -> Iterator[pa.RecordBatch]:
        """Turn a block into record batches of the wire."""
        return to_batches(block, self.names(), self.pool.arrow(), BATCH)


class Player:
    """Hands out the ground's events in order of time."""

    def __init__(self, ground: Ground) -> None:
        self._blocks, self._place, self._at = ground.blocks, 0, 0

    def until(self, ts: int) -> list[Block]:
        """Return the events before a time that were not handed out yet."""
        found = []
        while self._place < len(self._blocks):
            block = self._blocks[self._place]
            cut = int(np.searchsorted(block.ts, ts))
            if cut > self._at:
                found.append(block.slice(self._at, cut))
            if cut < len(block):
                self._at = cut
                return found
            self._place, self._at = self._place + 1, 0
        return found


class Waiting:
    """Events planned ahead of their time, as sorted blocks; few of them, so that taking is cheap.

    >>> waiting = Waiting()
    >>> waiting.due()
    4611686018427387904
    """

    MOST = 48

    def __init__(self) -> None:
        self._blocks: list[Block] = []

    def add(self, blocks: list[Block]) -> None:
        """Take blocks in."""
        self._blocks += [block for block in blocks if len(block)]
        if len(self._blocks) > self.MOST:
            self._blocks = [merge(self._blocks)]

    def due(self) -> int:
        """Return when the next event is."""
        return min((int(block.ts[0]) for block in self._blocks), default=1 << 62)

    def until(self, ts: int) -> list[Block]:
        """Take the events before a time."""
        taken, kept = [], []
        for block in self._blocks:
            if int(block.ts[0]) >= ts:
                kept.append(block)
                continue
            before, after = block.split(ts)
            taken.append(before)
            kept += [after] if len(after) else []
        self._blocks = kept
        return taken


def wire(blocks: list[Block], low: int) -> Block | None:
    """Merge events into one block in log order; what was planned before `low` happens at it."""
    blocks = [block for block in blocks if len(block)]
    if not blocks:
        return None
    whole = merge(blocks)
    if int(whole.ts[0]) < low:
        whole = merge([Block(whole.columns | {"ts": np.maximum(whole.ts, low)})])
    return whole
