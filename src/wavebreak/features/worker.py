"""What a thread of the core is told of the policy, and its buffers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from wavebreak.features import kernel
from wavebreak.features.catalog import FEATURES
from wavebreak.features.state import DELTA, HIT, POINT, TOUCH, WORKER
from wavebreak.jit import callback


@dataclass(frozen=True)
class Judgement:
    """What the kernel is told of the policy: addresses of C functions and bit masks over rules.

    `keepalive` holds whatever owns the addresses. `score` is that of a C function `int64
    score(int64 model, int64 values)`, which gives a margin in 1/65,536, and `model` that of its
    numbers (0: no model). `weigh` is that of `int64 weigh(int64 policy, int64 margin, int64 fired,
    int64 silent)`, which gives the outcome that a score asks for; `margins` (int64, rising) and
    `chances` (float64, one more) are the calibration. `spared` are the channels (bits) on which it
    asks for nothing.
    """

    guard: int
    rules: int
    decide: int
    refuse: int
    policy: Any
    wake: int
    keep: int
    registration: int
    messaging: int
    enabled: int
    enforced: int
    grace_s: int
    benign_grace_s: int
    keepalive: Any = field(repr=False)
    score: int = 0
    model: int = 0
    weigh: int = 0
    margins: Any = field(repr=False, default_factory=lambda: np.zeros(0, np.int64))
    chances: Any = field(repr=False, default_factory=lambda: np.zeros(1))
    spared: int = 0

    def into(self, w: Any) -> None:
        """Write it into a worker's record (dtype WORKER)."""
        w["guard"], w["rules"] = self.guard, self.rules
        w["decide"], w["refuse"] = self.decide, self.refuse
        w["policy"] = self.policy.ctypes.data
        w["wake"], w["keep"], w["enabled"] = self.wake, self.keep, self.enabled
        w["registration"], w["messaging"] = self.registration, self.messaging
        w["enforced"] = self.enforced
        w["grace_s"], w["benign_grace_s"] = self.grace_s, self.benign_grace_s
        w["score"], w["model"], w["weigh"] = self.score, self.model, self.weigh
        w["margins"], w["chances"] = self.margins.ctypes.data, self.chances.ctypes.data
        w["steps"], w["spared"] = self.margins.size, self.spared


def no_rules() -> Judgement:
    """A judgement that never hits: for reading features alone."""
    never = callback(_never, 2)
    at = never.address
    return Judgement(at, at, at, at, np.zeros(1, np.int64), 0, 0, 0, 0, 0, 0, 0, 0, never)


def _never(_features: int, _kind: int) -> int:
    return 0


class Worker:
    """One thread's record and buffers; buffers grow, and keep their size."""

    def __init__(
        self, judgement: Judgement, covered: Any, *, enforce: bool, record: bool
    ) -> None:  # fmt: skip
        self.records = np.zeros(1, WORKER)
        self.covered = covered
        self.values = np.zeros(len(FEATURES))
        self.hits = np.zeros(1024, HIT)
        self.points = np.zeros(1024 if record else 2, POINT)
        self.deltas = np.zeros(8192, DELTA)
        self.touched = np.zeros(4096, TOUCH)
        judgement.into(self.record)
        self.record["enforce"], self.record["record"] = int(enforce), int(record)
        self.record["scoring"] = int(record or judgement.score > 0)
        self.point()

    @property
    def record(self) -> Any:
        """The record that compiled code reads and writes (dtype WORKER)."""
        return self.records[0]

    def point(self) -> None:
        """Tell compiled code where the buffers lie."""
        w = self.record
        w["covered"], w["values"] = self.covered.ctypes.data, self.values.ctypes.data
        for name in ("hits", "points", "deltas", "touched"):
            buffer = getattr(self, name)
            w[name], w[f"{name}_size"] = buffer.ctypes.data, buffer.size

    def grow(self) -> None:
        """Room for more hits, scoring points and contributions."""
        w = self.record
        if w["hits_n"] + 1 >= self.hits.size:
            self.hits = np.concatenate([self.hits, np.zeros(self.hits.size, HIT)])
        if w["points_n"] + 1 >= self.points.size:
            self.points = np.concatenate([self.points, np.zeros(self.points.size, POINT)])
        if w["deltas_n"] + kernel.DELTAS_A_FACT >= self.deltas.size:
            self.deltas = np.concatenate([self.deltas, np.zeros(self.deltas.size, DELTA)])
        self.point()

    def make_room(self, facts: int) -> None:
        """Room for so many more touched accounts."""
        need = int(self.record["touched_n"]) + facts
        if need > self.touched.size:
            more = np.zeros(max(need, 2 * self.touched.size) - self.touched.size, TOUCH)
            self.touched = np.concatenate([self.touched, more])
            self.point()

    def take(self, name: str) -> Any:
        """The hits (or points, or deltas) so far; they are taken once."""
        n = int(self.record[f"{name}_n"])
        self.record[f"{name}_n"] = 0
        return getattr(self, name)[:n].copy()

    def touches(self) -> Any:
        """Slots of the accounts touched in the open epoch (dtype TOUCH)."""
        return self.touched[: self.record["touched_n"]]

    def begin(self) -> Any:
        """Start a pass of the kernel; returns the record."""
        self.record["at_shard"], self.record["at_fact"] = -1, 0
        return self.record
